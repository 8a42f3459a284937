//! The event source mapping: from the queue to the sandboxes and back.
//!
//! It has one batch on its way to each sandbox, so their number is what Lambda calls `MaximumConcurrency`.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_util::future::{join_all, select};
use local_aws::mapping::{Failure, Verdict, evaluate_response};
use local_aws::queues::ReceivedMessage;

use crate::record::{Change, Operation, What};
use crate::sandbox::{Ending, Interruption, Sandbox};
use crate::trouble::Fate;
use crate::world::{Act, QueueKind, World};

/// The template's batch size, the most that a FIFO queue delivers at once.
pub const BATCH_MAX: usize = 10;

/// So many sandboxes start at once, and the others one after the other, at most 300 a minute. Lambda developer guide,
/// "Configuring scaling behavior for SQS event source mappings": said of standard queues, and of FIFO queues nothing else.
const STARTED_AT_ONCE: u32 = 5;
const START_INTERVAL: Duration = Duration::from_millis(200);

/// How long a single delivery waits for its batch: longer than any visibility timeout.
const PATIENCE: Duration = Duration::from_hours(12);

/// Time was up, and requests were still in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// How many.
    pub waiting: usize,
    /// What the others came to.
    pub outcomes: Vec<String>,
}

/// Keeps these sandboxes busy until the queue is empty, and nothing more is planned.
pub async fn drain(world: &World, sandboxes: &mut [Sandbox], within: Duration) -> Result<(), Unfinished> {
    let until = world.now() + within;
    let slots = sandboxes.iter_mut().zip(0_u32..).map(|(sandbox, place)| async move {
        world.time.pass(START_INTERVAL * (place + 1).saturating_sub(STARTED_AT_ONCE)).await;
        while let Some(batch) = next(world, until).await {
            let ending = sandbox.invoke(&batch, None).await;
            settle(world, &batch, ending).await;
        }
    });
    // The agenda never ends by itself.
    select(pin!(join_all(slots)), pin!(world.keep_agenda())).await;
    match world.waiting() {
        0 => Ok(()),
        waiting => Err(Unfinished { waiting, outcomes: world.outcomes() }),
    }
}

/// The next batch to a sandbox, whose invocation may be interrupted. How it ended, if there was one.
pub async fn deliver(
    world: &World,
    sandbox: &mut Sandbox,
    interruption: Option<Interruption>,
) -> Option<Ending> {
    let batch = next(world, world.now() + PATIENCE).await?;
    let ending = sandbox.invoke(&batch, interruption).await;
    settle(world, &batch, ending.clone()).await;
    Some(ending)
}

/// Waits for messages: after each change, and when one becomes visible by itself. None if the queue is empty, or nothing
/// came until then.
async fn next(world: &World, until: SystemTime) -> Option<Vec<ReceivedMessage>> {
    while (world.waiting() > 0 || world.is_expecting()) && world.now() < until {
        // Taken before the look, so that no change after the look is missed.
        let changed = world.changed.notified();
        let (batch, visible_at) = world.call_aws(receive).await;
        if !batch.is_empty() && world.chance.borrow_mut().is_receive_lost() {
            let messages = batch.iter().map(|received| received.message.id.to_string()).collect();
            world.note(What::ReceiveLost { messages });
        } else if !batch.is_empty() {
            return Some(batch);
        }
        world.time.by(visible_at.map_or(until, |at| at.min(until)), changed).await;
    }
    None
}

/// What can be received now, and when more becomes visible by itself.
fn receive(world: &World) -> (Vec<ReceivedMessage>, Option<SystemTime>) {
    let (mut queues, now, requests) = (world.queues.borrow_mut(), world.now(), world.kind.requests());
    let batch = queues.receive(requests, BATCH_MAX, None, now).expect("the queue exists");
    if world.kind == QueueKind::Standard {
        for received in &batch {
            if world.chance.borrow_mut().is_duplicated() {
                let shown = queues.change_visibility(requests, &received.receipt_handle, Duration::ZERO, now);
                shown.expect("a message that was just received");
                world.note(What::Duplicated { message: received.message.id.to_string() });
                world.changed.notify_waiters();
            }
        }
    }
    let visible_at = queues.next_visible_at(requests, now).expect("the queue exists");
    (batch, visible_at)
}

/// Deletes what succeeded. A delete that comes too late changes nothing: the message is delivered again.
async fn settle(world: &World, batch: &[ReceivedMessage], ending: Ending) {
    let verdict = match ending {
        Ending::Answered(answer) => evaluate_response(batch, answer.as_bytes()),
        Ending::Failed(_) | Ending::Killed => Verdict::BatchFailed(Failure::FunctionError),
    };
    let deletes: Vec<Change> = verdict
        .deleted(batch)
        .map(|received| Change::Delete {
            message: received.message.id.to_string(),
            handle: received.receipt_handle.clone(),
        })
        .collect();
    let fate = world.chance.borrow_mut().fate(Operation::Delete, world.now());
    let (by, asked_at) = (None, world.now());
    let delete = |world: &World| {
        for delete in deletes {
            match fate {
                Fate::Refused => {}
                Fate::Late(delay) => {
                    world.at(world.now() + delay, Act::Change { by, asked_at, change: delete });
                }
                Fate::Done | Fate::Repeated | Fate::ResponseLost => {
                    let _ = world.change(by, asked_at, &delete);
                }
            }
        }
        world.changed.notify_waiters();
    };
    world.call_aws(delete).await;
}
