//! What one delivery read and did: the evidence and the effort of its completion event.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::alibaba::codes::ErrorKind;
use crate::alibaba::error::ErrorCode;
use crate::alibaba::privatelink::{Action, Write};
use crate::alibaba::records::{EndpointStatus, GroupStatus, SecurityGroup};
use crate::request::SecurityGroupId;
use crate::text::UNREADABLE;

use super::assessment::Presence;

/// Maximum number of request ids of each kind that are kept; an event shows no more in all.
const API_REQUEST_IDS_MAX: usize = 20;

/// What one delivery read and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The first complete list of the endpoint's groups.
    pub security_groups_before: Option<Vec<String>>,
    /// The latest complete list.
    pub security_groups_after: Option<Vec<String>>,
    /// The statuses in the latest complete list, in its order.
    pub statuses_after: Vec<GroupStatus>,
    /// The status of our group in the latest complete list.
    pub group: Option<Presence>,
    /// Whether any complete list had our group.
    pub security_group_seen: Option<bool>,
    /// The configured replacement for the endpoint's VPC, if a list had it, or if it was attached or a dry run showed that it
    /// can be.
    pub replacement_security_group_id: Option<SecurityGroupId>,
    /// The status of the endpoint's record, as last read.
    pub endpoint_status: Option<EndpointStatus>,
    /// When the detach was confirmed.
    pub confirmed_at: Option<Instant>,
    /// HTTP calls of Detach.
    pub detach_calls: u32,
    /// How many of them were accepted.
    pub detach_accepted: u32,
    /// HTTP calls of Attach.
    pub attach_calls: u32,
    /// How many of them were accepted.
    pub attach_accepted: u32,
    /// HTTP calls that read, every page.
    pub read_calls: u32,
    /// Errors that were followed by another attempt, by code.
    pub retries: BTreeMap<String, u32>,
    /// The latest error.
    pub error_last: Option<(ErrorCode, ErrorKind)>,
    write_request_ids: Vec<String>,
    read_request_ids: Vec<String>,
}

impl Evidence {
    /// Alibaba's ids of the writes and, once the detach is confirmed, of the reads that confirmed it: the newest 20.
    pub fn api_request_ids(&self) -> impl Iterator<Item = &str> {
        let confirming: &[String] = if self.confirmed_at.is_some() { &self.read_request_ids } else { &[] };
        let surplus = (self.write_request_ids.len() + confirming.len()).saturating_sub(API_REQUEST_IDS_MAX);
        self.write_request_ids.iter().chain(confirming).skip(surplus).map(String::as_str)
    }

    /// Records a complete list, and where our group stands in it.
    pub(super) fn add_list(&mut self, groups: &[SecurityGroup], ours: Presence) {
        let shown = |group: &SecurityGroup| {
            let id = SecurityGroupId::parse(&group.id);
            id.map_or_else(|| UNREADABLE.to_owned(), |id| id.to_string())
        };
        let ids: Vec<String> = groups.iter().map(shown).collect();
        self.security_groups_before.get_or_insert_with(|| ids.clone());
        self.security_groups_after = Some(ids);
        self.statuses_after = groups.iter().map(|group| group.status).collect();
        self.group = Some(ours);
        let was_seen = self.security_group_seen.unwrap_or(false);
        self.security_group_seen = Some(was_seen || ours != Presence::Absent);
    }

    pub(super) fn add_call(&mut self, action: Action, api_request_id: Option<String>) {
        let ids = match action {
            Action::Detach => {
                self.detach_calls += 1;
                &mut self.write_request_ids
            }
            Action::Attach => {
                self.attach_calls += 1;
                &mut self.write_request_ids
            }
            Action::ListSecurityGroups | Action::ListEndpoints => {
                self.read_calls += 1;
                &mut self.read_request_ids
            }
        };
        if let Some(id) = api_request_id {
            if ids.len() >= API_REQUEST_IDS_MAX {
                ids.remove(0);
            }
            ids.push(id);
        }
    }

    pub(super) fn add_accepted(&mut self, write: Write) {
        match write {
            Write::Detach => self.detach_accepted += 1,
            Write::Attach => self.attach_accepted += 1,
        }
    }

    /// The status of this group in the latest complete list; `None` if the list does not contain it.
    #[must_use]
    pub fn status_of(&self, group: &SecurityGroupId) -> Option<GroupStatus> {
        let mut listed = self.security_groups_after.iter().flatten().zip(&self.statuses_after);
        listed.find(|(id, _)| *id == group.as_str()).map(|(_, status)| *status)
    }

    pub(super) fn add_error(&mut self, code: &ErrorCode, kind: ErrorKind, is_retried: bool) {
        if is_retried {
            *self.retries.entry(code.name().into_owned()).or_default() += 1;
        }
        self.error_last = Some((code.clone(), kind));
    }

    /// A new read begins: only the ids of the read that confirms the detach are shown.
    pub(super) fn begin_read(&mut self) {
        self.read_request_ids.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(evidence: &Evidence) -> Vec<&str> {
        evidence.api_request_ids().collect()
    }

    #[test]
    fn newest_request_ids_are_kept_in_order() {
        let mut evidence = Evidence::default();
        for n in 0..15 {
            evidence.add_call(Action::Detach, Some(format!("write-{n}")));
        }
        for n in 0..8 {
            evidence.add_call(Action::ListEndpoints, Some(format!("read-{n}")));
        }
        assert_eq!(ids(&evidence).len(), 15, "reads are shown only after they have confirmed the detach");
        evidence.confirmed_at = Some(crate::clock::Clock::start().now());
        let shown = ids(&evidence);
        assert_eq!((shown.len(), shown[0], shown[19]), (20, "write-3", "read-7"));
    }

    #[test]
    fn call_without_a_request_id_erases_no_other() {
        let mut evidence = Evidence::default();
        for n in 0..API_REQUEST_IDS_MAX {
            evidence.add_call(Action::Detach, Some(format!("write-{n}")));
        }
        for _ in 0..100 {
            evidence.add_call(Action::Detach, None);
        }
        assert_eq!(ids(&evidence).first(), Some(&"write-0"));
        evidence.add_call(Action::Detach, Some("write-20".to_owned()));
        assert_eq!((ids(&evidence)[0], ids(&evidence)[19]), ("write-1", "write-20"));
        assert_eq!(evidence.detach_calls, 121);
    }
}
