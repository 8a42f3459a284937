//! Parses the body of a webhook or an event: a single request, or a list of requests.
//!
//! Pure. All or nothing: if one request is not valid, none is submitted, and every error of every request is reported.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;

use crate::json::{Entries, shown, without_byte_order_mark};
use crate::request::{self, DetachRequest, FieldError, RejectionCode, RequestId, Rules};

/// Maximum length of a list of requests, the contract's limit: ten `SendMessageBatch` calls.
pub const REQUESTS_MAX: usize = 100;

/// Maximum number of reported errors in the fields beside a list, the same as for one request. A body has room for tens of
/// thousands.
const ENVELOPE_ERRORS_MAX: usize = 20;

/// Maximum number of errors in one log line or error message. An HTTP response has them all.
const ERRORS_LISTED_MAX: usize = 20;

/// A valid request, ready for the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Valid, and allowed in this deployment.
    pub request: DetachRequest,
    /// The request's own `request_id`, or one derived from its source.
    pub request_id: RequestId,
    /// Identifies the delivery that contained the request: a repetition has the same, a request that is sent again has
    /// another.
    delivery: String,
}

/// The id of a delivery: of a webhook, an event or an execution of a schedule. It identifies repetitions, and names the
/// requests that have no `request_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdSource<'a> {
    /// The id that every repetition of the webhook or event has.
    Delivery(&'a str),
    /// AWS's id of a call without a `webhook-id`, which only AWS IAM allows. A repeated call has another id, so a request's
    /// own `request_id` identifies it before this one.
    Call(&'a str),
    /// Lambda's id of a schedule's invocation. The `id` beside a list, or the `request_id` of a single request, identifies
    /// the execution before this one.
    Schedule(&'a str),
}

impl<'a> IdSource<'a> {
    fn id(self) -> &'a str {
        match self {
            Self::Delivery(id) | Self::Call(id) | Self::Schedule(id) => id,
        }
    }

    /// What identifies the delivery of one request. `list_id` is the id of the list that contains it.
    fn delivery(self, own: Option<&RequestId>, list_id: Option<&str>) -> String {
        let own = own.map(RequestId::as_str);
        let id = match self {
            Self::Delivery(id) => id,
            Self::Call(id) => own.unwrap_or(id),
            Self::Schedule(id) => list_id.or(own).unwrap_or(id),
        };
        id.to_owned()
    }
}

/// One error in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionError {
    /// The place of the request in the JSON list, from 0; `None` for a single request and for the list itself. Texts call the
    /// first one `request 1`, as in its default name `{id}.1`.
    pub index: Option<usize>,
    /// The field and what is wrong with it.
    pub error: FieldError,
}

impl SubmissionError {
    /// An error of the body as a whole. The text completes the sentence "the body …".
    #[must_use]
    pub fn of_body(problem: &str) -> Self {
        Self::invalid(None, "body", problem)
    }

    fn invalid(index: Option<usize>, field: &str, problem: impl Into<String>) -> Self {
        let (code, field) = (RejectionCode::InvalidRequest, field.to_owned());
        Self { index, error: FieldError { code, field, problem: problem.into() } }
    }
}

impl fmt::Display for SubmissionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "request {}: {}", index + 1, self.error),
            None => write!(f, "{}", self.error),
        }
    }
}

/// The errors in one line for a log or an error message; beyond a limit only their number. A name that is not a field's is
/// untrusted text and is not repeated.
#[must_use]
pub fn summarize(errors: &[SubmissionError]) -> String {
    let is_known = |field: &str| request::is_field(field) || ["body", "requests", "id"].contains(&field);
    let text = |error: &SubmissionError| {
        let SubmissionError { index, error: FieldError { code, field, problem } } = error.clone();
        let field = if is_known(&field) { field } else { "an unknown name".to_owned() };
        SubmissionError { index, error: FieldError { code, field, problem } }.to_string()
    };
    let mut parts: Vec<_> = errors.iter().take(ERRORS_LISTED_MAX).map(text).collect();
    if errors.len() > ERRORS_LISTED_MAX {
        parts.push(format!("and {} more", errors.len() - ERRORS_LISTED_MAX));
    }
    parts.join("; ")
}

