//! PrivateLink 2020-04-15: the three operations of a detach, their parameters and their answers.
//!
//! Requests are built here without being sent, answers parsed here without being judged.

use std::time::Duration;

use serde::Deserialize;

use super::pages::{Identified, Page};
use crate::json::Object;
use crate::request::{ClientToken, EndpointId, RegionId, SecurityGroupId};

/// The API version that every operation names.
pub const VERSION: &str = "2020-04-15";

/// Entries asked for on one page: the documented maximum for groups, of which an endpoint carries at most 10.
const PAGE_SIZE: &str = "50";

/// Longest `x-acs-retry-after` or `TimeLeft` that is honoured; the visibility timeout that follows from it included.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(2);

/// Longest id or status that is believed, in bytes; Alibaba's own stay below 70. What is longer is no answer of
/// theirs, and must not find its way into an event.
const TEXT_LENGTH_MAX: usize = 128;

/// Longest page token that is sent back: it becomes part of a URL.
const NEXT_TOKEN_LENGTH_MAX: usize = 2048;

/// The operations that are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Ask for the detach. Asynchronous: success means accepted.
    Detach,
    /// The groups of one endpoint, with their status.
    ListSecurityGroups,
    /// The endpoint's own record.
    ListEndpoints,
}

impl Action {
    /// Every operation that the worker calls.
    pub const ALL: [Self; 3] = [Self::Detach, Self::ListSecurityGroups, Self::ListEndpoints];

    /// Alibaba's name of the operation.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Detach => "DetachSecurityGroupFromVpcEndpoint",
            Self::ListSecurityGroups => "ListVpcEndpointSecurityGroups",
            Self::ListEndpoints => "ListVpcEndpoints",
        }
    }
}

/// What one detach is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The region of the endpoint.
    pub region_id: RegionId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The group to take off it.
    pub security_group_id: SecurityGroupId,
}

/// One HTTP call to make.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// One page of the endpoint's groups.
    ListSecurityGroups {
        /// Of the page before, if this is not the first.
        next_token: Option<String>,
    },
    /// One page of the endpoint's record, which has one page unless the service pages oddly.
    ListEndpoints {
        /// Of the page before, if this is not the first.
        next_token: Option<String>,
    },
    /// The write.
    Detach {
        /// Makes a repetition of this very call harmless.
        client_token: ClientToken,
        /// Only check.
        dry_run: bool,
    },
}

impl Call {
    /// The operation of this call.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::ListSecurityGroups { .. } => Action::ListSecurityGroups,
            Self::ListEndpoints { .. } => Action::ListEndpoints,
            Self::Detach { .. } => Action::Detach,
        }
    }

    /// The parameters of this call for one target, in no particular order.
    #[must_use]
    pub fn parameters<'a>(&'a self, target: &'a Target) -> Vec<(&'static str, &'a str)> {
        let mut parameters =
            vec![("RegionId", target.region_id.as_str()), ("EndpointId", target.endpoint_id.as_str())];
        match self {
            Self::ListSecurityGroups { next_token } | Self::ListEndpoints { next_token } => {
                parameters.push(("MaxResults", PAGE_SIZE));
                parameters.extend(next_token.as_deref().map(|token| ("NextToken", token)));
            }
            Self::Detach { client_token, dry_run } => {
                parameters.push(("SecurityGroupId", target.security_group_id.as_str()));
                parameters.push(("ClientToken", client_token.as_str()));
                parameters.push(("DryRun", if *dry_run { "true" } else { "false" }));
            }
        }
        parameters
    }
}

/// The readable answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// One page of groups.
    SecurityGroups(Page<SecurityGroup>),
    /// One page of endpoint records.
    Endpoints(Page<Endpoint>),
    /// The detach was accepted as a task; it is not done.
    Accepted,
}

impl Answer {
    /// The operation that this answers.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::SecurityGroups(_) => Action::ListSecurityGroups,
            Self::Endpoints(_) => Action::ListEndpoints,
            Self::Accepted => Action::Detach,
        }
    }
}

/// A group on an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityGroup {
    /// Its id, as the service spells it.
    pub id: String,
    /// Where it stands.
    pub status: GroupStatus,
}

