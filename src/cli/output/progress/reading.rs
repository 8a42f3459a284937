//! The progress of a reading: one bar on a terminal, a few plain lines elsewhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output::streams;
use crate::cli::output::terminal::Terminal;
use crate::clock::Clock;
use crate::drive::sweep::Progress;
use crate::request::RegionId;

/// The shortest time between two plain lines that only report progress.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How often the bar's elapsed time is redrawn.
const REDRAW_INTERVAL: Duration = Duration::from_secs(1);

/// The display of a reading. Dropping it removes the bar.
pub(in crate::cli) struct Shown<'a> {
    clock: &'a Clock,
    bar: Option<ProgressBar>,
    state: RefCell<State>,
}

impl<'a> Shown<'a> {
    pub(in crate::cli) fn new(terminal: &Terminal, clock: &'a Clock) -> Self {
        let bar = terminal.can_redraw.then(|| {
            let style = ProgressStyle::with_template("{elapsed_precise} [{bar:24}] {msg}");
            let bar = ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(REDRAW_INTERVAL);
            bar
        });
        Self { clock, bar, state: RefCell::new(State::new(clock.now())) }
    }

    /// Shows the progress of one region.
    pub(in crate::cli) fn report(&self, progress: &Progress<'_>) {
        let now = self.clock.now();
        let mut state = self.state.borrow_mut();
        let line = state.add(progress, now);
        match &self.bar {
            Some(bar) => {
                let (listed, read) = state.sums();
                bar.set_length(listed as u64);
                bar.set_position(read as u64);
                bar.set_message(state.summary(now));
            }
            None => {
                if let Some(line) = line {
                    streams::note(line);
                }
            }
        }
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How far every region is.
struct State {
    regions: BTreeMap<RegionId, Region>,
    /// When the last plain line was written.
    line_at: Instant,
}

#[derive(Default)]
struct Region {
    listed: usize,
    read: usize,
    failed_calls: u32,
    throttled_until: Option<Instant>,
    /// Whether lines have reported that its list is complete, and that its endpoints are read.
    is_list_said: bool,
    is_end_said: bool,
}

impl State {
    fn new(now: Instant) -> Self {
        Self { regions: BTreeMap::new(), line_at: now }
    }

    /// Records the progress of a region. Returns the plain line about it, if one is due.
    fn add(&mut self, progress: &Progress<'_>, now: Instant) -> Option<String> {
        let (id, listed) = (progress.region_id, progress.listed);
        let region = self.regions.entry(id.clone()).or_default();
        (region.listed, region.read) = (listed, progress.read);
        (region.failed_calls, region.throttled_until) = (progress.failed_calls, progress.throttled_until);
        // Endpoints are read only after the list is complete.
        let is_known = progress.read > 0;
        let line = if is_known && progress.read == listed && !region.is_end_said {
            region.is_end_said = true;
            format!("{id}: {listed} of {listed} endpoints read")
        } else if is_known && !region.is_list_said && !region.is_end_said {
            region.is_list_said = true;
            format!("{id}: {listed} endpoints to read")
        } else if now.saturating_duration_since(self.line_at) >= LINE_INTERVAL {
            self.summary(now)
        } else {
            return None;
        };
        self.line_at = now;
        Some(line)
    }

    fn sums(&self) -> (usize, usize) {
        let sum = |count: fn(&Region) -> usize| self.regions.values().map(count).sum();
        (sum(|region| region.listed), sum(|region| region.read))
    }

    /// How far the reading is, in one line.
    fn summary(&self, now: Instant) -> String {
        let (listed, read) = self.sums();
        let mut parts = vec![format!("{read} of {listed} endpoints read")];
        let failed: u32 = self.regions.values().map(|region| region.failed_calls).sum();
        if failed > 0 {
            parts.push(format!("failed calls: {failed}"));
        }
        let throttled = self.regions.iter().filter_map(|(id, region)| {
            let wait = region.throttled_until?.checked_duration_since(now)?;
            Some(format!("{id} throttled for {} s", wait.as_secs_f64().ceil()))
        });
        parts.extend(throttled);
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment can be the zero of a synthetic time line")]
    fn plain_lines_are_two_for_each_region_and_one_in_ten_seconds() {
        let start = Instant::now();
        let region_id = RegionId::parse("eu-west-1").unwrap();
        let mut state = State::new(start);
        let mut line = |seconds: u64, listed, read, failed_calls, throttled: Option<u64>| {
            let at = |seconds| start + Duration::from_secs(seconds);
            let throttled_until = throttled.map(at);
            let progress =
                Progress { region_id: &region_id, listed, read, skipped: 0, failed_calls, throttled_until };
            state.add(&progress, at(seconds))
        };
        assert_eq!(line(1, 40, 0, 0, None), None, "the list may have further pages");
        assert_eq!(line(2, 90, 1, 0, None).as_deref(), Some("eu-west-1: 90 endpoints to read"));
        assert_eq!(line(11, 90, 2, 0, None), None);
        let expected = "3 of 90 endpoints read; failed calls: 1; eu-west-1 throttled for 7 s";
        assert_eq!(line(12, 90, 3, 1, Some(19)).as_deref(), Some(expected));
        assert_eq!(line(13, 90, 4, 1, None), None);
        assert_eq!(line(14, 90, 90, 1, None).as_deref(), Some("eu-west-1: 90 of 90 endpoints read"));
        assert_eq!(line(15, 91, 90, 1, None), None);
        assert_eq!(line(16, 91, 91, 1, None), None, "it is said once");
    }
}
