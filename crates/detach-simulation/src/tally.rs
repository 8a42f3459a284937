//! Statistics of many histories: a suite in which nothing happens proves nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::history::History;
use crate::invariants::Facts;
use crate::record::EntryKind;
use crate::sandbox::{Ending, Interruption};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub histories: u64,
    /// Histories in which a group was detached by this deployment, and confirmed detached.
    pub with_success: u64,
    /// Messages that the request queue accepted, including those that were moved back from the dead-letter queue.
    pub requests: u64,
    /// Published outcomes by name, including repeated events.
    pub outcomes: BTreeMap<String, u64>,
    /// The verdicts of sweeps, including repeated events.
    pub verdicts: BTreeMap<String, u64>,
    /// The requests of sweeps that the queue accepted as new ones.
    pub swept_requests: u64,
    /// Histories in which a sweep requested detaches, and then read that no references are left.
    pub with_sweep: u64,
    /// Entries in the records.
    pub entries: u64,
    /// Virtual time.
    pub simulated: Duration,
    pub invocations: u64,
    /// Invocations that were killed, by plan or at their timeout.
    pub killed: u64,
    /// Invocations scheduled for a suspension, if they last long enough.
    pub suspended: u64,
    /// Calls to Alibaba Cloud.
    pub calls: u64,
    /// Calls to Alibaba Cloud that an injected fault hit.
    pub faults: u64,
    /// Calls to AWS that failed from the caller's view, and receives that were lost.
    pub aws_faults: u64,
    /// Actions from outside on endpoints, access keys and queues.
    pub outside: u64,
    /// Accepted calls that attach a replacement, without dry runs.
    pub attaches: u64,
    /// Histories in which a group was detached after a replacement had been attached for it.
    pub with_replacement: u64,
    /// The maximum number of writes in one invocation about one endpoint.
    pub writes_most: usize,
    /// The maximum number of reads in one invocation about one endpoint.
    pub reads_most: usize,
}

impl Tally {
    pub fn add(&mut self, history: &History) {
        let facts = Facts::of(history);
        self.histories += 1;
        self.with_success += u64::from(facts.publications.iter().any(|event| event.outcome() == "detached"));
        self.requests += count(facts.messages.len());
        for event in &facts.publications {
            *self.outcomes.entry(event.outcome().to_owned()).or_default() += 1;
        }
        for event in &facts.sweep_events {
            let verdict = event.detail["verdict"].as_str().unwrap_or_default();
            *self.verdicts.entry(verdict.to_owned()).or_default() += 1;
        }
        let of_sweeps = history.plan.requests.iter().filter(|request| request.is_of_sweep());
        self.swept_requests += count(of_sweeps.count());
        self.with_sweep += u64::from(facts.sweep_events.iter().any(|event| {
            event.detail["verdict"] == "no_references" && event.detail["requested_count"].as_u64() > Some(0)
        }));
        self.entries += count(history.record.len());
        self.simulated += history.ended.duration_since(history.began).unwrap_or_default();
        self.invocations += count(facts.runs.len() + facts.sweeps.len());
        self.calls += count(facts.calls.len() + facts.sweep_calls.len());
        for entry in &history.record {
            match &entry.kind {
                EntryKind::Ended { ending: Ending::Killed, .. } => self.killed += 1,
                EntryKind::Invoked { interruption: Some(Interruption::Suspend { .. }), .. }
                | EntryKind::SweepInvoked { interruption: Some(Interruption::Suspend { .. }), .. } => {
                    self.suspended += 1;
                }
                EntryKind::Served { served, .. } => self.faults += u64::from(served.is_fault),
                EntryKind::Failed { .. } | EntryKind::ReceiveLost { .. } => self.aws_faults += 1,
                EntryKind::Outside(_) => self.outside += 1,
                _ => {}
            }
        }
        let attaches = facts.accepted_attaches();
        self.attaches += count(attaches);
        let is_replaced = facts.publications.iter().any(|event| {
            event.outcome() == "detached"
                && event.detail["evidence"]["replacement_security_group_id"].is_string()
        });
        self.with_replacement += u64::from(attaches > 0 && is_replaced);
        let (writes, reads) = facts.most_calls();
        self.writes_most = self.writes_most.max(writes);
        self.reads_most = self.reads_most.max(reads);
    }

    pub fn merge(&mut self, other: &Self) {
        self.histories += other.histories;
        self.with_success += other.with_success;
        self.requests += other.requests;
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
        for (verdict, count) in &other.verdicts {
            *self.verdicts.entry(verdict.clone()).or_default() += count;
        }
        self.swept_requests += other.swept_requests;
        self.with_sweep += other.with_sweep;
        self.entries += other.entries;
        self.simulated += other.simulated;
        self.invocations += other.invocations;
        self.killed += other.killed;
        self.suspended += other.suspended;
        self.calls += other.calls;
        self.faults += other.faults;
        self.aws_faults += other.aws_faults;
        self.outside += other.outside;
        self.attaches += other.attaches;
        self.with_replacement += other.with_replacement;
        self.writes_most = self.writes_most.max(other.writes_most);
        self.reads_most = self.reads_most.max(other.reads_most);
    }

    /// The share of histories with a real success, from 0 to 1.
    #[must_use]
    pub fn success_share(&self) -> f64 {
        share(self.with_success, self.histories)
    }

    /// The share of histories in which a last group was replaced, from 0 to 1.
    #[must_use]
    pub fn replaced_share(&self) -> f64 {
        share(self.with_replacement, self.histories)
    }

    /// The share of histories in which a sweep did its whole work, from 0 to 1.
    #[must_use]
    pub fn swept_share(&self) -> f64 {
        share(self.with_sweep, self.histories)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { histories, requests, entries, invocations, killed, suspended, calls, .. } = self;
        let Self { faults, aws_faults, outside, writes_most, reads_most, .. } = self;
        let hours = self.simulated.as_secs() / 3600;
        writeln!(formatter, "{histories} histories, {requests} requests, {entries} events")?;
        writeln!(formatter, "  {hours} hours of virtual time")?;
        writeln!(
            formatter,
            "  {invocations} invocations, {killed} killed, {suspended} scheduled for a suspension"
        )?;
        writeln!(formatter, "  {calls} calls to Alibaba Cloud, {faults} hit by a fault")?;
        writeln!(
            formatter,
            "  {aws_faults} calls to AWS and receives failed, {outside} actions from outside"
        )?;
        writeln!(
            formatter,
            "  at most {writes_most} writes and {reads_most} reads in one invocation about one endpoint"
        )?;
        for (outcome, count) in &self.outcomes {
            writeln!(formatter, "  {outcome}: {count}")?;
        }
        if !self.verdicts.is_empty() {
            writeln!(formatter, "  {} requests of sweeps", self.swept_requests)?;
            for (verdict, count) in &self.verdicts {
                writeln!(formatter, "  sweep, {verdict}: {count}")?;
            }
            writeln!(
                formatter,
                "  a sweep requested detaches and then read that no references are left in {:.1} % of the histories",
                100.0 * self.swept_share()
            )?;
        }
        if self.attaches > 0 {
            writeln!(
                formatter,
                "  {} replacements attached; in {:.1} % of the histories the last group was then detached",
                self.attaches,
                100.0 * self.replaced_share()
            )?;
        }
        write!(
            formatter,
            "  a real success, an outcome detached, in {:.1} % of the histories",
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
