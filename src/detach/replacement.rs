//! The phase before the detach of a last group: the replacement that the configuration names for the endpoint's VPC is
//! attached and confirmed.
//!
//! Each step follows only from the list just read, so a later delivery continues from there: it attaches only while the
//! requested group is the endpoint's last one, and detaches only while another group is attached. An attach is not
//! rolled back.

use std::time::Instant;

use super::assessment::{GroupList, Observation};
use super::{Detach, ReasonCode, Step};
use crate::alibaba::error::CallError;
use crate::alibaba::privatelink::Write;
use crate::alibaba::records::GroupStatus;

impl Detach {
    /// Notes which group replaces the requested one on this endpoint, and whether the endpoint has it.
    pub(super) fn note_replacement(&mut self, observation: &Observation) {
        let vpc_id = observation.record.as_ref().and_then(|record| record.vpc_id.as_deref());
        self.replacement = self.replacements.of(vpc_id, &self.security_group_id).cloned();
        self.lacks_vpc = vpc_id.is_none() && !self.replacements.is_empty();
        let is_listed = self.replacement.as_ref().is_some_and(|id| self.evidence.status_of(id).is_some());
        if is_listed && matches!(observation.groups, GroupList::Complete { .. }) {
            self.evidence.replacement_security_group_id.clone_from(&self.replacement);
        }
    }

    /// Notes the replacement after a call that attached it or, in a dry run, would attach it.
    pub(super) fn note_attach(&mut self, write: Write) {
        if write == Write::Attach {
            self.evidence.replacement_security_group_id.clone_from(&self.replacement);
        }
    }

    /// Whether an attach can resolve the refusal to detach a last group: the endpoint's VPC has a replacement, or may have
    /// one.
    pub(super) fn can_replace(&self, error: &CallError) -> bool {
        let is_last_group =
            ReasonCode::from_alibaba(&error.code.name()) == ReasonCode::EndpointMustContainSecurityGroup;
        is_last_group && (self.replacement.is_some() || self.lacks_vpc)
    }

    /// The step after a read of a stable endpoint that shows a group for which this delivery called Attach, even if the
    /// response was lost. The record of this read may name no VPC.
    ///
    /// Once the group is attached, the next read decides about the detach: a single list that showed it too early would
    /// make the requested group the last one.
    pub(super) fn await_replacement(&mut self, now: Instant) -> Option<Step> {
        match self.evidence.status_of(self.attaching.as_ref()?)? {
            GroupStatus::Attached => {
                self.attaching = None;
                self.accepted = None;
                Some(self.read_twice(now))
            }
            GroupStatus::Attaching | GroupStatus::Detaching => {
                let accepted = self.accepted.as_mut().filter(|accepted| accepted.write == Write::Attach)?;
                accepted.has_begun = true;
                accepted.returns = 0;
                Some(self.poll(now))
            }
        }
    }
}
