//! The reading of one endpoint's groups, page by page, until a complete list counts.

use std::time::Instant;

use super::Limits;
use crate::alibaba::codes::ErrorKind;
use crate::alibaba::error::{CallError, ErrorCode};
use crate::alibaba::pages::{List, Pages, Turn};
use crate::alibaba::privatelink::Action;
use crate::alibaba::records::{Endpoint, EndpointStatus, SecurityGroup};
use crate::alibaba::response::Response;
use crate::alibaba::settling::Settling;
use crate::transport::NoResponse;

/// How far an endpoint was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// A page is to be read: the next one, or the first.
    Pending { next_token: Option<String> },
    /// All its groups were read.
    Read(Vec<SecurityGroup>),
    /// The endpoint disappeared.
    Gone,
    /// Its groups could not be read.
    Unread(ErrorCode),
}

/// One endpoint of the scope.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) record: Endpoint,
    pub(super) progress: Progress,
    /// Whether the latest list of endpoints lacks it. One such list may be a mistake; after two the endpoint counts as deleted.
    pub(super) is_missing: bool,
    pages: Pages<SecurityGroup>,
    settling: Settling,
    lists: u32,
    errors: u32,
}

impl Reading {
    pub(super) fn new(record: Endpoint) -> Self {
        Self {
            record,
            progress: Progress::Pending { next_token: None },
            is_missing: false,
            pages: Pages::default(),
            settling: Settling::default(),
            lists: 0,
            errors: 0,
        }
    }

    /// Whether a group that this reading did not find is proved absent from the endpoint: a list of endpoints that was
    /// read after the groups lacks the endpoint, or contains a stable record of it, so no task is attaching the group.
    ///
    /// `has_list`: whether such a list was read.
    pub(super) fn proves_absence(&self, has_list: bool) -> bool {
        let is_stable = matches!(self.record.status, Some(EndpointStatus::Active | EndpointStatus::Deleting));
        match self.progress {
            Progress::Read(_) => has_list && (self.is_missing || is_stable),
            Progress::Gone => has_list && self.is_missing,
            Progress::Pending { .. } | Progress::Unread(_) => false,
        }
    }

    /// Takes the result of a page. Returns when the next one is due; `None` if no further one is needed.
    pub(super) fn add(
        &mut self,
        result: Result<Response, CallError>,
        limits: &Limits,
        rng: &mut fastrand::Rng,
        now: Instant,
    ) -> Option<Instant> {
        let error = match result {
            Ok(Response::SecurityGroups(page)) => match self.pages.add(page) {
                Turn::More(token) => {
                    self.progress = Progress::Pending { next_token: Some(token) };
                    return Some(now);
                }
                Turn::Complete(list) => return self.on_list(list, limits, now),
                Turn::Broken => unreadable(),
            },
            Ok(_) => unreadable(),
            Err(error) if error.kind == ErrorKind::EndpointNotFound && !self.pages.is_begun() => {
                self.progress = Progress::Gone;
                return None;
            }
            Err(error) => error,
        };
        self.on_error(error, limits, rng, now)
    }

    /// The list is complete: it counts, or it is read again.
    fn on_list(&mut self, list: List<SecurityGroup>, limits: &Limits, now: Instant) -> Option<Instant> {
        self.errors = 0;
        self.lists += 1;
        let items = list.items.clone();
        if self.settling.add(list, limits.empty_list_for, now) {
            self.progress = Progress::Read(items);
            return None;
        }
        if self.lists >= limits.lists_max {
            self.progress = Progress::Unread(NoResponse::UnreadableAnswer.into());
            return None;
        }
        self.progress = Progress::Pending { next_token: None };
        let settles_in = self.settling.settles_in(limits.empty_list_for, now);
        Some(now + settles_in.max(limits.repeat_after))
    }

    /// Begins the list again, unless that does not help.
    fn on_error(
        &mut self,
        error: CallError,
        limits: &Limits,
        rng: &mut fastrand::Rng,
        now: Instant,
    ) -> Option<Instant> {
        self.pages = Pages::default();
        let Some(after) = limits.retry_after(&error, self.errors, rng) else {
            self.progress = Progress::Unread(error.code);
            return None;
        };
        self.errors += u32::from(error.kind != ErrorKind::Throttled);
        self.progress = Progress::Pending { next_token: None };
        Some(now + after)
    }
}

fn unreadable() -> CallError {
    CallError::no_response(Action::ListSecurityGroups, NoResponse::UnreadableAnswer)
}
