//! A response of Alibaba Cloud to each of the three calls: status, headers and body, as the client parses them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::codes::ErrorKind;
use privatelink_detach::alibaba::credentials::CredentialsSource;
use privatelink_detach::alibaba::error::ErrorCode;
use privatelink_detach::alibaba::privatelink::{Call, Target};
use privatelink_detach::alibaba::records::{EndpointStatus, GroupStatus};
use privatelink_detach::alibaba::response::{CallResult, Response};
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::request::{ClientToken, EndpointId, RegionId, SecurityGroupId};
use privatelink_detach::transport::NoResponse;
use privatelink_detach::transport::{SendError, Transport};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::fault;
use crate::memory::{Bound, bounded};
use crate::message::Message;
use crate::virtual_time::{self, beginning};

/// An entry of a list has at most three short texts, and the call itself is built, encoded and signed.
const MEMORY: Bound = Bound { base: 32 * 1024, per_byte: 64 };

/// The largest accepted offset of the service's clock, from the contract.
const CLOCK_OFFSET_MAX: Duration = Duration::from_hours(48);

/// The longest accepted id or status, in bytes.
const TEXT_LENGTH_MAX: usize = 128;

/// The longest page token that is sent back, in bytes.
const NEXT_TOKEN_LENGTH_MAX: usize = 2048;

/// A transport that returns the same response to every request and records the requests.
pub(crate) struct Canned {
    pub(crate) response: http::Response<Bytes>,
    pub(crate) sent: RefCell<Vec<Request<Bytes>>>,
}

impl Canned {
    pub(crate) fn new(response: http::Response<Bytes>) -> Self {
        Self { response, sent: RefCell::default() }
    }
}

impl Transport for &Canned {
    async fn send(&self, request: Request<Bytes>, _: Duration) -> Result<http::Response<Bytes>, SendError> {
        self.sent.borrow_mut().push(request);
        Ok(self.response.clone())
    }
}

pub(crate) fn check(input: &[u8]) {
    let Some(response) = Message::read(input).and_then(Message::into_response) else { return };
    let target = Target {
        region_id: RegionId::parse("eu-west-1").expect("a region"),
        endpoint_id: EndpointId::parse("ep-a").expect("an endpoint"),
        security_group_id: SecurityGroupId::parse("sg-a").expect("a group"),
    };
    let attach = |dry_run| Call::Attach {
        security_group_id: SecurityGroupId::parse("sg-spare").expect("a group"),
        client_token: ClientToken::numbered(7, 3),
        dry_run,
    };
    let calls = [
        Call::ListSecurityGroups { next_token: None },
        Call::ListEndpoints { next_token: None },
        Call::Detach { client_token: ClientToken::numbered(7, 1), dry_run: false },
        Call::Detach { client_token: ClientToken::numbered(7, 2), dry_run: true },
        attach(false),
        attach(true),
    ];
    for call in calls {
        let canned = Canned::new(response.clone());
        let source = CredentialsSource::Fixed(Rc::new(fault::keys()));
        let client = Client::new(&canned, source, ServiceUrl::Regional, 7);
        let results = virtual_time::run(async |clock| {
            let timeout = Duration::from_secs(10);
            let first = bounded(&MEMORY, input.len(), || {
                output_now(client.call(&call.request(&target), &clock, timeout))
            });
            (first, client.call(&call.request(&target), &clock, timeout).await)
        });
        assert_eq!(results.0, results.1, "the same response gives the same result");
        check_result(&results.0, &call, &response);
        check_clock(&canned, &results.0);
    }
}

/// The output of a future that does not wait.
fn output_now<F: Future>(future: F) -> F::Output {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("the call waits although its response is available"),
    }
}

fn check_result(result: &CallResult, call: &Call, response: &http::Response<Bytes>) {
    let (status, body) = (response.status().as_u16(), response.body());
    fault::check_api_request_id(result.api_request_id.as_deref());
    match &result.result {
        Ok(Response::DryRunPassed(write)) => {
            let is_dry_run =
                matches!(call, Call::Detach { dry_run: true, .. } | Call::Attach { dry_run: true, .. });
            assert_eq!(write.action(), call.action());
            assert!(is_dry_run && (400..600).contains(&status), "{status}");
        }
        Ok(parsed) => {
            assert_eq!((status, parsed.action()), (200, call.action()));
            assert!(result.api_request_id.is_some());
            check_response(parsed, result.api_request_id.as_deref(), body);
        }
        Err(error) if status == 200 => {
            let unreadable = ErrorCode::NoResponse(NoResponse::UnreadableAnswer);
            let expected = (ErrorKind::NoResponse, &unreadable, true, None);
            let actual = (error.kind, &error.code, error.keeps_token, error.retry_after);
            assert_eq!(actual, expected);
        }
        Err(error) => {
            assert_eq!(error.action, call.action());
            fault::check_error(error, status, body);
        }
    }
}

