//! The JSON of a plan file, in both directions.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::PlanFile;
use super::fields::{FieldError, Fields};
use crate::alibaba::privatelink::{EndpointFilter, TAGS_MAX};
use crate::alibaba::records::{GroupStatus, SecurityGroup, Tag};
use crate::clock::calendar;
use crate::completion::sweep::ScopeDetail;
use crate::detach::ReasonCode;
use crate::request::{EndpointId, RegionId, SecurityGroupId};
use crate::sweep::{Plan, Reference, Region, Verdict};
use crate::sweep::{REGIONS_MAX, SECURITY_GROUPS_MAX};
use crate::text::{UNREADABLE, shortened};

/// The version of the file's shape.
const VERSION: &str = "1";

/// Why a reference may be blocked.
const BLOCKED_BY: [ReasonCode; 4] = [
    ReasonCode::ProtectedEndpoint,
    ReasonCode::ProtectedSecurityGroup,
    ReasonCode::FinancialLocked,
    ReasonCode::EndpointMustContainSecurityGroup,
];

const STATUSES: [GroupStatus; 3] = [GroupStatus::Attaching, GroupStatus::Attached, GroupStatus::Detaching];

/// The file, as it is written.
#[derive(Serialize)]
struct Document<'a> {
    version: &'static str,
    account_id: &'a str,
    arn: &'a str,
    security_group_ids: &'a [SecurityGroupId],
    security_groups_found: Option<bool>,
    region_ids: Vec<&'a RegionId>,
    scope: ScopeDetail,
    max_detaches: u32,
    verdict: &'static str,
    started_at: String,
    completed_at: String,
    endpoints_read: BTreeMap<&'a RegionId, usize>,
    endpoints_skipped: BTreeMap<&'a RegionId, usize>,
    references_count: usize,
    blocked_count: usize,
    references: Vec<Entry<'a>>,
    blocked: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    region_id: &'a RegionId,
    endpoint_id: &'a EndpointId,
    endpoint_name: Option<String>,
    security_group_id: &'a SecurityGroupId,
    status: &'static str,
    security_groups: Vec<Group<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replacement_security_group_id: Option<&'a SecurityGroupId>,
}

#[derive(Serialize)]
struct Group<'a> {
    security_group_id: &'a str,
    status: &'static str,
}

impl<'a> Entry<'a> {
    fn new(reference: &'a Reference) -> Self {
        let group = |group: &'a SecurityGroup| Group {
            security_group_id: SecurityGroupId::parse(&group.id).map_or(UNREADABLE, |_| &group.id),
            status: group.status.as_str(),
        };
        Self {
            region_id: &reference.region_id,
            endpoint_id: &reference.endpoint_id,
            endpoint_name: reference.endpoint_name.as_deref().map(shortened),
            security_group_id: &reference.security_group_id,
            status: reference.status.as_str(),
            security_groups: reference.security_groups.iter().map(group).collect(),
            blocked_by: reference.blocked_by.as_ref().map(ReasonCode::as_str),
            replacement_security_group_id: reference.replacement_security_group_id.as_ref(),
        }
    }
}

impl PlanFile {
    /// The content of the file.
    #[expect(clippy::expect_used, reason = "these are texts, numbers and maps with texts as keys")]
    pub(in crate::cli) fn to_json(&self) -> String {
        let plan = &self.plan;
        let count = |count: fn(&Region) -> usize| {
            plan.regions.iter().map(|(id, region)| (id, count(region))).collect()
        };
        let references: Vec<_> = self.requestable().map(Entry::new).collect();
        let blocked: Vec<_> = self.blocked().map(Entry::new).collect();
        let document = Document {
            version: VERSION,
            account_id: &self.account_id,
            arn: &self.arn,
            security_group_ids: &plan.security_group_ids,
            security_groups_found: plan.security_groups_found,
            region_ids: plan.regions.keys().collect(),
            scope: ScopeDetail::new(&self.filter),
            max_detaches: self.max_detaches,
            verdict: self.verdict().as_str(),
            started_at: calendar::text(plan.started_at, calendar::MILLISECONDS),
            completed_at: calendar::text(plan.completed_at, calendar::MILLISECONDS),
            endpoints_read: count(|region| region.endpoints_read),
            endpoints_skipped: count(|region| region.endpoints_skipped),
            references_count: references.len(),
            blocked_count: blocked.len(),
            references,
            blocked,
        };
        serde_json::to_string_pretty(&document).expect("a plan is JSON") + "\n"
    }

