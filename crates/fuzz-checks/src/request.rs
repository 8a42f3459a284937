//! The body of a request, as a message and as a webhook have it, and every kind of id that may be in it.

use http::Uri;
use privatelink_detach::alibaba::codes::Code;
use privatelink_detach::intake::submission::{self, IdSource, REQUESTS_MAX, SubmissionError};
use privatelink_detach::request::{
    self, ClientToken, DEADLINE_SECONDS, DetachRequest, EndpointId, FieldError, Parsed, RegionId, Rejection,
    RejectionCode, RequestId, Rules, SecurityGroupId, Subject,
};
use serde_json::Value;

use crate::memory::{Bound, bounded};
use crate::text::assert_tame;

/// A field of five characters has a few words: a message of 1 MiB leaves most of the smallest function's 128 MB alone.
const MEMORY: Bound = Bound { base: 16 * 1024, per_byte: 32 };

/// Most faults of one request: 20, and how many more there are.
const ERRORS_MAX: usize = 21;

/// Most characters of a field's name: 64, each of which may need ten to be shown.
const FIELD_LENGTH_MAX: usize = 640;

/// Most characters of what is wrong with a field. All of them are ours.
const PROBLEM_LENGTH_MAX: usize = 128;

/// Most bytes of `metadata` as JSON.
const METADATA_BYTES_MAX: usize = 1024;

/// Most bytes of a message that the intake writes: the longest ids and all the metadata, with two characters escaped.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Every field in both spellings.
const FIELDS: [&str; 14] = [
    "region_id",
    "RegionId",
    "endpoint_id",
    "EndpointId",
    "security_group_id",
    "SecurityGroupId",
    "dry_run",
    "DryRun",
    "client_token",
    "ClientToken",
    "expect_attached",
    "request_id",
    "deadline_seconds",
    "metadata",
];

pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let rules = rules();
    let Parsed { subject, result } = bounded(&MEMORY, text.len(), || request::parse(text, &rules));
    check_subject(&subject);
    match result {
        Ok(request) => check_request(&request, &subject, text, &rules),
        Err(rejection) => check_rejection(&rejection, &subject, text),
    }
    let source = IdSource::Schedule("lambda-request");
    match bounded(&MEMORY, text.len(), || submission::parse(text, source, &rules)) {
        Ok(submissions) => check_submissions(&submissions, &rules),
        Err(errors) => check_errors(&errors),
    }
    check_ids(text);
}

/// A deployment that has rules of every kind.
pub(crate) fn rules() -> Rules {
    Rules {
        allowed_regions: ["eu-west-1", "cn-hangzhou"].into_iter().filter_map(RegionId::parse).collect(),
        protected_security_groups: ["sg-protected"].into_iter().filter_map(SecurityGroupId::parse).collect(),
        protected_endpoints: ["ep-protected"].into_iter().filter_map(EndpointId::parse).collect(),
        ..Rules::default()
    }
}

fn check_subject(subject: &Subject) {
    assert!(subject.deadline.is_none_or(|deadline| DEADLINE_SECONDS.contains(&deadline.as_secs())));
    assert!(serde_json::to_string(&subject.metadata).expect("JSON").len() <= METADATA_BYTES_MAX);
}

/// The subject of a valid request.
fn subject_of(request: &DetachRequest) -> Subject {
    Subject {
        region_id: Some(request.region_id.clone()),
        endpoint_id: Some(request.endpoint_id.clone()),
        security_group_id: Some(request.security_group_id.clone()),
        request_id: request.request_id.clone(),
        dry_run: Some(request.dry_run),
        deadline: request.deadline,
        metadata: request.metadata.clone(),
    }
}

fn check_request(request: &DetachRequest, subject: &Subject, text: &str, rules: &Rules) {
    check_allowed(request, rules);
    assert_eq!(*subject, subject_of(request));
    // A mistyped field must not pass for a default.
    let body: Value = serde_json::from_str(text).expect("a request is JSON");
    let fields = body.as_object().expect("a request is an object");
    assert!(fields.keys().all(|field| FIELDS.contains(&field.as_str())), "{text}");
    let given = |names: [&str; 2]| names.iter().find_map(|name| fields.get(*name));
    assert_eq!(request.dry_run, given(["dry_run", "DryRun"]).and_then(Value::as_bool).unwrap_or_default());
    let expects = fields.get("expect_attached").and_then(Value::as_bool).unwrap_or_default();
    assert_eq!(request.expect_attached, expects);
    assert_eq!(given(["region_id", "RegionId"]), Some(&request.region_id.as_str().into()));
    assert_eq!(given(["endpoint_id", "EndpointId"]), Some(&request.endpoint_id.as_str().into()));
    let group = given(["security_group_id", "SecurityGroupId"]);
    assert_eq!(group, Some(&request.security_group_id.as_str().into()));

    // The intake writes what the worker reads as the same.
    let request_id = request.request_id.clone().unwrap_or_else(|| RequestId::from_source("message"));
    let written = request.to_body(&request_id);
    let named = DetachRequest { request_id: Some(request_id.clone()), ..request.clone() };
    assert_eq!(request::parse(&written, rules).result.as_ref(), Ok(&named));
    check_message(&written);
    let submissions = submission::parse(text, IdSource::Delivery("message"), rules).expect("one request");
    assert_eq!(submissions.len(), 1);
    assert_eq!((&submissions[0].request, &submissions[0].request_id), (request, &request_id));
}

