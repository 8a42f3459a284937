//! Carries out the reading of a sweep: the calls that [`crate::sweep`] decides, in several regions at once, within a share
//! of the quotas.
//!
//! It contains no rule about references. It decides when a call is sent, and ends the sweep if the credentials are rejected.

mod again;
mod existence;
mod region;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::{Either, select};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::cloud::Cloud;
use super::pace::Pace;
use super::time_budget::Responses;
use crate::alibaba::credentials::CredentialProblem;
use crate::alibaba::error::{CallError, ErrorCode};
use crate::alibaba::privatelink::EndpointFilter;
use crate::alibaba::response::Response;
use crate::alibaba::services::Services;
use crate::clock::{Clock, shifted};
use crate::request::{RegionId, Rules, SecurityGroupId};
use crate::sweep::{Limits, Plan, RegionReading, security_groups_found};
use crate::transport::NoResponse;
use crate::transport::Transport;
use existence::Existence;
use region::Reader;

pub use again::{Endpoints, NotReadAgain, endpoints_of, read_again};

/// How many regions are read at the same time. All their calls in flight need fewer connections than the 256 open files that
/// some systems allow a process.
const REGIONS_MAX: usize = 8;

/// How long the check of the groups' existence may continue after the reading. The check starts together with the reading, so
/// it takes that long only if ECS does not respond.
const CHECK_TIME_MAX: Duration = Duration::from_secs(5);

/// What a sweep reads.
#[derive(Debug, Clone, Copy)]
pub struct Sweep<'a> {
    pub security_group_ids: &'a [SecurityGroupId],
    pub region_ids: &'a [RegionId],
    pub filter: &'a EndpointFilter,
    pub rules: &'a Rules,
    pub limits: Limits,
    pub pace: Pace,
}

/// What a sweep has read.
#[derive(Debug)]
pub struct Swept {
    pub plan: Plan,
    /// The problem of the credentials, if it ended the sweep. The plan is then incomplete.
    pub credentials: Option<Rejected>,
    /// The number of calls and the error of the latest one, if none of them got a readable response.
    pub unreachable: Option<(u32, CallError)>,
    /// The first error with a code that the table does not know.
    pub unlisted: Option<CallError>,
}

/// What an operator must learn about the errors of a sweep, over all regions.
#[derive(Debug, Default)]
struct Errors {
    responses: Responses,
    unlisted: RefCell<Option<CallError>>,
}

impl Errors {
    fn note(&self, result: &Result<Response, CallError>) {
        self.responses.note(result);
        if let Err(error) = result
            && error.is_unlisted
        {
            self.unlisted.borrow_mut().get_or_insert_with(|| error.clone());
        }
    }
}

/// Credentials that ended a reading.
#[derive(Debug)]
pub struct Rejected {
    pub problem: CredentialProblem,
    /// The code of the call that they made fail.
    pub code: ErrorCode,
}

/// How far one region was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    pub region_id: &'a RegionId,
    /// Endpoints listed so far that have groups. The number may grow until the region is read.
    pub listed: usize,
    /// Those of them that need no further call at the moment.
    pub read: usize,
    /// Gateway load balancer endpoints, which have no groups.
    pub skipped: usize,
    /// Calls that have failed so far. Most of them are retried.
    pub failed_calls: u32,
    /// Until when the region is throttled, if it is.
    pub throttled_until: Option<Instant>,
}

/// Reads every endpoint of a sweep's scope. What is not read by `until` stays unread.
///
/// `services` also checks, during the reading, whether the groups exist. `progress` is called after every response.
pub async fn sweep<T: Transport>(
    cloud: &Cloud<T>,
    services: Option<&Services<T>>,
    sweep: &Sweep<'_>,
    clock: &Clock,
    until: Option<Instant>,
    progress: &dyn Fn(&Progress<'_>),
) -> Swept {
    let began = clock.now();
    let new = |region_id: &RegionId| {
        let (region_id, filter) = (region_id.clone(), sweep.filter.clone());
        RegionReading::new(region_id, filter, sweep.limits, cloud.delivery_jitter(), began)
    };
    let readings: Readings<'_> = sweep.region_ids.iter().map(|id| (id, RefCell::new(new(id)))).collect();
    let errors = Errors::default();
    let reading = async {
        let result = read_all(&readings, &errors, cloud, sweep, clock, until, progress).await;
        (result, clock.now())
    };
    let existence = Existence::new(sweep);
    let (result, ended) = match services {
        None => reading.await,
        Some(services) => match select(pin!(reading), pin!(existence.check(cloud, services, clock))).await {
            Either::Right(((), reading)) => reading.await,
            Either::Left(((result, ended), check)) => {
                let check_until = ended + CHECK_TIME_MAX;
                if result.is_ok() {
                    clock.by(until.map_or(check_until, |until| until.min(check_until)), check).await;
                }
                (result, ended)
            }
        },
    };

    let date = |at| date(at, cloud, clock);
    let mut plan = Plan::new(sweep.security_group_ids.to_vec(), date(began));
    let expired = expired(&result);
    for (region_id, reading) in readings {
        let mut reading = reading.into_inner();
        reading.expire(&expired);
        plan.add(region_id, &reading, sweep.rules);
    }
    plan.security_groups_found = security_groups_found(sweep.security_group_ids, &existence.responses());
    plan.completed_at = date(ended);
    let unreachable = errors.responses.all_missing();
    Swept { plan, credentials: result.err(), unreachable, unlisted: errors.unlisted.take() }
}

/// The code of the parts that a reading did not reach: its time ended, or the credentials were rejected.
fn expired(result: &Result<(), Rejected>) -> ErrorCode {
    match result {
        Ok(()) => NoResponse::Timeout.into(),
        Err(rejected) => rejected.code.clone(),
    }
}

/// The readings of several regions.
type Readings<'a> = BTreeMap<&'a RegionId, RefCell<RegionReading>>;

/// Makes the calls of all readings until they are done or until `until`. Rejected credentials end it.
async fn read_all<T: Transport>(
    readings: &Readings<'_>,
    errors: &Errors,
    cloud: &Cloud<T>,
    sweep: &Sweep<'_>,
    clock: &Clock,
    until: Option<Instant>,
    progress: &dyn Fn(&Progress<'_>),
) -> Result<(), Rejected> {
    let regions = readings.iter().map(|(region_id, reading)| {
        Reader { cloud, sweep, region_id, clock, progress, errors, reading, failed_calls: 0 }.read()
    });
    let all = stream::iter(regions).buffer_unordered(REGIONS_MAX).try_collect::<()>();
    match until {
        Some(until) => clock.by(until, all).await.unwrap_or(Ok(())),
        None => all.await,
    }
}

/// The date of a moment. The responses may have corrected the clock.
fn date<T: Transport>(at: Instant, cloud: &Cloud<T>, clock: &Clock) -> SystemTime {
    shifted(clock.wall_of(at), cloud.clock_ahead())
}