    /// The plan in the content of a file.
    pub(super) fn parse(text: &str) -> Result<Self, FieldError> {
        let mut fields = Fields::of_file(text)?;
        let is_version = |text: &str| (text == VERSION).then_some(());
        fields.parse(
            "version",
            is_version,
            "must be \"1\"; another version of this program wrote the plan",
        )?;
        let account_id =
            fields.parse("account_id", |text| is_account(text).then(|| text.to_owned()), "must be digits")?;
        let is_arn = |text: &str| text.starts_with("acs:").then(|| text.to_owned());
        let arn = fields.parse("arn", is_arn, "must begin with acs:")?;
        let security_group_ids =
            fields.texts("security_group_ids", SecurityGroupId::parse, SecurityGroupId::RULE)?;
        let security_groups_found = fields.take("security_groups_found", "must be true, false or null")?;
        if !(1..=SECURITY_GROUPS_MAX).contains(&security_group_ids.len()) {
            return Err(FieldError::new("security_group_ids", "must have 1 to 10 groups"));
        }
        let region_ids = fields.texts("region_ids", RegionId::parse, RegionId::RULE)?;
        if !(1..=REGIONS_MAX).contains(&region_ids.len()) {
            return Err(FieldError::new("region_ids", "must have 1 to 50 regions"));
        }
        let filter = filter(&mut fields)?;
        let max_detaches = fields.take("max_detaches", "must be a number, 0 or more")?;
        let verdict: String = fields.take("verdict", "must be a string")?;
        let started_at = date(&mut fields, "started_at")?;
        let completed_at = date(&mut fields, "completed_at")?;
        if completed_at < started_at {
            return Err(FieldError::new("completed_at", "must not be before started_at"));
        }
        let regions = regions(&mut fields, &region_ids)?;
        let mut plan = Plan {
            regions,
            security_groups_found,
            completed_at,
            ..Plan::new(security_group_ids, started_at)
        };
        add_references(&mut plan, &mut fields, false)?;
        add_references(&mut plan, &mut fields, true)?;
        fields.finish()?;
        let file = Self { account_id, arn, filter, max_detaches, plan };
        let is_answer = !matches!(file.verdict(), Verdict::Incomplete | Verdict::NoEndpoints);
        if file.verdict().as_str() != verdict || !is_answer {
            return Err(FieldError::new("verdict", "contradicts the rest of the plan"));
        }
        Ok(file)
    }
}

