//! The reading of one region: the list of endpoints, the groups of each, and the list again, until it names no endpoint that
//! was not read.
//!
//! It returns the call that may be made next, and accepts results in any order, so that a caller can make several calls at
//! the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::endpoint::{Progress, Reading};
use super::{Limits, scope};
use crate::alibaba::codes::ErrorKind;
use crate::alibaba::error::{CallError, ErrorCode};
use crate::alibaba::pages::{Bounds, Page, Pages, Turn};
use crate::alibaba::privatelink::{Action, EndpointFilter, Read};
use crate::alibaba::records::{Endpoint, EndpointType};
use crate::alibaba::response::Response;
use crate::request::{EndpointId, RegionId};
use crate::transport::NoResponse;

/// Far more endpoints than a region has, even with one endpoint on each page.
const ENDPOINTS: Bounds = Bounds { pages_max: 100_000, items_max: 100_000 };

/// What a region's reading needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This call, now. Its result is passed back with the ticket.
    Call(Ticket, Read),
    /// No call before this moment, unless the result of another call arrives.
    Wait(Instant),
    /// No call before the result of another call arrives.
    InFlight,
    /// No further call: the region was read, as far as possible.
    Done,
}

/// Which part of the reading a call belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ticket {
    /// A page of the list of endpoints.
    Endpoints,
    /// A page of this endpoint's groups.
    SecurityGroups(EndpointId),
}

/// The state of the list of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Listing {
    /// A page is due at that moment: the next one, or the first.
    Due {
        at: Instant,
        next_token: Option<String>,
    },
    InFlight,
    Complete,
    Failed(ErrorCode),
}

/// How many endpoints of a region were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Endpoints listed so far that have groups.
    pub listed: usize,
    /// Those of them that need no further call at the moment.
    pub read: usize,
    /// Endpoints without groups.
    pub skipped: usize,
}

/// The reading of one region.
#[derive(Debug, Clone)]
pub struct RegionReading {
    region_id: RegionId,
    filter: EndpointFilter,
    limits: Limits,
    rng: fastrand::Rng,
    listing: Listing,
    pages: Pages<Endpoint>,
    listing_errors: u32,
    /// How often the list was read again.
    relists: u32,
    endpoints: BTreeMap<EndpointId, Reading>,
    /// When each endpoint's next page is due.
    due: BTreeSet<(Instant, EndpointId)>,
    in_flight: u32,
    /// Endpoints of the scope that have no security groups.
    skipped: BTreeSet<String>,
    /// Whether the list of endpoints must be read again: an endpoint was read after the list was complete, or the list lacks an
    /// endpoint that the previous list had.
    must_relist: bool,
    /// Whether only the given endpoints are read: others in the list are ignored.
    is_limited: bool,
}

impl RegionReading {
    /// A reading that begins now. `rng` is the source of jitter.
    #[must_use]
    pub fn new(
        region_id: RegionId,
        filter: EndpointFilter,
        limits: Limits,
        rng: fastrand::Rng,
        now: Instant,
    ) -> Self {
        Self {
            region_id,
            filter,
            limits,
            rng,
            listing: Listing::Due { at: now, next_token: None },
            pages: Pages::within(ENDPOINTS),
            listing_errors: 0,
            relists: 0,
            endpoints: BTreeMap::new(),
            due: BTreeSet::new(),
            in_flight: 0,
            skipped: BTreeSet::new(),
            must_relist: false,
            is_limited: false,
        }
    }

    /// A reading of endpoints that an earlier list with this filter contained: first their groups, then the list, for
    /// their records.
    #[must_use]
    pub fn of_endpoints(
        region_id: RegionId,
        filter: EndpointFilter,
        endpoints: impl IntoIterator<Item = (EndpointId, Endpoint)>,
        limits: Limits,
        rng: fastrand::Rng,
        now: Instant,
    ) -> Self {
        let endpoints = endpoints.into_iter().map(|(id, record)| (id, Reading::new(record)));
        let endpoints: BTreeMap<_, _> = endpoints.collect();
        let due = endpoints.keys().map(|id| (now, id.clone())).collect();
        let listing = Listing::Complete;
        let whole = Self::new(region_id, filter, limits, rng, now);
        Self { listing, endpoints, due, must_relist: true, is_limited: true, ..whole }
    }

