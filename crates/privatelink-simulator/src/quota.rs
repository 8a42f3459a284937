//! How often an action may be called in a region, and for how long a caller above that has to wait.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{
    action::Action,
    ids::RegionId,
    wire_time::{later, millis},
};

/// So many calls in any window, which opens with its first call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// How many.
    pub calls: u32,
    /// In how long.
    #[serde(rename = "window_ms", with = "millis")]
    pub window: Duration,
}

/// The quotas that Alibaba documents, per region, action and account.
#[must_use]
pub fn documented() -> BTreeMap<Action, Quota> {
    let per_minute = |calls| Quota { calls, window: Duration::from_mins(1) };
    BTreeMap::from([
        (Action::DetachSecurityGroupFromVpcEndpoint, per_minute(500)),
        (Action::ListVpcEndpointSecurityGroups, per_minute(3000)),
        (Action::ListVpcEndpoints, per_minute(1000)),
    ])
}

/// A call above its quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) quota: Quota,
    /// Until the window closes.
    pub(crate) left: Duration,
}

/// Counts the calls against the quotas.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    pub(crate) quotas: BTreeMap<Action, Quota>,
    windows: BTreeMap<(RegionId, Action), Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    opened: SystemTime,
    used: u32,
}

impl Meter {
    pub(crate) fn new(quotas: BTreeMap<Action, Quota>) -> Self {
        Self { quotas, windows: BTreeMap::new() }
    }

    /// Counts one call. `region` must be one that exists: the windows are kept for good.
    pub(crate) fn admit(
        &mut self,
        region: &RegionId,
        action: Action,
        now: SystemTime,
    ) -> Result<(), Exceeded> {
        let Some(&quota) = self.quotas.get(&action) else {
            return Ok(());
        };
        let window = self.windows.entry((region.clone(), action)).or_insert(Window { opened: now, used: 0 });
        if later(window.opened, quota.window) <= now {
            *window = Window { opened: now, used: 0 };
        }
        if window.used >= quota.calls {
            let left = later(window.opened, quota.window).duration_since(now).unwrap_or_default();
            return Err(Exceeded { quota, left });
        }
        window.used += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_above_the_quota_waits_for_the_window_to_close() {
        let (region, action) = (RegionId::from("eu-west-1"), Action::ListVpcEndpoints);
        let quota = Quota { calls: 2, window: Duration::from_mins(1) };
        let mut meter = Meter::new(BTreeMap::from([(action, quota)]));
        let second = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(meter.admit(&region, action, second(0)), Ok(()));
        assert_eq!(meter.admit(&region, action, second(20)), Ok(()));
        let exceeded = Exceeded { quota, left: Duration::from_secs(35) };
        assert_eq!(meter.admit(&region, action, second(25)), Err(exceeded));
        assert_eq!(meter.admit(&RegionId::from("us-east-1"), action, second(25)), Ok(()));
        assert_eq!(meter.admit(&region, action, second(60)), Ok(()));
    }
}
