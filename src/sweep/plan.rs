//! The plan: what a sweep read in its regions, and the verdict that follows from it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::endpoint::Progress;
use super::reading::RegionReading;
use crate::alibaba::error::ErrorCode;
use crate::alibaba::privatelink::Target;
use crate::alibaba::records::{BusinessStatus, Endpoint, GroupStatus, SecurityGroup};
use crate::detach::ReasonCode;
use crate::request::{EndpointId, RegionId, Rules, SecurityGroupId};
use crate::transport::NoResponse;

/// What a sweep read: the uses of some groups by the endpoints of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub security_group_ids: Vec<SecurityGroupId>,
    pub regions: BTreeMap<RegionId, Region>,
    /// Every group of the sweep on an endpoint, by region, endpoint and group.
    pub references: Vec<Reference>,
    /// Ids on endpoints that differ from a group's only in letter case.
    pub lookalikes: Vec<Lookalike>,
    /// Whether every group exists; `None` if that was not checked.
    pub security_groups_found: Option<bool>,
    /// When the first call was made, and when the last response arrived.
    pub started_at: SystemTime,
    pub completed_at: SystemTime,
}

/// How far a region was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Region {
    pub endpoints_read: usize,
    /// Gateway load balancer endpoints, which have no groups.
    pub endpoints_skipped: usize,
    /// The endpoints that could not be read.
    pub unread: Vec<Unread>,
    /// Why the list of endpoints could not be read; `None` if it was read.
    pub list_error: Option<ErrorCode>,
}

/// An endpoint whose groups could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    pub endpoint_id: EndpointId,
    pub code: ErrorCode,
}

/// A group of the sweep on an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub region_id: RegionId,
    pub endpoint_id: EndpointId,
    pub endpoint_name: Option<String>,
    /// The endpoint's VPC, which a second reading without a record needs; a plan file does not name it.
    pub vpc_id: Option<String>,
    pub security_group_id: SecurityGroupId,
    pub status: GroupStatus,
    /// Every group on the endpoint, this one included.
    pub security_groups: Vec<SecurityGroup>,
    /// Why no detach may be requested; `None` if it may be.
    pub blocked_by: Option<ReasonCode>,
    /// The group that the worker attaches first, because this group is or will be the endpoint's last one; `None` if
    /// the worker attaches none.
    pub replacement_security_group_id: Option<SecurityGroupId>,
}

/// A listed id that differs from a requested one only in letter case: the requested one may be mistyped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookalike {
    pub region_id: RegionId,
    pub endpoint_id: EndpointId,
    /// The id as Alibaba Cloud spells it.
    pub listed: String,
    pub security_group_id: SecurityGroupId,
}

/// What a plan means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// No endpoint of the scope uses the groups.
    NoReferences,
    ReferencesFound,
    /// More detaches would be requested than allowed.
    OverLimit,
    /// Something was not read, or a group may be mistyped: the references are not known.
    Incomplete,
    /// There was no endpoint to read: a wrong account or scope gives the same result.
    NoEndpoints,
}

impl Verdict {
    /// The name of the verdict in events and output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoReferences => "no_references",
            Self::ReferencesFound => "references_found",
            Self::OverLimit => "over_limit",
            Self::Incomplete => "incomplete",
            Self::NoEndpoints => "no_endpoints",
        }
    }
}

impl Plan {
    /// An empty plan for these groups. Whether they exist is not checked yet.
    #[must_use]
    pub fn new(security_group_ids: Vec<SecurityGroupId>, started_at: SystemTime) -> Self {
        Self {
            security_group_ids,
            regions: BTreeMap::new(),
            references: Vec::new(),
            lookalikes: Vec::new(),
            security_groups_found: None,
            started_at,
            completed_at: started_at,
        }
    }

