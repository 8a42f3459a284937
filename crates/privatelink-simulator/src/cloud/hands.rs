//! What reaches into a cloud without calling it: other people who change endpoints, and a test that sets switches, keys
//! and faults and looks at the truth.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::{
    Cloud,
    endpoint::{Tracked, begin},
};
use crate::{
    action::Action,
    fault::Fault,
    ids::{EndpointId, SecurityGroupId},
    quota::{Meter, Quota},
    seed::{AccessKey, Endpoint, SecurityGroup, SeedError, Task, Work, check_fault},
    settings::Settings,
    wire_time::later,
};

impl Cloud {
    /// The truth about one endpoint at `now`.
    pub fn endpoint(&mut self, endpoint: impl Into<EndpointId>, now: SystemTime) -> Option<Endpoint> {
        self.settle(now);
        self.endpoints.get(&endpoint.into()).and_then(Tracked::truth).cloned()
    }

    /// Since when the group has truly been off the endpoint, as of `now`. `None` if it is on it, or never was.
    pub fn gone_since(
        &mut self,
        endpoint: impl Into<EndpointId>,
        group: impl Into<SecurityGroupId>,
        now: SystemTime,
    ) -> Option<SystemTime> {
        self.settle(now);
        self.endpoints.get(&endpoint.into())?.gone_since(&group.into())
    }

    /// Puts an endpoint there, or in the place of the one with its id.
    pub fn set_endpoint(&mut self, endpoint: Endpoint, now: SystemTime) -> Result<(), SeedError> {
        endpoint.check(&self.regions)?;
        self.settle(now);
        self.security_groups.extend(endpoint.security_groups.iter().map(|group| group.id.clone()));
        self.restless.insert(endpoint.endpoint_id.clone());
        let tracked =
            self.endpoints.entry(endpoint.endpoint_id.clone()).or_insert_with(|| Tracked::since_ever(None));
        tracked.change(now, |truth| *truth = Some(endpoint));
        Ok(())
    }

    /// Changes an endpoint behind everyone's back. Answers whether there is one. The result is not checked, so that
    /// states which should not exist can be made.
    pub fn change_endpoint(
        &mut self,
        endpoint: impl Into<EndpointId>,
        now: SystemTime,
        change: impl FnOnce(&mut Endpoint),
    ) -> bool {
        self.settle(now);
        let endpoint = endpoint.into();
        let tracked = self.endpoints.get_mut(&endpoint).filter(|tracked| tracked.truth().is_some());
        let Some(tracked) = tracked else { return false };
        self.restless.insert(endpoint);
        tracked.change(now, |truth| {
            if let Some(endpoint) = truth {
                change(endpoint);
            }
        });
        if let Some(endpoint) = tracked.truth() {
            self.security_groups.extend(endpoint.security_groups.iter().map(|group| group.id.clone()));
        }
        true
    }

    /// Takes an endpoint away, whatever runs on it. Answers whether there was one.
    pub fn remove_endpoint(&mut self, endpoint: impl Into<EndpointId>, now: SystemTime) -> bool {
        self.settle(now);
        let endpoint = endpoint.into();
        let tracked = self.endpoints.get_mut(&endpoint).filter(|tracked| tracked.truth().is_some());
        let Some(tracked) = tracked else { return false };
        self.restless.insert(endpoint);
        tracked.change(now, |truth| *truth = None);
        true
    }

    /// Somebody else attaches a group, and it takes no time. Answers whether there is such an endpoint.
    pub fn attach_now(
        &mut self,
        endpoint: impl Into<EndpointId>,
        group: impl Into<SecurityGroupId>,
        now: SystemTime,
    ) -> bool {
        let attached = SecurityGroup::attached(group);
        self.change_endpoint(endpoint, now, |endpoint| {
            endpoint.security_groups.retain(|group| group.id != attached.id);
            endpoint.security_groups.push(attached);
        })
    }

    /// Somebody else detaches a group, and it takes no time. Answers whether there is such an endpoint.
    pub fn detach_now(
        &mut self,
        endpoint: impl Into<EndpointId>,
        group: impl Into<SecurityGroupId>,
        now: SystemTime,
    ) -> bool {
        let gone = group.into();
        self.change_endpoint(endpoint, now, |endpoint| {
            endpoint.security_groups.retain(|group| group.id != gone);
        })
    }

    /// Somebody else holds the endpoint for a while: it is `Pending` and locked. Answers whether it was free to be held.
    pub fn hold_endpoint(
        &mut self,
        endpoint: impl Into<EndpointId>,
        duration: Duration,
        now: SystemTime,
    ) -> bool {
        let free_at = later(now, duration);
        let mut held = false;
        self.change_endpoint(endpoint, now, |endpoint| {
            held = endpoint.task.is_none();
            if held {
                begin(endpoint, Task { work: Work::Hold {}, ends_at: now, free_at });
            }
        });
        held
    }

    /// The switches.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the switches. What was accepted before keeps the times that it was given.
    pub fn change_settings(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        // No page would ever hold an item otherwise.
        self.settings.page_size_max = self.settings.page_size_max.max(1);
    }

    /// Sets the quotas; those of Alibaba's documentation are in [`crate::documented_quotas`].
    pub fn set_quotas(&mut self, quotas: BTreeMap<Action, Quota>) {
        self.meter = Meter::new(quotas);
    }

    /// Adds an access key, or replaces the one with its id.
    pub fn set_access_key(&mut self, key: AccessKey) {
        self.gate.keys.insert(key.access_key_id.clone(), key);
    }

    /// Adds a fault behind those that wait. The first that matches a call strikes it.
    ///
    /// A fault that no call can meet, such as the 0th, is ignored here; in a seed it is an error.
    pub fn inject(&mut self, fault: Fault) {
        if check_fault(&fault).is_ok() {
            self.faults.inject(fault);
        }
    }

    /// Takes back every fault that waits.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }
}
