//! A platform's state behind a lock, and waiting for a change of it.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// The timeout of [`Shared::until`]. A condition normally becomes true within milliseconds; the value leaves time for
/// a machine that is busy with a build, and still ends a test that waits for a condition that never becomes true.
const UNTIL_TIMEOUT: Duration = Duration::from_secs(30);

/// State that a server and its users share.
#[derive(Debug)]
pub struct Shared<T> {
    state: Mutex<T>,
    changes: watch::Sender<u64>,
}

/// The locked state. Changing it wakes the tasks that wait for a change.
///
/// Hold it across no `await`, because the server needs the same lock.
#[derive(Debug)]
pub struct Held<'a, T> {
    guard: MutexGuard<'a, T>,
    changes: &'a watch::Sender<u64>,
    is_changed: bool,
}

impl<T> Shared<T> {
    pub(crate) fn new(state: T) -> Self {
        Self { state: Mutex::new(state), changes: watch::Sender::new(0) }
    }

    pub(crate) fn hold(&self) -> Held<'_, T> {
        // A poisoned lock is ignored: the test that panicked has failed already, and others can continue.
        let guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Held { guard, changes: &self.changes, is_changed: false }
    }

    /// Waits until a condition is true, now or after a change. Returns whether it became true before the timeout.
    #[expect(clippy::disallowed_methods, reason = "a test whose condition never becomes true must end")]
    pub(crate) async fn until(&self, mut condition: impl FnMut(&T) -> bool) -> bool {
        let mut changes = self.changes.subscribe();
        let becomes_true = async {
            while !condition(&self.hold()) {
                // The sender is in `self`, so this cannot fail.
                let _ = changes.changed().await;
            }
        };
        tokio::time::timeout(UNTIL_TIMEOUT, becomes_true).await.is_ok()
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = true;
        &mut self.guard
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        if self.is_changed {
            self.changes.send_modify(|changes| *changes += 1);
        }
    }
}
