//! The effects of a call when it arrives at Alibaba Cloud, at the queue or at the bus.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use local_aws::NewMessage;
use local_aws::queues::{Deleted, Message, Sent};
use privatelink_simulator::SimulatedResponse;
use serde_json::Value;

use super::{Event, QueueKind, World};
use crate::pace;
use crate::record::{CallNumber, Change, EntryKind, InvocationNumber, RequestedCall, Served};

/// The longest delay that a service may request.
const HINT_MAX: Duration = Duration::from_mins(2);

impl World {
    /// Draws the round-trip time of a call to Alibaba Cloud.
    pub(crate) fn draw_alibaba(&self) -> Duration {
        pace::draw(&self.pace.alibaba, &mut self.rng.borrow_mut())
    }

    /// Makes a call to AWS: half of its time passes, it takes effect, and the other half passes.
    pub(crate) async fn call_aws<R>(&self, effect: impl FnOnce(&Self) -> R) -> R {
        let half = pace::draw(&self.pace.aws, &mut self.rng.borrow_mut()) / 2;
        self.time.sleep(half).await;
        let result = effect(self);
        self.time.sleep(half).await;
        result
    }

    /// Lets Alibaba Cloud handle a call.
    pub(crate) fn serve(
        &self,
        call: CallNumber,
        requested: &RequestedCall,
        request: &http::Request<Bytes>,
    ) -> SimulatedResponse {
        let now = self.now();
        let mut cloud = self.cloud.borrow_mut();
        let actual = cloud.endpoint(requested.endpoint.as_str(), now);
        let simulated = cloud.handle(request, now);
        let entry = cloud.journal().last().expect("the call that was just handled");
        let served = Served {
            status: entry.status,
            body: simulated.response.body().clone(),
            code: code(simulated.response.body()),
            hint: hint(simulated.response.headers()),
            is_fault: entry.fault,
            is_executed: entry.executed,
            actual,
        };
        drop(cloud);
        self.note(EntryKind::Served { call, served: Box::new(served) });
        simulated
    }

    /// Applies a change in AWS that was requested at `requested_at`.
    pub(crate) fn change(
        &self,
        by: Option<InvocationNumber>,
        requested_at: SystemTime,
        change: &Change,
    ) -> Result<(), String> {
        let now = self.now();
        let mut queues = self.queues.borrow_mut();
        let requests = self.kind.requests();
        let changed = match change {
            Change::Delete { handle, .. } => {
                queues.delete(requests, handle, now).map(|deleted| matches!(deleted, Deleted::Deleted(_)))
            }
            Change::Defer { messages, visibility } => {
                // Each entry succeeds or fails separately, as in SQS.
                let entries = messages
                    .iter()
                    .map(|(_, handle)| queues.change_visibility(requests, handle, *visibility, now));
                let results: Vec<_> = entries.collect();
                results.into_iter().find_map(Result::err).map_or(Ok(true), Err)
            }
            Change::SendDeadLetter { copy, .. } => {
                let sent = queues.send(self.kind.dead_letters(), (**copy).clone(), now);
                sent.map(|sent| !sent.is_duplicate)
            }
            Change::Request { requests: sent } => {
                // Each entry succeeds or fails separately, as in SQS.
                let sent = sent.iter().map(|request| (queues.send(requests, request.clone(), now), request));
                let results: Vec<_> =
                    sent.map(|(sent, request)| sent.map(|sent| self.note_sent(&sent, request))).collect();
                results.into_iter().collect::<Result<Vec<bool>, _>>().map(|new| new.contains(&true))
            }
            Change::Publish { detail, .. } => {
                self.events.borrow_mut().push(Event { at: now, detail: detail.clone() });
                Ok(true)
            }
        };
        drop(queues);
        let (is_effective, result) = match changed {
            Ok(is_effective) => (is_effective, Ok(())),
            Err(error) => (false, Err(error.to_string())),
        };
        // SQS accepts the delete of a message that was deleted or received again, and the repetition of a send.
        let ignored = (!is_effective).then(|| "nothing to do".to_owned());
        let refusal = result.clone().err().or(ignored);
        self.note(EntryKind::Changed { by, requested_at, change: change.clone(), refusal });
        self.changed.notify_waiters();
        result
    }

    /// Notes a message that the queue accepted from a sweep. Returns false if it repeats an earlier one.
    fn note_sent(&self, sent: &Sent, request: &NewMessage) -> bool {
        if !sent.is_duplicate {
            let (message, body) = (sent.message_id.to_string(), request.body.clone());
            self.note(EntryKind::Sent { message, body });
        }
        !sent.is_duplicate
    }

    /// Moves the dead letters back to the request queue, as SQS does: each becomes a new message with the attributes of
    /// the old one.
    pub(crate) fn redrive(&self) {
        let now = self.now();
        loop {
            let mut queues = self.queues.borrow_mut();
            let batch = queues.receive(self.kind.dead_letters(), 10, None, now).expect("the queue exists");
            if batch.is_empty() {
                return;
            }
            for received in &batch {
                let deleted = queues.delete(self.kind.dead_letters(), &received.receipt_handle, now);
                deleted.expect("a message that was just received");
            }
            drop(queues);
            for Message { body, attributes, group, .. } in batch.into_iter().map(|received| received.message)
            {
                self.sent.set(self.sent.get() + 1);
                let deduplication_id =
                    (self.kind == QueueKind::Fifo).then(|| format!("redriven-{}", self.sent.get()));
                self.send_message(NewMessage { body, attributes, group, deduplication_id, delay: None });
            }
        }
    }
}

/// The error code of a response, in either spelling of JSON or in XML.
fn code(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let json = serde_json::from_str::<Value>(text).ok();
    let in_json = json.and_then(|fields| {
        fields.get("Code").or(fields.get("code")).and_then(Value::as_str).map(str::to_owned)
    });
    in_json.or_else(|| {
        let (_, after) = text.split_once("<Error>")?.1.split_once("<Code>")?;
        after.split_once("</Code>").map(|(code, _)| code.to_owned())
    })
}

/// The delay that a response's headers request, in milliseconds, limited to two minutes.
fn hint(headers: &http::HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let left = |name: &str| {
        let mut parts = text(name).split(',').filter_map(|part| part.strip_prefix("TimeLeft:"));
        parts.next().and_then(|left| left.parse::<u64>().ok())
    };
    let after = text("x-acs-retry-after").parse().ok();
    let after = after.or(left("x-ratelimit-user-api").max(left("x-ratelimit-user")));
    let after = after.filter(|after| *after > 0);
    let after = after.or_else(|| text("retry-after").parse::<u64>().ok().map(|seconds| seconds * 1000));
    after.filter(|after| *after > 0).map(|after| Duration::from_millis(after).min(HINT_MAX))
}
