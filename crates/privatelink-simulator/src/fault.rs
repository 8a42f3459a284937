//! Faults on demand: which call meets one, and what happens to its answer.
//!
//! A fault is consulted only for a call that was let in: a wrong signature is refused as always, so that a scenario full
//! of faults still proves that every attempt was signed afresh.

mod json;

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use crate::{action::Action, codes, ids::EndpointId, wire_time::millis};
use json::{CallsJson, headers, location, status};

/// What goes wrong, and with which call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Only calls of this action; every action if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Only calls that name this endpoint. The calls are then counted for that endpoint alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<EndpointId>,
    /// Which of these calls.
    #[serde(default)]
    pub call: Calls,
    /// Whether the call is carried out first. It is in any case for an effect that [`Effect::spoils_a_true_answer`].
    #[serde(default)]
    pub when: When,
    /// How long the answer, or the reset, is held back. The call itself is carried out when it arrives.
    #[serde(default, rename = "delay_ms", with = "millis")]
    pub delay: Duration,
    /// What happens.
    #[serde(default)]
    pub fault: Effect,
}

impl Fault {
    /// This effect on every call of an action, before it is carried out.
    #[must_use]
    pub fn on(action: Action, effect: Effect) -> Self {
        Self { action: Some(action), ..Self::anywhere(effect) }
    }

    /// This effect on every call of every action, before it is carried out.
    #[must_use]
    pub fn anywhere(effect: Effect) -> Self {
        Self {
            action: None,
            endpoint_id: None,
            call: Calls::Every,
            when: When::Before,
            delay: Duration::ZERO,
            fault: effect,
        }
    }

    /// Only the call of this number, counted from 1 since the cloud began.
    #[must_use]
    pub fn nth(self, number: u64) -> Self {
        Self { call: Calls::Nth(number), ..self }
    }

    /// Only the next so many calls.
    #[must_use]
    pub fn next(self, calls: u64) -> Self {
        Self { call: Calls::Next(calls), ..self }
    }

    /// Only calls that name this endpoint.
    #[must_use]
    pub fn for_endpoint(self, endpoint: impl Into<EndpointId>) -> Self {
        Self { endpoint_id: Some(endpoint.into()), ..self }
    }

    /// The call is carried out, and only its answer is lost.
    #[must_use]
    pub fn after_execution(self) -> Self {
        Self { when: When::After, ..self }
    }

    /// The answer is held back.
    #[must_use]
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// Which of the matching calls a fault strikes. In JSON: `"every"`, a number, or `{"next": 3}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "CallsJson", into = "CallsJson")]
pub enum Calls {
    /// All of them, until the faults are cleared.
    #[default]
    Every,
    /// The one with this number, counted from 1 since the cloud began, refused calls included.
    Nth(u64),
    /// So many, starting with the next.
    Next(u64),
}

/// Whether the call is carried out before the fault strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Nothing is carried out.
    #[default]
    Before,
    /// The call is carried out, and its true answer is lost.
    After,
}

/// What happens to the call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// The true answer; of use together with a delay.
    #[default]
    TrueAnswer,
    /// An error with this code.
    Code {
        /// The code, from the table or not.
        code: String,
        /// The HTTP status; the table's if absent, 400 for a code outside of it.
        #[serde(default, with = "status::option", skip_serializing_if = "Option::is_none")]
        status: Option<StatusCode>,
        /// The message; the table's if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Further headers, such as `x-acs-retry-after`.
        #[serde(default, with = "headers", skip_serializing_if = "HeaderMap::is_empty")]
        headers: HeaderMap,
    },
    /// No answer, ever; the connection stays open.
    Hang,
    /// The connection is reset.
    Reset,
    /// The answer announces more bytes than come before the connection closes.
    Truncated,
    /// A body that is no JSON.
    NonJson {
        /// The HTTP status.
        #[serde(with = "status")]
        status: StatusCode,
        /// The body; a proxy's HTML page if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// HTTP 200 with a well-formed, useless body of at least this many bytes.
    Oversized {
        /// How many, at most [`OVERSIZED_MAX`].
        bytes: usize,
    },
    /// HTTP 302.
    Redirect {
        /// Where to.
        #[serde(with = "location")]
        location: HeaderValue,
    },
    /// HTTP 200 without a body.
    Empty,
    /// A page whose `NextToken` leads back to the page itself.
    RepeatNextToken,
    /// A `TotalCount` that is higher than what is listed.
    OverstatedTotal {
        /// By how much.
        by: u64,
    },
    /// A page that lists its first item again, in the place of its last.
    RepeatedItem,
    /// A detach that is accepted and comes to nothing.
    AcceptedWithoutEffect,
    /// A detach that is accepted and then fails.
    AcceptedThenFails,
}

/// The largest oversized body: 64 MiB is more than any client should read, and still fits a small machine.
pub const OVERSIZED_MAX: usize = 64 * 1024 * 1024;

impl Effect {
    /// An error with this code, its status and message from the table.
    #[must_use]
    pub fn code(code: impl Into<String>) -> Self {
        Self::Code { code: code.into(), status: None, message: None, headers: HeaderMap::new() }
    }

    /// An error with this code under another status.
    #[must_use]
    pub fn code_with_status(code: impl Into<String>, status: StatusCode) -> Self {
        Self::Code { code: code.into(), status: Some(status), message: None, headers: HeaderMap::new() }
    }

    /// A throttled call with the hint in `x-acs-retry-after`.
    #[must_use]
    pub fn throttled(after: Duration) -> Self {
        let mut headers = HeaderMap::new();
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        headers.insert("x-acs-retry-after", HeaderValue::from(after));
        Self::Code { code: codes::THROTTLING_USER.name.to_owned(), status: None, message: None, headers }
    }

