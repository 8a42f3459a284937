//! Virtual time: the only file that reads the clock or waits.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A wall clock that advances only while every task waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VirtualTime {
    epoch: SystemTime,
    began: Instant,
}

#[expect(clippy::disallowed_methods, reason = "this file owns the clock and waiting")]
impl VirtualTime {
    /// A clock that shows `epoch` now.
    pub(crate) fn starting_at(epoch: SystemTime) -> Self {
        Self { epoch, began: Instant::now() }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.epoch + self.began.elapsed()
    }

    /// Waits; a zero time yields to the other tasks once.
    pub(crate) async fn sleep(&self, time: Duration) {
        if time.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(time).await;
        }
    }

    /// The output of a future, if it is ready by then.
    pub(crate) async fn sleep_or<F: Future>(&self, until: SystemTime, work: F) -> Option<F::Output> {
        let left = until.duration_since(self.now()).unwrap_or_default();
        tokio::time::timeout(left, work).await.ok()
    }
}

/// Runs a future to its end on a virtual clock of its own.
pub(crate) fn on_virtual_clock<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}
