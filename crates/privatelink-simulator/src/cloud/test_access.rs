//! Access to a cloud without API calls: tests read the current state, change endpoints as another user of the
//! account would, and set switches, keys and faults.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::{
    Cloud,
    endpoint::{Tracked, start},
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
    /// The current state of one endpoint at `now`, regardless of read lag.
    pub fn endpoint(&mut self, endpoint: impl Into<EndpointId>, now: SystemTime) -> Option<Endpoint> {
        self.advance(now);
        self.endpoints.get(&endpoint.into()).and_then(Tracked::current).cloned()
    }

    /// The time since which the group has been absent from the endpoint, as of `now`. `None` if it is on the
    /// endpoint or never was.
    pub fn absent_since(
        &mut self,
        endpoint: impl Into<EndpointId>,
        group: impl Into<SecurityGroupId>,
        now: SystemTime,
    ) -> Option<SystemTime> {
        self.advance(now);
        self.endpoints.get(&endpoint.into())?.absent_since(&group.into())
    }

    /// When the endpoint, while it existed, last lost its last group, as of `now`. `None` if it never did.
    pub fn emptied_at(&mut self, endpoint: impl Into<EndpointId>, now: SystemTime) -> Option<SystemTime> {
        self.advance(now);
        self.endpoints.get(&endpoint.into())?.emptied_at()
    }

    /// Adds an endpoint, or replaces the one with the same id.
    pub fn set_endpoint(&mut self, endpoint: Endpoint, now: SystemTime) -> Result<(), SeedError> {
        endpoint.check(&self.regions)?;
        self.advance(now);
        self.security_groups.extend(endpoint.security_groups.iter().map(|group| group.id.clone()));
        self.changing.insert(endpoint.endpoint_id.clone());
        let tracked =
            self.endpoints.entry(endpoint.endpoint_id.clone()).or_insert_with(|| Tracked::new(None));
        tracked.change(now, |current| *current = Some(endpoint));
        Ok(())
    }

    /// Changes an endpoint without an API call. Returns whether the endpoint exists. The result is not validated, so
    /// that a test can create invalid states.
    pub fn change_endpoint(
        &mut self,
        endpoint: impl Into<EndpointId>,
        now: SystemTime,
        change: impl FnOnce(&mut Endpoint),
    ) -> bool {
        self.advance(now);
        let endpoint = endpoint.into();
        let tracked = self.endpoints.get_mut(&endpoint).filter(|tracked| tracked.current().is_some());
        let Some(tracked) = tracked else { return false };
        self.changing.insert(endpoint);
        tracked.change(now, |current| {
            if let Some(endpoint) = current {
                change(endpoint);
            }
        });
        if let Some(endpoint) = tracked.current() {
            self.security_groups.extend(endpoint.security_groups.iter().map(|group| group.id.clone()));
        }
        true
    }

    /// Removes an endpoint, even if a task runs on it. Returns whether it existed.
    pub fn remove_endpoint(&mut self, endpoint: impl Into<EndpointId>, now: SystemTime) -> bool {
        self.advance(now);
        let endpoint = endpoint.into();
        let tracked = self.endpoints.get_mut(&endpoint).filter(|tracked| tracked.current().is_some());
        let Some(tracked) = tracked else { return false };
        self.changing.insert(endpoint);
        tracked.change(now, |current| *current = None);
        true
    }

    /// Attaches a group immediately, as another user of the account would. Returns whether the endpoint exists.
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

    /// Detaches a group immediately, as another user of the account would. Returns whether the endpoint exists.
    pub fn detach_now(
        &mut self,
        endpoint: impl Into<EndpointId>,
        group: impl Into<SecurityGroupId>,
        now: SystemTime,
    ) -> bool {
        let detached = group.into();
        self.change_endpoint(endpoint, now, |endpoint| {
            endpoint.security_groups.retain(|group| group.id != detached);
        })
    }

    /// Sets the endpoint to `Pending` and locks it for a duration, as another user's operation would. Returns `false`
    /// if the endpoint does not exist or is already locked.
    pub fn hold_endpoint(
        &mut self,
        endpoint: impl Into<EndpointId>,
        duration: Duration,
        now: SystemTime,
    ) -> bool {
        let free_at = later(now, duration);
        let mut is_locked = false;
        self.change_endpoint(endpoint, now, |endpoint| {
            is_locked = endpoint.task.is_none();
            if is_locked {
                start(endpoint, Task { work: Work::Hold {}, ends_at: now, free_at });
            }
        });
        is_locked
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the settings. Tasks that have started keep their times.
    pub fn change_settings(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        // With 0, pages would contain no items.
        self.settings.page_size_max = self.settings.page_size_max.max(1);
    }

    /// Sets the quotas. [`crate::documented_quotas`] returns those that Alibaba documents.
    pub fn set_quotas(&mut self, quotas: BTreeMap<Action, Quota>) {
        self.meter = Meter::new(quotas);
    }

    /// Adds an access key, or replaces the one with the same id.
    pub fn set_access_key(&mut self, key: AccessKey) {
        self.authenticator.access_keys.insert(key.access_key_id.clone(), key);
    }

    /// Adds a fault after those that are pending. The first one that matches a call applies to it.
    ///
    /// A fault that no call can match, such as one for call number 0, is ignored here; in a seed it is an error.
    pub fn inject(&mut self, fault: Fault) {
        if check_fault(&fault).is_ok() {
            self.faults.inject(fault);
        }
    }

    /// Removes all pending faults.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }
}