    /// Adds a region as far as it was read.
    pub fn add(&mut self, region_id: &RegionId, reading: &RegionReading, rules: &Rules) {
        let mut region = Region {
            endpoints_skipped: reading.skipped(),
            list_error: reading.list_error(),
            ..Region::default()
        };
        for (endpoint_id, endpoint) in reading.endpoints() {
            match &endpoint.progress {
                Progress::Gone => {}
                Progress::Pending { .. } => region.add_unread(endpoint_id, NoResponse::Timeout.into()),
                Progress::Unread(code) => region.add_unread(endpoint_id, code.clone()),
                Progress::Read(groups) => {
                    region.endpoints_read += 1;
                    let endpoint = ReadEndpoint { region_id, endpoint_id, record: &endpoint.record, groups };
                    self.references.extend(endpoint.references(&self.security_group_ids, rules));
                    self.lookalikes.extend(endpoint.lookalikes(&self.security_group_ids));
                }
            }
        }
        self.regions.insert(region_id.clone(), region);
    }

    /// Replaces the references of the endpoints that a later reading covers. An earlier reference that the later
    /// reading neither found nor proved absent stays.
    pub fn read_again(&mut self, region_id: &RegionId, reading: &RegionReading, rules: &Rules) {
        let has_list = reading.list_error().is_none();
        let mut earlier = BTreeMap::<_, Vec<_>>::new();
        let references = std::mem::take(&mut self.references);
        for reference in references {
            let is_read_again =
                reference.region_id == *region_id && reading.endpoints().contains_key(&reference.endpoint_id);
            if is_read_again {
                earlier.entry(reference.endpoint_id.clone()).or_default().push(reference);
            } else {
                self.references.push(reference);
            }
        }
        for (endpoint_id, endpoint) in reading.endpoints() {
            let found = match &endpoint.progress {
                Progress::Read(groups) => {
                    let endpoint = ReadEndpoint { region_id, endpoint_id, record: &endpoint.record, groups };
                    endpoint.references(&self.security_group_ids, rules)
                }
                Progress::Gone | Progress::Pending { .. } | Progress::Unread(_) => Vec::new(),
            };
            let is_proved = endpoint.proves_absence(has_list);
            // A group that the list lacks counts as absent only if its absence is proved.
            let kept = earlier.remove(endpoint_id).unwrap_or_default().into_iter();
            let is_found = |id: &SecurityGroupId| found.iter().any(|one| one.security_group_id == *id);
            let kept: Vec<_> = kept.filter(|one| !is_proved && !is_found(&one.security_group_id)).collect();
            self.references.extend(found);
            self.references.extend(kept);
        }
        self.references.sort_by(|one, other| one.endpoint().cmp(&other.endpoint()));
    }

    /// The references for which a detach may be requested.
    pub fn requestable(&self) -> impl Iterator<Item = &Reference> {
        self.references.iter().filter(|reference| reference.blocked_by.is_none())
    }

    /// What the plan means. `max_detaches` is the most detaches that may be requested; `None` if the sweep only reads.
    #[must_use]
    pub fn verdict(&self, max_detaches: Option<u32>) -> Verdict {
        let is_complete = self.regions.values().all(Region::is_complete)
            && self.lookalikes.is_empty()
            && self.security_groups_found != Some(false);
        let read: usize = self.regions.values().map(|region| region.endpoints_read).sum();
        let is_over = max_detaches.is_some_and(|max| self.requestable().count() > max as usize);
        match (is_complete, read, self.references.is_empty(), is_over) {
            (false, _, _, _) => Verdict::Incomplete,
            (true, 0, _, _) => Verdict::NoEndpoints,
            (true, _, true, _) => Verdict::NoReferences,
            (true, _, false, true) => Verdict::OverLimit,
            (true, _, false, false) => Verdict::ReferencesFound,
        }
    }
}

impl Region {
    /// Whether every endpoint of the scope was read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.list_error.is_none() && self.unread.is_empty()
    }

    fn add_unread(&mut self, endpoint_id: &EndpointId, code: ErrorCode) {
        self.unread.push(Unread { endpoint_id: endpoint_id.clone(), code });
    }
}

impl Reference {
    /// The endpoint, with its region.
    #[must_use]
    pub fn endpoint(&self) -> (&RegionId, &EndpointId) {
        (&self.region_id, &self.endpoint_id)
    }

    /// What a detach would change.
    #[must_use]
    pub fn target(&self) -> Target {
        Target {
            region_id: self.region_id.clone(),
            endpoint_id: self.endpoint_id.clone(),
            security_group_id: self.security_group_id.clone(),
        }
    }
}

