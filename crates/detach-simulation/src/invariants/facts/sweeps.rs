//! The invocations of the sweeper, and what belongs to them.

use std::time::SystemTime;

use local_aws::NewMessage;
use privatelink_detach::completion::sweep::DETAIL_TYPE;
use privatelink_simulator::Endpoint;

use super::{Call, Facts, Publication};
use crate::history::PlannedSweep;
use crate::record::{EntryKind, InvocationNumber};
use crate::sandbox::{Ending, Interruption};

/// One invocation of the sweeper.
#[derive(Debug)]
pub struct SweepRun<'a> {
    pub planned: &'a PlannedSweep,
    pub process: u32,
    pub began: SystemTime,
    /// When its timeout ends it.
    pub ends: SystemTime,
    pub ended: Option<(SystemTime, &'a Ending)>,
    pub interruption: Option<Interruption>,
    /// The actual endpoints when it began and when it ended.
    pub actual: Vec<&'a [Endpoint]>,
    /// The requests that it sent to the queue, each time.
    pub requests: Vec<(SystemTime, &'a [NewMessage])>,
}

impl<'a> SweepRun<'a> {
    /// When it first sent requests.
    #[must_use]
    pub fn requested_at(&self) -> Option<SystemTime> {
        self.requests.first().map(|(at, _)| *at)
    }

    /// All requests that it sent, also repeated ones.
    pub fn sent(&self) -> impl Iterator<Item = &'a NewMessage> {
        self.requests.iter().flat_map(|(_, requests)| requests.iter())
    }
}

impl<'a> Facts<'a> {
    pub(super) fn add_sweep(&mut self, at: SystemTime, kind: &'a EntryKind) {
        match kind {
            EntryKind::SweepInvoked { invocation, process, sweep, ends, interruption } => {
                let run = SweepRun {
                    planned: &self.history.plan.sweeps.planned[*sweep],
                    process: *process,
                    began: at,
                    ends: *ends,
                    ended: None,
                    interruption: *interruption,
                    actual: Vec::new(),
                    requests: Vec::new(),
                };
                self.sweeps.insert(*invocation, run);
            }
            EntryKind::Actual { invocation, endpoints } => {
                if let Some(run) = self.sweeps.get_mut(invocation) {
                    run.actual.push(endpoints);
                }
            }
            EntryKind::Requesting { invocation, requests } => {
                if let Some(run) = self.sweeps.get_mut(invocation) {
                    run.requests.push((at, requests));
                }
            }
            _ => {}
        }
    }

    /// Moves the calls and events of sweeps out of those of the workers.
    pub(super) fn separate_sweeps(&mut self) {
        let sweeps = &self.sweeps;
        let is_sweep = |call: &mut Call<'_>| sweeps.contains_key(&call.invocation);
        self.sweep_calls = self.calls.extract_if(.., is_sweep).collect();
        let is_event = |event: &mut Publication<'_>| event.detail_type == DETAIL_TYPE;
        self.sweep_events = self.publications.extract_if(.., is_event).collect();
    }

    /// The calls of one sweep, in the order of sending.
    pub fn calls_of_sweep(&self, invocation: InvocationNumber) -> impl Iterator<Item = &Call<'a>> {
        self.sweep_calls.iter().filter(move |call| call.invocation == invocation)
    }

    /// The events of one sweep.
    pub fn events_of_sweep(&self, invocation: InvocationNumber) -> impl Iterator<Item = &Publication<'a>> {
        self.sweep_events.iter().filter(move |event| event.invocation == invocation)
    }
}
