//! What one call to PrivateLink resulted in, read from the status, headers and body of its HTTP response. Pure: it
//! decides only whether the response can be read.

use std::time::Duration;

use http::header::{DATE, RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;

use super::codes::ErrorKind;
use super::error::CallError;
use super::pages::Page;
use super::privatelink::{Action, Request, Write};
use super::records::{
    BusinessStatus, ConnectionStatus, Endpoint, EndpointStatus, EndpointType, GroupStatus, SecurityGroup, Tag,
};
use super::service_clock::date;
use crate::json::{Object, bytes_without_byte_order_mark};
use crate::text::{shown_request_id, shown_status};
use crate::transport::NoResponse;

/// Longest hint of the service that is honored; the visibility timeout that follows from it included.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(2);

/// Longest id or status that is accepted, in bytes; Alibaba's own are below 70. A longer one does not come from Alibaba
/// Cloud and must not reach an event.
const TEXT_LENGTH_MAX: usize = 128;

/// Longest page token that is sent back, in bytes: it becomes part of a URL.
const NEXT_TOKEN_LENGTH_MAX: usize = 2048;

/// The result of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallResult {
    /// Alibaba's id of the call, for its support, or `(unreadable)` for another text; absent if there was no readable
    /// response.
    pub api_request_id: Option<String>,
    pub result: Result<Response, CallError>,
}

impl CallResult {
    /// The result of a call that got a response. `redact` removes our credentials from its texts; its message is without the
    /// call's client token, too.
    #[must_use]
    pub fn read(
        request: &Request<'_>,
        status: u16,
        headers: &http::HeaderMap,
        body: &[u8],
        redact: impl Fn(&str) -> String,
    ) -> Self {
        let action = request.action;
        if status == 200 {
            return match read(action, body) {
                Some((response, id)) => {
                    Self { api_request_id: Some(shown_request_id(id)), result: Ok(response) }
                }
                None => CallError {
                    retry_after: retry_after(headers),
                    ..CallError::no_response(action, NoResponse::UnreadableAnswer)
                }
                .into(),
            };
        }
        let (error, api_request_id) =
            CallError::read(action, status, body, retry_after(headers), redact, request.client_token);
        // A passing dry run comes as HTTP 400 with a code of its own.
        let result = match action.write() {
            Some(write) if request.is_dry_run && error.kind == ErrorKind::DryRunOperation => {
                Ok(Response::DryRunPassed(write))
            }
            _ => Err(error),
        };
        Self { api_request_id: api_request_id.map(shown_request_id), result }
    }
}

/// A call without a response that could name it.
impl From<CallError> for CallResult {
    fn from(error: CallError) -> Self {
        Self { api_request_id: None, result: Err(error) }
    }
}

/// The readable response to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// One page of groups.
    SecurityGroups(Page<SecurityGroup>),
    /// One page of endpoint records.
    Endpoints(Page<Endpoint>),
    /// Alibaba Cloud accepted the write as a task, which is not done yet.
    Accepted(Write),
    /// Alibaba Cloud would accept the write.
    DryRunPassed(Write),
}

/// Which response a call got, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseKind {
    SecurityGroups,
    Endpoints,
    Accepted(Write),
    DryRunPassed(Write),
}

impl Response {
    #[must_use]
    pub fn kind(&self) -> ResponseKind {
        match self {
            Self::SecurityGroups(_) => ResponseKind::SecurityGroups,
            Self::Endpoints(_) => ResponseKind::Endpoints,
            Self::Accepted(write) => ResponseKind::Accepted(*write),
            Self::DryRunPassed(write) => ResponseKind::DryRunPassed(*write),
        }
    }

    /// The operation of the call.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::SecurityGroups(_) => Action::ListSecurityGroups,
            Self::Endpoints(_) => Action::ListEndpoints,
            Self::Accepted(write) | Self::DryRunPassed(write) => write.action(),
        }
    }
}

