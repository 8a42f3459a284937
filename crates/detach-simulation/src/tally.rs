//! What many histories come to, in numbers: a suite in which nothing happens proves nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::history::History;
use crate::invariants::Facts;
use crate::record::What;
use crate::sandbox::{Ending, Interruption};

/// Sums over histories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Histories.
    pub histories: u64,
    /// Those in which a group was taken off by us, and proved gone.
    pub with_success: u64,
    /// Requests that were accepted.
    pub requests: u64,
    /// Outcomes by name, repeats included.
    pub outcomes: BTreeMap<String, u64>,
    /// Everything that happened.
    pub entries: u64,
    /// The time that passed in them.
    pub simulated: Duration,
    /// Invocations.
    pub invocations: u64,
    /// Those that were killed, by plan or because their time was up.
    pub killed: u64,
    /// Those that stood still for a while.
    pub stalled: u64,
    /// Calls to Alibaba Cloud.
    pub calls: u64,
    /// Those that an injected fault struck.
    pub faults: u64,
    /// Calls to AWS of which the caller was told that they failed, and receives that were lost.
    pub aws_faults: u64,
    /// Things that others did to endpoints, keys and queues.
    pub outside: u64,
    /// The most Detach calls in one delivery.
    pub detaches_most: usize,
    /// The most looks in one delivery.
    pub looks_most: usize,
}

impl Tally {
    /// Adds one history.
    pub fn add(&mut self, history: &History) {
        let facts = Facts::of(history);
        self.histories += 1;
        self.with_success += u64::from(facts.publications.iter().any(|event| event.outcome() == "detached"));
        self.requests += count(facts.messages.len());
        for event in &facts.publications {
            *self.outcomes.entry(event.outcome().to_owned()).or_default() += 1;
        }
        self.entries += count(history.record.len());
        self.simulated += history.ended.duration_since(history.began).unwrap_or_default();
        self.invocations += count(facts.runs.len());
        self.calls += count(facts.calls.len());
        for entry in &history.record {
            match &entry.what {
                What::Ended { ending: Ending::Killed, .. } => self.killed += 1,
                What::Invoked { interruption: Some(Interruption::Stall { .. }), .. } => self.stalled += 1,
                What::Served { served, .. } => self.faults += u64::from(served.is_fault),
                What::Failed { .. } | What::ReceiveLost { .. } => self.aws_faults += 1,
                What::Outside(_) => self.outside += 1,
                _ => {}
            }
        }
        let (detaches, looks) = facts.most_calls();
        self.detaches_most = self.detaches_most.max(detaches);
        self.looks_most = self.looks_most.max(looks);
    }

    /// Adds all that another one has counted.
    pub fn merge(&mut self, other: &Self) {
        self.histories += other.histories;
        self.with_success += other.with_success;
        self.requests += other.requests;
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
        self.entries += other.entries;
        self.simulated += other.simulated;
        self.invocations += other.invocations;
        self.killed += other.killed;
        self.stalled += other.stalled;
        self.calls += other.calls;
        self.faults += other.faults;
        self.aws_faults += other.aws_faults;
        self.outside += other.outside;
        self.detaches_most = self.detaches_most.max(other.detaches_most);
        self.looks_most = self.looks_most.max(other.looks_most);
    }

    /// The share of histories with a real success, from 0 to 1.
    #[must_use]
    pub fn success_share(&self) -> f64 {
        share(self.with_success, self.histories)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { histories, requests, entries, invocations, killed, stalled, calls, .. } = self;
        let Self { faults, aws_faults, outside, detaches_most, looks_most, .. } = self;
        let hours = self.simulated.as_secs() / 3600;
        writeln!(formatter, "{histories} histories, {requests} requests, {entries} things that happened")?;
        writeln!(formatter, "  {hours} hours passed in them")?;
        writeln!(formatter, "  {invocations} invocations, {killed} killed, {stalled} stood still")?;
        writeln!(formatter, "  {calls} calls to Alibaba Cloud, {faults} struck by a fault")?;
        writeln!(formatter, "  {aws_faults} calls to AWS failed, {outside} things were done by others")?;
        writeln!(
            formatter,
            "  at most {detaches_most} Detach calls and {looks_most} looks in one delivery's invocation"
        )?;
        for (outcome, count) in &self.outcomes {
            writeln!(formatter, "  {outcome}: {count}")?;
        }
        write!(
            formatter,
            "  a group was detached and proved gone in {:.1} % of the histories",
            100.0 * self.success_share()
        )
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a share that is shown with three digits")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
