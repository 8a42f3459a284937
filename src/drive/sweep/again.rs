//! The second reading of a sweep, which reads the requested endpoints again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use super::{Errors, Readings, Rejected, Sweep, date, expired, read_all};
use crate::alibaba::error::ErrorCode;
use crate::alibaba::records::Endpoint;
use crate::clock::Clock;
use crate::drive::cloud::Cloud;
use crate::request::{EndpointId, RegionId};
use crate::sweep::{Plan, Reference, RegionReading};
use crate::transport::Transport;

/// Endpoints by region, with their records as far as they are known.
pub type Endpoints = BTreeMap<RegionId, BTreeMap<EndpointId, Endpoint>>;

/// The endpoints of some references.
pub fn endpoints_of<'a>(references: impl IntoIterator<Item = &'a Reference>) -> Endpoints {
    let mut endpoints = Endpoints::new();
    for reference in references {
        let Reference { endpoint_id, endpoint_name, vpc_id, .. } = reference.clone();
        let record =
            Endpoint { id: endpoint_id.to_string(), name: endpoint_name, vpc_id, ..Endpoint::default() };
        let of_region = endpoints.entry(reference.region_id.clone()).or_default();
        of_region.insert(endpoint_id, record);
    }
    endpoints
}

/// What a second reading could not read.
#[derive(Debug, Default)]
pub struct NotReadAgain {
    /// The number of endpoints.
    pub endpoints: usize,
    /// The code of the first error.
    pub code: Option<ErrorCode>,
    /// The problem of the credentials, if it ended the reading.
    pub credentials: Option<Rejected>,
}

/// Reads endpoints of a plan again, and updates its references. A reference that was neither read nor proved absent by
/// `until` stays as it was read before.
pub async fn read_again<T: Transport>(
    plan: &mut Plan,
    endpoints: &Endpoints,
    cloud: &Cloud<T>,
    sweep: &Sweep<'_>,
    clock: &Clock,
    until: Instant,
) -> NotReadAgain {
    let began = clock.now();
    let new = |region_id: &RegionId, endpoints| {
        let (region_id, jitter) = (region_id.clone(), cloud.delivery_jitter());
        let filter = sweep.filter.clone();
        RefCell::new(RegionReading::of_endpoints(region_id, filter, endpoints, sweep.limits, jitter, began))
    };
    let readings: Readings<'_> =
        endpoints.iter().map(|(id, endpoints)| (id, new(id, endpoints.clone()))).collect();
    let result = read_all(&readings, &Errors::default(), cloud, sweep, clock, Some(until), &|_| {}).await;
    let expired = expired(&result);
    let mut unread = NotReadAgain { credentials: result.err(), ..NotReadAgain::default() };
    for (region_id, reading) in readings {
        let mut reading = reading.into_inner();
        reading.expire(&expired);
        plan.read_again(region_id, &reading, sweep.rules);
        unread.add(reading.unread());
    }
    plan.completed_at = date(clock.now(), cloud, clock);
    unread
}

impl NotReadAgain {
    fn add(&mut self, (endpoints, code): (usize, Option<ErrorCode>)) {
        self.endpoints += endpoints;
        self.code = self.code.take().or(code);
    }
}
