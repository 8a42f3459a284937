//! The reading of one region: its endpoints, the groups of each, and the endpoints again, until the list names none that was
//! not read.
//!
//! It says which call may be made next and takes the results in any order, so that a caller can make several calls at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Limits, scope};
use crate::alibaba::codes::ErrorKind;
use crate::alibaba::error::{CallError, ErrorCode, NoResponse};
use crate::alibaba::pages::{Bounds, Page, Pages, Turn};
use crate::alibaba::privatelink::{Action, EndpointFilter, Read};
use crate::alibaba::records::{Endpoint, EndpointType, SecurityGroup};
use crate::alibaba::response::Response;
use crate::alibaba::settling::Settling;
use crate::request::EndpointId;

/// Far more endpoints than a region has, even in pages of one.
const ENDPOINTS: Bounds = Bounds { pages_max: 100_000, items_max: 100_000 };

/// What a region's reading needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// This call, now. Its result is passed back with the ticket.
    Call(Ticket, Read),
    /// Nothing before then, unless the result of a call arrives.
    Wait(Instant),
    /// Nothing before the result of a call arrives.
    InFlight,
    /// Nothing: the region was read, as far as it could be.
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

/// How far an endpoint was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// A page is to be read: the next one, or the first.
    Pending { next_token: Option<String> },
    /// All its groups were read.
    Read(Vec<SecurityGroup>),
    /// It disappeared.
    Gone,
    /// Its groups could not be read.
    Unread(ErrorCode),
}

/// One endpoint of the scope.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) record: Endpoint,
    pub(super) progress: Progress,
    pages: Pages<SecurityGroup>,
    settling: Settling,
    lists: u32,
    errors: u32,
    /// Whether the latest list of endpoints does not name it. One such list may be a mistake; after two it is gone.
    is_missing: bool,
}

/// Where the list of endpoints stands.
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

/// The reading of one region.
#[derive(Debug, Clone)]
pub struct RegionReading {
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
    /// Whether the list of endpoints must be read again: since it was complete an endpoint was read, or it lacks one that the
    /// list before it had.
    must_relist: bool,
}

