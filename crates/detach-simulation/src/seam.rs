//! The world as a worker and a sweeper see it: its transport, its queue and its bus.

mod requests;

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use aws_sdk_eventbridge::operation::put_events::PutEventsOutput;
use aws_sdk_sqs::operation::change_message_visibility_batch::ChangeMessageVisibilityBatchOutput;
use aws_sdk_sqs::operation::send_message::SendMessageOutput;
use bytes::Bytes;
use local_aws::NewMessage;
use privatelink_detach::aws::bus::{Bus, PublishError, check_published};
use privatelink_detach::aws::sqs::{QueueError, check_sent};
use privatelink_detach::aws::sqs_event::Delivery;
use privatelink_detach::aws::{AwsError, OPERATION_TIMEOUT};
use privatelink_detach::transport::NoResponse;
use privatelink_detach::transport::{SendError, Transport};
use privatelink_detach::worker::queue::{DeadLetter, Queue, check_returned};
use privatelink_simulator::Transmission;
use serde::Serialize;

use crate::faults::AwsEffect;
use crate::record::{CallNumber, Change, EntryKind, InvocationNumber, Operation, RequestedCall};
use crate::world::{QueueKind, ScheduledAction, World};

/// The code of a call to AWS that got no response in time.
const TIMEOUT: &str = "Timeout";

/// The maximum length of a response that production's transport reads, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A successful response of AWS.
enum Success {
    /// With everything that AWS puts into it.
    Whole,
    /// Without any content: AWS did not send it. The worker's own check of the response decides what that means.
    Empty,
}

/// The world as Alibaba Cloud, as the queue and as the bus of one sandbox.
#[derive(Clone)]
pub struct Seam {
    pub(crate) world: Rc<World>,
    /// The invocation that runs in the sandbox, or the last one.
    pub(crate) invocation: Rc<Cell<InvocationNumber>>,
}

impl fmt::Debug for Seam {
    /// Omits the world, which is not part of the worker's state.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seam")
    }
}

/// A call in transit. It arrives even if the worker no longer waits for it; the call of a killed process may not.
struct InTransit<'a> {
    world: &'a World,
    arrives: SystemTime,
    sent: Option<(CallNumber, RequestedCall, http::Request<Bytes>)>,
    is_abandoned: bool,
}

impl Drop for InTransit<'_> {
    fn drop(&mut self) {
        if let Some((call, requested, request)) = self.sent.take()
            && (self.is_abandoned || self.world.injector.borrow_mut().is_outliving())
        {
            self.world.schedule_at(
                self.arrives,
                ScheduledAction::Arrive { call, requested, request: Box::new(request) },
            );
        }
    }
}

impl Transport for Seam {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, SendError> {
        let world = &self.world;
        let query = request.uri().query().unwrap_or_default();
        assert!(!query.contains(world.panicking_endpoint.get()), "cursed");
        let (call, requested) = (world.next_call(), RequestedCall::read(&request));
        world.note(EntryKind::Called {
            invocation: self.invocation.get(),
            call,
            requested: requested.clone(),
        });
        let response = self.round_trip(call, requested, request, timeout).await;
        world.note(EntryKind::Returned { call, has_response: response.is_ok() });
        response
    }
}

