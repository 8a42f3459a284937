//! The world as a worker sees it.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use local_aws::NewMessage;
use privatelink_detach::alibaba::error::NoResponse;
use privatelink_detach::alibaba::transport::Transport;
use privatelink_detach::aws::OPERATION_TIMEOUT;
use privatelink_detach::aws::sqs::QueueError;
use privatelink_detach::completion::Completion;
use privatelink_detach::worker::bus::{Bus, PublishError};
use privatelink_detach::worker::queue::{DeadLetter, Delivery, Queue};
use privatelink_simulator::Transmission;

use crate::record::{Asked, CallNumber, Change, InvocationNumber, Operation, What};
use crate::trouble::Fate;
use crate::world::{Act, QueueKind, World};

/// Most bytes of an answer that production's transport reads.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The world as Alibaba Cloud, as the queue and as the bus of one sandbox.
#[derive(Clone)]
pub struct Seam {
    pub(crate) world: Rc<World>,
    /// The invocation that runs in the sandbox, or the last one.
    pub(crate) invocation: Rc<Cell<InvocationNumber>>,
}

impl fmt::Debug for Seam {
    /// Says nothing about the world: it is no part of whoever looks at it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seam")
    }
}

/// A call that has left. It arrives, though nobody may wait for it any more; of a process that has died it may not.
struct OnItsWay<'a> {
    world: &'a World,
    arrives: SystemTime,
    sent: Option<(CallNumber, Asked, http::Request<Bytes>)>,
    is_given_up: bool,
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        if let Some((call, asked, request)) = self.sent.take()
            && (self.is_given_up || self.world.chance.borrow_mut().is_outliving())
        {
            self.world.at(self.arrives, Act::Arrive { call, asked, request: Box::new(request) });
        }
    }
}

impl Transport for Seam {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, NoResponse> {
        let world = &self.world;
        let query = request.uri().query().unwrap_or_default();
        assert!(!query.contains(world.cursed.get()), "cursed");
        let (call, asked) = (world.next_call(), Asked::read(&request));
        world.note(What::Called { invocation: self.invocation.get(), call, asked: asked.clone() });
        let answer = self.travel(call, asked, request, timeout).await;
        world.note(What::Returned { call, is_answered: answer.is_ok() });
        answer
    }
}

impl Seam {
    /// There, through the service, and back, as far as the time reaches.
    async fn travel(
        &self,
        call: CallNumber,
        asked: Asked,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, NoResponse> {
        let world = &self.world;
        let half = world.draw_alibaba() / 2;
        let delay = world.chance.borrow_mut().call_delay();
        let there = half + delay.unwrap_or_default();
        let arrives = world.now() + there;
        let sent = Some((call, asked, request));
        let mut on_its_way = OnItsWay { world, arrives, sent, is_given_up: false };
        world.time.pass(there.min(timeout)).await;
        let Some((call, asked, request)) = on_its_way.sent.take_if(|_| there < timeout) else {
            on_its_way.is_given_up = true;
            return Err(NoResponse::Timeout);
        };
        let answer = world.serve(call, &asked, &request);
        let left = timeout.saturating_sub(there);
        let (back, result) = match answer.transmission {
            Transmission::Whole { after } if answer.response.body().len() > BODY_BYTES_MAX => {
                (half + after, Err(NoResponse::UnreadableAnswer))
            }
            Transmission::Whole { after } => (half + after, Ok(answer.response)),
            Transmission::Hang => (left, Err(NoResponse::Timeout)),
            Transmission::Reset { after } | Transmission::Truncated { after, .. } => {
                (half + after, Err(NoResponse::ConnectionLost))
            }
        };
        world.time.pass(back.min(left)).await;
        if back >= left { Err(NoResponse::Timeout) } else { result }
    }

    /// A change in AWS, as far as it succeeds and its answer comes back.
    async fn change(&self, change: Change) -> Result<(), String> {
        let world = &self.world;
        let by = Some(self.invocation.get());
        let (operation, asked_at) = (change.operation(), world.now());
        let fate = world.chance.borrow_mut().fate(operation, world.now());
        let changed = match fate {
            Fate::Done => world.call_aws(|world| world.change(by, asked_at, &change)).await,
            Fate::Repeated => {
                let _ = world.call_aws(|world| world.change(by, asked_at, &change)).await;
                world.call_aws(|world| world.change(by, asked_at, &change)).await
            }
            Fate::Refused => world.call_aws(|_| Err("refused".to_owned())).await,
            Fate::ResponseLost => {
                let _ = world.call_aws(|world| world.change(by, asked_at, &change)).await;
                world.time.pass(OPERATION_TIMEOUT).await;
                Err("the answer was lost".to_owned())
            }
            Fate::Late(delay) => {
                world.at(world.now() + OPERATION_TIMEOUT + delay, Act::Change { by, asked_at, change });
                world.time.pass(OPERATION_TIMEOUT).await;
                Err("no answer in time".to_owned())
            }
        };
        if changed.is_err() {
            world.note(What::Failed { by, operation });
        }
        changed
    }
}

impl Queue for Seam {
    async fn delete(&self, delivery: &Delivery) -> Result<(), QueueError> {
        let change = Change::Delete {
            message: delivery.message_id.clone(),
            handle: delivery.receipt_handle.as_str().into(),
        };
        self.change(change).await.map_err(|cause| QueueError::call("delete", cause))
    }

    async fn defer(&self, deliveries: &[Delivery], visibility: Duration) -> Result<(), QueueError> {
        let one =
            |delivery: &Delivery| (delivery.message_id.clone(), delivery.receipt_handle.as_str().into());
        let mut messages: Vec<_> = deliveries.iter().map(one).collect();
        let failed = self.world.chance.borrow_mut().failed_entry(messages.len());
        if let Some(failed) = failed {
            messages.remove(failed);
        }
        let handed_back = self.change(Change::HandBack { messages, visibility }).await;
        let handed_back = match (handed_back, failed) {
            (Ok(()), Some(failed)) => {
                let by = Some(self.invocation.get());
                self.world.note(What::Failed { by, operation: Operation::HandBack });
                Err(format!("entry {failed} was refused"))
            }
            (handed_back, _) => handed_back,
        };
        handed_back.map_err(|cause| QueueError::call("defer", cause))
    }

    async fn send_dead_letter(&self, letter: &DeadLetter<'_>) -> Result<(), QueueError> {
        let delivery = letter.delivery;
        let lane = delivery.message_group.as_deref().unwrap_or(&delivery.message_id);
        let copy = match self.world.kind {
            QueueKind::Fifo => NewMessage::fifo(letter.body(), lane, &delivery.message_id),
            QueueKind::Standard => NewMessage::new(letter.body()),
        };
        let copy =
            letter.attributes().into_iter().fold(copy, |copy, (name, value)| copy.attribute(name, &value));
        let change = Change::Bury { message: delivery.message_id.clone(), copy: Box::new(copy) };
        self.change(change).await.map_err(|cause| QueueError::call("send dead letter", cause))
    }
}

impl Bus for Seam {
    async fn publish(&self, completion: &Completion) -> Result<(), PublishError> {
        let detail = serde_json::to_value(&completion.detail).map_err(PublishError::Unwritable)?;
        self.change(Change::Publish { detail }).await.map_err(|cause| PublishError::Call(cause.into()))
    }
}