impl RegionReading {
    /// A reading that begins now. `rng` is the source of jitter.
    #[must_use]
    pub fn new(filter: EndpointFilter, limits: Limits, rng: fastrand::Rng, now: Instant) -> Self {
        Self {
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
        }
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

    /// Gives up: what is not read by now stays unread.
    pub fn expire(&mut self) {
        let code = || ErrorCode::from(NoResponse::Timeout);
        self.due.clear();
        if self.listing != Listing::Complete {
            self.listing = Listing::Failed(code());
        }
        for reading in self.endpoints.values_mut() {
            if matches!(reading.progress, Progress::Pending { .. }) {
                reading.progress = Progress::Unread(code());
            }
        }
    }

    fn on_endpoints(&mut self, page: Page<Endpoint>, now: Instant) {
        match self.pages.add(page) {
            Turn::More(token) => self.listing = Listing::Due { at: now, next_token: Some(token) },
            Turn::Broken => self.list_again(&unreadable(), now),
            Turn::Complete(list) => match ids(list.items) {
                Some(listed) => self.on_list(listed, now),
                None => self.list_again(&unreadable(), now),
            },
        }
    }

    /// The list is complete: reads what is new in it, and forgets what is no longer in it.
    fn on_list(&mut self, listed: BTreeMap<EndpointId, Endpoint>, now: Instant) {
        self.listing = Listing::Complete;
        self.listing_errors = 0;
        self.must_relist = false;
        for (id, reading) in &mut self.endpoints {
            let was_missing = std::mem::replace(&mut reading.is_missing, !listed.contains_key(id));
            if reading.is_missing && was_missing {
                reading.progress = Progress::Gone;
            }
            self.must_relist |= reading.is_missing && reading.progress != Progress::Gone;
        }
        for (id, record) in listed {
            if !scope::contains(&self.filter, &record) {
                continue;
            }
            if record.endpoint_type == Some(EndpointType::GatewayLoadBalancer) {
                self.skipped.insert(record.id);
                continue;
            }
            let is_new = match self.endpoints.get_mut(&id) {
                None => true,
                Some(reading) => {
                    reading.record = record.clone();
                    // Not found, although it is still listed.
                    reading.progress == Progress::Gone
                }
            };
            if is_new {
                self.endpoints.insert(id.clone(), Reading::new(record));
                self.due.insert((now, id));
            }
        }
        // An empty list is read again as well: it can be a mistake of one response.
        self.must_relist |= !self.due.is_empty() || self.relists == 0;
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
        match self.retry_after(error, self.listing_errors) {
            Some(after) => {
                self.listing_errors += u32::from(error.kind != ErrorKind::Throttled);
                self.listing = Listing::Due { at: now + after, next_token: None };
            }
            None => self.listing = Listing::Failed(error.code.clone()),
        }
    }

    fn on_groups(&mut self, id: EndpointId, result: Result<Response, CallError>, now: Instant) {
        let limits = self.limits;
        let Some(reading) = self.endpoints.get_mut(&id) else { return };
        self.must_relist = true;
        let error = match result {
            Ok(Response::SecurityGroups(page)) => match reading.pages.add(page) {
                Turn::More(token) => {
                    reading.progress = Progress::Pending { next_token: Some(token) };
                    self.due.insert((now, id));
                    return;
                }
                Turn::Complete(list) => {
                    reading.errors = 0;
                    reading.lists += 1;
                    let items = list.items.clone();
                    if reading.settling.add(list, limits.empty_list_for, now) {
                        reading.progress = Progress::Read(items);
                        return;
                    }
                    if reading.lists >= limits.lists_max {
                        reading.progress = Progress::Unread(NoResponse::UnreadableAnswer.into());
                        return;
                    }
                    let settles_in = reading.settling.settles_in(limits.empty_list_for, now);
                    reading.progress = Progress::Pending { next_token: None };
                    self.due.insert((now + settles_in.max(limits.repeat_after), id));
                    return;
                }
                Turn::Broken => unreadable(),
            },
            Ok(_) => unreadable(),
            Err(error) if error.kind == ErrorKind::EndpointNotFound && !reading.pages.is_begun() => {
                reading.progress = Progress::Gone;
                return;
            }
            Err(error) => error,
        };
        reading.pages = Pages::default();
        let errors = reading.errors;
        let after = self.retry_after(&error, errors);
        let Some(reading) = self.endpoints.get_mut(&id) else { return };
        match after {
            Some(after) => {
                reading.errors += u32::from(error.kind != ErrorKind::Throttled);
                reading.progress = Progress::Pending { next_token: None };
                self.due.insert((now + after, id));
            }
            None => reading.progress = Progress::Unread(error.code),
        }
    }

    /// The wait before a call is repeated after an error that follows `errors` others, or `None` if it is not repeated.
    fn retry_after(&mut self, error: &CallError, errors: u32) -> Option<Duration> {
        let is_permanent = matches!(error.kind, ErrorKind::Denied | ErrorKind::Refused);
        if is_permanent || (errors >= self.limits.errors_max && error.kind != ErrorKind::Throttled) {
            return None;
        }
        let backoff = self.limits.backoff.after(errors, &mut self.rng);
        Some(backoff.max(error.retry_after.unwrap_or_default()))
    }

    pub(super) fn endpoints(&self) -> &BTreeMap<EndpointId, Reading> {
        &self.endpoints
    }

    pub(super) fn skipped(&self) -> usize {
        self.skipped.len()
    }

    /// Why the list of endpoints is not known, if it is not.
    pub(super) fn list_error(&self) -> Option<ErrorCode> {
        match &self.listing {
            Listing::Complete => None,
            Listing::Failed(code) => Some(code.clone()),
            Listing::Due { .. } | Listing::InFlight => Some(NoResponse::Timeout.into()),
        }
    }
}

impl Reading {
    fn new(record: Endpoint) -> Self {
        Self {
            record,
            progress: Progress::Pending { next_token: None },
            pages: Pages::default(),
            settling: Settling::default(),
            lists: 0,
            errors: 0,
            is_missing: false,
        }
    }
}

/// The endpoints by their ids; `None` if one has an id with which it cannot be read.
fn ids(endpoints: Vec<Endpoint>) -> Option<BTreeMap<EndpointId, Endpoint>> {
    endpoints.into_iter().map(|endpoint| Some((EndpointId::parse(&endpoint.id)?, endpoint))).collect()
}

fn unreadable() -> CallError {
    CallError::no_response(Action::ListEndpoints, NoResponse::UnreadableAnswer)
}
