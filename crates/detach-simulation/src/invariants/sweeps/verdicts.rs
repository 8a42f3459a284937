//! S3 and S4: nothing is requested and no verdict about references is given unless everything was read, and
//! `no_references` is true.

use std::time::{Duration, SystemTime};

use privatelink_simulator::{Action, Endpoint};
use serde_json::{Value, json};

use super::super::{Breach, Guarantee};
use super::Sweep;
use super::reading::{Place, Region, is_in_scope};
use crate::outside::Outside;

/// How long before a sweep a change may have begun that affects an endpoint during the sweep.
const CHANGE_TAKES_MAX: Duration = Duration::from_secs(90);

/// The verdicts that say that everything was read.
const COMPLETE: [&str; 4] = ["no_references", "references_found", "over_limit", "no_endpoints"];

pub(super) fn check(sweep: &Sweep<'_>) -> Result<(), Breach> {
    let (verdict, requests) = (sweep.text("verdict"), sweep.run.requests.len());
    let is_of_requests = matches!(verdict, "no_references" | "references_found");
    if requests > 0 && sweep.detail.is_some() && !is_of_requests {
        return sweep.breach(Guarantee::SweepComplete, format!("{verdict} after requests"));
    }
    if requests > 0 || COMPLETE.contains(&verdict) {
        complete(sweep)?;
    }
    if verdict == "no_references" {
        unused(sweep)?;
        proved(sweep)?;
    }
    if matches!(verdict, "no_references" | "no_endpoints") {
        nothing_missed(sweep)?;
    }
    Ok(())
}

/// S3: the list of endpoints was read to its end, at least twice, the last time after the groups of each endpoint in it.
fn complete(sweep: &Sweep<'_>) -> Result<(), Breach> {
    let mut total = 0;
    for region in &sweep.run.planned.regions {
        let read = sweep.reading.regions.get(region);
        let Some((read, latest)) = read.and_then(|read| Some((read, read.latest.as_ref()?))) else {
            return sweep.breach(Guarantee::SweepComplete, format!("the list of {region} was not read"));
        };
        if read.lists < 2 {
            return sweep.breach(Guarantee::SweepComplete, format!("{region} was listed only once"));
        }
        let endpoints: Vec<&str> = of_scope(sweep, latest).collect();
        for endpoint in &endpoints {
            every_group_read(sweep, read, &(region.clone(), (*endpoint).to_owned()))?;
        }
        let said = sweep.detail.map(|detail| detail["endpoints_read"][region].as_u64().unwrap_or_default());
        if said.is_some_and(|said| said != endpoints.len() as u64) {
            let how = format!("it says {said:?} endpoints of {region}, and was served {endpoints:?}");
            return sweep.breach(Guarantee::SweepComplete, how);
        }
        total += endpoints.len();
    }
    let is_none = sweep.text("verdict") == "no_endpoints";
    if sweep.detail.is_some() && is_none != (total == 0) {
        let how = format!("{} with {total} endpoints", sweep.text("verdict"));
        return sweep.breach(Guarantee::SweepComplete, how);
    }
    if sweep.detail.is_some_and(|detail| detail["security_groups_found"] == false) {
        return sweep.breach(Guarantee::SweepComplete, "a verdict about a group that does not exist");
    }
    Ok(())
}

fn every_group_read(sweep: &Sweep<'_>, region: &Region, place: &Place) -> Result<(), Breach> {
    let mut lists = sweep.reading.lists.get(place).into_iter().flatten();
    if lists.any(|list| region.began.is_some_and(|began| list.at <= began)) {
        return Ok(());
    }
    sweep.breach(Guarantee::SweepComplete, format!("{place:?} was not read before the last list"))
}

/// The endpoints of a list that are in the scope and have groups.
fn of_scope<'a>(sweep: &'a Sweep<'_>, records: &'a [Value]) -> impl Iterator<Item = &'a str> {
    let is_one = |record: &&Value| {
        is_in_scope(&sweep.run.planned.scope, record) && record["EndpointType"] != "GatewayLoadBalancer"
    };
    records.iter().filter(is_one).filter_map(|record| record["EndpointId"].as_str())
}

/// S4: the latest list of each endpoint has none of the groups, and was right about it.
fn unused(sweep: &Sweep<'_>) -> Result<(), Breach> {
    for (region, read) in &sweep.reading.regions {
        for endpoint in of_scope(sweep, read.latest.as_deref().unwrap_or_default()) {
            let place = (region.clone(), endpoint.to_owned());
            let latest = sweep.reading.lists.get(&place).and_then(|lists| lists.last());
            let Some(latest) = latest else { continue };
            let used = |group: &&String| {
                let is_wrong = !latest.absent.contains(*group) && !sweep.facts.has_lag();
                latest.statuses.contains_key(*group) || is_wrong
            };
            let used = sweep.run.planned.groups.iter().find(used);
            // A wrong response that the endpoint does not exist proves nothing.
            let mut missing = sweep.reading.missing.get(&place).into_iter().flatten();
            let is_gone = missing.any(|(at, is_true)| *at > latest.at && (*is_true || sweep.facts.has_lag()));
            if let Some(group) = used.filter(|_| !is_gone) {
                let how = format!("no_references, but {place:?} was not read without {group}");
                return sweep.breach(Guarantee::SweepUnused, how);
            }
        }
    }
    Ok(())
}

