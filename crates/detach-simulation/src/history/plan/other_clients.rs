//! What others do in a history while we work: on the same endpoints, and with the same queues.

use std::time::Duration;

use privatelink_simulator::{Endpoint, Seed};

use super::{Dice, GROUPS};
use crate::outside::Outside;
use crate::world::REGION;

pub(super) fn draw(cloud: &Seed, calm_at: Duration, outside: &mut Vec<(Duration, Outside)>, dice: &mut Dice) {
    for _ in 0..dice.number(1, 6) {
        let at = dice.before(calm_at);
        let endpoint = dice.one_of(&cloud.endpoints).endpoint_id.to_string();
        let group = dice.one_of(&GROUPS).to_owned();
        let takes = dice.seconds(0, 60);
        let act = match dice.number(0, 13) {
            0..=2 => Outside::Attach { endpoint, group, takes },
            3..=5 => Outside::Detach { endpoint, group, takes, fails: dice.is(0.2) },
            6..=8 => Outside::Hold { endpoint, takes },
            9 => Outside::Status {
                endpoint,
                status: dice.one_of(&["Creating", "Pending", "Deleting", "Active"]),
            },
            10 => Outside::Connection {
                endpoint,
                status: dice.one_of(&["Connecting", "Disconnecting", "ServiceDeleted", "Connected"]),
            },
            11 => Outside::Business { endpoint, status: dice.one_of(&["FinancialLocked", "Normal"]) },
            12 => {
                let groups = GROUPS.into_iter().skip(usize::try_from(dice.number(0, 4)).unwrap_or(0)).take(3);
                let again = Endpoint::new(REGION, endpoint.as_str(), groups);
                let later = at + dice.seconds(0, 60);
                if later < calm_at {
                    outside.push((later, Outside::Create { endpoint: Box::new(again) }));
                }
                Outside::Remove { endpoint }
            }
            _ => Outside::Redrive,
        };
        outside.push((at, act));
    }
}