impl Submission {
    /// A request from chat, whose name identifies its delivery, too. No webhook can have the same delivery: a `webhook-id`
    /// contains no line feed.
    #[must_use]
    pub fn of_chat(request: DetachRequest, request_id: RequestId) -> Self {
        let delivery = format!("chat\n{request_id}");
        Self { request, request_id, delivery }
    }

    /// The deduplication id: the same for a repeated delivery only. A request that is sent again, for example after a
    /// refusal, has another one even under the same `request_id`.
    #[must_use]
    pub fn deduplication_id(&self) -> String {
        self.request.deduplication_id(&self.delivery)
    }
}

/// Parses the requests in a body, at least one, or returns every error in it.
pub fn parse(
    body: &str,
    source: IdSource<'_>,
    rules: &Rules,
) -> Result<Vec<Submission>, Vec<SubmissionError>> {
    match serde_json::from_str::<Entries>(without_byte_order_mark(body)) {
        Ok(Entries(fields)) if fields.iter().any(|(name, _)| name == "requests") => {
            parse_list(&fields, source, rules)
        }
        // Anything else must be a single request; the request parser reports what is wrong with it.
        _ => {
            let default_id = || RequestId::from_source(source.id());
            let delivery = |own: Option<&RequestId>| source.delivery(own, None);
            parse_request(body, None, rules, default_id, delivery).map(|submission| vec![submission])
        }
    }
}

fn parse_list(
    fields: &[(String, Box<RawValue>)],
    source: IdSource<'_>,
    rules: &Rules,
) -> Result<Vec<Submission>, Vec<SubmissionError>> {
    let envelope = Envelope::parse(fields, source)?;
    let mut submissions = Vec::new();
    let mut errors = Vec::new();
    for (index, request) in envelope.requests.iter().enumerate() {
        let default_id = || RequestId::numbered(&envelope.id, index + 1);
        let delivery = |own: Option<&RequestId>| source.delivery(own, Some(&envelope.id));
        match parse_request(request.get(), Some(index), rules, default_id, delivery) {
            Ok(submission) => submissions.push(submission),
            Err(of_request) => errors.extend(of_request),
        }
    }
    if errors.is_empty() {
        errors = find_duplicates(&submissions);
    }
    if errors.is_empty() { Ok(submissions) } else { Err(errors) }
}

fn parse_request(
    body: &str,
    index: Option<usize>,
    rules: &Rules,
    default_id: impl FnOnce() -> RequestId,
    delivery: impl FnOnce(Option<&RequestId>) -> String,
) -> Result<Submission, Vec<SubmissionError>> {
    match request::parse(body, rules).result {
        Ok(request) => {
            let delivery = delivery(request.request_id.as_ref());
            let request_id = request.request_id.clone().unwrap_or_else(default_id);
            Ok(Submission { request, request_id, delivery })
        }
        Err(rejection) => {
            Err(rejection.errors.into_iter().map(|error| SubmissionError { index, error }).collect())
        }
    }
}

/// Requests with the same target and `dry_run`: the queue would drop all but the first of a delivery, even if their name,
/// deadline or metadata differ.
fn find_duplicates(submissions: &[Submission]) -> Vec<SubmissionError> {
    let mut indexes = BTreeMap::new();
    let mut errors = Vec::new();
    for (index, Submission { request, .. }) in submissions.iter().enumerate() {
        let DetachRequest { region_id, endpoint_id, security_group_id, dry_run, .. } = request;
        if let Some(earlier) = indexes.insert((region_id, endpoint_id, security_group_id, dry_run), index) {
            let problem = format!(
                "repeats request {}, with the same region, endpoint and dry_run: send one",
                earlier + 1
            );
            errors.push(SubmissionError::invalid(Some(index), "security_group_id", problem));
        }
    }
    errors
}

/// A list of requests and the fields beside it.
struct Envelope {
    requests: Vec<Box<RawValue>>,
    /// The id that requests without a `request_id` are numbered under.
    id: String,
}

