//! Injected faults: which calls they apply to, and what they do.
//!
//! A fault applies only to an authenticated call: a wrong signature is refused as always. A test scenario with many
//! faults thus still verifies the signature of every attempt.

mod json;

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use crate::{action::Action, codes, ids::EndpointId, wire_time::millis};
use json::{CallsJson, headers, location, status};

/// An injected fault and the calls it applies to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Restricts the fault to calls of this action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Restricts the fault to calls that name this endpoint. The calls are then counted for this endpoint alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<EndpointId>,
    /// The calls, of those that match the action and the endpoint, to which the fault applies.
    #[serde(default)]
    pub call: Calls,
    /// Whether the call is executed first. It always is for an effect that [`Effect::modifies_response`].
    #[serde(default)]
    pub when: When,
    /// The delay of the response or the reset. The call itself is executed when it arrives.
    #[serde(default, rename = "delay_ms", with = "millis")]
    pub delay: Duration,
    #[serde(default)]
    pub fault: Effect,
}

impl Fault {
    /// Applies the effect to every call of an action, before its execution.
    #[must_use]
    pub fn on(action: Action, effect: Effect) -> Self {
        Self { action: Some(action), ..Self::anywhere(effect) }
    }

    /// Applies the effect to every call of every action, before its execution.
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

    /// Restricts the fault to the call with this number, counted from 1 since the cloud was created.
    #[must_use]
    pub fn nth(self, number: u64) -> Self {
        Self { call: Calls::Nth(number), ..self }
    }

    /// Restricts the fault to this number of calls, starting with the next one.
    #[must_use]
    pub fn next(self, calls: u64) -> Self {
        Self { call: Calls::Next(calls), ..self }
    }

    /// Restricts the fault to calls that name this endpoint.
    #[must_use]
    pub fn for_endpoint(self, endpoint: impl Into<EndpointId>) -> Self {
        Self { endpoint_id: Some(endpoint.into()), ..self }
    }

    /// Executes the call and replaces only its response.
    #[must_use]
    pub fn after_execution(self) -> Self {
        Self { when: When::After, ..self }
    }

    /// Delays the response.
    #[must_use]
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// The matching calls to which a fault applies. In JSON: `"every"`, a number, or `{"next": 3}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "CallsJson", into = "CallsJson")]
pub enum Calls {
    /// Every call, until the faults are cleared.
    #[default]
    Every,
    /// The call with this number, counted from 1 since the cloud was created, refused calls included.
    Nth(u64),
    /// This number of calls, starting with the next one.
    Next(u64),
}

/// Whether the call is executed before the fault applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The call is not executed.
    #[default]
    Before,
    /// The call is executed, and its actual response is not sent.
    After,
}

/// The effect of a fault on a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// The actual response; useful together with a delay.
    #[default]
    #[serde(rename = "true_answer")]
    ActualResponse,
    /// An error with this code.
    Code {
        /// The code; it need not be in [`codes`].
        code: String,
        /// The HTTP status. If absent, the one in [`codes`], or 400 for a code that is not there.
        #[serde(default, with = "status::option", skip_serializing_if = "Option::is_none")]
        status: Option<StatusCode>,
        /// The message. If absent, the one in [`codes`]. `{ClientToken}` stands for the call's client token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Additional headers, such as `x-acs-retry-after`.
        #[serde(default, with = "headers", skip_serializing_if = "HeaderMap::is_empty")]
        headers: HeaderMap,
    },
    /// No response; the connection stays open.
    Hang,
    /// A connection reset.
    Reset,
    /// A response whose declared content length is larger than the part of the body sent before the connection
    /// closes.
    Truncated,
    /// A body that is not JSON.
    NonJson {
        #[serde(with = "status")]
        status: StatusCode,
        /// The body. If absent, a proxy's HTML page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// HTTP 200 with valid JSON of at least this many bytes, without the expected fields.
    Oversized {
        /// The size, at most [`OVERSIZED_MAX`].
        bytes: usize,
    },
    Redirect {
        /// The value of the header `Location`.
        #[serde(with = "location")]
        location: HeaderValue,
    },
    Empty,
    /// A page whose `NextToken` points to the page itself.
    RepeatNextToken,
    /// A `TotalCount` above the number of items listed.
    OverstatedTotal {
        /// The difference.
        by: u64,
    },
    /// A `TotalCount` below the number of items listed.
    UnderstatedTotal {
        /// The difference; the count is never below 0.
        by: u64,
    },
    /// A page that lists its first item again in place of its last.
    RepeatedItem,
    /// A list without items, and a `TotalCount` of 0.
    EmptyList,
    /// A page whose items have this text in this field, such as an `EndpointStatus` that no documentation lists, or
    /// another `RegionId`.
    ItemField {
        field: String,
        value: String,
    },
    /// HTTP 200 with the actual fields and `"Success": false`.
    Unsuccessful,
    /// A write that is accepted and has no effect.
    AcceptedWithoutEffect,
    /// A write that is accepted and then fails.
    AcceptedThenFails,
}

/// The maximum size of an oversized body: 64 MiB is more than a client should read and fits into the memory of a
/// small machine.
pub const OVERSIZED_MAX: usize = 64 * 1024 * 1024;

