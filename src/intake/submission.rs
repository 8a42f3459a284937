//! From the body of a webhook or an event to the requests in it: one bare request, or a list of them.
//!
//! Pure. All or nothing: if anything is wrong with one request, none is taken, and every fault of all is named.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::json::{Entries, shown};
use crate::request::{self, DetachRequest, FieldError, RejectionCode, RequestId, Rules};

/// Most requests of one list, the contract's limit: ten calls of the queue.
pub const REQUESTS_MAX: usize = 100;

/// Most faults beside a list that are named, as many as of one request. A body has room for ten thousands.
const ENVELOPE_FAULTS_MAX: usize = 20;

/// A valid request with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The request.
    pub request: DetachRequest,
    /// Its own name, or the one that its source gives it.
    pub request_id: RequestId,
}

/// Who names the requests that have no name of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// The id of the webhook or event.
    Id(&'a str),
    /// The `id` beside a list of requests if there is one, or else this.
    OwnIdOr(&'a str),
}

/// One thing that is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The request's place in the list, from 0; none for a bare request and for the list itself.
    pub index: Option<usize>,
    /// What is wrong.
    pub fault: FieldError,
}

impl Fault {
    /// Something is wrong with the body as a whole.
    #[must_use]
    pub fn of_body(problem: &str) -> Self {
        Self::of_list("body", problem)
    }

    fn of_list(field: &str, problem: &str) -> Self {
        Self { index: None, fault: fault(field, problem) }
    }
}

impl Submission {
    /// The lane: one per endpoint, across every trigger.
    #[must_use]
    pub fn message_group(&self) -> String {
        format!("{}/{}", self.request.region_id, self.request.endpoint_id)
    }

    /// The same for a repetition and for nothing else: another endpoint under the same name, or the real request after
    /// its dry run, is another request.
    #[must_use]
    pub fn deduplication_id(&self) -> String {
        let DetachRequest { region_id, endpoint_id, security_group_id, dry_run, .. } = &self.request;
        // None of the parts can have a line end in it.
        let whole =
            format!("{}\n{region_id}\n{endpoint_id}\n{security_group_id}\n{dry_run}", self.request_id);
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(whole))
    }
}

/// The requests in a body, at least one, or everything that is wrong with it.
pub fn parse(body: &str, source: Source<'_>, rules: &Rules) -> Result<Vec<Submission>, Vec<Fault>> {
    match serde_json::from_str::<Entries>(body) {
        Ok(Entries(fields)) if fields.iter().any(|(name, _)| name == "requests") => {
            several(&fields, source, rules)
        }
        // What is no list of requests must be a request, and the request's own rules say what is wrong with it.
        _ => bare(body, source, rules).map(|submission| vec![submission]),
    }
}

fn bare(body: &str, source: Source<'_>, rules: &Rules) -> Result<Submission, Vec<Fault>> {
    let (Source::Id(id) | Source::OwnIdOr(id)) = source;
    submission(body, None, rules, || RequestId::from_source(id))
}

fn several(
    fields: &[(String, Box<RawValue>)],
    source: Source<'_>,
    rules: &Rules,
) -> Result<Vec<Submission>, Vec<Fault>> {
    let envelope = Envelope::read(fields, source)?;
    let mut submissions = Vec::new();
    let mut faults = Vec::new();
    for (index, request) in envelope.requests.iter().enumerate() {
        let name = || RequestId::numbered(&envelope.id, index + 1);
        match submission(request.get(), Some(index), rules, name) {
            Ok(submission) => submissions.push(submission),
            Err(others) => faults.extend(others),
        }
    }
    if faults.is_empty() {
        faults = repetitions(&submissions);
    }
    if faults.is_empty() { Ok(submissions) } else { Err(faults) }
}

fn submission(
    body: &str,
    index: Option<usize>,
    rules: &Rules,
    name: impl FnOnce() -> RequestId,
) -> Result<Submission, Vec<Fault>> {
    match request::parse(body, rules).result {
        Ok(request) => {
            let request_id = request.request_id.clone().unwrap_or_else(name);
            Ok(Submission { request, request_id })
        }
        Err(rejection) => Err(rejection.errors.into_iter().map(|fault| Fault { index, fault }).collect()),
    }
}

