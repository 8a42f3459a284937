//! Virtual time: the only file that reads the clock or waits.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A wall clock that stands still while anybody works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VirtualTime {
    epoch: SystemTime,
    began: Instant,
}

#[expect(clippy::disallowed_methods, reason = "this file owns the clock and waiting")]
impl VirtualTime {
    /// It is `epoch` now.
    pub(crate) fn starting_at(epoch: SystemTime) -> Self {
        Self { epoch, began: Instant::now() }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.epoch + self.began.elapsed()
    }

    /// Waits; even no time at all lets the others go first.
    pub(crate) async fn pass(&self, time: Duration) {
        if time.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(time).await;
        }
    }

    /// What a piece of work comes to, if it does by then.
    pub(crate) async fn by<F: Future>(&self, until: SystemTime, work: F) -> Option<F::Output> {
        let left = until.duration_since(self.now()).unwrap_or_default();
        tokio::time::timeout(left, work).await.ok()
    }
}

/// What a piece of work comes to on a clock of its own, which nobody else can stop or move.
pub(crate) fn on_virtual_clock<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}