    /// A proxy's HTML page.
    #[must_use]
    pub fn html(status: StatusCode) -> Self {
        Self::NonJson { status, body: None }
    }

    /// Whether the effect changes an answer that exists, so that the call is carried out whatever [`When`] says.
    #[must_use]
    pub fn spoils_a_true_answer(&self) -> bool {
        match self {
            Self::TrueAnswer
            | Self::RepeatNextToken
            | Self::OverstatedTotal { .. }
            | Self::RepeatedItem
            | Self::AcceptedWithoutEffect
            | Self::AcceptedThenFails => true,
            Self::Code { .. }
            | Self::Hang
            | Self::Reset
            | Self::Truncated
            | Self::NonJson { .. }
            | Self::Oversized { .. }
            | Self::Redirect { .. }
            | Self::Empty => false,
        }
    }
}

/// The place of one call among the others, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Among all calls.
    pub(crate) overall: u64,
    /// Among the calls of its action.
    pub(crate) of_action: u64,
    /// Among all calls that name its endpoint.
    pub(crate) of_endpoint: u64,
    /// Among the calls of its action that name its endpoint.
    pub(crate) of_action_and_endpoint: u64,
}

/// The faults that wait for their call, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self(faults)
    }

    pub(crate) fn inject(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn waiting(&self) -> &[Fault] {
        &self.0
    }

    /// The first fault that this call meets. One that has struck often enough is taken away.
    pub(crate) fn take(&mut self, action: Action, endpoint: Option<&str>, place: Place) -> Option<Fault> {
        let index = self.0.iter().position(|fault| strikes(fault, action, endpoint, place))?;
        let fault = self.0[index].clone();
        match &mut self.0[index].call {
            Calls::Every => {}
            Calls::Next(left) if *left > 1 => *left -= 1,
            Calls::Next(_) | Calls::Nth(_) => {
                self.0.remove(index);
            }
        }
        Some(fault)
    }
}

fn strikes(fault: &Fault, action: Action, endpoint: Option<&str>, place: Place) -> bool {
    if fault.action.is_some_and(|wanted| wanted != action) {
        return false;
    }
    if fault.endpoint_id.as_ref().is_some_and(|wanted| Some(wanted.as_str()) != endpoint) {
        return false;
    }
    let number = match (fault.action, &fault.endpoint_id) {
        (None, None) => place.overall,
        (Some(_), None) => place.of_action,
        (None, Some(_)) => place.of_endpoint,
        (Some(_), Some(_)) => place.of_action_and_endpoint,
    };
    match fault.call {
        Calls::Every => true,
        Calls::Nth(wanted) => wanted == number,
        Calls::Next(left) => left > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

    #[test]
    fn the_nth_call_is_struck_once_and_the_next_ones_as_often_as_told() {
        let mut faults = Faults::default();
        faults.inject(Fault::on(DETACH, Effect::Hang).nth(2));
        faults.inject(Fault::anywhere(Effect::Reset).next(2));
        let mut struck = |action, number| faults.take(action, None, place(number)).map(|fault| fault.fault);
        assert_eq!(struck(DETACH, 1), Some(Effect::Reset));
        assert_eq!(struck(DETACH, 2), Some(Effect::Hang));
        assert_eq!(struck(Action::ListVpcEndpoints, 2), Some(Effect::Reset));
        assert_eq!(struck(DETACH, 2), None);
    }

    #[test]
    fn a_fault_for_one_endpoint_counts_that_endpoints_calls() {
        let mut faults = Faults::default();
        faults.inject(Fault::on(DETACH, Effect::Hang).nth(1).for_endpoint("ep-b"));
        let place = Place { overall: 9, of_action: 7, of_endpoint: 3, of_action_and_endpoint: 1 };
        assert_eq!(faults.take(DETACH, Some("ep-a"), place), None);
        assert!(faults.take(DETACH, Some("ep-b"), place).is_some());
    }

    #[test]
    fn every_shape_of_a_fault_survives_json() {
        let text = r#"[
            {"action": "ListVpcEndpoints", "endpoint_id": "ep-a", "call": 1, "when": "after", "delay_ms": 20,
             "fault": {"kind": "code", "code": "SystemBusy", "status": 429, "headers": {"x-acs-retry-after": "5"}}},
            {"call": "every", "fault": {"kind": "non_json", "status": 502}},
            {"call": {"next": 2}, "fault": {"kind": "redirect", "location": "https://example.com/"}},
            {"delay_ms": 5}
        ]"#;
        let faults: Vec<Fault> = serde_json::from_str(text).unwrap();
        let again: Vec<Fault> = serde_json::from_str(&serde_json::to_string(&faults).unwrap()).unwrap();
        assert_eq!(again, faults);
        assert_eq!(faults[3], Fault::anywhere(Effect::TrueAnswer).delayed(Duration::from_millis(5)));
    }

    #[test]
    fn a_fault_that_cannot_travel_is_refused_when_it_is_read() {
        for text in [
            r#"{"fault": {"kind": "non_json", "status": 99}}"#,
            r#"{"fault": {"kind": "code", "code": "X", "headers": {"a b": "c"}}}"#,
            r#"{"fault": {"kind": "hang"}, "call": "sometimes"}"#,
            r#"{"fault": {"kind": "sulk"}}"#,
            r#"{"faults": {"kind": "hang"}}"#,
        ] {
            assert!(serde_json::from_str::<Fault>(text).is_err(), "{text}");
        }
    }

    fn place(number: u64) -> Place {
        Place { overall: number, of_action: number, of_endpoint: number, of_action_and_endpoint: number }
    }
}
