//! Call quotas per action and region, and the time that a throttled caller must wait.

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

/// A maximum number of calls per window. A window starts with its first call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// The maximum number of calls in a window.
    pub calls: u32,
    /// The length of a window.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) quota: Quota,
    /// The time until the window closes.
    pub(crate) remaining: Duration,
}

/// Counts calls against the quotas.
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

    /// Counts one call. `region` must exist, because windows are never removed.
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
            let remaining = later(window.opened, quota.window).duration_since(now).unwrap_or_default();
            return Err(Exceeded { quota, remaining });
        }
        window.used += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_above_the_quota_waits_until_the_window_closes() {
        let (region, action) = (RegionId::from("eu-west-1"), Action::ListVpcEndpoints);
        let quota = Quota { calls: 2, window: Duration::from_mins(1) };
        let mut meter = Meter::new(BTreeMap::from([(action, quota)]));
        let second = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(meter.admit(&region, action, second(0)), Ok(()));
        assert_eq!(meter.admit(&region, action, second(20)), Ok(()));
        let exceeded = Exceeded { quota, remaining: Duration::from_secs(35) };
        assert_eq!(meter.admit(&region, action, second(25)), Err(exceeded));
        assert_eq!(meter.admit(&RegionId::from("us-east-1"), action, second(25)), Ok(()));
        assert_eq!(meter.admit(&region, action, second(60)), Ok(()));
    }
}
