use std::cell::RefCell;
use std::collections::VecDeque;
use std::error::Error;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::alibaba::signed_request::{NONCE, header, signature};
use crate::transport::cause::{Cause, CauseClass};

const IDENTITY: &str = r#"{"RequestId":"R","AccountId":"1234567890123456","Arn":"acs:ram::1234567890123456:user/me","IdentityType":"RAMUser"}"#;

const SESSION: &str = r#"{"RequestId":"R","Credentials":{"AccessKeyId":"STS.id","AccessKeySecret":"s3cret2",
    "SecurityToken":"t0ken2","Expiration":"2026-11-22T07:00:00Z"}}"#;

/// Returns its responses in order, and records the requests.
#[derive(Default)]
struct Canned {
    responses: RefCell<VecDeque<Result<http::Response<Bytes>, SendError>>>,
    sent: RefCell<Vec<http::Request<Bytes>>>,
}

impl Transport for &Canned {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, SendError> {
        self.sent.borrow_mut().push(request);
        self.responses.borrow_mut().pop_front().unwrap()
    }
}

impl Canned {
    fn sent_urls(&self) -> Vec<String> {
        self.sent.borrow().iter().map(|request| request.uri().to_string()).collect()
    }

    fn sent_headers(&self, name: &str) -> Vec<String> {
        self.sent.borrow().iter().map(|request| header(request, name).to_owned()).collect()
    }
}

fn canned(responses: &[(u16, &str)]) -> Canned {
    canned_at("Thu, 01 Jan 1970 00:00:00 GMT", responses)
}

fn canned_at(date: &str, responses: &[(u16, &str)]) -> Canned {
    let response = |&(status, body): &(u16, &str)| {
        let response = http::Response::builder().status(status).header("date", date);
        Ok(response.body(body.to_owned().into()).unwrap())
    };
    Canned { responses: RefCell::new(responses.iter().map(response).collect()), ..Canned::default() }
}

fn services(canned: &Canned) -> Services<&Canned> {
    Services::new(canned, BaseUrl::sts(), ServiceUrl::Regional, 7)
}

fn credentials() -> Credentials {
    Credentials::new("LTAIid".into(), "s3cret".into(), Some("t0ken".into()))
}

fn clock() -> Clock {
    Clock::starting_at(SystemTime::UNIX_EPOCH)
}

async fn identity(canned: &Canned) -> Result<CallerIdentity, ServiceError> {
    services(canned).caller_identity(&credentials(), &clock()).await
}

async fn session(canned: &Canned) -> Result<RoleSession, ServiceError> {
    let call = AssumeRole {
        role_arn: "acs:ram::1:role/reader",
        role_session_name: "me@laptop",
        duration: Duration::from_hours(1),
        external_id: Some("e/1"),
        policy: None,
    };
    let services = Services::new(
        canned,
        BaseUrl::sts_in(&RegionId::parse("eu-west-1").unwrap()),
        ServiceUrl::Regional,
        7,
    );
    services.assume_role(&call, &credentials(), &clock()).await
}

/// The existing ones of `sg-0`, `sg-1` and so on.
async fn groups(canned: &Canned, count: usize) -> Result<Vec<String>, ServiceError> {
    let ids: Vec<_> =
        (0..count).map(|number| SecurityGroupId::parse(&format!("sg-{number}")).unwrap()).collect();
    let region = RegionId::parse("eu-west-1").unwrap();
    services(canned).security_groups(&region, &ids, &credentials(), &clock()).await
}

fn page(ids: &[&str], next_token: &str) -> String {
    let groups: Vec<_> = ids.iter().map(|id| json!({ "SecurityGroupId": id })).collect();
    json!({ "SecurityGroups": { "SecurityGroup": groups }, "NextToken": next_token }).to_string()
}

