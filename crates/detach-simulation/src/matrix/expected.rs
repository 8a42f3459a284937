//! The expected end of each case: a separate table, written from the service's documentation and from the guarantees
//! about outcomes. It does not use the worker's own table.

use http::StatusCode;
use privatelink_simulator::{Effect, codes};

use super::reference::Place;
use super::{ATTACH, Attempt, Case, Moment};
use crate::meaning::{Meaning, concerns_credentials, of_code};

/// The expected end of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// The only event's outcome.
    pub(super) outcome: &'static str,
    /// None if the event has no reason.
    pub(super) reason: Option<String>,
    /// Text that the reason's message must contain.
    pub(super) message: String,
    /// A name that the event's `effort` must count among the retries.
    pub(super) retried: Option<String>,
    pub(super) is_copied: bool,
    /// Whether the group is detached after all tasks have ended.
    pub(super) is_detached: bool,
    /// In the cases of an attach: whether the replacement is attached then.
    pub(super) is_replaced: bool,
}

pub(super) fn meaning(effect: &Effect) -> Meaning {
    let transient = |name: &str| Meaning::Transient(name.to_owned());
    match effect {
        Effect::ActualResponse | Effect::AcceptedWithoutEffect | Effect::AcceptedThenFails => {
            Meaning::FalseSuccess
        }
        Effect::Hang => transient("Timeout"),
        Effect::Reset | Effect::Truncated => transient("ConnectionLost"),
        Effect::NonJson { status, .. } if *status == StatusCode::OK => transient("UnreadableAnswer"),
        // A status without a code is never a refusal.
        Effect::NonJson { status, .. } => transient(&format!("Http{}", status.as_u16())),
        Effect::Redirect { .. } => transient("Http302"),
        // A success that quotes a code of an error contradicts itself.
        Effect::Code { status: Some(StatusCode::OK), .. }
        | Effect::Empty
        | Effect::Oversized { .. }
        | Effect::RepeatNextToken
        | Effect::OverstatedTotal { .. }
        | Effect::RepeatedItem
        | Effect::ItemField { .. }
        | Effect::Unsuccessful => transient("UnreadableAnswer"),
        Effect::UnderstatedTotal { .. } | Effect::EmptyList => {
            unreachable!("a lasting one is a wrong list, which no client can recognize")
        }
        Effect::Code { code, status, .. } => {
            of_code(code, status.unwrap_or_else(|| codes::status_of(code)).as_u16())
        }
    }
}

/// Whether the response says that the worker's credentials are wrong or expired.
fn is_about_credentials(effect: &Effect) -> bool {
    let Effect::Code { code, status, .. } = effect else { return false };
    concerns_credentials(code, status.unwrap_or_else(|| codes::status_of(code)).as_u16())
}

/// The expected end of a case.
pub(super) fn end(case: &Case<'_>, place: Place) -> End {
    let meaning = meaning(&case.fault.effect);
    let is_write = case.is_of_write();
    let is_lasting = case.attempt == Attempt::Every;
    // Whether the write was executed before its response was lost. False successes do not depend on it.
    let is_executed = is_write && case.moment == Moment::AfterExecution;
    // Whether the write, of reads a Detach, was accepted before the process was killed, or before the fault occurred.
    let is_accepted = match case.moment {
        Moment::AfterResponse => place.is_after_acceptance || place.is_acceptance,
        Moment::BeforeExecution => place.is_after_acceptance,
        Moment::AfterExecution => place.is_after_acceptance || (is_write && place.is_acceptance),
    };
    let is_attach = case.action == ATTACH;
    let no = |code: String, is_copied| End {
        outcome: "refused",
        // Alibaba Cloud's code is in the message.
        reason: Some(if is_attach { "ReplacementNotAttached".to_owned() } else { code.clone() }),
        message: if is_attach { code } else { String::new() },
        retried: None,
        is_copied,
        is_detached: is_accepted && !is_attach,
        is_replaced: is_accepted && is_attach,
    };
    let is_later_page = case.attempt == Attempt::LaterPage;
    match meaning {
        // A list without one of its pages is inconclusive.
        Meaning::Refused(code) | Meaning::Denied(code) | Meaning::Unlisted(code) if is_later_page => {
            completes(case, is_accepted, Some(code))
        }
        Meaning::Refused(code) => no(code, false),
        Meaning::Denied(code) => no(code, true),
        // The first write meets the other client's lock; the second is executed, if writes are, and is the last.
        Meaning::Unlisted(code) if is_lasting && is_write => {
            let (is_detached, is_replaced) = (is_executed && !is_attach, is_executed && is_attach);
            End { is_detached, is_replaced, ..no(code, true) }
        }
        Meaning::Unlisted(code) if is_lasting => no(code, true),
        // The replacement does not exist.
        Meaning::NotAttached(code) if is_attach => no(code, false),
        // If the write was executed, a read confirms the detach; otherwise it shows the group.
        Meaning::NotAttached(code) if is_write && !is_accepted => no(code, false),
        Meaning::WrongState(code) if is_write && is_lasting && !is_executed => no(code, false),
        Meaning::FalseSuccess if is_lasting => unconfirmed("last error: ".to_owned()),
        Meaning::FalseSuccess => completes(case, is_accepted, None),
        // A list of groups in several pages must repeat; until then its record does not matter.
        Meaning::Transient(_) if !is_lasting && matches!(case.fault.effect, Effect::ItemField { .. }) => {
            completes(case, is_accepted, None)
        }
        // A write whose responses are all lost is executed anyway, and a read confirms it.
        Meaning::Transient(name) | Meaning::WrongState(name) | Meaning::NotAttached(name)
            if is_lasting && !is_executed =>
        {
            unconfirmed(format!("last error: {name}"))
        }
        // The key in the environment is refused, and no write of this delivery is under way: it ends. The retry is the next
        // delivery, whose event counts its own only.
        Meaning::Transient(_)
            if !is_write
                && is_about_credentials(&case.fault.effect)
                && (!place.is_after_acceptance || case.moment == Moment::AfterResponse) =>
        {
            completes(case, is_accepted, None)
        }
        Meaning::Transient(name)
        | Meaning::WrongState(name)
        | Meaning::NotAttached(name)
        | Meaning::Unlisted(name) => completes(case, is_accepted, Some(name)),
    }
}

/// The fault is transient, and the group is detached: by this delivery, unless the killed one did it.
fn completes(case: &Case<'_>, is_accepted: bool, retried: Option<String>) -> End {
    let is_before = case.moment == Moment::AfterResponse && is_accepted && case.action != ATTACH;
    End {
        outcome: if is_before { "already_detached" } else { "detached" },
        reason: None,
        message: String::new(),
        retried,
        is_copied: false,
        is_detached: true,
        is_replaced: case.action == ATTACH,
    }
}

fn unconfirmed(message: String) -> End {
    End {
        outcome: "unconfirmed",
        reason: Some("DeadlineExceeded".to_owned()),
        message,
        retried: None,
        is_copied: true,
        is_detached: false,
        is_replaced: false,
    }
}