/// S4: since the groups of a requested endpoint were read without the requested one, its record was listed and was stable,
/// or the list lacks it.
fn proved(sweep: &Sweep<'_>) -> Result<(), Breach> {
    for request in sweep.run.sent() {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let place = (text("region_id"), text("endpoint_id"));
        let (group, lists) = (text("security_group_id"), sweep.reading.lists.get(&place));
        let without =
            lists.into_iter().flatten().rev().take_while(|list| !list.statuses.contains_key(&group));
        let since = without.last().map(|list| list.at);
        let is_proof = |(region, began, records): &(String, SystemTime, Vec<Value>)| {
            let record = records.iter().find(|record| record["EndpointId"] == place.1.as_str());
            let status = record.map(|record| record["EndpointStatus"].as_str().unwrap_or_default());
            // An endpoint that was deleted before its groups were read again is in no list.
            let is_after = since.is_none_or(|since| since <= *began);
            *region == place.0
                && is_after
                && (status.is_none() || since.is_some() && matches!(status, Some("Active" | "Deleting")))
        };
        if !sweep.reading.later.iter().any(is_proof) {
            let how =
                format!("no_references without a stable record of {place:?} and {group} after its groups");
            return sweep.breach(Guarantee::SweepUnused, how);
        }
    }
    Ok(())
}

/// S4: no endpoint of the scope used a group during the whole sweep.
fn nothing_missed(sweep: &Sweep<'_>) -> Result<(), Breach> {
    let [began, ended] = sweep.run.actual.as_slice() else { return Ok(()) };
    if sweep.facts.has_lag() {
        return Ok(());
    }
    let is_listed = |endpoint: &&Endpoint| {
        sweep.run.planned.regions.iter().any(|region| region == endpoint.region_id.as_str())
            && endpoint.endpoint_type != "GatewayLoadBalancer"
            && is_in_scope(&sweep.run.planned.scope, &record(endpoint))
            && !is_changed(sweep, endpoint.endpoint_id.as_str())
    };
    let is_none = sweep.text("verdict") == "no_endpoints";
    for endpoint in began.iter().filter(is_listed) {
        let later = ended.iter().find(|later| later.endpoint_id == endpoint.endpoint_id);
        let is_used = |group: &&String| {
            let has = |endpoint: &Endpoint| endpoint.group(&group.as_str().into()).is_some();
            has(endpoint) && later.is_some_and(has)
        };
        let used = sweep.run.planned.groups.iter().find(is_used);
        if used.is_some() || (is_none && later.is_some()) {
            let how = format!("it missed {} with {used:?}", endpoint.endpoint_id);
            return sweep.breach(Guarantee::SweepUnused, how);
        }
    }
    Ok(())
}

/// Whether the endpoint was changed during the sweep, by another client or by this deployment.
fn is_changed(sweep: &Sweep<'_>, endpoint: &str) -> bool {
    let since = sweep.run.began - CHANGE_TAKES_MAX;
    let until = sweep.run.ended.map_or(sweep.facts.history.ended, |(at, _)| at);
    let mut outside = sweep.facts.outside.iter();
    let is_outside = outside.any(|(at, act)| {
        let is_a_change =
            matches!(act, Outside::Attach { .. } | Outside::Detach { .. } | Outside::Create { .. });
        let is_a_change = is_a_change || matches!(act, Outside::Remove { .. });
        is_a_change && (since..=until).contains(at) && act.endpoint() == Some(endpoint)
    });
    is_outside
        || sweep.facts.calls.iter().any(|call| {
            matches!(
                call.requested.action,
                Some(Action::DetachSecurityGroupFromVpcEndpoint | Action::AttachSecurityGroupToVpcEndpoint)
            ) && call.requested.endpoint == endpoint
                && call.served.is_some_and(|(at, _)| (since..=until).contains(&at))
        })
}

/// The fields of an actual endpoint by which a scope selects, as the API names them.
fn record(endpoint: &Endpoint) -> Value {
    let tags = endpoint.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value }));
    json!({
        "VpcId": endpoint.vpc_id,
        "EndpointName": endpoint.endpoint_name,
        "ResourceGroupId": endpoint.resource_group_id,
        "Tags": tags.collect::<Vec<_>>(),
    })
}