#[tokio::test(start_paused = true)]
async fn identity_is_that_of_the_credentials() {
    let canned = canned(&[(200, IDENTITY)]);
    let identity = identity(&canned).await.unwrap();
    assert_eq!((&*identity.account_id, &*identity.identity_type), ("1234567890123456", "RAMUser"));
    assert_eq!(canned.sent_urls(), ["https://sts.aliyuncs.com/"]);
    let request = canned.sent.borrow()[0].clone();
    assert_eq!((request.method().as_str(), request.body().len()), ("POST", 0));
    for (name, value) in [
        ("host", "sts.aliyuncs.com"),
        ("x-acs-action", "GetCallerIdentity"),
        ("x-acs-version", "2015-04-01"),
        ("x-acs-security-token", "t0ken"),
        ("x-acs-date", "1970-01-01T00:00:00Z"),
    ] {
        assert_eq!(header(&request, name), value, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn role_is_assumed_at_the_given_sts() {
    let canned = canned(&[(200, SESSION)]);
    let session = session(&canned).await.unwrap();
    let credentials = Credentials::new("STS.id".into(), "s3cret2".into(), Some("t0ken2".into()));
    let expiration = time::macros::datetime!(2026-11-22 07:00:00 UTC);
    assert_eq!(session, RoleSession { credentials, expiration });
    let url = "https://sts.eu-west-1.aliyuncs.com/?DurationSeconds=3600&ExternalId=e%2F1&\
        RoleArn=acs%3Aram%3A%3A1%3Arole%2Freader&RoleSessionName=me%40laptop";
    assert_eq!(canned.sent_urls(), [url]);
    assert_eq!(canned.sent_headers("x-acs-action"), ["AssumeRole"]);
}

#[tokio::test(start_paused = true)]
async fn session_that_cannot_sign_is_unreadable() {
    for body in [SESSION.replace("t0ken2", "t 0ken"), SESSION.replace("s3cret2", ""), "{}".to_owned()] {
        let error = session(&canned(&[(200, &body)])).await.unwrap_err();
        assert_eq!(error, ServiceError::Unreadable { action: "AssumeRole" }, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn groups_of_every_page_are_found() {
    let (first, last) = (page(&["sg-0"], "t 1"), page(&["sg-2"], ""));
    let canned = canned(&[(200, &first), (200, &last)]);
    assert_eq!(groups(&canned, 3).await.unwrap(), ["sg-0", "sg-2"]);
    let url = "https://ecs.eu-west-1.aliyuncs.com/?MaxResults=100&";
    let ids = "RegionId=eu-west-1&SecurityGroupIds=%5B%22sg-0%22%2C%22sg-1%22%2C%22sg-2%22%5D";
    assert_eq!(canned.sent_urls(), [format!("{url}{ids}"), format!("{url}NextToken=t%201&{ids}")]);
    assert_eq!(canned.sent_headers("x-acs-action"), ["DescribeSecurityGroups"; 2]);
    assert_eq!(canned.sent_headers("x-acs-version"), ["2014-05-26"; 2]);
    let nonces = canned.sent_headers(NONCE);
    assert_ne!(nonces[0], nonces[1]);
}

#[tokio::test(start_paused = true)]
async fn list_that_is_not_complete_is_an_error() {
    let one = page(&["sg-0"], "t");
    let more_exist =
        json!({ "TotalCount": 2, "SecurityGroups": { "SecurityGroup": [{ "SecurityGroupId": "sg-0" }] } });
    let unreadable = ServiceError::Unreadable { action: "DescribeSecurityGroups" };
    for responses in [
        vec![(200, one.clone()), (200, page(&["sg-1"], "t"))],
        vec![(200, one.clone()), (200, page(&["sg-0"], ""))],
        vec![(200, one.clone()), (200, "{}".to_owned())],
        vec![(200, more_exist.to_string())],
    ] {
        let responses: Vec<_> = responses.iter().map(|(status, body)| (*status, body.as_str())).collect();
        let canned = canned(&responses);
        assert_eq!(groups(&canned, 2).await, Err(unreadable.clone()), "{responses:?}");
    }
    let error = groups(&canned(&[(200, &one), (503, "")]), 2).await.unwrap_err();
    assert_eq!(error.code(), "Http503");
}

#[tokio::test(start_paused = true)]
async fn list_ends_after_as_many_pages_as_groups() {
    let pages: Vec<_> = (0..=ecs::IDS_MAX).map(|number| page(&[], &number.to_string())).collect();
    let canned = canned(&pages.iter().map(|page| (200, page.as_str())).collect::<Vec<_>>());
    assert!(groups(&canned, 1).await.is_err());
    assert_eq!(canned.sent_urls().len(), ecs::IDS_MAX);
}

#[tokio::test(start_paused = true)]
async fn call_names_at_most_100_groups_and_none_means_no_call() {
    let (first, last) = (page(&["sg-7"], ""), page(&["sg-100"], ""));
    let two = canned(&[(200, &first), (200, &last)]);
    assert_eq!(groups(&two, 101).await.unwrap(), ["sg-7", "sg-100"]);
    assert!(two.sent_urls()[0].contains("%22sg-99%22%5D"));
    assert!(two.sent_urls()[1].ends_with("SecurityGroupIds=%5B%22sg-100%22%5D"));
    assert_eq!(groups(&canned(&[]), 0).await, Ok(Vec::new()), "all groups of the region are not listed");
}

#[tokio::test(start_paused = true)]
async fn wrong_clock_is_corrected_and_the_call_repeated_once() {
    let expired = (400, r#"{"Code":"InvalidTimeStamp.Expired"}"#);
    let date = "Thu, 01 Jan 1970 02:00:00 GMT";
    let corrected = canned_at(date, &[expired, (200, IDENTITY)]);
    assert!(identity(&corrected).await.is_ok());
    assert_eq!(corrected.sent_headers("x-acs-date"), ["1970-01-01T00:00:00Z", "1970-01-01T02:00:00Z"]);
    let nonces = corrected.sent_headers(NONCE);
    assert_ne!(nonces[0], nonces[1]);

    let rejected = canned_at(date, &[expired, expired, expired]);
    assert_eq!(identity(&rejected).await.unwrap_err().code(), "InvalidTimeStamp.Expired");
    assert_eq!(rejected.sent_urls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn clocks_are_compared_by_responses_of_the_service_alone() {
    let ahead = async |status, body| {
        let canned = canned_at("Thu, 01 Jan 1970 02:00:00 GMT", &[(status, body)]);
        let services = services(&canned);
        let _ = services.caller_identity(&credentials(), &clock()).await;
        services.service_clock().ahead().whole_hours()
    };
    assert_eq!(ahead(200, IDENTITY).await, 2);
    assert_eq!(ahead(403, r#"{"Code":"NoPermission"}"#).await, 2);
    for (status, body) in [(200, "<html>"), (403, "<html>"), (502, "")] {
        assert_eq!(ahead(status, body).await, 0, "{status} {body}: a proxy");
    }
}

#[tokio::test(start_paused = true)]
async fn error_is_what_its_code_and_status_mean() {
    let (denied, credentials, transient, other) =
        ((true, false, false), (false, true, false), (false, false, true), (false, false, false));
    for (status, body, code, kind, meaning) in [
        (403, r#"{"Code":"NoPermission","Message":"m"}"#, "NoPermission", ErrorKind::Denied, denied),
        (403, r#"{"Code":"Forbidden.RAM"}"#, "Forbidden.RAM", ErrorKind::Denied, denied),
        (403, r#"{"Code":"Forbidden"}"#, "Forbidden", ErrorKind::Denied, denied),
        (
            404,
            r#"{"Code":"InvalidAccessKeyId.NotFound"}"#,
            "InvalidAccessKeyId.NotFound",
            ErrorKind::Credentials,
            credentials,
        ),
        (
            400,
            "\u{feff}{\"Code\":\"InvalidSecurityToken.Expired\"}",
            "InvalidSecurityToken.Expired",
            ErrorKind::CredentialsExpired,
            credentials,
        ),
        (400, r#"{"Code":"Throttling.Api"}"#, "Throttling.Api", ErrorKind::Throttled, transient),
        (
            503,
            "<Error><Code>ServiceUnavailable</Code></Error>",
            "ServiceUnavailable",
            ErrorKind::Transient,
            transient,
        ),
        (404, r#"{"Code":"EntityNotExist.Role"}"#, "EntityNotExist.Role", ErrorKind::Unlisted, other),
        (
            400,
            r#"{"Code":"InvalidParameter.RoleArn"}"#,
            "InvalidParameter.RoleArn",
            ErrorKind::Refused,
            other,
        ),
        (403, "<html>proxy</html>", "Http403", ErrorKind::NoResponse, transient),
        (302, r#"{"Code":"NoPermission"}"#, "Http302", ErrorKind::NoResponse, transient),
        (429, "slow down", "Http429", ErrorKind::Throttled, transient),
        (200, r#"{"Code":"NoPermission"}"#, "UnreadableAnswer", ErrorKind::NoResponse, transient),
        (200, "[]", "UnreadableAnswer", ErrorKind::NoResponse, transient),
    ] {
        let error = identity(&canned(&[(status, body)])).await.unwrap_err();
        assert_eq!((&*error.code(), error.kind()), (code, kind), "{status} {body}");
        let is = (error.is_denied(), error.is_credentials(), error.is_transient());
        assert_eq!(is, meaning, "{status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn display_names_the_call_and_the_source_the_cause() {
    let text = async |status, body| identity(&canned(&[(status, body)])).await.unwrap_err().to_string();
    let denied = r#"{"Code":"NoPermission","Message":"not\nauthorized"}"#;
    assert_eq!(text(403, denied).await, "GetCallerIdentity failed with NoPermission: notauthorized");
    assert_eq!(text(400, r#"{"Code":"X"}"#).await, "GetCallerIdentity failed with X");
    assert_eq!(text(502, "").await, "GetCallerIdentity got no readable response: Http502");
    assert_eq!(text(200, "").await, "the response to GetCallerIdentity has no usable content");

    let cause = Cause { class: CauseClass::Dns, text: "no such host".to_owned() };
    let lost = SendError { why: NoResponse::ConnectionLost, cause: Some(cause) };
    let canned = Canned { responses: RefCell::new([Err(lost)].into()), ..Canned::default() };
    let error = identity(&canned).await.unwrap_err();
    assert_eq!(error.to_string(), "GetCallerIdentity got no readable response: ConnectionLost");
    assert_eq!(error.source().unwrap().to_string(), "DNS: no such host");
}

#[tokio::test(start_paused = true)]
async fn what_signed_a_call_is_redacted_from_its_error() {
    // Signed with the same nonce and time, so that the message can quote both of the call.
    let first = canned(&[(200, IDENTITY)]);
    identity(&first).await.unwrap();
    let sent = first.sent.borrow()[0].clone();
    let (signature, nonce) = (signature(&sent), header(&sent, NONCE));
    let message = format!("{signature} {nonce} s3cret t0ken LTAIid");
    let body = json!({ "Code": "SignatureDoesNotMatch", "Message": message }).to_string();
    let error = identity(&canned(&[(400, &body)])).await.unwrap_err();
    let redacted = ["[redacted]"; 5].join(" ");
    assert_eq!(error.to_string(), format!("GetCallerIdentity failed with SignatureDoesNotMatch: {redacted}"));

    let error = identity(&canned(&[(400, r#"{"Code":"Invalid.s3cret"}"#)])).await.unwrap_err();
    assert_eq!(error.code(), "Http400", "a code with a secret in it is no code");
}