    /// What to do at this moment. A call that it returns counts as made.
    pub fn next(&mut self, now: Instant) -> Next {
        if let Listing::Due { at, next_token } = &self.listing
            && *at <= now
        {
            let call = Read::Endpoints { filter: self.filter.clone(), next_token: next_token.clone() };
            self.listing = Listing::InFlight;
            self.in_flight += 1;
            return Next::Call(Ticket::Endpoints, call);
        }
        let first_due = self.due.first().cloned();
        if let Some((at, id)) = first_due.clone().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, id.clone()));
            let next_token = match self.endpoints.get(&id).map(|reading| &reading.progress) {
                Some(Progress::Pending { next_token }) => next_token.clone(),
                _ => None,
            };
            self.in_flight += 1;
            let call = Read::SecurityGroups { endpoint_id: id.clone(), next_token };
            return Next::Call(Ticket::SecurityGroups(id), call);
        }
        let listing_due = match &self.listing {
            Listing::Due { at, .. } => Some(*at),
            Listing::InFlight | Listing::Complete | Listing::Failed(_) => None,
        };
        let first_due = first_due.map(|(at, _)| at);
        match listing_due.into_iter().chain(first_due).min() {
            Some(at) => Next::Wait(at),
            None if self.in_flight > 0 => Next::InFlight,
            None => Next::Done,
        }
    }

    /// Takes the result of a call that [`Self::next`] returned.
    pub fn add(&mut self, ticket: Ticket, result: Result<Response, CallError>, now: Instant) {
        self.in_flight -= 1;
        match (ticket, result) {
            (Ticket::Endpoints, Ok(Response::Endpoints(page))) => self.on_endpoints(page, now),
            (Ticket::Endpoints, Ok(_)) => self.list_again(&unreadable(), now),
            (Ticket::Endpoints, Err(error)) => self.list_again(&error, now),
            (Ticket::SecurityGroups(id), result) => self.on_groups(id, result, now),
        }
        let is_settled = self.in_flight == 0 && self.due.is_empty();
        if is_settled && self.listing == Listing::Complete && self.must_relist {
            self.relist(now);
        }
    }

    /// Ends the reading: what was not read until now stays unread, with this code.
    pub fn expire(&mut self, code: &ErrorCode) {
        self.due.clear();
        if matches!(self.listing, Listing::Due { .. } | Listing::InFlight) {
            self.listing = Listing::Failed(code.clone());
        }
        for reading in self.endpoints.values_mut() {
            if matches!(reading.progress, Progress::Pending { .. }) {
                reading.progress = Progress::Unread(code.clone());
            }
        }
    }

    fn on_endpoints(&mut self, page: Page<Endpoint>, now: Instant) {
        match self.pages.add(page) {
            Turn::More(token) => self.listing = Listing::Due { at: now, next_token: Some(token) },
            Turn::Broken => self.list_again(&unreadable(), now),
            Turn::Complete(list) => match self.by_id(list.items) {
                Some(mut listed) => {
                    listed.retain(|_, record| scope::contains(&self.filter, record));
                    self.on_list(listed, now);
                }
                None => self.list_again(&unreadable(), now),
            },
        }
    }

    /// The list of the scope is complete: reads what is new in it, and forgets what is no longer in it.
    fn on_list(&mut self, listed: BTreeMap<EndpointId, Endpoint>, now: Instant) {
        self.listing = Listing::Complete;
        self.listing_errors = 0;
        self.must_relist = false;
        for (id, reading) in &mut self.endpoints {
            let was_missing = std::mem::replace(&mut reading.is_missing, !listed.contains_key(id));
            if self.is_limited {
                // One list that lacks the endpoint is enough here: `proves_absence` decides.
                continue;
            }
            if reading.is_missing && was_missing {
                reading.progress = Progress::Gone;
            }
            self.must_relist |= reading.is_missing && reading.progress != Progress::Gone;
        }
        for (id, record) in listed {
            if record.endpoint_type == Some(EndpointType::GatewayLoadBalancer) {
                self.skipped.insert(record.id);
                continue;
            }
            let is_new = match self.endpoints.get_mut(&id) {
                None => !self.is_limited,
                Some(reading) => {
                    reading.record = record.clone();
                    // Its read ended with EndpointNotFound, although it is still listed.
                    reading.progress == Progress::Gone
                }
            };
            if is_new {
                self.endpoints.insert(id.clone(), Reading::new(record));
                self.due.insert((now, id));
            }
        }
        // An empty list is read again, too: one response can be wrong.
        self.must_relist |= !self.due.is_empty() || self.relists == 0;
    }

    /// The endpoints by their ids; `None` if one has an id with which it cannot be read, or is of another region.
    fn by_id(&self, endpoints: Vec<Endpoint>) -> Option<BTreeMap<EndpointId, Endpoint>> {
        let is_elsewhere = |id: &String| id != self.region_id.as_str();
        let by_id = endpoints.into_iter().map(|endpoint| {
            let id = EndpointId::parse(&endpoint.id)?;
            (!endpoint.region_id.as_ref().is_some_and(is_elsewhere)).then_some((id, endpoint))
        });
        by_id.collect()
    }

    fn relist(&mut self, now: Instant) {
        self.relists += 1;
        self.listing = if self.relists > self.limits.relists_max {
            Listing::Failed(NoResponse::UnreadableAnswer.into())
        } else {
            Listing::Due { at: now, next_token: None }
        };
    }

    /// An error of the list: reads it again from its beginning, unless that does not help.
    fn list_again(&mut self, error: &CallError, now: Instant) {
        self.pages = Pages::within(ENDPOINTS);
        match self.limits.retry_after(error, self.listing_errors, &mut self.rng) {
            Some(after) => {
                self.listing_errors += u32::from(error.kind != ErrorKind::Throttled);
                self.listing = Listing::Due { at: now + after, next_token: None };
            }
            None => self.listing = Listing::Failed(error.code.clone()),
        }
    }

    fn on_groups(&mut self, id: EndpointId, result: Result<Response, CallError>, now: Instant) {
        let Some(reading) = self.endpoints.get_mut(&id) else { return };
        if let Some(at) = reading.add(result, &self.limits, &mut self.rng, now) {
            self.due.insert((at, id));
        }
    }

    /// How many endpoints were read.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let lists_in_flight = u32::from(self.listing == Listing::InFlight);
        let unread = self.due.len() + self.in_flight.saturating_sub(lists_in_flight) as usize;
        Counts {
            listed: self.endpoints.len().max(self.pages.count()),
            read: self.endpoints.len().saturating_sub(unread),
            skipped: self.skipped.len(),
        }
    }

    /// The number of endpoints that could not be read, and the code of one error. Without a list of endpoints, no
    /// endpoint counts as read.
    #[must_use]
    pub fn unread(&self) -> (usize, Option<ErrorCode>) {
        if let Some(code) = self.list_error() {
            return (self.endpoints.len(), Some(code));
        }
        let mut codes = self.endpoints.values().filter_map(|one| match &one.progress {
            Progress::Unread(code) => Some(code.clone()),
            Progress::Pending { .. } | Progress::Read(_) | Progress::Gone => None,
        });
        let first = codes.next();
        (codes.count() + usize::from(first.is_some()), first)
    }

    pub(super) fn endpoints(&self) -> &BTreeMap<EndpointId, Reading> {
        &self.endpoints
    }

    pub(super) fn skipped(&self) -> usize {
        self.skipped.len()
    }

    /// Why the list of endpoints could not be read; `None` if it was read.
    pub(super) fn list_error(&self) -> Option<ErrorCode> {
        match &self.listing {
            Listing::Complete => None,
            Listing::Failed(code) => Some(code.clone()),
            Listing::Due { .. } | Listing::InFlight => Some(NoResponse::Timeout.into()),
        }
    }
}

fn unreadable() -> CallError {
    CallError::no_response(Action::ListEndpoints, NoResponse::UnreadableAnswer)
}
