//! From a body to a request: keeps every valid field and names every error.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::json::{Entries, shown, without_byte_order_mark};

use super::metadata::read_metadata;
use super::scalar::Scalar;
use super::{
    ClientToken, DEADLINE_SECONDS, DetachRequest, EndpointId, FieldError, Parsed, RegionId, Rejection,
    RejectionCode, RequestId, Rules, SecurityGroupId, Subject, deadline_rule,
};

/// Maximum number of bytes of `metadata` as compact JSON: an event repeats it.
const METADATA_BYTES_MAX: usize = 1024;

/// Maximum number of errors that one rejection lists. A body of 1 MiB could have tens of thousands.
pub(super) const ERRORS_LISTED_MAX: usize = 20;

/// See [`super::parse`].
pub(super) fn parse(body: &str, rules: &Rules) -> Parsed {
    let body = without_byte_order_mark(body);
    let mut draft = Draft::default();
    match serde_json::from_str::<Entries>(body) {
        Ok(Entries(entries)) => match envelope(&entries) {
            Some(advice) => draft.invalid("body", advice),
            None => draft.fill(&entries),
        },
        Err(error) if error.is_data() => draft.invalid("body", "must be one JSON object"),
        Err(_) if body.trim().is_empty() => draft.invalid("body", "is empty"),
        Err(error) => {
            let problem = format!("is not JSON: line {}, column {}", error.line(), error.column());
            draft.invalid("body", &problem);
        }
    }
    draft.check(rules);
    draft.finish()
}

/// See [`super::has_any_field`].
pub(super) fn has_any_field(text: &str) -> bool {
    let entries = serde_json::from_str::<Entries>(text);
    entries.is_ok_and(|Entries(entries)| entries.iter().any(|(key, _)| field_named(key).is_some()))
}

/// What to send instead, if the body is another service's envelope around a request.
fn envelope(entries: &[(String, Box<RawValue>)]) -> Option<&'static str> {
    let has = |name: &str| entries.iter().any(|(key, _)| key == name);
    if has("TopicArn") && has("Message") {
        Some("is an SNS envelope: enable raw message delivery in the subscription, or send the bare request")
    } else if has("detail-type") && has("detail") {
        Some("is an EventBridge event: send the bare request, which is its detail, as the message body")
    } else if has("Records") {
        Some("is an event of another AWS service: send the bare request as the message body")
    } else if has("requests") {
        Some("has several requests: send each as a message of its own")
    } else {
        None
    }
}

/// A body that is being read: its valid fields and its errors so far.
#[derive(Default)]
struct Draft {
    subject: Subject,
    expect_attached: bool,
    client_token: Option<ClientToken>,
    code: Option<RejectionCode>,
    errors: Vec<FieldError>,
    errors_unlisted: usize,
}

impl Draft {
    fn fill(&mut self, entries: &[(String, Box<RawValue>)]) {
        self.subject.dry_run = Some(false);
        let mut given: BTreeMap<&str, &str> = BTreeMap::new();
        for (key, raw) in entries {
            let Some(field) = field_named(key) else {
                self.invalid(&shown(key), "is not a field of a request");
                continue;
            };
            if let Some(earlier) = given.insert(field, key) {
                let problem =
                    if earlier == key { "is given twice" } else { "repeats a field in its other spelling" };
                self.unreadable(field, key, problem);
                continue;
            }
            // A raw value is JSON by its grammar; a text with a lone surrogate, or an infinite number, fails here.
            match serde_json::from_str(raw.get()) {
                Ok(Scalar::Null) => {}
                Ok(value) => self.take(field, key, &value, raw),
                Err(_) => self.unreadable(field, key, "is not a valid JSON value"),
            }
        }
        for (missing, field) in [
            (self.subject.region_id.is_none(), "region_id"),
            (self.subject.endpoint_id.is_none(), "endpoint_id"),
            (self.subject.security_group_id.is_none(), "security_group_id"),
        ] {
            let reported =
                given.get(field).is_some_and(|key| self.errors.iter().any(|error| error.field == *key));
            if missing && !reported {
                self.invalid(field, "is required");
            }
        }
    }

