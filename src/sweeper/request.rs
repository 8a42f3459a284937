//! Parses a sweep request: returns what the sweep reads and may request, or every error in the request.
//!
//! Pure. An unknown field is an error: a mistyped filter must not become a sweep of all endpoints.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::alibaba::privatelink::{EndpointFilter, TAGS_MAX};
use crate::alibaba::records::Tag;
use crate::completion::sweep::Mode;
use crate::json::{Entries, shown, without_byte_order_mark};
use crate::request::{
    DEADLINE_SECONDS, FieldError, Metadata, RegionId, RejectionCode, RequestId, Rules, SecurityGroupId,
    deadline_rule, read_metadata,
};
use crate::sweep::{REGIONS_MAX, SECURITY_GROUPS_MAX};

/// Maximum number of bytes of `metadata` as compact JSON. The sweeper adds the id of the sweep to the metadata of each
/// request, whose limit is 1,024 bytes.
const METADATA_BYTES_MAX: usize = 768;

/// The key of the sweep's id in the metadata of its requests.
pub(super) const SWEEP_ID: &str = "sweep_id";

/// Longest text of a filter, in characters: twice the length that Alibaba Cloud allows for a tag's value, the longest
/// of these texts.
const FILTER_LENGTH_MAX: usize = 256;

/// Maximum number of errors that are reported. A payload of 1 MB could have tens of thousands.
const ERRORS_MAX: usize = 20;

/// The fields of a sweep request.
const FIELDS: [&str; 8] = [
    "sweep_id",
    "security_group_ids",
    "region_ids",
    "scope",
    "mode",
    "max_detaches",
    "deadline_seconds",
    "metadata",
];

/// The fields of its scope.
const FILTERS: [&str; 4] = ["vpc_id", "endpoint_name", "resource_group_id", "tags"];

/// What a sweep reads, and what it may request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepRequest {
    pub sweep_id: Option<RequestId>,
    pub security_group_ids: Vec<SecurityGroupId>,
    pub region_ids: Vec<RegionId>,
    pub filter: EndpointFilter,
    pub mode: Mode,
    /// The most detaches that the sweep may request; `None` only in mode `report`.
    pub max_detaches: Option<u32>,
    /// The deadline of each request.
    pub deadline: Option<Duration>,
    /// The metadata of each request.
    pub metadata: Metadata,
}

/// The errors of a sweep request, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSweep {
    errors: Vec<FieldError>,
}

impl InvalidSweep {
    /// The errors in one line for a log. The name of an unknown field is untrusted text and is not repeated.
    #[must_use]
    pub fn logged(&self) -> String {
        let text = |error: &FieldError| {
            let field = error.field.as_str();
            let is_filter = field.strip_prefix("scope.").is_some_and(|name| FILTERS.contains(&name));
            if field == "body" || FIELDS.contains(&field) || is_filter {
                error.to_string()
            } else {
                format!("an unknown name {}", error.problem)
            }
        };
        self.errors.iter().map(text).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for InvalidSweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}

/// Parses a sweep request, and checks its regions against the rules of this deployment.
pub fn parse(body: &str, rules: &Rules) -> Result<SweepRequest, InvalidSweep> {
    let mut draft = Draft::default();
    match serde_json::from_str::<Entries>(without_byte_order_mark(body)) {
        Ok(Entries(entries)) => draft.fill(&entries, rules),
        Err(error) if error.is_data() => draft.invalid("body", "must be one JSON object"),
        Err(_) => draft.invalid("body", "is not JSON"),
    }
    draft.finish()
}

/// A sweep request that is being read: its valid fields and its errors so far.
#[derive(Default)]
struct Draft {
    sweep_id: Option<RequestId>,
    security_group_ids: Vec<SecurityGroupId>,
    region_ids: Vec<RegionId>,
    filter: Option<EndpointFilter>,
    mode: Option<Mode>,
    max_detaches: Option<u32>,
    deadline: Option<Duration>,
    metadata: Metadata,
    /// The first of them; there may be tens of thousands.
    errors: Vec<FieldError>,
    errors_unlisted: usize,
}

impl Draft {
    fn fill(&mut self, entries: &[(String, Box<RawValue>)], rules: &Rules) {
        let mut given = BTreeSet::new();
        let mut with_value = BTreeSet::new();
        for (name, raw) in entries {
            if !given.insert(name.as_str()) {
                self.invalid(&shown(name), "is given twice");
            } else if raw.get() != "null" || !FIELDS.contains(&name.as_str()) {
                with_value.insert(name.as_str());
                self.take(name, raw);
            }
        }
        for name in ["security_group_ids", "region_ids", "scope"] {
            if !with_value.contains(name) {
                self.invalid(name, "is required");
            }
        }
        if self.mode == Some(Mode::Apply) && !with_value.contains("max_detaches") {
            self.invalid("max_detaches", "is required with apply; 0 allows no detach");
        }
        let allowed = &rules.allowed_regions;
        if !allowed.is_empty() && self.region_ids.iter().any(|region| !allowed.contains(region)) {
            let problem = "names a region that is not allowed in this deployment";
            self.reject(RejectionCode::RegionNotAllowed, "region_ids", problem);
        }
    }

