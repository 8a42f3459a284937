//! The schedule: actions from outside, and calls that arrive after the worker stopped waiting for them.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::World;
use crate::outside::Outside;
use crate::record::{CallNumber, Change, EntryKind, InvocationNumber, RequestedCall};

/// How long the schedule waits if it is empty.
const IDLE: Duration = Duration::from_hours(24);

/// A scheduled action.
#[derive(Debug)]
pub(crate) enum ScheduledAction {
    /// An action from outside.
    Outside(Outside),
    /// A call arrives that the worker no longer waits for.
    Arrive { call: CallNumber, requested: RequestedCall, request: Box<http::Request<Bytes>> },
    /// An abandoned change takes effect.
    Change { by: Option<InvocationNumber>, requested_at: SystemTime, change: Change },
}

impl World {
    /// Schedules an action from outside, this long after the start.
    pub fn schedule_outside(&self, after: Duration, outside: Outside) {
        self.schedule_at(self.began + after, ScheduledAction::Outside(outside));
    }

    /// Whether the queue has messages or may get further ones: from a scheduled action, or from a sweep.
    pub(crate) fn is_busy(&self) -> bool {
        self.waiting() > 0 || !self.schedule.borrow().is_empty() || self.open_sweeps.get() > 0
    }

    pub(crate) fn schedule_at(&self, at: SystemTime, action: ScheduledAction) {
        self.scheduled.set(self.scheduled.get() + 1);
        self.schedule.borrow_mut().insert((at, self.scheduled.get()), action);
        self.schedule_changed.notify_waiters();
    }

    /// Runs every scheduled action at its time. It never ends by itself.
    pub(crate) async fn run_schedule(&self) {
        loop {
            // Created before the schedule is read, so that no later action is missed.
            let changed = self.schedule_changed.notified();
            let now = self.now();
            let due = self.schedule.borrow().first_key_value().map(|(key, _)| *key);
            match due {
                Some(key) if key.0 <= now => {
                    let action = self.schedule.borrow_mut().remove(&key);
                    self.run_action(action);
                    self.changed.notify_waiters();
                }
                next => {
                    let until = next.map_or(now + IDLE, |(at, _)| at);
                    self.time.sleep_or(until, changed).await;
                }
            }
        }
    }

    fn run_action(&self, action: Option<ScheduledAction>) {
        match action {
            Some(ScheduledAction::Outside(outside)) => {
                if !matches!(outside, Outside::Send(_)) {
                    self.note(EntryKind::Outside(outside.clone()));
                }
                outside.apply(self);
            }
            Some(ScheduledAction::Arrive { call, requested, request }) => {
                self.serve(call, &requested, &request);
            }
            Some(ScheduledAction::Change { by, requested_at, change }) => {
                // No caller waits for the result.
                let _ = self.change(by, requested_at, &change);
            }
            None => {}
        }
    }
}