    fn take(&mut self, field: &str, key: &str, value: &Scalar, raw: &RawValue) {
        match field {
            "region_id" => self.subject.region_id = self.id(key, value, RegionId::parse, RegionId::RULE),
            "endpoint_id" => {
                self.subject.endpoint_id = self.id(key, value, EndpointId::parse, EndpointId::RULE);
            }
            "security_group_id" => {
                self.subject.security_group_id =
                    self.id(key, value, SecurityGroupId::parse, SecurityGroupId::RULE);
            }
            "client_token" => self.client_token = self.id(key, value, ClientToken::parse, ClientToken::RULE),
            "request_id" => self.subject.request_id = self.id(key, value, RequestId::parse, RequestId::RULE),
            "dry_run" => match value {
                Scalar::Bool(dry_run) => self.subject.dry_run = Some(*dry_run),
                _ => self.unreadable(field, key, "must be true or false"),
            },
            "expect_attached" => match value {
                Scalar::Bool(expect_attached) => self.expect_attached = *expect_attached,
                _ => self.invalid(key, "must be true or false"),
            },
            "deadline_seconds" => match value {
                Scalar::Number(seconds) if DEADLINE_SECONDS.contains(seconds) => {
                    self.subject.deadline = Some(Duration::from_secs(*seconds));
                }
                _ => self.invalid(key, &deadline_rule()),
            },
            _ => match read_metadata(raw, METADATA_BYTES_MAX) {
                Ok(metadata) => self.subject.metadata = metadata,
                Err(problem) => self.invalid(key, &problem),
            },
        }
    }

    fn id<T>(&mut self, key: &str, value: &Scalar, parse: fn(&str) -> Option<T>, rule: &str) -> Option<T> {
        let id = if let Scalar::Text(text) = value { parse(text) } else { None };
        if id.is_none() {
            self.invalid(key, rule);
        }
        id
    }

    /// An error after which the field's value is unknown. Only `dry_run` has one without being given.
    fn unreadable(&mut self, field: &str, key: &str, problem: &str) {
        if field == "dry_run" {
            self.subject.dry_run = None;
        }
        self.invalid(key, problem);
    }

    fn check(&mut self, rules: &Rules) {
        if rules.dry_run_only && self.subject.dry_run.is_some() {
            self.subject.dry_run = Some(true);
        }
        if let Some(region) = &self.subject.region_id
            && !rules.allowed_regions.is_empty()
            && !rules.allowed_regions.contains(region)
        {
            self.reject(RejectionCode::RegionNotAllowed, "region_id", "is not allowed in this deployment");
        }
        if self.subject.endpoint_id.as_ref().is_some_and(|id| rules.protects_endpoint(id)) {
            self.reject(RejectionCode::ProtectedEndpoint, "endpoint_id", "is protected in this deployment");
        }
        if self.subject.security_group_id.as_ref().is_some_and(|id| rules.protects_security_group(id)) {
            self.reject(
                RejectionCode::ProtectedSecurityGroup,
                "security_group_id",
                "is protected in this deployment",
            );
        }
    }

    fn invalid(&mut self, field: &str, problem: &str) {
        self.reject(RejectionCode::InvalidRequest, field, problem);
    }

    fn reject(&mut self, code: RejectionCode, field: &str, problem: &str) {
        self.code = Some(self.code.map_or(code, |other| other.min(code)));
        if self.errors.len() < ERRORS_LISTED_MAX {
            self.errors.push(FieldError { code, field: field.to_owned(), problem: problem.to_owned() });
        } else {
            self.errors_unlisted += 1;
        }
    }

    fn finish(mut self) -> Parsed {
        let subject = self.subject;
        if let (None, Some(region_id), Some(endpoint_id), Some(security_group_id), Some(dry_run)) =
            (self.code, &subject.region_id, &subject.endpoint_id, &subject.security_group_id, subject.dry_run)
        {
            let request = DetachRequest {
                region_id: region_id.clone(),
                endpoint_id: endpoint_id.clone(),
                security_group_id: security_group_id.clone(),
                dry_run,
                expect_attached: self.expect_attached,
                client_token: self.client_token,
                request_id: subject.request_id.clone(),
                deadline: subject.deadline,
                metadata: subject.metadata.clone(),
            };
            return Parsed { subject, result: Ok(request) };
        }
        if self.errors_unlisted > 0 {
            let problem = format!("has {} more errors", self.errors_unlisted);
            let code = RejectionCode::InvalidRequest;
            self.errors.push(FieldError { code, field: "body".to_owned(), problem });
        }
        let code = self.code.unwrap_or(RejectionCode::InvalidRequest);
        Parsed { subject, result: Err(Rejection { code, errors: self.errors }) }
    }
}

/// The contract's name of a field in either spelling.
pub(super) fn field_named(key: &str) -> Option<&'static str> {
    Some(match key {
        "region_id" | "RegionId" => "region_id",
        "endpoint_id" | "EndpointId" => "endpoint_id",
        "security_group_id" | "SecurityGroupId" => "security_group_id",
        "dry_run" | "DryRun" => "dry_run",
        "client_token" | "ClientToken" => "client_token",
        "expect_attached" => "expect_attached",
        "request_id" => "request_id",
        "deadline_seconds" => "deadline_seconds",
        "metadata" => "metadata",
        _ => return None,
    })
}
