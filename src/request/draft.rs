//! From a body to a request: everything that is valid is kept, everything that is not is named.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{Entries, shown};

use super::{
    ClientToken, DEADLINE_SECONDS, DetachRequest, EndpointId, FieldFault, Metadata, RegionId, Rejection,
    RejectionCode, RequestId, Rules, SecurityGroupId,
};

/// Most bytes of `metadata` as compact JSON: it is echoed in an event, not stored.
const METADATA_BYTES_MAX: usize = 1024;

/// Most faults that one rejection lists. A body of 1 MiB could hold ten thousands; nobody reads further than this.
pub(super) const FAULTS_LISTED_MAX: usize = 20;

/// See [`DetachRequest::parse`].
pub(super) fn parse(body: &str, rules: &Rules) -> Result<DetachRequest, Box<Rejection>> {
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
                self.fault(&shown(key), "is not a field of a request");
                continue;
            };
            if let Some(earlier) = given.insert(field, key) {
                let problem =
                    if earlier == key { "is given twice" } else { "repeats a field in its other spelling" };
                self.fault(key, problem);
                continue;
            }
            // A raw value is JSON by its grammar; a text with a lone surrogate, or an endless number, ends here.
            match serde_json::from_str(raw.get()) {
                Ok(Scalar::Null) => {}
                Ok(value) => self.take(field, key, &value, raw),
                Err(_) => self.fault(key, "is not a value that JSON can carry"),
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

    fn take(&mut self, field: &str, key: &str, value: &Scalar, raw: &RawValue) {
        match field {
            "region_id" => self.region_id = self.id(key, value, RegionId::parse, RegionId::RULE),
            "endpoint_id" => self.endpoint_id = self.id(key, value, EndpointId::parse, EndpointId::RULE),
            "security_group_id" => {
                self.security_group_id = self.id(key, value, SecurityGroupId::parse, SecurityGroupId::RULE);
            }
            "client_token" => self.client_token = self.id(key, value, ClientToken::parse, ClientToken::RULE),
            "request_id" => self.request_id = self.id(key, value, RequestId::parse, RequestId::RULE),
            "dry_run" => match value {
                Scalar::Bool(dry_run) => self.dry_run = Some(*dry_run),
                _ => self.fault(key, "must be true or false"),
            },
            "deadline_seconds" => match value {
                Scalar::Number(seconds) if DEADLINE_SECONDS.contains(seconds) => {
                    self.deadline = Some(Duration::from_secs(*seconds));
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

    fn id<T>(&mut self, key: &str, value: &Scalar, parse: fn(&str) -> Option<T>, rule: &str) -> Option<T> {
        let id = if let Scalar::Text(text) = value { parse(text) } else { None };
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
            self.faults.push(FieldFault { code, field: field.to_owned(), problem: problem.to_owned() });
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
            let code = RejectionCode::InvalidRequest;
            self.faults.push(FieldFault { code, field: "body".to_owned(), problem });
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

/// A field's value as far as a request has a use for it. A list or an object is passed over and not kept: as a tree it
/// would take more than a hundred times its own length.
enum Scalar {
    Null,
    Bool(bool),
    Number(u64),
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_unit<E>(self) -> Result<Scalar, E> {
                Ok(Scalar::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }
            fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
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
