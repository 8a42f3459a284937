//! What may be asked for: a request, parsed once at the edge, or a rejection that names every fault of it.
//!
//! Pure: bytes in, a value out. Nothing here knows where the bytes came from, and nothing further in sees JSON.

mod ids;
mod trigger;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

pub use ids::{ClientToken, EndpointId, RegionId, RequestId, SecurityGroupId};
pub use trigger::Trigger;

/// Shortest and longest `deadline_seconds`. Below, not even one refused call can be repeated; above, the queue's own
/// limit of 12 hours for one message in flight comes near.
pub const DEADLINE_SECONDS: std::ops::RangeInclusive<u64> = 30..=39_600;

/// Most bytes of `metadata` as compact JSON: it is echoed in an event, not stored.
const METADATA_BYTES_MAX: usize = 1024;

/// Most faults that one rejection lists. A body of 1 MiB could hold ten thousands; nobody reads further than this.
const FAULTS_LISTED_MAX: usize = 20;

/// Most characters of an unknown field's name that are repeated to the sender.
const FIELD_NAME_SHOWN_MAX: usize = 64;

/// Detach one security group from one endpoint. Valid, and allowed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachRequest {
    /// The region of the endpoint.
    pub region_id: RegionId,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The group to take off it.
    pub security_group_id: SecurityGroupId,
    /// Only let Alibaba Cloud check the call.
    pub dry_run: bool,
    /// The caller's own idempotency token, for the first call of the first delivery.
    pub client_token: Option<ClientToken>,
    /// The caller's own name of the request.
    pub request_id: Option<RequestId>,
    /// How long to try, counted from when the queue accepted the request.
    pub deadline: Option<Duration>,
    /// Echoed in the completion event.
    pub metadata: Metadata,
}

/// What the caller wants to see again in the completion event.
pub type Metadata = BTreeMap<String, String>;

/// What is allowed in this deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The only regions that may be named; empty means all.
    pub allowed_regions: BTreeSet<RegionId>,
    /// Groups that are never touched.
    pub protected_security_groups: BTreeSet<SecurityGroupId>,
    /// Endpoints that are never touched.
    pub protected_endpoints: BTreeSet<EndpointId>,
}

/// Why a body is no request, and what of it is valid all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The kind of fault that weighs most.
    pub code: RejectionCode,
    /// Every fault, in the order of the body; at most 20, and then how many more there are.
    pub faults: Vec<FieldFault>,
    /// Valid by itself, for the event.
    pub region_id: Option<RegionId>,
    /// Valid by itself, for the event.
    pub endpoint_id: Option<EndpointId>,
    /// Valid by itself, for the event.
    pub security_group_id: Option<SecurityGroupId>,
    /// Valid by itself, for the event.
    pub request_id: Option<RequestId>,
    /// Valid by itself.
    pub deadline: Option<Duration>,
    /// Valid by itself, for the event.
    pub metadata: Metadata,
}

/// The kinds of rejection, the one that weighs most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RejectionCode {
    /// The body breaks the contract.
    InvalidRequest,
    /// The region is not in this deployment's list.
    RegionNotAllowed,
    /// The endpoint is one that is never touched here.
    ProtectedEndpoint,
    /// The group is one that is never touched here.
    ProtectedSecurityGroup,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// The field as the sender spelled it; `body` for the whole.
    pub field: String,
    /// What is wrong; it completes the sentence "the field …".
    pub problem: String,
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl DetachRequest {
    /// The request in a body, or everything that is wrong with it.
    pub fn parse(body: &str, rules: &Rules) -> Result<Self, Box<Rejection>> {
        let mut draft = Draft::default();
        match serde_json::from_str::<Entries>(body) {
            Ok(Entries(entries)) => match envelope(&entries) {
                Some(advice) => draft.fault("body", advice),
                None => draft.fill(&entries),
            },
            Err(error) if error.is_data() => draft.fault("body", "must be one JSON object"),
            Err(_) if body.trim().is_empty() => draft.fault("body", "is empty"),
            Err(error) => {
                let problem = format!("is not JSON: line {}, column {}", error.line(), error.column());
                draft.fault("body", &problem);
            }
        }
        draft.check(rules);
        draft.finish()
    }
}

