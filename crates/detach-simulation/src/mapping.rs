//! The event source mapping: delivers messages from the queue to the sandboxes and settles them.
//!
//! Each sandbox processes one batch at a time, so their number is what Lambda calls `MaximumConcurrency`.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_util::future::{join, join_all, select};
use local_aws::mapping::{Failure, Verdict, evaluate_response};
use local_aws::queues::ReceivedMessage;

use crate::faults::AwsEffect;
use crate::record::{Change, EntryKind, Operation};
use crate::sandbox::{Ending, Interruption, Sandbox};
use crate::sweeper::SweeperSandbox;
use crate::world::{QueueKind, ScheduledAction, World};

/// The template's batch size, the most that a FIFO queue delivers at once.
pub const BATCH_MAX: usize = 10;

/// This many sandboxes start at once, and the others one after the other, at most 300 a minute. Lambda developer guide,
/// "Configuring scaling behavior for SQS event source mappings", which states it for standard queues and gives no other
/// numbers for FIFO queues.
const STARTED_AT_ONCE: u32 = 5;
const START_INTERVAL: Duration = Duration::from_millis(200);

/// How long a single delivery waits for its batch: longer than any visibility timeout.
const BATCH_WAIT_MAX: Duration = Duration::from_hours(12);

/// The time limit passed while requests were still in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The number of these requests.
    pub waiting: usize,
    /// The outcomes of the others.
    pub outcomes: Vec<String>,
}

/// Runs these sandboxes until the queue is empty and no action is scheduled.
pub async fn drain(world: &World, sandboxes: &mut [Sandbox], within: Duration) -> Result<(), Unfinished> {
    drain_with_sweeps(world, sandboxes, &mut [], within).await
}

/// Runs these sandboxes until the queue is empty, every planned sweep has ended and no action is scheduled.
pub async fn drain_with_sweeps(
    world: &World,
    sandboxes: &mut [Sandbox],
    sweepers: &mut [SweeperSandbox],
    within: Duration,
) -> Result<(), Unfinished> {
    let until = world.now() + within;
    let slots = sandboxes.iter_mut().zip(0_u32..).map(|(sandbox, place)| async move {
        world.time.sleep(START_INTERVAL * (place + 1).saturating_sub(STARTED_AT_ONCE)).await;
        while let Some(batch) = next(world, until).await {
            let ending = sandbox.invoke(&batch, None).await;
            settle(world, &batch, ending).await;
        }
    });
    let sweeps = sweepers.iter_mut().map(SweeperSandbox::run);
    let all = join(join_all(slots), join_all(sweeps));
    // The schedule never ends by itself.
    select(pin!(all), pin!(world.run_schedule())).await;
    match world.waiting() {
        0 => Ok(()),
        waiting => Err(Unfinished { waiting, outcomes: world.outcomes() }),
    }
}

/// Delivers the next batch to a sandbox, whose invocation may be interrupted. Returns how it ended, or none if there
/// was no batch.
pub async fn deliver(
    world: &World,
    sandbox: &mut Sandbox,
    interruption: Option<Interruption>,
) -> Option<Ending> {
    let batch = next(world, world.now() + BATCH_WAIT_MAX).await?;
    let ending = sandbox.invoke(&batch, interruption).await;
    settle(world, &batch, ending.clone()).await;
    Some(ending)
}

/// Waits for messages: after each change, and when one becomes visible by itself. None if the queue is empty and no
/// action is scheduled, or at the time limit.
async fn next(world: &World, until: SystemTime) -> Option<Vec<ReceivedMessage>> {
    while world.is_busy() && world.now() < until {
        // Created before the receive, so that no later change is missed.
        let changed = world.changed.notified();
        let (batch, visible_at) = world.call_aws(receive).await;
        if !batch.is_empty() && world.injector.borrow_mut().is_receive_lost() {
            let messages = batch.iter().map(|received| received.message.id.to_string()).collect();
            world.note(EntryKind::ReceiveLost { messages });
        } else if !batch.is_empty() {
            return Some(batch);
        }
        world.time.sleep_or(visible_at.map_or(until, |at| at.min(until)), changed).await;
    }
    None
}

/// The messages that can be received now, and when more become visible by themselves.
fn receive(world: &World) -> (Vec<ReceivedMessage>, Option<SystemTime>) {
    let (mut queues, now, requests) = (world.queues.borrow_mut(), world.now(), world.kind.requests());
    let batch = queues.receive(requests, BATCH_MAX, None, now).expect("the queue exists");
    if world.kind == QueueKind::Standard {
        for received in &batch {
            if world.injector.borrow_mut().is_duplicated() {
                let shown = queues.change_visibility(requests, &received.receipt_handle, Duration::ZERO, now);
                shown.expect("a message that was just received");
                world.note(EntryKind::Duplicated { message: received.message.id.to_string() });
                world.changed.notify_waiters();
            }
        }
    }
    let visible_at = queues.next_visible_at(requests, now).expect("the queue exists");
    (batch, visible_at)
}

/// Deletes the messages that succeeded. A delete that comes too late has no effect: the message is delivered again.
async fn settle(world: &World, batch: &[ReceivedMessage], ending: Ending) {
    let verdict = match ending {
        Ending::Returned(response) => evaluate_response(batch, response.as_bytes()),
        Ending::Failed(_) | Ending::Killed => Verdict::BatchFailed(Failure::FunctionError),
    };
    let deletes: Vec<Change> = verdict
        .deleted(batch)
        .map(|received| Change::Delete {
            message: received.message.id.to_string(),
            handle: received.receipt_handle.clone(),
        })
        .collect();
    let effect = world.injector.borrow_mut().effect(Operation::Delete, world.now());
    let (by, requested_at) = (None, world.now());
    let delete = |world: &World| {
        for delete in deletes {
            match effect {
                AwsEffect::Rejected | AwsEffect::EmptySuccess => {}
                AwsEffect::AppliedLate(delay) => {
                    world.schedule_at(
                        world.now() + delay,
                        ScheduledAction::Change { by, requested_at, change: delete },
                    );
                }
                AwsEffect::Applied | AwsEffect::AppliedTwice | AwsEffect::ResponseLost => {
                    let _ = world.change(by, requested_at, &delete);
                }
            }
        }
        world.changed.notify_waiters();
    };
    world.call_aws(delete).await;
}
