//! Parses a body, once, at the edge: into a request, or into a rejection that names every error.
//!
//! Pure: text in, values out. It does not depend on the source of the text, and the rest of the core reads no JSON.

mod body;
mod draft;
mod ids;
mod metadata;
mod replacements;
mod scalar;
mod trigger;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

pub use ids::{ClientToken, EndpointId, RegionId, RequestId, SecurityGroupId, VpcId};
pub(crate) use metadata::read_metadata;
pub use replacements::Replacements;
pub use trigger::Trigger;

/// Shortest and longest `deadline_seconds`. A shorter one leaves no time for one retry; a longer one comes near SQS's limit
/// of 12 hours for one message in flight.
pub const DEADLINE_SECONDS: std::ops::RangeInclusive<u64> = 30..=39_600;

/// Detach one security group from one endpoint. Valid, and allowed in this deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachRequest {
    pub region_id: RegionId,
    pub endpoint_id: EndpointId,
    pub security_group_id: SecurityGroupId,
    /// Whether Alibaba Cloud only checks the call: the request asks for it, or this deployment carries out nothing else.
    pub dry_run: bool,
    /// Whether the first delivery must find the group on the endpoint; if it does not, the request is refused.
    pub expect_attached: bool,
    /// The sender's own idempotency token, for the first call of the first delivery.
    pub client_token: Option<ClientToken>,
    /// The sender's own name of the request.
    pub request_id: Option<RequestId>,
    /// How long to try, counted from when the queue accepted the request.
    pub deadline: Option<Duration>,
    pub metadata: Metadata,
}

/// Texts that the completion event repeats.
pub type Metadata = BTreeMap<String, String>;

/// What this deployment allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The only regions that may be named; empty means all.
    pub allowed_regions: BTreeSet<RegionId>,
    /// Groups that are never detached.
    pub protected_security_groups: BTreeSet<SecurityGroupId>,
    /// Endpoints that are never changed.
    pub protected_endpoints: BTreeSet<EndpointId>,
    /// The groups that may be attached in place of an endpoint's last one.
    pub replacements: Replacements,
    /// Whether every request is carried out as a dry run, also one that asks for a detach.
    pub dry_run_only: bool,
}

impl Rules {
    /// Letter case does not matter: a protected id must not lose its protection by a typing error.
    pub(crate) fn protects_security_group(&self, id: &SecurityGroupId) -> bool {
        self.protected_security_groups.iter().any(|other| id.as_str().eq_ignore_ascii_case(other.as_str()))
    }

    /// See [`Self::protects_security_group`].
    pub(crate) fn protects_endpoint(&self, id: &EndpointId) -> bool {
        self.protected_endpoints.iter().any(|other| id.as_str().eq_ignore_ascii_case(other.as_str()))
    }
}

/// A parsed body: the fields that it names, and the request or the rejection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    pub subject: Subject,
    pub result: Result<DetachRequest, Rejection>,
}

/// The fields of a body; of a rejected body, those that are valid by themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub region_id: Option<RegionId>,
    pub endpoint_id: Option<EndpointId>,
    pub security_group_id: Option<SecurityGroupId>,
    pub request_id: Option<RequestId>,
    /// As in [`DetachRequest::dry_run`]; `None` if the body does not say it readably.
    pub dry_run: Option<bool>,
    pub deadline: Option<Duration>,
    pub metadata: Metadata,
}

/// Why a body is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The most important code of its errors.
    pub code: RejectionCode,
    /// Every error, in the order of the body; at most 20, then how many more there are.
    pub errors: Vec<FieldError>,
}

/// The kinds of rejection, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RejectionCode {
    /// The body breaks the contract.
    InvalidRequest,
    /// The region is not in this deployment's list.
    RegionNotAllowed,
    ProtectedEndpoint,
    ProtectedSecurityGroup,
}

impl RejectionCode {
    /// The code as events and responses name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "InvalidRequest",
            Self::RegionNotAllowed => "RegionNotAllowed",
            Self::ProtectedEndpoint => "ProtectedEndpoint",
            Self::ProtectedSecurityGroup => "ProtectedSecurityGroup",
        }
    }
}