/// Requests that the queue would take for one, although they may differ in their deadline or metadata.
fn repetitions(submissions: &[Submission]) -> Vec<Fault> {
    let mut first = BTreeMap::new();
    let mut faults = Vec::new();
    for (index, submission) in submissions.iter().enumerate() {
        if let Some(earlier) = first.insert(submission.deduplication_id(), index) {
            let problem = format!("repeats request {earlier}: only the first of both would be carried out");
            faults.push(Fault { index: Some(index), fault: fault("request_id", problem) });
        }
    }
    faults
}

/// What is around a list of requests.
struct Envelope {
    requests: Vec<Box<RawValue>>,
    id: String,
}

impl Envelope {
    fn read(fields: &[(String, Box<RawValue>)], source: Source<'_>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut wrong = |name: &str, problem: &str| faults.push(Fault::of_list(name, problem));
        let mut requests = None;
        let mut own_id = None;
        for (name, value) in fields {
            match (name.as_str(), source) {
                ("requests", _) if requests.is_some() => wrong(name, "is given twice"),
                ("requests", _) => match list(value) {
                    Ok(some) => requests = Some(some),
                    Err(problem) => wrong(name, problem),
                },
                ("id", Source::OwnIdOr(_)) if own_id.is_some() => wrong(name, "is given twice"),
                ("id", Source::OwnIdOr(_)) => {
                    own_id = serde_json::from_str::<String>(value.get())
                        .ok()
                        .filter(|id| RequestId::parse(id).is_some());
                    if own_id.is_none() {
                        wrong(name, RequestId::RULE);
                    }
                }
                _ => wrong(&shown(name), "cannot stand beside requests"),
            }
        }
        if faults.len() > ENVELOPE_FAULTS_MAX {
            let problem = format!("has {} more faults beside requests", faults.len() - ENVELOPE_FAULTS_MAX);
            faults.truncate(ENVELOPE_FAULTS_MAX);
            faults.push(Fault::of_body(&problem));
        }
        let (Source::Id(id) | Source::OwnIdOr(id)) = source;
        let envelope =
            Self { requests: requests.unwrap_or_default(), id: own_id.unwrap_or_else(|| id.to_owned()) };
        if faults.is_empty() { Ok(envelope) } else { Err(faults) }
    }
}

fn list(value: &RawValue) -> Result<Vec<Box<RawValue>>, &'static str> {
    let requests: Vec<_> = serde_json::from_str(value.get()).map_err(|_| "must be a list of requests")?;
    match requests.len() {
        1..=REQUESTS_MAX => Ok(requests),
        0 => Err("must hold at least one request"),
        _ => Err("must hold at most 100 requests: send the others separately"),
    }
}