/// An endpoint with all its groups.
struct ReadEndpoint<'a> {
    region_id: &'a RegionId,
    endpoint_id: &'a EndpointId,
    record: &'a Endpoint,
    groups: &'a [SecurityGroup],
}

impl ReadEndpoint<'_> {
    /// The groups of the sweep on this endpoint.
    fn references(&self, security_group_ids: &[SecurityGroupId], rules: &Rules) -> Vec<Reference> {
        let mut references: Vec<Reference> = security_group_ids
            .iter()
            .filter_map(|id| Some((id, self.groups.iter().find(|group| group.id == id.as_str())?.status)))
            .map(|(id, status)| Reference {
                region_id: self.region_id.clone(),
                endpoint_id: self.endpoint_id.clone(),
                endpoint_name: self.record.name.clone(),
                vpc_id: self.record.vpc_id.clone(),
                security_group_id: id.clone(),
                status,
                security_groups: self.groups.to_vec(),
                blocked_by: self.blocked_by(id, rules),
                replacement_security_group_id: None,
            })
            .collect();
        // One group must remain on the endpoint, or be attached. A group that is detaching does not remain.
        let remain = |references: &[Reference]| {
            let is_requested = |group: &SecurityGroup| {
                let mut requested = references.iter().filter(|reference| reference.blocked_by.is_none());
                requested.any(|reference| reference.security_group_id.as_str() == group.id)
            };
            self.groups.iter().any(|group| group.status != GroupStatus::Detaching && !is_requested(group))
        };
        if !remain(&references) {
            let mut requested: Vec<_> =
                references.iter_mut().filter(|one| one.blocked_by.is_none()).collect();
            // The sort is stable, so this takes the last one that is not detaching or, if all are, the last one.
            requested.sort_by_key(|one| one.status != GroupStatus::Detaching);
            if let Some(last) = requested.pop() {
                last.replacement_security_group_id =
                    self.replacement(&last.security_group_id, security_group_ids, rules).cloned();
                if last.replacement_security_group_id.is_none() {
                    last.blocked_by = Some(ReasonCode::EndpointMustContainSecurityGroup);
                }
            }
        }
        references
    }

    /// The group that replaces the endpoint's last one; `None` if the endpoint's VPC has no replacement, or if the
    /// sweep looks for the replacement itself.
    fn replacement<'a>(
        &self,
        last: &SecurityGroupId,
        security_group_ids: &[SecurityGroupId],
        rules: &'a Rules,
    ) -> Option<&'a SecurityGroupId> {
        let replacement = rules.replacements.of(self.record.vpc_id.as_deref(), last)?;
        let is_replacement = |id: &SecurityGroupId| id.as_str().eq_ignore_ascii_case(replacement.as_str());
        (!security_group_ids.iter().any(is_replacement)).then_some(replacement)
    }

    /// Why this deployment or the endpoint's state allows no detach of a group.
    fn blocked_by(&self, security_group_id: &SecurityGroupId, rules: &Rules) -> Option<ReasonCode> {
        if rules.protects_endpoint(self.endpoint_id) {
            Some(ReasonCode::ProtectedEndpoint)
        } else if rules.protects_security_group(security_group_id) {
            Some(ReasonCode::ProtectedSecurityGroup)
        } else if self.record.business_status == Some(BusinessStatus::FinancialLocked) {
            Some(ReasonCode::FinancialLocked)
        } else {
            None
        }
    }

    fn lookalikes(&self, security_group_ids: &[SecurityGroupId]) -> Vec<Lookalike> {
        let pairs = security_group_ids.iter().flat_map(|id| self.groups.iter().map(move |group| (id, group)));
        let alike =
            pairs.filter(|(id, group)| group.id != id.as_str() && group.id.eq_ignore_ascii_case(id.as_str()));
        alike
            .map(|(id, group)| Lookalike {
                region_id: self.region_id.clone(),
                endpoint_id: self.endpoint_id.clone(),
                listed: group.id.clone(),
                security_group_id: id.clone(),
            })
            .collect()
    }
}