/// One error of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    pub code: RejectionCode,
    /// The field as the sender spelled it; `body` for the whole.
    pub field: String,
    /// What is wrong; it completes the sentence "the field …".
    pub problem: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.errors.iter().enumerate() {
            write!(f, "{}{error}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Parses a body, and checks it against the rules of this deployment.
#[must_use]
pub fn parse(body: &str, rules: &Rules) -> Parsed {
    draft::parse(body, rules)
}

/// The rule for `deadline_seconds`; it completes the sentence "the field …".
pub(crate) fn deadline_rule() -> String {
    format!("must be a whole number from {} to {}", DEADLINE_SECONDS.start(), DEADLINE_SECONDS.end())
}

/// Whether a request has a field of this name, in either spelling.
#[must_use]
pub fn is_field(name: &str) -> bool {
    draft::field_named(name).is_some()
}

/// Whether the text is a JSON object with any field of a request, valid or not. An object without one is no request.
#[must_use]
pub fn has_any_field(text: &str) -> bool {
    draft::has_any_field(text)
}

impl DetachRequest {
    /// The message group of the request's lane: one per endpoint, across every trigger.
    #[must_use]
    pub fn message_group(&self) -> String {
        format!("{}/{}", self.region_id, self.endpoint_id)
    }

    /// The deduplication id of the request's message. `delivery` names the delivery that contained the request: it is
    /// the same for a repeated delivery, and different for a request that is sent again. A dry run and the real request
    /// also have different ids.
    #[must_use]
    pub fn deduplication_id(&self, delivery: &str) -> String {
        let Self { region_id, endpoint_id, security_group_id, dry_run, .. } = self;
        // The id of the delivery is last: it is the only part that can contain a line feed.
        let identity = format!("{region_id}\n{endpoint_id}\n{security_group_id}\n{dry_run}\n{delivery}");
        BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(identity))
    }

    /// The body of a message with this request, under this name.
    #[must_use]
    pub fn to_body(&self, request_id: &RequestId) -> String {
        body::write(self, request_id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::draft::ERRORS_LISTED_MAX;
    use super::*;

    fn parse(body: &str) -> Result<DetachRequest, Rejection> {
        super::parse(body, &Rules::default()).result
    }

    fn with(field: &str, value: Value) -> String {
        let mut body =
            json!({ "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a" });
        body[field] = value;
        body.to_string()
    }

    fn errors(body: &str) -> Vec<String> {
        parse(body).unwrap_err().errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_smallest_request_has_the_defaults() {
        let request = parse(&with("dry_run", Value::Null)).unwrap();
        assert_eq!((request.dry_run, request.client_token, request.deadline), (false, None, None));
        assert_eq!((request.request_id, request.metadata), (None, Metadata::new()));
    }

    #[test]
    fn every_field_is_read_in_both_spellings() {
        let ours = json!({
            "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a", "dry_run": true,
            "client_token": "t", "request_id": "r", "deadline_seconds": 30, "metadata": { "ticket": "7" },
        });
        let theirs = json!({
            "RegionId": "eu-west-1", "EndpointId": "ep-a", "SecurityGroupId": "sg-a", "DryRun": true,
            "ClientToken": "t", "request_id": "r", "deadline_seconds": 30, "metadata": { "ticket": "7" },
        });
        let request = parse(&ours.to_string()).unwrap();
        assert_eq!(request, parse(&theirs.to_string()).unwrap());
        assert_eq!(
            (request.dry_run, request.deadline, request.metadata["ticket"].as_str()),
            (true, Some(Duration::from_secs(30)), "7")
        );
    }

    #[test]
    fn written_body_is_read_as_the_same_request() {
        let body = json!({
            "RegionId": "eu-west-1", "endpoint_id": "ep-a", "SecurityGroupId": "sg-a", "dry_run": true,
            "client_token": "a \"token\" \\", "request_id": "r", "deadline_seconds": 30,
            "metadata": { "\u{ffff}": "\u{fffe}\n\u{7f}ü" },
        });
        let request = parse(&body.to_string()).unwrap();
        let written = request.to_body(&RequestId::parse("r").unwrap());
        assert_eq!(parse(&written).unwrap(), request);
        let is_accepted_by_sqs = |c: char| matches!(c, ' '..='\u{fffd}' | '\u{10000}'..);
        assert!(written.chars().all(is_accepted_by_sqs), "{written:?}");

        let smallest = parse(&with("dry_run", Value::Null)).unwrap();
        assert_eq!(
            smallest.to_body(&RequestId::parse("msg_1.2").unwrap()),
            r#"{"dry_run":false,"endpoint_id":"ep-a","region_id":"eu-west-1","request_id":"msg_1.2","security_group_id":"sg-a"}"#
        );
    }

    #[test]
    fn byte_order_mark_before_a_body_is_skipped() {
        let body = with("dry_run", json!(true));
        assert_eq!(parse(&format!("\u{feff}{body}")), parse(&body));
    }

    #[test]
    fn every_error_is_reported_at_once_by_field() {
        let body = r#"{"region_id":"evil.com/#","endpoint_id":7,"dryrun":true,"dry_run":"true","DryRun":true,
            "client_token":"ü","request_id":"a b","deadline_seconds":29,"metadata":{"a":1}}"#;
        let rejection = parse(body).unwrap_err();
        let fields: Vec<_> = rejection.errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "region_id",
                "endpoint_id",
                "dryrun",
                "dry_run",
                "DryRun",
                "client_token",
                "request_id",
                "deadline_seconds",
                "metadata",
                "security_group_id",
            ]
        );
        assert_eq!(rejection.code, RejectionCode::InvalidRequest);
    }

    #[test]
    fn field_given_twice_is_named_in_either_spelling() {
        let twice = r#"{"region_id":"eu-west-1","endpoint_id":"ep-a","security_group_id":"sg-a","dry_run":true,"dry_run":false}"#;
        assert_eq!(errors(twice), ["dry_run is given twice"]);
        assert_eq!(
            errors(&with("DryRun", json!(true)).replace('}', r#","dry_run":false}"#)),
            ["dry_run repeats a field in its other spelling"]
        );
        let key_twice = with("metadata", json!({ "a": "1" })).replace(r#""a":"1""#, r#""a":"1","a":"2""#);
        assert_eq!(errors(&key_twice), ["metadata contains a key twice"]);
    }

    #[test]
    fn mistyped_field_never_passes_for_a_default() {
        for (field, value, problem) in [
            ("dryRun", json!(true), "dryRun is not a field of a request"),
            ("dry_run", json!("true"), "dry_run must be true or false"),
            ("dry_run", json!(1), "dry_run must be true or false"),
            ("expect_attached", json!("yes"), "expect_attached must be true or false"),
            ("deadline_seconds", json!(39_601), "deadline_seconds must be a whole number from 30 to 39600"),
            ("deadline_seconds", json!(60.5), "deadline_seconds must be a whole number from 30 to 39600"),
            ("deadline_seconds", json!("60"), "deadline_seconds must be a whole number from 30 to 39600"),
            ("deadline_seconds", json!(-60), "deadline_seconds must be a whole number from 30 to 39600"),
            ("metadata", json!([]), "metadata must be an object of strings"),
            ("metadata", json!({ "a": { "b": "c" } }), "metadata must be an object of strings"),
            ("metadata", json!({ "a": "x".repeat(1024) }), "metadata must be at most 1024 bytes as JSON"),
            ("security_group_id", Value::Null, "security_group_id is required"),
            ("\u{1b}[2J", json!(1), "\\u{1b}[2J is not a field of a request"),
        ] {
            assert_eq!(errors(&with(field, value)), [problem]);
        }
    }

    #[test]
    fn envelope_or_non_object_is_rejected_with_advice() {
        for (body, says) in [
            ("", "is empty"),
            ("{", "is not JSON"),
            ("[]", "must be one JSON object"),
            ("null", "must be one JSON object"),
            ("\"text\"", "must be one JSON object"),
            (r#"{"Type":"Notification","TopicArn":"a","Message":"m"}"#, "raw message delivery"),
            (r#"{"version":"0","detail-type":"x","detail":{}}"#, "EventBridge event"),
            (r#"{"Records":[]}"#, "another AWS service"),
            ("\u{feff}", "is empty"),
            ("\u{feff}\u{feff}{}", "is not JSON"),
            (r#"{"requests":[]}"#, "each as a message of its own"),
        ] {
            let errors = errors(body);
            assert!(
                errors.len() == 1 && errors[0].starts_with("body ") && errors[0].contains(says),
                "{errors:?}"
            );
        }
        let deep = "[".repeat(100_000);
        assert_eq!(errors(&deep).len(), 1, "depth is bounded");
        assert_eq!(errors(&with("metadata", json!(1)).replace(":1", &format!(":{deep}"))).len(), 1);
    }

    #[test]
    fn rejected_body_keeps_its_valid_fields() {
        let subject = |body: &str| super::parse(body, &Rules::default()).subject;
        assert_eq!(subject(&with("deadline_seconds", json!(1))).endpoint_id, EndpointId::parse("ep-a"));
        let subject =
            subject(r#"{"region_id":"EU","request_id":"r-1","deadline_seconds":60,"metadata":{"a":"b"}}"#);
        assert_eq!((subject.region_id, subject.request_id), (None, RequestId::parse("r-1")));
        assert_eq!((subject.deadline, subject.metadata.len()), (Some(Duration::from_mins(1)), 1));
    }

    #[test]
    fn dry_run_of_a_rejected_body_is_kept_if_it_is_readable() {
        let dry_run = |body: &str| super::parse(body, &Rules::default()).subject.dry_run;
        let rest = r#""region_id":"EU""#;
        for (body, expected) in [
            (format!("{{{rest}}}"), Some(false)),
            (format!(r#"{{{rest}, "dry_run":null}}"#), Some(false)),
            (format!(r#"{{{rest}, "DryRun":true}}"#), Some(true)),
            (format!(r#"{{{rest}, "dry_run":"true"}}"#), None),
            (format!(r#"{{{rest}, "dry_run":"\ud800"}}"#), None),
            (format!(r#"{{{rest}, "dry_run":true,"dry_run":true}}"#), None),
            (format!(r#"{{{rest}, "dry_run":true,"DryRun":false}}"#), None),
            ("{".to_owned(), None),
            ("[]".to_owned(), None),
            (r#"{"requests":[]}"#.to_owned(), None),
        ] {
            assert_eq!(dry_run(&body), expected, "{body}");
        }
    }

    #[test]
    fn deployment_of_dry_runs_makes_every_request_a_dry_run() {
        let rules = Rules { dry_run_only: true, ..Rules::default() };
        for body in [with("dry_run", json!(false)), with("dry_run", json!(true)), with("DryRun", Value::Null)]
        {
            let parsed = super::parse(&body, &rules);
            assert!(parsed.result.unwrap().dry_run, "{body}");
            assert_eq!(parsed.subject.dry_run, Some(true), "{body}");
        }
        let unreadable = super::parse(&with("dry_run", json!("false")), &rules);
        assert_eq!((unreadable.result.is_err(), unreadable.subject.dry_run), (true, None));
    }

    #[test]
    fn expectation_is_read_in_one_spelling_and_kept_in_the_message() {
        let expects = |body: &str| parse(body).unwrap().expect_attached;
        assert!(!expects(&with("expect_attached", Value::Null)));
        let body = with("expect_attached", json!(true));
        assert!(expects(&body));
        let id = RequestId::parse("r").unwrap();
        assert!(expects(&parse(&body).unwrap().to_body(&id)));
        assert_eq!(
            errors(&with("ExpectAttached", json!(true))),
            ["ExpectAttached is not a field of a request"]
        );
    }

    #[test]
    fn errors_beyond_the_limit_are_counted() {
        let fields: Vec<_> = (0..1000).map(|n| format!(r#""{}{n}":1"#, "x".repeat(500))).collect();
        let rejection = parse(&format!("{{{}}}", fields.join(","))).unwrap_err();
        assert_eq!(rejection.errors.len(), ERRORS_LISTED_MAX + 1);
        assert_eq!(rejection.errors[ERRORS_LISTED_MAX].to_string(), "body has 983 more errors");
        assert!(rejection.to_string().len() < 10_000);
    }

    #[test]
    fn request_that_is_not_allowed_has_its_code() {
        let rules = Rules {
            allowed_regions: ["eu-west-1"].into_iter().filter_map(RegionId::parse).collect(),
            protected_security_groups: ["sg-safe"].into_iter().filter_map(SecurityGroupId::parse).collect(),
            protected_endpoints: ["ep-safe"].into_iter().filter_map(EndpointId::parse).collect(),
            ..Rules::default()
        };
        let parse = |body: &str| super::parse(body, &rules).result.map_err(|rejection| rejection.code);
        assert!(parse(&with("dry_run", json!(true))).is_ok());
        for (field, value, code) in [
            ("region_id", "eu-west-2", RejectionCode::RegionNotAllowed),
            ("endpoint_id", "ep-safe", RejectionCode::ProtectedEndpoint),
            ("security_group_id", "sg-safe", RejectionCode::ProtectedSecurityGroup),
            ("endpoint_id", "ep-SAFE", RejectionCode::ProtectedEndpoint),
            ("security_group_id", "sg-Safe", RejectionCode::ProtectedSecurityGroup),
        ] {
            assert_eq!(parse(&with(field, json!(value))).unwrap_err(), code);
        }
        let both = r#"{"region_id":"eu-west-2","endpoint_id":"ep-safe","security_group_id":7}"#;
        let rejection = super::parse(both, &rules).result.unwrap_err();
        assert_eq!((rejection.code, rejection.errors.len()), (RejectionCode::InvalidRequest, 3));
    }
}