/// What holds for the body of every message that the intake writes: SQS takes it.
pub(crate) fn check_message(body: &str) {
    let is_taken = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(body.len() <= MESSAGE_BYTES_MAX && body.chars().all(is_taken), "{body:?}");
}

/// What holds for every request that goes on.
pub(crate) fn check_allowed(request: &DetachRequest, rules: &Rules) {
    assert!(rules.allowed_regions.contains(&request.region_id), "{request:?}");
    assert!(!rules.protected_endpoints.contains(&request.endpoint_id), "{request:?}");
    assert!(!rules.protected_security_groups.contains(&request.security_group_id), "{request:?}");
}

fn check_rejection(rejection: &Rejection, subject: &Subject, text: &str) {
    let errors = &rejection.errors;
    assert!((1..=ERRORS_MAX).contains(&errors.len()), "{rejection:?}");
    errors.iter().for_each(check_error);
    // Errors that are not listed may be more important than those that are.
    assert!(errors.iter().all(|error| error.code >= rejection.code), "{rejection:?}");
    // A body that is only not allowed here is a request in another deployment; no other rejected body is.
    let elsewhere = request::parse(text, &Rules::default()).result;
    assert_eq!(elsewhere.is_ok(), rejection.code != RejectionCode::InvalidRequest, "{rejection:?}");
    if let Ok(request) = elsewhere {
        assert_eq!(*subject, subject_of(&request));
    }
}

fn check_error(error: &FieldError) {
    assert_tame(&error.field, FIELD_LENGTH_MAX);
    assert_tame(&error.problem, PROBLEM_LENGTH_MAX);
}

/// What holds for everything that is wrong with a body.
pub(crate) fn check_errors(errors: &[SubmissionError]) {
    assert!(!errors.is_empty());
    // Of the list itself as many as of one request.
    assert!(errors.len() <= ERRORS_MAX * REQUESTS_MAX, "{} errors", errors.len());
    for SubmissionError { index, error } in errors {
        assert!(index.is_none_or(|index| index < REQUESTS_MAX), "{index:?}");
        check_error(error);
    }
}

/// What holds for requests that are taken together.
fn check_submissions(submissions: &[submission::Submission], rules: &Rules) {
    assert!((1..=REQUESTS_MAX).contains(&submissions.len()));
    let mut ids: Vec<_> = submissions.iter().map(submission::Submission::deduplication_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), submissions.len(), "the queue takes two for one");
    for submission in submissions {
        check_allowed(&submission.request, rules);
        check_message(&submission.request.to_body(&submission.request_id));
    }
}

fn check_ids(text: &str) {
    if let Some(region) = RegionId::parse(text) {
        assert_eq!(region.as_str(), text);
        // It becomes part of a host name, and of nothing else.
        let host = format!("privatelink.{text}.aliyuncs.com");
        let uri: Uri = format!("https://{host}/?RegionId={text}").parse().expect("a URL");
        assert_eq!((uri.host(), uri.port(), uri.path()), (Some(host.as_str()), None, "/"));
        assert!(text.len() <= 63 && uri.query() == Some(&format!("RegionId={text}")));
    }
    let is_plain =
        |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    let endpoint = EndpointId::parse(text).map(|id| id.to_string());
    let group = SecurityGroupId::parse(text).map(|id| id.to_string());
    for (id, prefix) in [(endpoint, "ep-"), (group, "sg-")] {
        let Some(id) = id else { continue };
        assert!(
            id == text && text.starts_with(prefix) && text.len() <= 64 && is_plain(text, "_-"),
            "{text:?}"
        );
    }
    if let Some(token) = ClientToken::parse(text) {
        assert!(token.as_str() == text && text.len() <= 64 && http::HeaderValue::from_str(text).is_ok());
    }
    if let Some(code) = Code::parse(text) {
        assert!(code.as_str() == text && text.len() <= 128 && is_plain(text, "._-"), "{text:?}");
    }
    let named = RequestId::from_source(text);
    assert_eq!(RequestId::parse(named.as_str()).as_ref(), Some(&named));
    assert_eq!(RequestId::from_source(named.as_str()), named, "a name is its own");
    assert!(RequestId::parse(text).is_none_or(|id| id == named && is_plain(text, "._:-")), "{text:?}");
    assert_ne!(RequestId::numbered(text, 1), RequestId::numbered(text, 2));
}