impl Effect {
    /// An error with this code, with its status and message from [`codes`].
    #[must_use]
    pub fn code(code: impl Into<String>) -> Self {
        Self::Code { code: code.into(), status: None, message: None, headers: HeaderMap::new() }
    }

    /// An error with this code and another status.
    #[must_use]
    pub fn code_with_status(code: impl Into<String>, status: StatusCode) -> Self {
        Self::Code { code: code.into(), status: Some(status), message: None, headers: HeaderMap::new() }
    }

    /// A throttling error with the retry hint in `x-acs-retry-after`.
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

    /// Whether the effect modifies the actual response, so that the call is executed regardless of [`When`].
    #[must_use]
    pub fn modifies_response(&self) -> bool {
        match self {
            Self::ActualResponse
            | Self::RepeatNextToken
            | Self::OverstatedTotal { .. }
            | Self::UnderstatedTotal { .. }
            | Self::RepeatedItem
            | Self::EmptyList
            | Self::ItemField { .. }
            | Self::Unsuccessful
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

/// The position of one call among the others, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallPosition {
    /// Among all calls.
    pub(crate) overall: u64,
    /// Among the calls of its action.
    pub(crate) of_action: u64,
    /// Among all calls that name its endpoint.
    pub(crate) of_endpoint: u64,
    /// Among the calls of its action that name its endpoint.
    pub(crate) of_action_and_endpoint: u64,
}

/// The faults that have not applied yet, in the order of their injection.
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

    pub(crate) fn pending(&self) -> &[Fault] {
        &self.0
    }

    /// Returns the first fault that applies to this call, and removes it if it applies to no further call.
    pub(crate) fn take(
        &mut self,
        action: Action,
        endpoint: Option<&str>,
        position: CallPosition,
    ) -> Option<Fault> {
        let index = self.0.iter().position(|fault| matches(fault, action, endpoint, position))?;
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

fn matches(fault: &Fault, action: Action, endpoint: Option<&str>, position: CallPosition) -> bool {
    if fault.action.is_some_and(|expected| expected != action) {
        return false;
    }
    if fault.endpoint_id.as_ref().is_some_and(|expected| Some(expected.as_str()) != endpoint) {
        return false;
    }
    let number = match (fault.action, &fault.endpoint_id) {
        (None, None) => position.overall,
        (Some(_), None) => position.of_action,
        (None, Some(_)) => position.of_endpoint,
        (Some(_), Some(_)) => position.of_action_and_endpoint,
    };
    match fault.call {
        Calls::Every => true,
        Calls::Nth(expected) => expected == number,
        Calls::Next(left) => left > 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;

    #[test]
    fn fault_applies_to_the_nth_call_or_the_next_calls() {
        let mut faults = Faults::default();
        faults.inject(Fault::on(DETACH, Effect::Hang).nth(2));
        faults.inject(Fault::anywhere(Effect::Reset).next(2));
        let mut effect_on =
            |action, number| faults.take(action, None, position(number)).map(|fault| fault.fault);
        assert_eq!(effect_on(DETACH, 1), Some(Effect::Reset));
        assert_eq!(effect_on(DETACH, 2), Some(Effect::Hang));
        assert_eq!(effect_on(Action::ListVpcEndpoints, 2), Some(Effect::Reset));
        assert_eq!(effect_on(DETACH, 2), None);
    }

    #[test]
    fn fault_for_one_endpoint_counts_calls_of_that_endpoint() {
        let mut faults = Faults::default();
        faults.inject(Fault::on(DETACH, Effect::Hang).nth(1).for_endpoint("ep-b"));
        let position = CallPosition { overall: 9, of_action: 7, of_endpoint: 3, of_action_and_endpoint: 1 };
        assert_eq!(faults.take(DETACH, Some("ep-a"), position), None);
        assert!(faults.take(DETACH, Some("ep-b"), position).is_some());
    }

    #[test]
    fn every_form_of_a_fault_survives_serialization() {
        let text = r#"[
            {"action": "ListVpcEndpoints", "endpoint_id": "ep-a", "call": 1, "when": "after", "delay_ms": 20,
             "fault": {"kind": "code", "code": "SystemBusy", "status": 429, "headers": {"x-acs-retry-after": "5"}}},
            {"call": "every", "fault": {"kind": "non_json", "status": 502}},
            {"call": {"next": 2}, "fault": {"kind": "redirect", "location": "https://example.com/"}},
            {"delay_ms": 5}
        ]"#;
        let faults: Vec<Fault> = serde_json::from_str(text).unwrap();
        let reparsed: Vec<Fault> = serde_json::from_str(&serde_json::to_string(&faults).unwrap()).unwrap();
        assert_eq!(reparsed, faults);
        assert_eq!(faults[3], Fault::anywhere(Effect::ActualResponse).delayed(Duration::from_millis(5)));
    }

    #[test]
    fn invalid_fault_is_rejected() {
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

    fn position(number: u64) -> CallPosition {
        CallPosition {
            overall: number,
            of_action: number,
            of_endpoint: number,
            of_action_and_endpoint: number,
        }
    }
}