/// A JSON object's fields in their order, repeated ones included.
struct Entries(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// What to do instead, if the body is somebody's envelope around a request.
fn envelope(entries: &[(String, Box<RawValue>)]) -> Option<&'static str> {
    let has = |name: &str| entries.iter().any(|(key, _)| key == name);
    if has("TopicArn") && has("Message") {
        Some(
            "is an SNS envelope: switch on raw message delivery in the subscription, or send the bare request",
        )
    } else if has("detail-type") && has("detail") {
        Some("is an EventBridge event: send the bare request, which is its detail, as the message body")
    } else if has("Records") {
        Some("is an event of another AWS service: send the bare request as the message body")
    } else if has("requests") {
        Some("holds several requests: send each as a message of its own")
    } else {
        None
    }
}

/// A request in the making: what was valid so far, and what was not.
#[derive(Default)]
struct Draft {
    region_id: Option<RegionId>,
    endpoint_id: Option<EndpointId>,
    security_group_id: Option<SecurityGroupId>,
    dry_run: Option<bool>,
    client_token: Option<ClientToken>,
    request_id: Option<RequestId>,
    deadline: Option<Duration>,
    metadata: Option<Metadata>,
    code: Option<RejectionCode>,
    faults: Vec<FieldFault>,
    faults_unlisted: usize,
}

impl Draft {
    fn fill(&mut self, entries: &[(String, Box<RawValue>)]) {
        let mut given: BTreeMap<&str, &str> = BTreeMap::new();
        for (key, raw) in entries {
            let Some(field) = field_named(key) else {
                let name: String =
                    key.chars().take(FIELD_NAME_SHOWN_MAX).flat_map(char::escape_debug).collect();
                self.fault(&name, "is not a field of a request");
                continue;
            };
            if let Some(earlier) = given.insert(field, key) {
                let problem =
                    if earlier == key { "is given twice" } else { "repeats a field in its other spelling" };
                self.fault(key, problem);
                continue;
            }
            // Any JSON that made it into a raw value is valid; the error arm is for depth alone.
            match serde_json::from_str(raw.get()) {
                Ok(Value::Null) => {}
                Ok(value) => self.take(field, key, &value, raw),
                Err(_) => self.fault(key, "is nested too deeply"),
            }
        }
        for (missing, field) in [
            (self.region_id.is_none(), "region_id"),
            (self.endpoint_id.is_none(), "endpoint_id"),
            (self.security_group_id.is_none(), "security_group_id"),
        ] {
            let reported = given.get(field).is_some_and(|key| self.faults.iter().any(|f| f.field == *key));
            if missing && !reported {
                self.fault(field, "is required");
            }
        }
    }

    fn take(&mut self, field: &str, key: &str, value: &Value, raw: &RawValue) {
        match field {
            "region_id" => self.region_id = self.id(key, value, RegionId::parse, RegionId::RULE),
            "endpoint_id" => self.endpoint_id = self.id(key, value, EndpointId::parse, EndpointId::RULE),
            "security_group_id" => {
                self.security_group_id = self.id(key, value, SecurityGroupId::parse, SecurityGroupId::RULE);
            }
            "client_token" => self.client_token = self.id(key, value, ClientToken::parse, ClientToken::RULE),
            "request_id" => self.request_id = self.id(key, value, RequestId::parse, RequestId::RULE),
            "dry_run" => match value {
                Value::Bool(dry_run) => self.dry_run = Some(*dry_run),
                _ => self.fault(key, "must be true or false"),
            },
            "deadline_seconds" => match value.as_u64() {
                Some(seconds) if DEADLINE_SECONDS.contains(&seconds) => {
                    self.deadline = Some(Duration::from_secs(seconds));
                }
                _ => self.fault(
                    key,
                    &format!(
                        "must be a whole number from {} to {}",
                        DEADLINE_SECONDS.start(),
                        DEADLINE_SECONDS.end()
                    ),
                ),
            },
            _ => match metadata(raw) {
                Ok(metadata) => self.metadata = Some(metadata),
                Err(problem) => self.fault(key, &problem),
            },
        }
    }

    fn id<T>(&mut self, key: &str, value: &Value, parse: fn(&str) -> Option<T>, rule: &str) -> Option<T> {
        let id = value.as_str().and_then(parse);
        if id.is_none() {
            self.fault(key, rule);
        }
        id
    }

    fn check(&mut self, rules: &Rules) {
        if let Some(region) = &self.region_id
            && !rules.allowed_regions.is_empty()
            && !rules.allowed_regions.contains(region)
        {
            self.forbid(RejectionCode::RegionNotAllowed, "region_id", "is not allowed in this deployment");
        }
        if self.endpoint_id.as_ref().is_some_and(|id| rules.protected_endpoints.contains(id)) {
            self.forbid(RejectionCode::ProtectedEndpoint, "endpoint_id", "is protected in this deployment");
        }
        if self.security_group_id.as_ref().is_some_and(|id| rules.protected_security_groups.contains(id)) {
            self.forbid(
                RejectionCode::ProtectedSecurityGroup,
                "security_group_id",
                "is protected in this deployment",
            );
        }
    }