/// The response in the body of a 200, and its request id; `None` if it cannot be the response to this action, or says
/// itself that the call failed.
#[must_use]
pub fn read(action: Action, body: &[u8]) -> Option<(Response, String)> {
    let body = bytes_without_byte_order_mark(body);
    let Object(verdict): Object<Verdict> = serde_json::from_slice(body).ok()?;
    if !verdict.is_success() {
        return None;
    }
    let accepted = |write| {
        let Object(body): Object<AcceptedBody> = serde_json::from_slice(body).ok()?;
        Some((Response::Accepted(write), body.request_id))
    };
    let (response, request_id) = match action {
        Action::Detach => accepted(Write::Detach)?,
        Action::Attach => accepted(Write::Attach)?,
        Action::ListSecurityGroups => {
            let Object(body): Object<SecurityGroupsBody> = serde_json::from_slice(body).ok()?;
            let items =
                body.security_groups.into_iter().map(|Object(group)| group.read()).collect::<Option<_>>()?;
            (Response::SecurityGroups(page(items, body.next_token, body.total_count)?), body.request_id)
        }
        Action::ListEndpoints => {
            let Object(body): Object<EndpointsBody> = serde_json::from_slice(body).ok()?;
            let items =
                body.endpoints.into_iter().map(|Object(endpoint)| endpoint.read()).collect::<Option<_>>()?;
            (Response::Endpoints(page(items, body.next_token, body.total_count)?), body.request_id)
        }
    };
    (is_short(&request_id) && !request_id.is_empty()).then_some((response, request_id))
}

/// A page, unless its token is too long to be sent back. An empty token is none.
pub(super) fn page<T>(
    items: Vec<T>,
    next_token: Option<String>,
    total_count: Option<u64>,
) -> Option<Page<T>> {
    let next_token = next_token.filter(|token| !token.is_empty());
    let is_sendable = next_token.as_ref().is_none_or(|token| token.len() <= NEXT_TOKEN_LENGTH_MAX);
    is_sendable.then_some(Page { items, next_token, total_count })
}

/// Whether an id or a status has an acceptable length.
pub(super) fn is_short(text: &str) -> bool {
    text.len() <= TEXT_LENGTH_MAX
}

/// What a body says about the success of its call. PrivateLink's documentation has neither field; other products of
/// Alibaba Cloud use them in responses with HTTP 200.
#[derive(Deserialize)]
pub(super) struct Verdict {
    #[serde(default, alias = "Success")]
    success: Value,
    #[serde(default, alias = "Code")]
    code: Value,
}