impl Seam {
    /// Sends the call, lets the service handle it, and returns its response, unless the timeout passes.
    async fn round_trip(
        &self,
        call: CallNumber,
        requested: RequestedCall,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, SendError> {
        let world = &self.world;
        let opens = world.injector.borrow_mut().connect_time();
        if let Some(opens) = opens {
            world.time.sleep(opens.min(timeout)).await;
            if opens >= timeout {
                return Err(NoResponse::Timeout.into());
            }
            world.note(EntryKind::Left { call });
        }
        let timeout = timeout.saturating_sub(opens.unwrap_or_default());
        let half = world.draw_alibaba() / 2;
        let delay = world.injector.borrow_mut().call_delay();
        let there = half + delay.unwrap_or_default();
        let arrives = world.now() + there;
        let sent = Some((call, requested, request));
        let mut in_transit = InTransit { world, arrives, sent, is_abandoned: false };
        world.time.sleep(there.min(timeout)).await;
        let Some((call, requested, request)) = in_transit.sent.take_if(|_| there < timeout) else {
            in_transit.is_abandoned = true;
            return Err(NoResponse::Timeout.into());
        };
        let simulated = world.serve(call, &requested, &request);
        let left = timeout.saturating_sub(there);
        let (back, result) = match simulated.transmission {
            Transmission::Whole { after } if simulated.response.body().len() > BODY_BYTES_MAX => {
                (half + after, Err(NoResponse::UnreadableAnswer.into()))
            }
            Transmission::Whole { after } => (half + after, Ok(simulated.response)),
            Transmission::Hang => (left, Err(NoResponse::Timeout.into())),
            Transmission::Reset { after } | Transmission::Truncated { after, .. } => {
                (half + after, Err(NoResponse::ConnectionLost.into()))
            }
        };
        world.time.sleep(back.min(left)).await;
        if back >= left { Err(NoResponse::Timeout.into()) } else { result }
    }

    /// Requests a change in AWS, with the effect that the fault injector draws.
    async fn change(&self, change: Change) -> Result<Success, AwsError> {
        let world = &self.world;
        let by = Some(self.invocation.get());
        let (operation, requested_at) = (change.operation(), world.now());
        let effect = world.injector.borrow_mut().effect(operation, world.now());
        let changed = match effect {
            AwsEffect::Applied => world.call_aws(|world| world.change(by, requested_at, &change)).await,
            AwsEffect::AppliedTwice => {
                let _ = world.call_aws(|world| world.change(by, requested_at, &change)).await;
                world.call_aws(|world| world.change(by, requested_at, &change)).await
            }
            AwsEffect::Rejected => world.call_aws(|_| Err("rejected".to_owned())).await,
            AwsEffect::EmptySuccess => {
                world.call_aws(|_| ()).await;
                world.note(EntryKind::Failed { by, operation });
                return Ok(Success::Empty);
            }
            AwsEffect::ResponseLost => {
                let _ = world.call_aws(|world| world.change(by, requested_at, &change)).await;
                world.time.sleep(OPERATION_TIMEOUT).await;
                Err(TIMEOUT.to_owned())
            }
            AwsEffect::AppliedLate(delay) => {
                world.schedule_at(
                    world.now() + OPERATION_TIMEOUT + delay,
                    ScheduledAction::Change { by, requested_at, change },
                );
                world.time.sleep(OPERATION_TIMEOUT).await;
                Err(TIMEOUT.to_owned())
            }
        };
        if changed.is_err() {
            world.note(EntryKind::Failed { by, operation });
        }
        changed.map(|()| Success::Whole).map_err(aws_error)
    }
}

/// The error of a call to AWS with this code.
fn aws_error(code: String) -> AwsError {
    AwsError { is_transient: code == TIMEOUT, code, message: None, cause: None }
}

/// A response to `ChangeMessageVisibilityBatch` that names no entry.
fn nothing_changed() -> ChangeMessageVisibilityBatchOutput {
    let response = ChangeMessageVisibilityBatchOutput::builder();
    let response = response.set_successful(Some(Vec::new())).set_failed(Some(Vec::new())).build();
    response.expect("a response with both lists")
}

/// The error of a call on the queue.
fn queue_error(operation: &'static str, source: AwsError) -> QueueError {
    QueueError::Call { operation, source }
}

impl Queue for Seam {
    async fn delete(&self, delivery: &Delivery) -> Result<(), QueueError> {
        let change = Change::Delete {
            message: delivery.message_id.clone(),
            handle: delivery.receipt_handle.as_str().into(),
        };
        // SQS itself responds to a delete without content.
        self.change(change).await.map(drop).map_err(|error| queue_error("delete", error))
    }

    async fn defer(&self, deliveries: &[Delivery], visibility: Duration) -> Result<(), QueueError> {
        let one =
            |delivery: &Delivery| (delivery.message_id.clone(), delivery.receipt_handle.as_str().into());
        let mut messages: Vec<_> = deliveries.iter().map(one).collect();
        let failed = self.world.injector.borrow_mut().failed_entry(messages.len());
        if let Some(failed) = failed {
            messages.remove(failed);
        }
        let deferred = self.change(Change::Defer { messages, visibility }).await;
        let deferred = match (deferred, failed) {
            (Ok(Success::Empty), _) => {
                return check_returned(&nothing_changed(), deliveries.len());
            }
            (Ok(Success::Whole), Some(failed)) => {
                let by = Some(self.invocation.get());
                self.world.note(EntryKind::Failed { by, operation: Operation::Defer });
                Err(aws_error(format!("entry {failed} was rejected")))
            }
            (deferred, _) => deferred.map(drop),
        };
        deferred.map_err(|error| queue_error("defer", error))
    }

    async fn send_dead_letter(&self, dead_letter: &DeadLetter<'_>) -> Result<(), QueueError> {
        let delivery = dead_letter.delivery;
        let lane = delivery.message_group.as_deref().unwrap_or(&delivery.message_id);
        let copy = match self.world.kind {
            QueueKind::Fifo => NewMessage::fifo(dead_letter.body(), lane, &delivery.message_id),
            QueueKind::Standard => NewMessage::new(dead_letter.body()),
        };
        let copy = dead_letter
            .attributes()
            .into_iter()
            .fold(copy, |copy, (name, value)| copy.attribute(name, &value));
        let change = Change::SendDeadLetter { message: delivery.message_id.clone(), copy: Box::new(copy) };
        match self.change(change).await {
            Ok(Success::Whole) => Ok(()),
            Ok(Success::Empty) => check_sent(&SendMessageOutput::builder().build(), dead_letter.body()),
            Err(error) => Err(queue_error("send dead letter", error)),
        }
    }
}

impl Bus for Seam {
    async fn publish<D: Serialize>(&self, detail_type: &'static str, detail: &D) -> Result<(), PublishError> {
        let detail = serde_json::to_value(detail).map_err(PublishError::Unwritable)?;
        match self.change(Change::Publish { detail_type, detail }).await {
            Ok(Success::Whole) => Ok(()),
            Ok(Success::Empty) => check_published(&PutEventsOutput::builder().build()),
            Err(error) => Err(PublishError::Call(error)),
        }
    }
}
