//! Which complete lists of the service count. A list that may be incomplete or wrong counts only when it repeats.

use std::time::{Duration, Instant};

use super::pages::List;
use super::records::{Endpoint, SecurityGroup};

/// What the earlier lists of one endpoint showed. It outlives a read.
#[derive(Debug, Clone, Default)]
pub struct Settling {
    /// The latest complete list of groups, and since when every complete one has been the same.
    latest: Option<(Vec<SecurityGroup>, Instant)>,
    /// The latest complete list of records.
    records: Option<Vec<Endpoint>>,
}

impl Settling {
    /// Whether this list of records counts: if it is plain, or if the one before it was the same.
    pub fn add_records(&mut self, list: &List<Endpoint>) -> bool {
        let before = self.records.replace(list.items.clone());
        list.is_plain || before.as_ref() == Some(&list.items)
    }

    /// Whether this list of groups counts: by itself if it is plain and not empty, otherwise if the one before it was the
    /// same, an empty one for this long.
    pub fn add(&mut self, list: List<SecurityGroup>, empty_for: Duration, now: Instant) -> bool {
        let before = self.latest.take().filter(|(items, _)| *items == list.items);
        let since = before.map(|(_, since)| since);
        let is_settled = match since {
            Some(since) => !list.items.is_empty() || now.saturating_duration_since(since) >= empty_for,
            None => list.is_plain && !list.items.is_empty(),
        };
        self.latest = Some((list.items, since.unwrap_or(now)));
        is_settled
    }

    /// How long until an empty list counts, if the latest was one.
    #[must_use]
    pub fn settles_in(&self, empty_for: Duration, now: Instant) -> Duration {
        match &self.latest {
            Some((items, since)) if items.is_empty() => {
                empty_for.saturating_sub(now.saturating_duration_since(*since))
            }
            _ => Duration::ZERO,
        }
    }
}