/// `SecurityGroupStatus`. There is no "detached": a detached group is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupStatus {
    /// Being attached.
    Attaching,
    /// Attached; also what an unknown or missing status counts as.
    Attached,
    /// Being detached.
    Detaching,
}

/// An endpoint's own record, as far as a detach needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// Its id, as the service spells it.
    pub id: String,
    /// `EndpointStatus`: `Creating`, `Active`, `Pending`, `Deleting`, or whatever comes.
    pub status: Option<String>,
    /// `EndpointBusinessStatus`: `Normal` or `FinancialLocked`.
    pub business_status: Option<String>,
    /// `ConnectionStatus`.
    pub connection_status: Option<String>,
}

impl Identified for SecurityGroup {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Identified for Endpoint {
    fn id(&self) -> &str {
        &self.id
    }
}

/// Reads the body of a 200, with its request id; `None` if it cannot be the answer to this action.
#[must_use]
pub fn read(action: Action, body: &[u8]) -> Option<(Answer, String)> {
    let (answer, request_id) = match action {
        Action::Detach => {
            let Object(wire): Object<AcceptedWire> = serde_json::from_slice(body).ok()?;
            (Answer::Accepted, wire.request_id)
        }
        Action::ListSecurityGroups => {
            let Object(wire): Object<SecurityGroupsWire> = serde_json::from_slice(body).ok()?;
            let items =
                wire.security_groups.into_iter().map(|Object(group)| group.read()).collect::<Option<_>>()?;
            (Answer::SecurityGroups(page(items, wire.next_token, wire.total_count)?), wire.request_id)
        }
        Action::ListEndpoints => {
            let Object(wire): Object<EndpointsWire> = serde_json::from_slice(body).ok()?;
            let items =
                wire.endpoints.into_iter().map(|Object(endpoint)| endpoint.read()).collect::<Option<_>>()?;
            (Answer::Endpoints(page(items, wire.next_token, wire.total_count)?), wire.request_id)
        }
    };
    (is_short(&request_id) && !request_id.is_empty()).then_some((answer, request_id))
}

fn page<T>(items: Vec<T>, next_token: Option<String>, total_count: Option<u64>) -> Option<Page<T>> {
    let next_token = next_token.filter(|token| !token.is_empty());
    let is_sendable = next_token.as_ref().is_none_or(|token| token.len() <= NEXT_TOKEN_LENGTH_MAX);
    is_sendable.then_some(Page { items, next_token, total_count })
}

fn is_short(text: &str) -> bool {
    text.len() <= TEXT_LENGTH_MAX
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AcceptedWire {
    request_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecurityGroupsWire {
    request_id: String,
    security_groups: Vec<Object<SecurityGroupWire>>,
    next_token: Option<String>,
    total_count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecurityGroupWire {
    security_group_id: String,
    security_group_status: Option<String>,
}

impl SecurityGroupWire {
    fn read(self) -> Option<SecurityGroup> {
        let status = match self.security_group_status.as_deref() {
            Some("Attaching") => GroupStatus::Attaching,
            Some("Detaching") => GroupStatus::Detaching,
            _ => GroupStatus::Attached,
        };
        is_short(&self.security_group_id).then_some(SecurityGroup { id: self.security_group_id, status })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointsWire {
    request_id: String,
    endpoints: Vec<Object<EndpointWire>>,
    next_token: Option<String>,
    total_count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointWire {
    endpoint_id: String,
    endpoint_status: Option<String>,
    endpoint_business_status: Option<String>,
    connection_status: Option<String>,
}

impl EndpointWire {
    fn read(self) -> Option<Endpoint> {
        let is_believable =
            is_short(&self.endpoint_id) && self.endpoint_status.as_deref().is_none_or(is_short);
        is_believable.then_some(Endpoint {
            id: self.endpoint_id,
            status: self.endpoint_status.filter(|status| !status.is_empty()),
            business_status: self.endpoint_business_status,
            connection_status: self.connection_status,
        })
    }
}

/// How long the service asks to be left alone, from the headers of a 4xx or 5xx.
///
/// `x-acs-retry-after` holds milliseconds; older gateways send `x-ratelimit-user-api` and `x-ratelimit-user`, whose
/// larger `TimeLeft` counts. Anything that is not a positive number counts as absent.
#[must_use]
pub fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let time_left = |name: &str| {
        let parts = text(name)?.split(',');
        parts.filter_map(|part| part.trim().strip_prefix("TimeLeft:")).find_map(milliseconds)
    };
    let asked = text("x-acs-retry-after").and_then(milliseconds);
    let older = || time_left("x-ratelimit-user-api").max(time_left("x-ratelimit-user"));
    asked.or_else(older).map(|wait| wait.min(RETRY_AFTER_MAX))
}

/// A positive run of digits, however long, as milliseconds.
fn milliseconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let is_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = is_digits.then(|| text.parse().unwrap_or(u64::MAX))?;
    (number > 0).then(|| Duration::from_millis(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_without_a_known_status_counts_as_attached() {
        let body = br#"{"RequestId":"R","SecurityGroups":[{"SecurityGroupId":"sg-a"},
            {"SecurityGroupId":"sg-b","SecurityGroupStatus":"Resting"},
            {"SecurityGroupId":"sg-c","SecurityGroupStatus":"Detaching","New":1}],"MaxResults":50,"TotalCount":3}"#;
        let (Answer::SecurityGroups(page), _) = read(Action::ListSecurityGroups, body).unwrap() else {
            panic!()
        };
        let statuses: Vec<_> = page.items.iter().map(|group| group.status).collect();
        assert_eq!(statuses, [GroupStatus::Attached, GroupStatus::Attached, GroupStatus::Detaching]);
        assert_eq!((page.next_token, page.total_count), (None, Some(3)));
    }

    #[test]
    fn an_answer_without_its_list_or_request_id_is_unreadable() {
        for (action, body) in [
            (Action::Detach, r#"["R"]"#),
            (Action::ListSecurityGroups, r#"{"RequestId":"R"}"#),
            (Action::ListSecurityGroups, r#"{"RequestId":"R","SecurityGroups":[["sg-a","Attached"]]}"#),
            (Action::ListSecurityGroups, r#"{"SecurityGroups":[]}"#),
            (Action::ListSecurityGroups, r#"{"RequestId":"R","SecurityGroups":null}"#),
            (Action::ListEndpoints, r#"{"RequestId":"R","Endpoints":[{}]}"#),
            (Action::ListEndpoints, ""),
            (Action::Detach, "{}"),
            (Action::Detach, r#"{"RequestId":""}"#),
            (Action::Detach, "<html/>"),
        ] {
            assert_eq!(read(action, body.as_bytes()), None, "{body}");
        }
        let long = "x".repeat(3000);
        for body in [
            format!(r#"{{"RequestId":"{long}","SecurityGroups":[]}}"#),
            format!(r#"{{"RequestId":"R","SecurityGroups":[{{"SecurityGroupId":"{long}"}}]}}"#),
            format!(r#"{{"RequestId":"R","SecurityGroups":[],"NextToken":"{long}"}}"#),
        ] {
            assert_eq!(read(Action::ListSecurityGroups, body.as_bytes()), None, "too long to be believed");
        }
    }

    #[test]
    fn hints_of_both_kinds_are_read() {
        for (headers, expected) in [
            (&[("x-acs-retry-after", "1500")][..], Some(1_500)),
            (&[("x-acs-retry-after", "0")], None),
            (&[("x-acs-retry-after", "-1")], None),
            (&[("x-acs-retry-after", "soon")], None),
            (&[("x-acs-retry-after", "99999999999999999999999999")], Some(120_000)),
            (&[("x-ratelimit-user-api", "Limit:1,Remain:0,TimeLeft:2000,Reset:1234")], Some(2_000)),
            (
                &[("x-ratelimit-user-api", "TimeLeft:2000"), ("x-ratelimit-user", "Limit:1, TimeLeft:3000")],
                Some(3_000),
            ),
            (&[("x-ratelimit-user", "TimeLeft:x")], None),
            (&[("x-acs-retry-after", "x"), ("x-ratelimit-user", "TimeLeft:7")], Some(7)),
            (&[], None),
        ] {
            let mut map = http::HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, value.parse().unwrap());
            }
            assert_eq!(retry_after(&map), expected.map(Duration::from_millis), "{headers:?}");
        }
    }
}