/// Stands for an id or a status that does not look like one.
const UNREADABLE: &str = "(unreadable)";

fn is_uuid(id: &str) -> bool {
    let is_hyphen = |index: usize| matches!(index, 8 | 13 | 18 | 23);
    let is_right =
        |(index, c): (usize, char)| if is_hyphen(index) { c == '-' } else { c.is_ascii_hexdigit() };
    id.len() == 36 && id.chars().enumerate().all(is_right)
}

fn is_word(status: &str) -> bool {
    (1..=32).contains(&status.len()) && status.chars().all(|c| c.is_ascii_alphabetic())
}

/// Compares the parsed response with the body.
fn check_response(response: &Response, api_request_id: Option<&str>, body: &[u8]) {
    let is_short = |text: &str| text.len() <= TEXT_LENGTH_MAX;
    let is_sendable = |token: &String| (1..=NEXT_TOKEN_LENGTH_MAX).contains(&token.len());
    // `Value` rejects a number that is out of range in a field that the client ignores. The client accepts such a body.
    let body = serde_json::from_slice::<Value>(body).ok();
    let at = |value: &Value, name: &str| value[name].as_str().map(str::to_owned);
    if let Some(body) = &body {
        let given = at(body, "RequestId").unwrap_or_default();
        let expected = if is_uuid(&given) { given.as_str() } else { UNREADABLE };
        assert_eq!(api_request_id, Some(expected));
    }
    let list = |name: &str| body.as_ref().map(|body| body[name].as_array().expect("a list").clone());
    match response {
        Response::Accepted(_) | Response::DryRunPassed(_) => {}
        Response::SecurityGroups(page) => {
            assert!(page.items.iter().all(|group| is_short(&group.id)), "{page:?}");
            assert!(page.next_token.as_ref().is_none_or(is_sendable), "{page:?}");
            if let Some(list) = list("SecurityGroups") {
                let read = |group: &Value| {
                    let status = match group["SecurityGroupStatus"].as_str() {
                        Some("Attaching") => GroupStatus::Attaching,
                        Some("Detaching") => GroupStatus::Detaching,
                        _ => GroupStatus::Attached,
                    };
                    (at(group, "SecurityGroupId"), status)
                };
                let parsed = page.items.iter().map(|group| (Some(group.id.clone()), group.status));
                assert!(parsed.eq(list.iter().map(read)), "{page:?}");
            }
        }
        Response::Endpoints(page) => {
            assert!(page.next_token.as_ref().is_none_or(is_sendable), "{page:?}");
            for endpoint in &page.items {
                assert!(is_short(&endpoint.id), "{endpoint:?}");
                assert!(
                    endpoint
                        .status
                        .as_ref()
                        .map(EndpointStatus::as_str)
                        .is_none_or(|status| status == UNREADABLE || is_word(status)),
                    "{endpoint:?}"
                );
            }
            if let Some(list) = list("Endpoints") {
                let parsed = page.items.iter().map(|endpoint| Some(endpoint.id.clone()));
                assert!(parsed.eq(list.iter().map(|endpoint| at(endpoint, "EndpointId"))), "{page:?}");
            }
        }
    }
}

/// The second call is signed with the time of the first response only if that response reports a wrong clock, and only
/// if the offset is plausible.
fn check_clock(canned: &Canned, result: &CallResult) {
    let sent = canned.sent.borrow();
    let signed_at = |request: &Request<Bytes>| {
        let date = request.headers()["x-acs-date"].to_str().expect("text");
        SystemTime::from(OffsetDateTime::parse(date, &Rfc3339).expect("a time"))
    };
    assert_eq!(sent.len(), 2);
    assert_eq!(signed_at(&sent[0]), beginning());
    let second = signed_at(&sent[1]);
    let offset = second.duration_since(beginning()).unwrap_or_else(|earlier| earlier.duration());
    assert!(offset <= CLOCK_OFFSET_MAX, "{offset:?}");
    let is_of_the_clock = result.result.as_ref().is_err_and(|error| error.kind == ErrorKind::Clock);
    assert!(offset.is_zero() || is_of_the_clock, "{offset:?}");
}
