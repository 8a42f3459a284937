//! How many detaches poll in each region: the workers that may run at once, times the detaches that this one carries out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroU16;

use crate::request::RegionId;

/// The detaches of a process that are in flight. Each is the head of its lane.
#[derive(Debug)]
pub(super) struct Lanes {
    /// The processes that may run at once. Each is assumed to be as busy as this one.
    workers: NonZeroU16,
    in_flight: RefCell<HashMap<RegionId, u32>>,
}

/// A detach in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight<'a> {
    lanes: &'a Lanes,
    region: RegionId,
}

impl Lanes {
    pub(super) fn of(workers: NonZeroU16) -> Self {
        Self { workers, in_flight: RefCell::default() }
    }

    pub(super) fn enter(&self, region: &RegionId) -> InFlight<'_> {
        *self.in_flight.borrow_mut().entry(region.clone()).or_default() += 1;
        InFlight { lanes: self, region: region.clone() }
    }
}

impl InFlight<'_> {
    /// The lanes of all workers in this region, this one included.
    pub(super) fn lanes(&self) -> u32 {
        let ours = self.lanes.in_flight.borrow().get(&self.region).copied().unwrap_or(1);
        ours.saturating_mul(u32::from(self.lanes.workers.get()))
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut in_flight = self.lanes.in_flight.borrow_mut();
        if let Some(lanes) = in_flight.get_mut(&self.region) {
            *lanes -= 1;
            if *lanes == 0 {
                in_flight.remove(&self.region);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_counted_by_region_while_they_are_in_flight() {
        let lanes = Lanes::of(NonZeroU16::new(10).unwrap());
        let [here, elsewhere] = ["eu-west-1", "us-east-1"].map(|region| RegionId::parse(region).unwrap());
        let one = lanes.enter(&here);
        assert_eq!(one.lanes(), 10);
        let (other, second) = (lanes.enter(&elsewhere), lanes.enter(&here));
        assert_eq!([one.lanes(), other.lanes(), second.lanes()], [20, 10, 20]);
        drop(second);
        assert_eq!([one.lanes(), other.lanes()], [10, 10]);
        drop((one, other));
        assert!(lanes.in_flight.borrow().is_empty());
    }
}