impl Envelope {
    fn parse(fields: &[(String, Box<RawValue>)], source: IdSource<'_>) -> Result<Self, Vec<SubmissionError>> {
        let mut errors = Vec::new();
        let mut reject =
            |field: &str, problem: &str| errors.push(SubmissionError::invalid(None, field, problem));
        let mut requests = None;
        let mut list_id = None;
        for (name, value) in fields {
            match (name.as_str(), source) {
                ("requests", _) if requests.is_some() => reject(name, "is given twice"),
                ("requests", _) => match parse_elements(value) {
                    Ok(elements) => requests = Some(elements),
                    Err(problem) => reject(name, problem),
                },
                ("id", IdSource::Schedule(_)) if list_id.is_some() => reject(name, "is given twice"),
                ("id", IdSource::Schedule(_)) => {
                    list_id = serde_json::from_str::<String>(value.get())
                        .ok()
                        .filter(|id| RequestId::parse(id).is_some());
                    if list_id.is_none() {
                        reject(name, RequestId::RULE);
                    }
                }
                _ => reject(&shown(name), "is not allowed beside requests"),
            }
        }
        if errors.len() > ENVELOPE_ERRORS_MAX {
            let problem = format!("has {} more errors beside requests", errors.len() - ENVELOPE_ERRORS_MAX);
            errors.truncate(ENVELOPE_ERRORS_MAX);
            errors.push(SubmissionError::of_body(&problem));
        }
        let id = list_id.unwrap_or_else(|| source.id().to_owned());
        match requests {
            Some(requests) if errors.is_empty() => Ok(Self { requests, id }),
            _ => Err(errors),
        }
    }
}

