//! Checks with ECS whether the groups of a sweep exist. An error means only that the check was not made.

use std::cell::RefCell;

use futures_util::stream::{self, StreamExt};

use super::{REGIONS_MAX, Sweep};
use crate::alibaba::services::Services;
use crate::clock::Clock;
use crate::drive::cloud::Cloud;
use crate::request::RegionId;
use crate::sweep::security_groups_found;
use crate::transport::Transport;

/// Maximum number of attempts of one call. With the back-off they take a few seconds, about as long as a short reading.
const ATTEMPTS_MAX: u32 = 4;

/// The check of the groups' existence, and its results so far.
pub(super) struct Existence<'a> {
    sweep: &'a Sweep<'a>,
    /// The existing groups by region; `None` for a region that has not responded.
    responses: RefCell<Vec<Option<Vec<String>>>>,
}

impl<'a> Existence<'a> {
    pub(super) fn new(sweep: &'a Sweep<'a>) -> Self {
        Self { sweep, responses: RefCell::new(vec![None; sweep.region_ids.len()]) }
    }

    /// The responses so far.
    pub(super) fn responses(&self) -> Vec<Option<Vec<String>>> {
        self.responses.borrow().clone()
    }

    /// Calls ECS in every region, until all groups are found.
    pub(super) async fn check<T: Transport>(&self, cloud: &Cloud<T>, services: &Services<T>, clock: &Clock) {
        let regions = self.sweep.region_ids.iter().enumerate();
        let calls = regions
            .map(|(at, region)| async move { (at, self.existing(region, cloud, services, clock).await) });
        let mut calls = stream::iter(calls).buffer_unordered(REGIONS_MAX);
        while let Some((at, existing)) = calls.next().await {
            self.responses.borrow_mut()[at] = existing;
            if security_groups_found(self.sweep.security_group_ids, &self.responses()) == Some(true) {
                return;
            }
        }
    }

    /// The groups that exist in a region; `None` if ECS denies the call or does not respond.
    async fn existing<T: Transport>(
        &self,
        region: &RegionId,
        cloud: &Cloud<T>,
        services: &Services<T>,
        clock: &Clock,
    ) -> Option<Vec<String>> {
        let mut jitter = cloud.delivery_jitter();
        for errors in 0..ATTEMPTS_MAX {
            let credentials = cloud.credentials(clock).await?;
            match services.security_groups(region, self.sweep.security_group_ids, &credentials, clock).await {
                Ok(existing) => return Some(existing),
                Err(error) if !error.is_transient() => return None,
                Err(_) => {
                    let after = self.sweep.limits.backoff.after(errors, &mut jitter);
                    clock.sleep_until(clock.now() + after).await;
                }
            }
        }
        None
    }
}