    fn take(&mut self, name: &str, raw: &RawValue) {
        match name {
            "sweep_id" => match read::<String>(raw).as_deref().and_then(RequestId::parse) {
                Some(id) => self.sweep_id = Some(id),
                None => self.invalid(name, RequestId::RULE),
            },
            "security_group_ids" => {
                let rule = "must be a list of 1 to 10 security group ids, each once";
                self.security_group_ids =
                    self.ids(name, raw, SecurityGroupId::parse, SECURITY_GROUPS_MAX, rule);
            }
            "region_ids" => {
                let rule = "must be a list of 1 to 50 region ids, each once";
                self.region_ids = self.ids(name, raw, RegionId::parse, REGIONS_MAX, rule);
            }
            "scope" => self.filter = self.scope(raw),
            "mode" => match read::<String>(raw).as_deref() {
                Some("report") => self.mode = Some(Mode::Report),
                Some("apply") => self.mode = Some(Mode::Apply),
                _ => self.invalid(name, "must be report or apply"),
            },
            "max_detaches" => match read(raw) {
                Some(number) => self.max_detaches = Some(number),
                None => self.invalid(name, "must be a whole number from 0 to 4294967295"),
            },
            "deadline_seconds" => match read(raw).filter(|seconds| DEADLINE_SECONDS.contains(seconds)) {
                Some(seconds) => self.deadline = Some(Duration::from_secs(seconds)),
                None => self.invalid(name, &deadline_rule()),
            },
            "metadata" => match read_metadata(raw, METADATA_BYTES_MAX) {
                Ok(metadata) if metadata.contains_key(SWEEP_ID) => {
                    self.invalid(name, "must not contain sweep_id, which the sweeper adds to each request");
                }
                Ok(metadata) => self.metadata = metadata,
                Err(problem) => self.invalid(name, &problem),
            },
            _ => self.invalid(&shown(name), "is not a field of a sweep request"),
        }
    }

    /// A list of ids, none of them twice.
    fn ids<T: Ord>(
        &mut self,
        name: &str,
        raw: &RawValue,
        parse: fn(&str) -> Option<T>,
        max: usize,
        rule: &str,
    ) -> Vec<T> {
        let texts: Vec<String> = read(raw).unwrap_or_default();
        let ids: Vec<T> = texts.iter().filter_map(|text| parse(text)).collect();
        let distinct = ids.iter().collect::<BTreeSet<_>>().len();
        if ids.len() != texts.len() || distinct != ids.len() || !(1..=max).contains(&ids.len()) {
            self.invalid(name, rule);
        }
        ids
    }

    /// The filter of a scope. `None` after an error.
    fn scope(&mut self, raw: &RawValue) -> Option<EndpointFilter> {
        const RULE: &str =
            "must be \"all\", or an object with vpc_id, endpoint_name, resource_group_id or tags";
        if read::<String>(raw).is_some_and(|text| text == "all") {
            return Some(EndpointFilter::default());
        }
        let Some(Entries(entries)) = read(raw) else {
            self.invalid("scope", RULE);
            return None;
        };
        let errors_before = self.error_count();
        let mut filter = EndpointFilter::default();
        let mut given = BTreeSet::new();
        for (name, raw) in &entries {
            let field = format!("scope.{}", shown(name));
            if !given.insert(name.as_str()) {
                self.invalid(&field, "is given twice");
                continue;
            }
            let text = || read::<String>(raw).filter(|text| is_filter(text));
            let wanted = match name.as_str() {
                "vpc_id" => &mut filter.vpc_id,
                "endpoint_name" => &mut filter.endpoint_name,
                "resource_group_id" => &mut filter.resource_group_id,
                "tags" => {
                    match tags(raw) {
                        Some(tags) => filter.tags = tags,
                        None => {
                            self.invalid(&field, "must be an object of 1 to 20 tags, each a key with a text");
                        }
                    }
                    continue;
                }
                _ => {
                    self.invalid(&field, "is not a filter");
                    continue;
                }
            };
            *wanted = text();
            if wanted.is_none() {
                self.invalid(&field, "must be a text of 1 to 256 characters");
            }
        }
        if entries.is_empty() {
            self.invalid("scope", RULE);
        }
        (self.error_count() == errors_before).then_some(filter)
    }

    fn invalid(&mut self, field: &str, problem: &str) {
        self.reject(RejectionCode::InvalidRequest, field, problem);
    }

    fn reject(&mut self, code: RejectionCode, field: &str, problem: &str) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(FieldError { code, field: field.to_owned(), problem: problem.to_owned() });
        } else {
            self.errors_unlisted += 1;
        }
    }

    fn error_count(&self) -> usize {
        self.errors.len() + self.errors_unlisted
    }

    fn finish(mut self) -> Result<SweepRequest, InvalidSweep> {
        if let (Some(filter), []) = (&self.filter, &self.errors[..]) {
            return Ok(SweepRequest {
                sweep_id: self.sweep_id,
                security_group_ids: self.security_group_ids,
                region_ids: self.region_ids,
                filter: filter.clone(),
                mode: self.mode.unwrap_or(Mode::Report),
                max_detaches: self.max_detaches,
                deadline: self.deadline,
                metadata: self.metadata,
            });
        }
        if self.errors_unlisted > 0 {
            let (code, field) = (RejectionCode::InvalidRequest, "body".to_owned());
            let problem = format!("has {} more errors", self.errors_unlisted);
            self.errors.push(FieldError { code, field, problem });
        }
        Err(InvalidSweep { errors: self.errors })
    }
}

/// A field's value, if it has this type.
fn read<T: DeserializeOwned>(raw: &RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// The tags of a filter, by key; `None` if they are not valid.
fn tags(raw: &RawValue) -> Option<Vec<Tag>> {
    let tags = read_metadata(raw, usize::MAX).ok()?;
    let is_tag = |(key, value): (&String, &String)| is_filter(key) && (value.is_empty() || is_filter(value));
    if !(1..=TAGS_MAX).contains(&tags.len()) || !tags.iter().all(is_tag) {
        return None;
    }
    Some(tags.into_iter().map(|(key, value)| Tag { key, value }).collect())
}

fn is_filter(text: &str) -> bool {
    (1..=FILTER_LENGTH_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}