fn fault(field: &str, problem: impl Into<String>) -> FieldError {
    FieldError { code: RejectionCode::InvalidRequest, field: field.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::request::SecurityGroupId;

    fn request(group: &str) -> Value {
        json!({ "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": group })
    }

    fn ids(body: &Value, source: Source<'_>) -> Vec<String> {
        let submissions = parse(&body.to_string(), source, &Rules::default()).unwrap();
        submissions.iter().map(|submission| submission.request_id.to_string()).collect()
    }

    fn faults(body: &str) -> Vec<(Option<usize>, String)> {
        let faults = parse(body, Source::OwnIdOr("id"), &Rules::default()).unwrap_err();
        faults.into_iter().map(|fault| (fault.index, fault.fault.to_string())).collect()
    }

    #[test]
    fn a_request_without_a_name_gets_its_sources_and_the_nth_a_number() {
        let source = Source::Id("msg_1");
        assert_eq!(ids(&request("sg-a"), source), ["msg_1"]);
        let mut named = request("sg-b");
        named["request_id"] = "CHG1".into();
        assert_eq!(ids(&named, source), ["CHG1"]);
        let several = json!({ "requests": [request("sg-a"), named, request("sg-c")] });
        assert_eq!(ids(&several, source), ["msg_1.1", "CHG1", "msg_1.3"]);
        assert_eq!(ids(&json!({ "requests": [request("sg-a")] }), source), ["msg_1.1"]);
    }

    #[test]
    fn a_schedules_list_may_bring_its_own_id() {
        let list = json!({ "id": "d32c5kddcf5bb8c3", "requests": [request("sg-a")] });
        assert_eq!(ids(&list, Source::OwnIdOr("invocation")), ["d32c5kddcf5bb8c3.1"]);
        assert_eq!(
            ids(&json!({ "requests": [request("sg-a")] }), Source::OwnIdOr("invocation")),
            ["invocation.1"]
        );
        let faults = parse(&list.to_string(), Source::Id("msg"), &Rules::default()).unwrap_err();
        assert_eq!(faults[0].fault.to_string(), "id cannot stand beside requests");
    }

    #[test]
    fn an_invalid_request_is_named_by_its_place_and_takes_the_others_with_it() {
        let body = json!({ "requests": [request("sg-a"), request("ep-a"), 7, { "region_id": "eu-west-1" }] });
        assert_eq!(
            faults(&body.to_string()),
            [
                (Some(1), format!("security_group_id {}", SecurityGroupId::RULE)),
                (Some(2), "body must be one JSON object".to_owned()),
                (Some(3), "endpoint_id is required".to_owned()),
                (Some(3), "security_group_id is required".to_owned()),
            ]
        );
        assert_eq!(faults("[]"), [(None, "body must be one JSON object".to_owned())]);
    }

    #[test]
    fn a_list_has_its_own_faults() {
        let list = |length: usize| json!({ "requests": vec![request("sg-a"); length] }).to_string();
        assert!(parse(&list(100), Source::Id("msg"), &Rules::default()).is_ok());
        for (body, fault) in [
            (list(101).as_str(), "requests must hold at most 100 requests: send the others separately"),
            (r#"{"requests":[]}"#, "requests must hold at least one request"),
            (r#"{"requests":{}}"#, "requests must be a list of requests"),
            (r#"{"requests":null}"#, "requests must be a list of requests"),
            (r#"{"requests":[{}],"requests":[{}]}"#, "requests is given twice"),
            (r#"{"requests":[{}],"dry_run":true}"#, "dry_run cannot stand beside requests"),
            (
                r#"{"requests":[{}],"id":"<aws.scheduler.execution-id>"}"#,
                "id must be 1 to 64 of A-Z a-z 0-9 . _ : -",
            ),
        ] {
            assert_eq!(faults(body), [(None, fault.to_owned())], "{body}");
        }
    }

    #[test]
    fn a_flood_of_faults_beside_a_list_is_cut_and_counted() {
        let fields = r#""dry_run":0,"#.repeat(20_000);
        let faults = faults(&format!(r#"{{{fields}"requests":[]}}"#));
        assert_eq!(faults.len(), ENVELOPE_FAULTS_MAX + 1);
        assert_eq!(faults[ENVELOPE_FAULTS_MAX].1, "body has 19981 more faults beside requests");
    }

    #[test]
    fn two_requests_that_the_queue_would_take_for_one_are_refused() {
        let named = |group: &str, dry_run: bool| {
            let mut request = request(group);
            request["request_id"] = "CHG1".into();
            request["dry_run"] = dry_run.into();
            request
        };
        let distinct =
            json!({ "requests": [named("sg-a", false), named("sg-a", true), named("sg-b", false)] });
        assert_eq!(ids(&distinct, Source::Id("m")), ["CHG1"; 3]);
        let alike = json!({ "requests": [named("sg-a", false), named("sg-b", false), named("sg-a", false)] });
        assert_eq!(
            faults(&alike.to_string()),
            [(
                Some(2),
                "request_id repeats request 0: only the first of both would be carried out".to_owned()
            )]
        );
    }

    #[test]
    fn a_deduplication_id_tells_apart_whatever_makes_another_request() {
        let base = json!({ "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a",
            "request_id": "r", "dry_run": false, "deadline_seconds": 60 });
        let id = |field: &str, value: Value| {
            let mut body = base.clone();
            body[field] = value;
            parse(&body.to_string(), Source::Id("m"), &Rules::default()).unwrap()[0].deduplication_id()
        };
        let same = id("request_id", "r".into());
        assert_eq!(id("deadline_seconds", 61.into()), same);
        assert_eq!(same.len(), 43);
        for (field, value) in [
            ("request_id", json!("s")),
            ("region_id", json!("eu-west-2")),
            ("endpoint_id", json!("ep-b")),
            ("security_group_id", json!("sg-b")),
            ("dry_run", json!(true)),
        ] {
            assert_ne!(id(field, value), same, "{field}");
        }
    }
}