fn is_account(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn filter(fields: &mut Fields) -> Result<EndpointFilter, FieldError> {
    let Some(mut scope) = fields.object_or("scope", "all")? else {
        return Ok(EndpointFilter::default());
    };
    let mut text = |name: &str| {
        let is_given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        scope.has(name).then(|| scope.parse(name, is_given, "must be a string")).transpose()
    };
    let (vpc_id, endpoint_name) = (text("vpc_id")?, text("endpoint_name")?);
    let resource_group_id = text("resource_group_id")?;
    let tags: BTreeMap<String, String> = if scope.has("tags") {
        let key = |key: &str| (!key.is_empty()).then(|| key.to_owned());
        let tags = scope.map("tags", key, "is not a tag's key")?;
        if !(1..=TAGS_MAX).contains(&tags.len()) {
            return Err(FieldError::new("scope.tags", "must have 1 to 20 tags"));
        }
        tags
    } else {
        BTreeMap::new()
    };
    scope.finish()?;
    let tags = tags.into_iter().map(|(key, value)| Tag { key, value }).collect();
    let filter = EndpointFilter { vpc_id, endpoint_name, resource_group_id, tags };
    if filter == EndpointFilter::default() {
        return Err(FieldError::new("scope", "must be \"all\" or have a filter"));
    }
    Ok(filter)
}

fn date(fields: &mut Fields, name: &str) -> Result<SystemTime, FieldError> {
    let parse = |text: &str| {
        let at = SystemTime::from(OffsetDateTime::parse(text, &Rfc3339).ok()?);
        (calendar::text(at, calendar::MILLISECONDS) == text).then_some(at)
    };
    fields.parse(name, parse, "must be a time such as 2026-11-22T07:00:12.431Z")
}

fn regions(fields: &mut Fields, region_ids: &[RegionId]) -> Result<BTreeMap<RegionId, Region>, FieldError> {
    // As `u32`, so that the sum over all regions is a number, too.
    let mut counts = |name: &str| -> Result<BTreeMap<RegionId, u32>, FieldError> {
        let counts = fields.map(name, RegionId::parse, RegionId::RULE)?;
        if counts.len() != region_ids.len() || !region_ids.iter().all(|id| counts.contains_key(id)) {
            return Err(FieldError::new(name, "must have exactly the regions of region_ids"));
        }
        Ok(counts)
    };
    let (read, skipped) = (counts("endpoints_read")?, counts("endpoints_skipped")?);
    let region = |((id, read), skipped): ((RegionId, u32), u32)| {
        let (endpoints_read, endpoints_skipped) = (read as usize, skipped as usize);
        (id, Region { endpoints_read, endpoints_skipped, ..Region::default() })
    };
    Ok(read.into_iter().zip(skipped.into_values()).map(region).collect())
}

/// Adds the entries of one of the two lists.
fn add_references(plan: &mut Plan, fields: &mut Fields, is_blocked: bool) -> Result<(), FieldError> {
    let (list, count) =
        if is_blocked { ("blocked", "blocked_count") } else { ("references", "references_count") };
    let entries = fields.objects(list)?;
    let expected: usize = fields.take(count, "must be a number, 0 or more")?;
    if entries.len() != expected {
        return Err(FieldError::new(
            list,
            format!("has {} entries, but {count} says {expected}", entries.len()),
        ));
    }
    let mut known: HashSet<_> = plan.references.iter().map(Reference::target).collect();
    for mut entry in entries {
        let reference = reference(&mut entry, plan, is_blocked)?;
        if !known.insert(reference.target()) {
            return Err(FieldError::new(entry.path_of("endpoint_id"), "is listed twice with the same group"));
        }
        entry.finish()?;
        plan.references.push(reference);
    }
    Ok(())
}

fn reference(entry: &mut Fields, plan: &Plan, is_blocked: bool) -> Result<Reference, FieldError> {
    let region = |text: &str| RegionId::parse(text).filter(|id| plan.regions.contains_key(id));
    let group = |text: &str| SecurityGroupId::parse(text).filter(|id| plan.security_group_ids.contains(id));
    let blocked = |text: &str| BLOCKED_BY.into_iter().find(|code| code.as_str() == text);
    let reference = Reference {
        region_id: entry.parse("region_id", region, "must be one of region_ids")?,
        endpoint_id: entry.parse("endpoint_id", EndpointId::parse, EndpointId::RULE)?,
        endpoint_name: entry.take("endpoint_name", "must be a string or null")?,
        vpc_id: None,
        security_group_id: entry.parse("security_group_id", group, "must be one of security_group_ids")?,
        status: status(entry)?,
        security_groups: entry
            .objects("security_groups")?
            .into_iter()
            .map(group_on_endpoint)
            .collect::<Result<_, _>>()?,
        blocked_by: is_blocked
            .then(|| entry.parse("blocked_by", blocked, "must be a reason for which a detach is blocked"))
            .transpose()?,
        replacement_security_group_id: if is_blocked { None } else { replacement(entry)? },
    };
    let same = |group: &&SecurityGroup| group.id == reference.security_group_id.as_str();
    if reference.security_groups.iter().find(same).map(|group| group.status) != Some(reference.status) {
        let problem = "must have the entry's security_group_id with the entry's status";
        return Err(FieldError::new(entry.path_of("security_groups"), problem));
    }
    Ok(reference)
}

/// The replacement of the entry's group; absent in an entry without a replacement, and in plans of earlier versions of
/// this program.
fn replacement(entry: &mut Fields) -> Result<Option<SecurityGroupId>, FieldError> {
    const NAME: &str = "replacement_security_group_id";
    entry.has(NAME).then(|| entry.parse(NAME, SecurityGroupId::parse, SecurityGroupId::RULE)).transpose()
}

fn status(fields: &mut Fields) -> Result<GroupStatus, FieldError> {
    let parse = |text: &str| STATUSES.into_iter().find(|status| status.as_str() == text);
    fields.parse("status", parse, "must be Attaching, Attached or Detaching")
}

fn group_on_endpoint(mut fields: Fields) -> Result<SecurityGroup, FieldError> {
    let is_id = |text: &str| SecurityGroupId::parse(text).is_some() || text == UNREADABLE;
    let parse = |text: &str| is_id(text).then(|| text.to_owned());
    let id = fields.parse("security_group_id", parse, SecurityGroupId::RULE)?;
    let status = status(&mut fields)?;
    fields.finish()?;
    Ok(SecurityGroup { id, status })
}
