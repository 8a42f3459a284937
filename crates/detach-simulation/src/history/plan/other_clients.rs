//! What other clients do in a history while the worker runs: on the same endpoints, and with the same queues.

use std::time::Duration;

use privatelink_simulator::{Endpoint, SecurityGroup, Seed};

use super::{GROUPS, Random};
use crate::outside::Outside;

pub(super) fn draw(
    cloud: &Seed,
    faults_end_at: Duration,
    outside: &mut Vec<(Duration, Outside)>,
    random: &mut Random,
) {
    for _ in 0..random.number(1, 6) {
        let at = random.before(faults_end_at);
        let chosen = random.one_of(&cloud.endpoints);
        let endpoint = chosen.endpoint_id.to_string();
        let group = random.one_of(&GROUPS).to_owned();
        let takes = random.seconds(0, 60);
        let act = match random.number(0, 13) {
            0..=2 => Outside::Attach { endpoint, group, takes },
            3..=5 => Outside::Detach { endpoint, group, takes, fails: random.chance(0.2) },
            6..=8 => Outside::Hold { endpoint, takes },
            9 => Outside::Status {
                endpoint,
                status: random.one_of(&["Creating", "Pending", "Deleting", "Active"]),
            },
            10 => Outside::Connection {
                endpoint,
                status: random.one_of(&["Connecting", "Disconnecting", "ServiceDeleted", "Connected"]),
            },
            11 => Outside::Business { endpoint, status: random.one_of(&["FinancialLocked", "Normal"]) },
            12 => {
                let groups =
                    GROUPS.into_iter().skip(usize::try_from(random.number(0, 4)).unwrap_or(0)).take(3);
                let security_groups = groups.map(SecurityGroup::attached).collect();
                let again = Endpoint { security_groups, ..chosen };
                let later = at + random.seconds(0, 60);
                if later < faults_end_at {
                    outside.push((later, Outside::Create { endpoint: Box::new(again) }));
                }
                Outside::Remove { endpoint }
            }
            _ => Outside::Redrive,
        };
        outside.push((at, act));
    }
}
