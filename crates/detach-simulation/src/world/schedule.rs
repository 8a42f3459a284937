//! What happens by itself: what others do, and what arrives when nobody waits for it any more.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::World;
use crate::outside::Outside;
use crate::record::{Asked, CallNumber, Change, InvocationNumber, What};

/// A day without anything on the agenda.
const IDLE: Duration = Duration::from_hours(24);

/// What is to happen by itself.
#[derive(Debug)]
pub(crate) enum Act {
    /// Somebody else does something.
    Outside(Outside),
    /// A call arrives that nobody waits for any more.
    Arrive { call: CallNumber, asked: Asked, request: Box<http::Request<Bytes>> },
    /// A change takes effect that was given up.
    Change { by: Option<InvocationNumber>, asked_at: SystemTime, change: Change },
}

impl World {
    /// Plans something to happen this long after the beginning.
    pub fn plan(&self, after: Duration, outside: Outside) {
        self.at(self.began + after, Act::Outside(outside));
    }

    /// Whether more requests may come: something is on the agenda.
    pub(crate) fn is_expecting(&self) -> bool {
        !self.agenda.borrow().is_empty()
    }

    pub(crate) fn at(&self, at: SystemTime, act: Act) {
        self.planned.set(self.planned.get() + 1);
        self.agenda.borrow_mut().insert((at, self.planned.get()), act);
        self.agenda_changed.notify_waiters();
    }

    /// Lets everything on the agenda happen at its time. It never ends by itself.
    pub(crate) async fn keep_agenda(&self) {
        loop {
            // Taken before the look, so that nothing that is planned after it is missed.
            let changed = self.agenda_changed.notified();
            let now = self.now();
            let due = self.agenda.borrow().first_key_value().map(|(key, _)| *key);
            match due {
                Some(key) if key.0 <= now => {
                    let act = self.agenda.borrow_mut().remove(&key);
                    self.happen(act);
                    self.changed.notify_waiters();
                }
                next => {
                    let until = next.map_or(now + IDLE, |(at, _)| at);
                    self.time.by(until, changed).await;
                }
            }
        }
    }

    fn happen(&self, act: Option<Act>) {
        match act {
            Some(Act::Outside(outside)) => {
                if !matches!(outside, Outside::Send(_)) {
                    self.note(What::Outside(outside.clone()));
                }
                outside.happen(self);
            }
            Some(Act::Arrive { call, asked, request }) => {
                self.serve(call, &asked, &request);
            }
            Some(Act::Change { by, asked_at, change }) => {
                // Nobody is left who could be told.
                let _ = self.change(by, asked_at, &change);
            }
            None => {}
        }
    }
}