    fn fault(&mut self, field: &str, problem: &str) {
        self.forbid(RejectionCode::InvalidRequest, field, problem);
    }

    fn forbid(&mut self, code: RejectionCode, field: &str, problem: &str) {
        self.code = Some(self.code.map_or(code, |other| other.min(code)));
        if self.faults.len() < FAULTS_LISTED_MAX {
            self.faults.push(FieldFault { field: field.to_owned(), problem: problem.to_owned() });
        } else {
            self.faults_unlisted += 1;
        }
    }

    fn finish(mut self) -> Result<DetachRequest, Box<Rejection>> {
        if let (None, Some(region_id), Some(endpoint_id), Some(security_group_id)) =
            (self.code, &self.region_id, &self.endpoint_id, &self.security_group_id)
        {
            return Ok(DetachRequest {
                region_id: region_id.clone(),
                endpoint_id: endpoint_id.clone(),
                security_group_id: security_group_id.clone(),
                dry_run: self.dry_run.unwrap_or(false),
                client_token: self.client_token,
                request_id: self.request_id,
                deadline: self.deadline,
                metadata: self.metadata.unwrap_or_default(),
            });
        }
        if self.faults_unlisted > 0 {
            let problem = format!("has {} more faults", self.faults_unlisted);
            self.faults.push(FieldFault { field: "body".to_owned(), problem });
        }
        Err(Box::new(Rejection {
            code: self.code.unwrap_or(RejectionCode::InvalidRequest),
            faults: self.faults,
            region_id: self.region_id,
            endpoint_id: self.endpoint_id,
            security_group_id: self.security_group_id,
            request_id: self.request_id,
            deadline: self.deadline,
            metadata: self.metadata.unwrap_or_default(),
        }))
    }
}

/// The contract's name of a field, from it or from Alibaba's spelling.
fn field_named(key: &str) -> Option<&'static str> {
    Some(match key {
        "region_id" | "RegionId" => "region_id",
        "endpoint_id" | "EndpointId" => "endpoint_id",
        "security_group_id" | "SecurityGroupId" => "security_group_id",
        "dry_run" | "DryRun" => "dry_run",
        "client_token" | "ClientToken" => "client_token",
        "request_id" => "request_id",
        "deadline_seconds" => "deadline_seconds",
        "metadata" => "metadata",
        _ => return None,
    })
}

