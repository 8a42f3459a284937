//! ECS: the security groups that exist in a region.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Cloud, endpoint::Tracked};
use crate::{
    call::{Call, invalid},
    fault::Effect,
    ids::{RegionId, SecurityGroupId},
    paging::{PageLimits, page},
    response::{Outcome, Refusal},
    seed::SecurityGroupRecord,
};

/// The maximum number of ids in one call.
const IDS_MAX: usize = 100;

impl Cloud {
    /// Lists the groups of a region, or those with the requested ids.
    pub(super) fn describe_groups(&self, region: &RegionId, call: &Call, effect: Option<&Effect>) -> Outcome {
        let requested = requested(call)?;
        let items: Vec<_> = self
            .groups_of(region)
            .into_iter()
            .filter(|(id, _)| requested.as_ref().is_none_or(|requested| requested.contains(id)))
            .map(|(id, vpc_id)| (id.to_string(), record(&id, vpc_id, self.security_group_records.get(&id))))
            .collect();
        let limits = PageLimits { results: 1..=100, default: 10, server_max: self.settings.page_size_max };
        let mut page = page(&items, "SecurityGroup", call, &limits, effect)?;
        let mut fields = json!({
            "RegionId": region,
            "NextToken": page.get("NextToken").and_then(Value::as_str).unwrap_or_default(),
            "SecurityGroups": { "SecurityGroup": page["SecurityGroup"].take() },
        });
        if call.get("NextToken").is_none() {
            fields["TotalCount"] = page["TotalCount"].take();
        }
        Ok(fields)
    }

    /// The groups of a region, with the VPCs of their endpoints. A group is in the regions of the endpoints that use it,
    /// and in every region if none does.
    fn groups_of(&self, region: &RegionId) -> BTreeMap<SecurityGroupId, Option<&str>> {
        let (mut groups, mut unused) = (BTreeMap::new(), self.security_groups.clone());
        for endpoint in self.endpoints.values().filter_map(Tracked::current) {
            for group in &endpoint.security_groups {
                unused.remove(&group.id);
                if endpoint.region_id == *region {
                    groups.insert(group.id.clone(), endpoint.vpc_id.as_deref());
                }
            }
        }
        groups.extend(unused.into_iter().map(|id| (id, None)));
        groups
    }
}

/// The ids in the request; `None` if it asks for all groups.
fn requested(call: &Call) -> Result<Option<BTreeSet<SecurityGroupId>>, Refusal> {
    let ids: BTreeSet<SecurityGroupId> = match (call.get("SecurityGroupIds"), call.get("SecurityGroupId")) {
        (Some(ids), _) => serde_json::from_str(ids)
            .map_err(|_| invalid("SecurityGroupIds", "must be a JSON array of ids"))?,
        (None, Some(id)) => [id.into()].into(),
        (None, None) => return Ok(None),
    };
    if ids.len() > IDS_MAX {
        return Err(invalid("SecurityGroupIds", "must have at most 100 ids"));
    }
    Ok(Some(ids))
}

/// The group as ECS lists it. `vpc_id` is that of an endpoint that uses it; its own record comes first.
fn record(id: &SecurityGroupId, vpc_id: Option<&str>, record: Option<&SecurityGroupRecord>) -> Value {
    let vpc_id = record.and_then(|record| record.vpc_id.as_deref()).or(vpc_id);
    let security_group_type = record.map(|record| record.security_group_type).unwrap_or_default();
    json!({
        "SecurityGroupId": id,
        "SecurityGroupName": "",
        "SecurityGroupType": security_group_type,
        "Description": "",
        "VpcId": vpc_id.unwrap_or_default(),
        "ServiceManaged": false,
        "Tags": { "Tag": [] },
    })
}