impl Verdict {
    pub(super) fn is_success(&self) -> bool {
        let is_successful = match &self.success {
            Value::Null | Value::Bool(true) => true,
            Value::String(text) => text.eq_ignore_ascii_case("true"),
            _ => false,
        };
        let has_code = match &self.code {
            Value::Null => false,
            Value::Number(code) => code.as_u64() != Some(200),
            Value::String(code) => !matches!(code.as_str(), "" | "200" | "OK" | "Success"),
            _ => true,
        };
        is_successful && !has_code
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AcceptedBody {
    request_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecurityGroupsBody {
    request_id: String,
    security_groups: Vec<Object<SecurityGroupBody>>,
    next_token: Option<String>,
    total_count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecurityGroupBody {
    security_group_id: String,
    security_group_status: Option<String>,
}

impl SecurityGroupBody {
    fn read(self) -> Option<SecurityGroup> {
        let status = GroupStatus::read(self.security_group_status.as_deref());
        is_short(&self.security_group_id).then_some(SecurityGroup { id: self.security_group_id, status })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointsBody {
    request_id: String,
    endpoints: Vec<Object<EndpointBody>>,
    next_token: Option<String>,
    total_count: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointBody {
    endpoint_id: String,
    region_id: Option<String>,
    endpoint_type: Option<String>,
    endpoint_status: Option<String>,
    endpoint_business_status: Option<String>,
    connection_status: Option<String>,
    endpoint_name: Option<String>,
    vpc_id: Option<String>,
    resource_group_id: Option<String>,
    tags: Option<Vec<Object<TagBody>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagBody {
    key: String,
    #[serde(default)]
    value: String,
}

impl EndpointBody {
    fn read(self) -> Option<Endpoint> {
        let is_acceptable =
            is_short(&self.endpoint_id) && self.endpoint_status.as_deref().is_none_or(is_short);
        is_acceptable.then_some(Endpoint {
            id: self.endpoint_id,
            region_id: self.region_id,
            endpoint_type: self.endpoint_type.map(EndpointType::read),
            status: self
                .endpoint_status
                .filter(|status| !status.is_empty())
                .map(|status| EndpointStatus::read(shown_status(status))),
            business_status: self.endpoint_business_status.map(BusinessStatus::read),
            connection_status: self.connection_status.map(ConnectionStatus::read),
            name: self.endpoint_name.filter(|name| !name.is_empty()),
            vpc_id: self.vpc_id.filter(|id| !id.is_empty()),
            resource_group_id: self.resource_group_id.filter(|id| !id.is_empty()),
            tags: self.tags.map(|tags| {
                tags.into_iter().map(|Object(tag)| Tag { key: tag.key, value: tag.value }).collect()
            }),
        })
    }
}

/// The wait that the service requests, from the headers of a 4xx or 5xx.
///
/// `x-acs-retry-after` is in milliseconds; older gateways send `x-ratelimit-user-api` and `x-ratelimit-user`, whose
/// larger `TimeLeft` counts. HTTP's own `Retry-After`, of a gateway or a proxy, is in seconds, or a date by the clock of
/// the response's `Date`. Anything that is not a positive number or a later date counts as absent.
#[must_use]
pub fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let time_left = |name: &str| {
        let parts = text(name)?.split(',');
        parts.filter_map(|part| part.trim().strip_prefix("TimeLeft:")).find_map(milliseconds)
    };
    let hint = text("x-acs-retry-after").and_then(milliseconds);
    let older = || time_left("x-ratelimit-user-api").max(time_left("x-ratelimit-user"));
    let of_http = || {
        let seconds = text(RETRY_AFTER.as_str()).and_then(positive).map(Duration::from_secs);
        let left = || Duration::try_from(date(headers, &RETRY_AFTER)? - date(headers, &DATE)?).ok();
        seconds.or_else(left).filter(|wait| !wait.is_zero())
    };
    hint.or_else(older).or_else(of_http).map(|wait| wait.min(RETRY_AFTER_MAX))
}

/// A positive run of digits, however long, as milliseconds.
fn milliseconds(text: &str) -> Option<Duration> {
    positive(text).map(Duration::from_millis)
}

/// A positive run of digits, however long.
fn positive(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = is_digits.then(|| text.parse().unwrap_or(u64::MAX))?;
    (number > 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alibaba::privatelink::{Call, Target};
    use crate::request::{ClientToken, EndpointId, RegionId, SecurityGroupId};

    fn target() -> Target {
        Target {
            region_id: RegionId::parse("eu-west-1").unwrap(),
            endpoint_id: EndpointId::parse("ep-a").unwrap(),
            security_group_id: SecurityGroupId::parse("sg-a").unwrap(),
        }
    }

    #[test]
    fn group_without_a_known_status_counts_as_attached() {
        let body = br#"{"RequestId":"R","SecurityGroups":[{"SecurityGroupId":"sg-a"},
            {"SecurityGroupId":"sg-b","SecurityGroupStatus":"Resting"},
            {"SecurityGroupId":"sg-c","SecurityGroupStatus":"Detaching","New":1}],"MaxResults":50,"TotalCount":3}"#;
        let (Response::SecurityGroups(page), _) = read(Action::ListSecurityGroups, body).unwrap() else {
            panic!()
        };
        let statuses: Vec<_> = page.items.iter().map(|group| group.status).collect();
        assert_eq!(statuses, [GroupStatus::Attached, GroupStatus::Attached, GroupStatus::Detaching]);
        assert_eq!((page.next_token, page.total_count), (None, Some(3)));
    }

    #[test]
    fn body_that_says_that_the_call_failed_is_unreadable() {
        for (fields, is_read) in [
            (r#""Success":true"#, true),
            (r#""Success":"true","Code":"200""#, true),
            (r#""Code":"","Success":null"#, true),
            (r#""Code":"OK""#, true),
            (r#""Code":"Success""#, true),
            (r#""Code":200"#, true),
            (r#""Success":false"#, false),
            (r#""success":false"#, false),
            (r#""Success":"false""#, false),
            (r#""Success":0"#, false),
            (r#""Code":"SystemBusy""#, false),
            (r#""code":"SystemBusy","Success":true"#, false),
            (r#""Code":"ok""#, false),
            (r#""Code":500"#, false),
            (r#""Code":{"a":1}"#, false),
        ] {
            let body = format!(r#"{{"RequestId":"R","SecurityGroups":[],"Endpoints":[],{fields}}}"#);
            for action in Action::ALL {
                assert_eq!(read(action, body.as_bytes()).is_some(), is_read, "{action:?} {fields}");
            }
        }
    }

    #[test]
    fn byte_order_mark_before_a_response_is_skipped() {
        let body = b"\xef\xbb\xbf{\"RequestId\":\"R\"}";
        assert_eq!(read(Action::Detach, body), Some((Response::Accepted(Write::Detach), "R".to_owned())));
    }

    #[test]
    fn response_without_its_list_or_request_id_is_unreadable() {
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
            assert_eq!(read(Action::ListSecurityGroups, body.as_bytes()), None, "too long to be accepted");
        }
    }

    #[test]
    fn passing_dry_run_is_a_response_to_a_dry_run_only() {
        let dry_run = br#"{"RequestId":"R","Code":"DryRunOperation","Message":"m"}"#;
        let token = || ClientToken::parse("t").unwrap();
        let detach = |dry_run| Call::Detach { client_token: token(), dry_run };
        let read = |call: &Call, status| {
            let target = target();
            CallResult::read(&call.request(&target), status, &http::HeaderMap::new(), dry_run, str::to_owned)
        };
        let passed = read(&detach(true), 400);
        assert_eq!(
            (passed.result, passed.api_request_id.as_deref()),
            (Ok(Response::DryRunPassed(Write::Detach)), Some("(unreadable)"))
        );
        for call in [detach(false), Call::ListEndpoints { next_token: None }] {
            assert_eq!(read(&call, 400).result.unwrap_err().kind, ErrorKind::DryRunOperation, "{call:?}");
        }
        assert_eq!(read(&detach(true), 302).result.unwrap_err().code.name(), "Http302");
        let contradicting = read(&detach(true), 200).result.unwrap_err();
        assert_eq!(contradicting.code, NoResponse::UnreadableAnswer.into(), "a 200 with a code of an error");
        let (target, detach) = (target(), detach(true));
        let accepted = CallResult::read(
            &detach.request(&target),
            200,
            &http::HeaderMap::new(),
            br#"{"RequestId":"R"}"#,
            str::to_owned,
        );
        assert_eq!(
            accepted.result,
            Ok(Response::Accepted(Write::Detach)),
            "only the code says that nothing was carried out"
        );
    }

    #[test]
    fn error_in_a_200_is_inconclusive_and_keeps_the_hint() {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-acs-retry-after", "1500".parse().unwrap());
        let body = br#"{"RequestId":"R","Code":"Throttling.User","Message":"m"}"#;
        let (target, call) = (target(), Call::ListEndpoints { next_token: None });
        let error =
            CallResult::read(&call.request(&target), 200, &headers, body, str::to_owned).result.unwrap_err();
        assert_eq!((error.kind, error.code), (ErrorKind::NoResponse, NoResponse::UnreadableAnswer.into()));
        assert_eq!(error.retry_after, Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn retry_hints_of_every_kind_are_read() {
        let date = ("date", "Sun, 22 Nov 2026 07:00:00 GMT");
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
            (&[("retry-after", "30")], Some(30_000)),
            (&[("retry-after", "0")], None),
            (&[("retry-after", "1.5")], None),
            (&[("retry-after", "86400")], Some(120_000)),
            (&[("retry-after", "99999999999999999999999999")], Some(120_000)),
            (&[("retry-after", "30"), ("x-ratelimit-user", "TimeLeft:7")], Some(7)),
            (&[("retry-after", "30"), ("x-acs-retry-after", "5")], Some(5)),
            (&[("retry-after", "Sun, 22 Nov 2026 07:00:40 GMT"), date], Some(40_000)),
            (&[("retry-after", "Mon, 23 Nov 2026 07:00:00 GMT"), date], Some(120_000)),
            (&[("retry-after", "Sun, 22 Nov 2026 06:59:59 GMT"), date], None),
            (&[("retry-after", "Sun, 22 Nov 2026 07:00:00 GMT"), date], None),
            (&[("retry-after", "soon"), date], None),
            (&[("retry-after", "Sun, 22 Nov 2026 07:00:40 GMT")], None),
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