fn metadata(raw: &RawValue) -> Result<Metadata, String> {
    let Ok(Entries(entries)) = serde_json::from_str(raw.get()) else {
        return Err("must be an object of strings".to_owned());
    };
    let mut metadata = Metadata::new();
    for (key, raw) in entries {
        let Ok(value) = serde_json::from_str::<String>(raw.get()) else {
            return Err("must be an object of strings".to_owned());
        };
        if metadata.insert(key, value).is_some() {
            return Err("gives a key twice".to_owned());
        }
    }
    let bytes = serde_json::to_string(&metadata).map_or(usize::MAX, |json| json.len());
    if bytes > METADATA_BYTES_MAX {
        return Err(format!("must be at most {METADATA_BYTES_MAX} bytes as JSON"));
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: &str) -> Result<DetachRequest, Box<Rejection>> {
        DetachRequest::parse(body, &Rules::default())
    }

    fn with(field: &str, value: Value) -> String {
        let mut body =
            json!({ "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a" });
        body[field] = value;
        body.to_string()
    }

    fn faults(body: &str) -> Vec<String> {
        parse(body).unwrap_err().faults.iter().map(ToString::to_string).collect()
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
    fn every_fault_is_reported_at_once_by_field() {
        let body = r#"{"region_id":"evil.com/#","endpoint_id":7,"dryrun":true,"dry_run":"true","DryRun":true,
            "client_token":"ü","request_id":"a b","deadline_seconds":29,"metadata":{"a":1}}"#;
        let rejection = parse(body).unwrap_err();
        let fields: Vec<_> = rejection.faults.iter().map(|fault| fault.field.as_str()).collect();
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
    fn a_field_given_twice_is_named_in_either_spelling() {
        let twice = r#"{"region_id":"eu-west-1","endpoint_id":"ep-a","security_group_id":"sg-a","dry_run":true,"dry_run":false}"#;
        assert_eq!(faults(twice), ["dry_run is given twice"]);
        assert_eq!(
            faults(&with("DryRun", json!(true)).replace('}', r#","dry_run":false}"#)),
            ["dry_run repeats a field in its other spelling"]
        );
        let key_twice = with("metadata", json!({ "a": "1" })).replace(r#""a":"1""#, r#""a":"1","a":"2""#);
        assert_eq!(faults(&key_twice), ["metadata gives a key twice"]);
    }

    #[test]
    fn a_mistyped_field_never_passes_for_a_default() {
        for (field, value, problem) in [
            ("dryRun", json!(true), "dryRun is not a field of a request"),
            ("dry_run", json!("true"), "dry_run must be true or false"),
            ("dry_run", json!(1), "dry_run must be true or false"),
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
            assert_eq!(faults(&with(field, value)), [problem]);
        }
    }

    #[test]
    fn what_is_no_object_or_somebodys_envelope_says_what_to_send_instead() {
        for (body, says) in [
            ("", "is empty"),
            ("{", "is not JSON"),
            ("[]", "must be one JSON object"),
            ("null", "must be one JSON object"),
            ("\"text\"", "must be one JSON object"),
            (r#"{"Type":"Notification","TopicArn":"a","Message":"m"}"#, "raw message delivery"),
            (r#"{"version":"0","detail-type":"x","detail":{}}"#, "EventBridge event"),
            (r#"{"Records":[]}"#, "another AWS service"),
            (r#"{"requests":[]}"#, "each as a message of its own"),
        ] {
            let faults = faults(body);
            assert!(
                faults.len() == 1 && faults[0].starts_with("body ") && faults[0].contains(says),
                "{faults:?}"
            );
        }
        let deep = "[".repeat(100_000);
        assert_eq!(faults(&deep).len(), 1, "depth is bounded");
        assert_eq!(faults(&with("metadata", json!(1)).replace(":1", &format!(":{deep}"))).len(), 1);
    }

    #[test]
    fn a_rejection_keeps_what_was_valid_by_itself() {
        let rejection = parse(&with("deadline_seconds", json!(1))).unwrap_err();
        assert_eq!(rejection.endpoint_id, EndpointId::parse("ep-a"));
        let body = r#"{"region_id":"EU","request_id":"r-1","deadline_seconds":60,"metadata":{"a":"b"}}"#;
        let rejection = parse(body).unwrap_err();
        assert_eq!((rejection.region_id, rejection.request_id), (None, RequestId::parse("r-1")));
        assert_eq!((rejection.deadline, rejection.metadata.len()), (Some(Duration::from_mins(1)), 1));
    }

    #[test]
    fn a_flood_of_faults_is_cut_and_counted() {
        let fields: Vec<_> = (0..1000).map(|n| format!(r#""{}{n}":1"#, "x".repeat(500))).collect();
        let rejection = parse(&format!("{{{}}}", fields.join(","))).unwrap_err();
        assert_eq!(rejection.faults.len(), FAULTS_LISTED_MAX + 1);
        assert_eq!(rejection.faults[FAULTS_LISTED_MAX].to_string(), "body has 983 more faults");
        assert!(rejection.to_string().len() < 10_000);
    }

    #[test]
    fn what_is_not_allowed_here_says_so_by_code() {
        let rules = Rules {
            allowed_regions: ["eu-west-1"].into_iter().filter_map(RegionId::parse).collect(),
            protected_security_groups: ["sg-safe"].into_iter().filter_map(SecurityGroupId::parse).collect(),
            protected_endpoints: ["ep-safe"].into_iter().filter_map(EndpointId::parse).collect(),
        };
        let parse = |body: &str| DetachRequest::parse(body, &rules).map_err(|rejection| rejection.code);
        assert!(parse(&with("dry_run", json!(true))).is_ok());
        for (field, value, code) in [
            ("region_id", "eu-west-2", RejectionCode::RegionNotAllowed),
            ("endpoint_id", "ep-safe", RejectionCode::ProtectedEndpoint),
            ("security_group_id", "sg-safe", RejectionCode::ProtectedSecurityGroup),
        ] {
            assert_eq!(parse(&with(field, json!(value))).unwrap_err(), code);
        }
        let both = r#"{"region_id":"eu-west-2","endpoint_id":"ep-safe","security_group_id":7}"#;
        let rejection = DetachRequest::parse(both, &rules).unwrap_err();
        assert_eq!((rejection.code, rejection.faults.len()), (RejectionCode::InvalidRequest, 3));
    }
}
