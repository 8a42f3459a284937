//! The world as a worker sees it.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use local_aws::NewMessage;
use privatelink_detach::alibaba::error::Unanswered;
use privatelink_detach::alibaba::transport::Transport;
use privatelink_detach::completion::Completion;
use privatelink_detach::publisher::{Bus, BusFault};
use privatelink_detach::queue::{DeadLetter, Delivery, Queue, QueueFault};
use privatelink_simulator::Manner;

use crate::world::{DEAD_LETTERS, Event, REQUESTS, World};

/// The world as Alibaba Cloud, as the queue and as the bus.
#[derive(Clone)]
pub struct Seam(pub(crate) Rc<World>);

impl fmt::Debug for Seam {
    /// Says nothing about the world: it is no part of whoever looks at it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seam")
    }
}

impl Transport for Seam {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, Unanswered> {
        let query = request.uri().query().unwrap_or_default();
        assert!(!query.contains(self.0.cursed.get()), "cursed");
        let answer =
            self.0.call_alibaba(|world| world.cloud.borrow_mut().answer(&request, world.now())).await;
        match answer.manner {
            Manner::Whole { after } => {
                self.0.time.pass(after).await;
                Ok(answer.response)
            }
            Manner::Hang => {
                self.0.time.pass(timeout).await;
                Err(Unanswered::Timeout)
            }
            Manner::Reset { .. } | Manner::Truncated { .. } => Err(Unanswered::ConnectionLost),
        }
    }
}

impl Queue for Seam {
    async fn delete(&self, delivery: &Delivery) -> Result<(), QueueFault> {
        let handle = delivery.receipt_handle.as_str().into();
        let deleted = self.0.call_aws(|world| {
            world.changed.notify_waiters();
            world.queues.borrow_mut().delete(REQUESTS, &handle, world.now())
        });
        deleted.await.map(drop).map_err(|error| QueueFault { operation: "delete", cause: error.to_string() })
    }

    async fn hand_back(&self, deliveries: &[Delivery], visibility: Duration) -> Result<(), QueueFault> {
        let changed = self.0.call_aws(|world| {
            world.changed.notify_waiters();
            let (mut queues, now) = (world.queues.borrow_mut(), world.now());
            deliveries.iter().try_for_each(|delivery| {
                let handle = delivery.receipt_handle.as_str().into();
                queues.change_visibility(REQUESTS, &handle, visibility, now).map(drop)
            })
        });
        changed.await.map_err(|error| QueueFault { operation: "hand back", cause: error.to_string() })
    }

    async fn bury(&self, letter: &DeadLetter<'_>) -> Result<(), QueueFault> {
        let body = letter.delivery.body.clone().unwrap_or_else(|| "null".to_owned());
        let lane = letter.delivery.message_group.as_deref().unwrap_or("lane");
        let message = NewMessage::fifo(body, lane, &letter.delivery.message_id);
        let sent =
            self.0.call_aws(|world| world.queues.borrow_mut().send(DEAD_LETTERS, message, world.now()));
        sent.await.map(drop).map_err(|error| QueueFault { operation: "bury", cause: error.to_string() })
    }
}

impl Bus for Seam {
    async fn publish(&self, completion: &Completion) -> Result<(), BusFault> {
        let detail = serde_json::to_value(&completion.detail)
            .map_err(|error| BusFault { cause: error.to_string() })?;
        self.0.call_aws(|world| world.events.borrow_mut().push(Event { at: world.now(), detail })).await;
        Ok(())
    }
}