fn parse_elements(value: &RawValue) -> Result<Vec<Box<RawValue>>, &'static str> {
    let requests: Vec<_> = serde_json::from_str(value.get()).map_err(|_| "must be a list of requests")?;
    match requests.len() {
        1..=REQUESTS_MAX => Ok(requests),
        0 => Err("must contain at least one request"),
        _ => Err("must contain at most 100 requests: send the others separately"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::request::SecurityGroupId;

    fn request(group: &str) -> Value {
        json!({ "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": group })
    }

    fn ids(body: &Value, source: IdSource<'_>) -> Vec<String> {
        let submissions = parse(&body.to_string(), source, &Rules::default()).unwrap();
        submissions.iter().map(|submission| submission.request_id.to_string()).collect()
    }

    fn errors(body: &str) -> Vec<(Option<usize>, String)> {
        let errors = parse(body, IdSource::Schedule("id"), &Rules::default()).unwrap_err();
        errors.into_iter().map(|error| (error.index, error.error.to_string())).collect()
    }

    #[test]
    fn request_without_a_request_id_gets_the_sources_id_and_its_number_in_a_list() {
        let source = IdSource::Delivery("msg_1");
        assert_eq!(ids(&request("sg-a"), source), ["msg_1"]);
        let mut named = request("sg-b");
        named["request_id"] = "CHG1".into();
        assert_eq!(ids(&named, source), ["CHG1"]);
        let several = json!({ "requests": [request("sg-a"), named, request("sg-c")] });
        assert_eq!(ids(&several, source), ["msg_1.1", "CHG1", "msg_1.3"]);
        assert_eq!(ids(&json!({ "requests": [request("sg-a")] }), source), ["msg_1.1"]);
    }

    #[test]
    fn list_of_a_schedule_may_have_an_id() {
        let list = json!({ "id": "d32c5kddcf5bb8c3", "requests": [request("sg-a")] });
        assert_eq!(ids(&list, IdSource::Schedule("invocation")), ["d32c5kddcf5bb8c3.1"]);
        assert_eq!(
            ids(&json!({ "requests": [request("sg-a")] }), IdSource::Schedule("invocation")),
            ["invocation.1"]
        );
        let errors = parse(&list.to_string(), IdSource::Delivery("msg"), &Rules::default()).unwrap_err();
        assert_eq!(errors[0].error.to_string(), "id is not allowed beside requests");
    }

    #[test]
    fn invalid_request_is_reported_by_position_and_rejects_the_whole_list() {
        let body = json!({ "requests": [request("sg-a"), request("ep-a"), 7, { "region_id": "eu-west-1" }] });
        assert_eq!(
            errors(&body.to_string()),
            [
                (Some(1), format!("security_group_id {}", SecurityGroupId::RULE)),
                (Some(2), "body must be one JSON object".to_owned()),
                (Some(3), "endpoint_id is required".to_owned()),
                (Some(3), "security_group_id is required".to_owned()),
            ]
        );
        assert_eq!(errors("[]"), [(None, "body must be one JSON object".to_owned())]);
    }

    #[test]
    fn errors_of_the_list_itself_are_reported() {
        let list = |length: usize| {
            let requests: Vec<_> = (0..length).map(|number| request(&format!("sg-{number}"))).collect();
            json!({ "requests": requests }).to_string()
        };
        assert!(parse(&list(100), IdSource::Delivery("msg"), &Rules::default()).is_ok());
        for (body, error) in [
            (list(101).as_str(), "requests must contain at most 100 requests: send the others separately"),
            (r#"{"requests":[]}"#, "requests must contain at least one request"),
            (r#"{"requests":{}}"#, "requests must be a list of requests"),
            (r#"{"requests":null}"#, "requests must be a list of requests"),
            (r#"{"requests":[{}],"requests":[{}]}"#, "requests is given twice"),
            (r#"{"requests":[{}],"dry_run":true}"#, "dry_run is not allowed beside requests"),
            (
                r#"{"requests":[{}],"id":"<aws.scheduler.execution-id>"}"#,
                "id must be 1 to 64 of A-Z a-z 0-9 . _ : -",
            ),
        ] {
            assert_eq!(errors(body), [(None, error.to_owned())], "{body}");
        }
    }

    #[test]
    fn errors_beside_a_list_are_limited_and_counted() {
        let fields = r#""dry_run":0,"#.repeat(20_000);
        let errors = errors(&format!(r#"{{{fields}"requests":[]}}"#));
        assert_eq!(errors.len(), ENVELOPE_ERRORS_MAX + 1);
        assert_eq!(errors[ENVELOPE_ERRORS_MAX].1, "body has 19981 more errors beside requests");
    }

    #[test]
    fn entries_with_the_same_target_and_dry_run_are_an_error() {
        let entry = |group: &str, dry_run: bool, request_id: &str| {
            let mut request = request(group);
            request["request_id"] = request_id.into();
            request["dry_run"] = dry_run.into();
            request
        };
        let distinct = json!({ "requests":
            [entry("sg-a", false, "CHG1"), entry("sg-a", true, "CHG1"), entry("sg-b", false, "CHG1")] });
        assert_eq!(ids(&distinct, IdSource::Delivery("m")), ["CHG1"; 3]);
        let alike = json!({ "requests":
            [entry("sg-a", false, "CHG1"), entry("sg-b", false, "CHG1"), entry("sg-a", false, "CHG2")] });
        assert_eq!(
            errors(&alike.to_string()),
            [(
                Some(2),
                "security_group_id repeats request 1, with the same region, endpoint and dry_run: send one"
                    .to_owned()
            )]
        );
    }

    /// The deduplication ids of the requests in a body.
    fn deduplication_ids(body: &Value, source: IdSource<'_>) -> Vec<String> {
        let submissions = parse(&body.to_string(), source, &Rules::default()).unwrap();
        submissions.iter().map(Submission::deduplication_id).collect()
    }

    #[test]
    fn deduplication_id_depends_on_delivery_target_and_dry_run_only() {
        let base = json!({ "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a",
            "request_id": "r", "dry_run": false, "deadline_seconds": 60 });
        let id = |field: &str, value: Value| {
            let mut body = base.clone();
            body[field] = value;
            deduplication_ids(&body, IdSource::Delivery("m")).remove(0)
        };
        let same = id("request_id", "r".into());
        assert_eq!(same.len(), 43);
        assert_eq!(id("deadline_seconds", 61.into()), same);
        assert_eq!(id("request_id", "s".into()), same, "the delivery has one id for all its requests");
        for (field, value) in [
            ("region_id", json!("eu-west-2")),
            ("endpoint_id", json!("ep-b")),
            ("security_group_id", json!("sg-b")),
            ("dry_run", json!(true)),
        ] {
            assert_ne!(id(field, value), same, "{field}");
        }
    }

    #[test]
    fn request_that_is_sent_again_under_its_name_is_a_new_one_in_a_new_delivery() {
        let mut named = request("sg-a");
        named["request_id"] = "CHG1".into();
        let list = json!({ "requests": [named.clone(), request("sg-b")] });
        let of = |body: &Value, source| deduplication_ids(body, source);
        for body in [&named, &list] {
            let (first, again) = (IdSource::Delivery("msg_1"), IdSource::Delivery("msg_2"));
            assert_eq!(of(body, first), of(body, first), "a replay");
            assert!(of(body, first).iter().zip(of(body, again)).all(|(one, other)| *one != other));
        }
        // Without a webhook-id only the request's own name identifies a repetition.
        assert_eq!(of(&named, IdSource::Call("1")), of(&named, IdSource::Call("2")));
        let (one, other) = (of(&list, IdSource::Call("1")), of(&list, IdSource::Call("2")));
        assert_eq!((one[0] == other[0], one[1] == other[1]), (true, false));
    }

    #[test]
    fn execution_of_a_schedule_is_identified_by_its_list_its_request_or_lambda() {
        let mut named = request("sg-a");
        named["request_id"] = "execution-1".into();
        let mut list = json!({ "id": "execution-1", "requests": [named.clone(), request("sg-b")] });
        let of = |body: &Value, invocation| deduplication_ids(body, IdSource::Schedule(invocation));
        assert_eq!(of(&named, "1"), of(&named, "2"));
        assert_eq!(of(&list, "1"), of(&list, "2"));
        let first = of(&list, "1");
        list["id"] = "execution-2".into();
        assert!(of(&list, "1").iter().zip(first).all(|(one, other)| *one != other), "the next execution");
        list.as_object_mut().unwrap().remove("id");
        assert!(of(&list, "1").iter().zip(of(&list, "2")).all(|(one, other)| *one != other));
        assert_ne!(of(&request("sg-a"), "1"), of(&request("sg-a"), "2"));
    }

    #[test]
    fn webhook_named_after_a_request_from_chat_is_another_delivery() {
        let name = "slack-0123456789abcdef01234567";
        let mut body = request("sg-a");
        body["request_id"] = name.into();
        let Submission { request, request_id, .. } =
            parse(&body.to_string(), IdSource::Delivery(name), &Rules::default()).unwrap().remove(0);
        let chat = Submission::of_chat(request, request_id).deduplication_id();
        let sources = [IdSource::Delivery(name), IdSource::Call(name), IdSource::Schedule(name)];
        assert!(sources.into_iter().all(|source| deduplication_ids(&body, source) != [chat.as_str()]));
    }

    #[test]
    fn byte_order_mark_before_a_list_or_a_request_is_skipped() {
        for body in [request("sg-a"), json!({ "requests": [request("sg-a")] })] {
            let parse = |text: &str| super::parse(text, IdSource::Delivery("m"), &Rules::default());
            assert_eq!(parse(&format!("\u{feff}{body}")), parse(&body.to_string()));
        }
    }

    #[test]
    fn summary_does_not_repeat_unknown_names() {
        let secret = r#"{"hunter2":1,"region_id":7,"requests":[{"hunter2":1}]}"#;
        let errors = parse(secret, IdSource::Delivery("m"), &Rules::default()).unwrap_err();
        assert_eq!(
            summarize(&errors),
            "an unknown name is not allowed beside requests; region_id is not allowed beside requests"
        );
        let errors = parse(r#"{"hunter2":1}"#, IdSource::Delivery("m"), &Rules::default()).unwrap_err();
        let summary = summarize(&errors);
        assert!(
            summary.starts_with("an unknown name is not a field of a request; region_id is required"),
            "{summary}"
        );
        assert!(errors.iter().any(|error| error.error.field == "hunter2"), "the response names it");
    }

    #[test]
    fn summary_names_positions_and_is_limited() {
        let error = SubmissionError::invalid(Some(3), "dry_run", "is wrong");
        assert_eq!(
            summarize(&[error, SubmissionError::of_body("is odd")]),
            "request 4: dry_run is wrong; body is odd"
        );
        let summary = summarize(&vec![SubmissionError::of_body("is odd"); 22]);
        assert_eq!(summary.matches("body is odd").count(), 20);
        assert!(summary.ends_with("; and 2 more"), "{summary}");
    }
}
