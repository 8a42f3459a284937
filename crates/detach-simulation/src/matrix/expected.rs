//! How a case must end: a table of its own, written from the service's documentation and from what is promised about
//! outcomes. Nothing in it asks the worker's own table.

use http::StatusCode;
use privatelink_simulator::{Effect, codes};

use super::reference::Place;
use super::{Attempt, Case, DETACH, Moment};
use crate::meaning::{Meaning, of_code};

/// How a case must end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// The only event's outcome.
    pub(super) outcome: &'static str,
    /// Its reason's code, if it has a reason.
    pub(super) reason: Option<String>,
    /// Words that its reason's message must have.
    pub(super) message: String,
    /// What its `effort` counts among the retries, if anything must be there.
    pub(super) retried: Option<String>,
    /// Whether the dead-letter queue has a copy.
    pub(super) is_copied: bool,
    /// Whether the group is off the endpoint once nothing is under way.
    pub(super) is_gone: bool,
}

/// What a fault means.
pub(super) fn meaning(effect: &Effect) -> Meaning {
    let passes = |name: &str| Meaning::Passes(name.to_owned());
    match effect {
        Effect::ActualResponse | Effect::AcceptedWithoutEffect | Effect::AcceptedThenFails => {
            Meaning::Deceives
        }
        Effect::Hang => passes("Timeout"),
        Effect::Reset | Effect::Truncated => passes("ConnectionLost"),
        Effect::NonJson { status, .. } if *status == StatusCode::OK => passes("UnreadableAnswer"),
        // A status without a code is never a refusal.
        Effect::NonJson { status, .. } => passes(&format!("Http{}", status.as_u16())),
        Effect::Redirect { .. } => passes("Http302"),
        Effect::Empty
        | Effect::Oversized { .. }
        | Effect::RepeatNextToken
        | Effect::OverstatedTotal { .. }
        | Effect::RepeatedItem => passes("UnreadableAnswer"),
        Effect::Code { code, status, .. } => {
            of_code(code, status.unwrap_or_else(|| codes::status_of(code)).as_u16())
        }
    }
}

/// How a case must end.
pub(super) fn end(case: &Case<'_>, place: Place) -> End {
    let meaning = meaning(&case.ill.effect);
    let is_write = case.action == DETACH;
    let is_lasting = case.attempt == Attempt::Every;
    // Deceits are carried out in any case, and so is whatever comes before its answer is lost.
    let is_carried_out = is_write && case.moment == Moment::AfterExecution;
    // What had been accepted when the process died, or when the fault struck.
    let is_accepted = match case.moment {
        Moment::AfterAnswer => place.is_after_acceptance || place.is_acceptance,
        Moment::BeforeExecution => place.is_after_acceptance,
        Moment::AfterExecution => place.is_after_acceptance || (is_write && place.is_acceptance),
    };
    let no = |code: String, is_copied| End {
        outcome: "refused",
        reason: Some(code),
        message: String::new(),
        retried: None,
        is_copied,
        is_gone: is_accepted,
    };
    let is_later_page = case.attempt == Attempt::LaterPage;
    match meaning {
        // A list of which one page is missing says nothing. But permission is not a matter of pages.
        Meaning::Refuses(code) if is_later_page => passing(case, is_accepted, Some(code)),
        Meaning::Refuses(code) => no(code, false),
        Meaning::Denies(code) => no(code, true),
        // A look shows that it is gone, if the write was carried out; otherwise it shows the group.
        Meaning::NotAttached(code) if is_write && !is_accepted => no(code, false),
        Meaning::Forbids(code) if is_write && is_lasting && !is_carried_out => no(code, false),
        Meaning::Deceives if is_lasting => unconfirmed("last error: ".to_owned()),
        Meaning::Deceives => passing(case, is_accepted, None),
        // A write whose every answer is lost is done all the same, and a look shows it.
        Meaning::Passes(name) | Meaning::Forbids(name) | Meaning::NotAttached(name)
            if is_lasting && !is_carried_out =>
        {
            unconfirmed(format!("last error: {name}"))
        }
        Meaning::Passes(name) | Meaning::Forbids(name) | Meaning::NotAttached(name) => {
            passing(case, is_accepted, Some(name))
        }
    }
}

/// It passed, and the group was taken off: by this delivery, unless the one that died had done it.
fn passing(case: &Case<'_>, is_accepted: bool, retried: Option<String>) -> End {
    let is_before = case.moment == Moment::AfterAnswer && is_accepted;
    End {
        outcome: if is_before { "already_detached" } else { "detached" },
        reason: None,
        message: String::new(),
        retried,
        is_copied: false,
        is_gone: true,
    }
}

fn unconfirmed(message: String) -> End {
    End {
        outcome: "unconfirmed",
        reason: Some("DeadlineExceeded".to_owned()),
        message,
        retried: None,
        is_copied: true,
        is_gone: false,
    }
}
