//! S1, S2 and S6: how many requests a sweep sends, for what, and what is in them.

use std::collections::{BTreeMap, BTreeSet};

use local_aws::NewMessage;
use local_aws::queues::MessageAttribute;
use serde_json::Value;

use super::super::facts::{Facts, SweepRun};
use super::super::{Breach, Guarantee, breach};
use super::Sweep;
use super::reading::{Groups, Place, is_in_scope};
use crate::history::{PROTECTED_ENDPOINT, PROTECTED_GROUP};

/// The groups that a sweep requested on each endpoint.
type Requested = BTreeMap<Place, BTreeSet<String>>;

pub(super) fn check(sweep: &Sweep<'_>) -> Result<(), Breach> {
    let bodies: BTreeSet<&str> = sweep.run.sent().map(|request| request.body.as_str()).collect();
    let most = if sweep.may_apply() { sweep.run.planned.max_detaches.unwrap_or_default() } else { 0 };
    if bodies.len() as u64 > most {
        let how = format!("it requests {} detaches, and may request {most}", bodies.len());
        return sweep.breach(Guarantee::SweepLimit, how);
    }
    let mut requested = Requested::new();
    for request in sweep.run.sent() {
        let body = body(request);
        content(sweep, request, &body)?;
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let place = (text("region_id"), text("endpoint_id"));
        requested.entry(place).or_default().insert(text("security_group_id"));
    }
    for (place, groups) in &requested {
        in_scope(sweep, place, groups)?;
    }
    if sweep.run.requested_at().is_some() { all_or_none(sweep, &requested) } else { Ok(()) }
}

fn body(request: &NewMessage) -> Value {
    serde_json::from_str(&request.body).unwrap_or_default()
}

/// S6: an ordinary request with the trigger and the id of the sweep.
fn content(sweep: &Sweep<'_>, request: &NewMessage, body: &Value) -> Result<(), Breach> {
    let trigger = request.attributes.get("trigger");
    let is_trigger = trigger == Some(&MessageAttribute::text("sweep"));
    let id = &body["metadata"]["sweep_id"];
    let is_id = match &sweep.run.planned.sweep_id {
        Some(named) => id == named.as_str(),
        None => sweep.detail.is_none_or(|detail| *id == detail["sweep_id"]),
    };
    let lane = format!(
        "{}/{}",
        body["region_id"].as_str().unwrap_or_default(),
        body["endpoint_id"].as_str().unwrap_or_default()
    );
    let is_lane = request.group.as_deref() == Some(lane.as_str());
    let is_real = body["dry_run"] != true && body["expect_attached"] != true;
    if is_trigger && is_id && is_lane && is_real && body["request_id"].is_string() {
        return Ok(());
    }
    sweep.breach(Guarantee::SweepRequests, format!("an unexpected request: {request:?}"))
}

/// S2: only groups of the sweep, on endpoints that it was served in its scope, that use them, and that keep a group or have
/// a replacement.
fn in_scope(sweep: &Sweep<'_>, place: &Place, groups: &BTreeSet<String>) -> Result<(), Breach> {
    let planned = sweep.run.planned;
    let out = |why: &str| sweep.breach(Guarantee::SweepScope, format!("{groups:?} of {place:?}: {why}"));
    let record = record(sweep, place);
    let Some(record) = record.filter(|record| is_in_scope(&planned.scope, record)) else {
        return out("not in its scope");
    };
    let is_protected = |group: &String| group == PROTECTED_GROUP || place.1 == PROTECTED_ENDPOINT;
    if groups.iter().any(is_protected) || record["EndpointBusinessStatus"] == "FinancialLocked" {
        return out("protected or locked");
    }
    if groups.iter().any(|group| !planned.groups.contains(group)) {
        return out("not a group of the sweep");
    }
    let Some(list) = latest_list(sweep, place) else { return out("its groups were not read") };
    if groups.iter().any(|group| !list.statuses.contains_key(group)) {
        return out("not a group of the endpoint");
    }
    let remains = |(id, status): (&String, &String)| status != "Detaching" && !groups.contains(id);
    if !list.statuses.iter().any(remains) && sweep.replacement(record).is_none() {
        return out("no group remains on the endpoint");
    }
    Ok(())
}

/// The endpoint in the latest list before the requests.
fn record<'a>(sweep: &'a Sweep<'_>, (region, endpoint): &Place) -> Option<&'a Value> {
    let mut records = sweep.reading.regions.get(region)?.latest.iter().flatten();
    records.find(|record| record["EndpointId"] == endpoint.as_str())
}

/// The endpoint's groups as they were read last before the requests.
fn latest_list<'a>(sweep: &'a Sweep<'_>, place: &Place) -> Option<&'a Groups> {
    let requested_at = sweep.run.requested_at()?;
    sweep.reading.lists.get(place)?.iter().rev().find(|list| list.at <= requested_at)
}

/// S1: a sweep that requests anything requests every reference that is not blocked, never the first few.
fn all_or_none(sweep: &Sweep<'_>, requested: &Requested) -> Result<(), Breach> {
    let planned = sweep.run.planned;
    for place in sweep.reading.lists.keys() {
        let none = BTreeSet::new();
        let groups = requested.get(place).unwrap_or(&none);
        let (Some(record), Some(list)) = (record(sweep, place), latest_list(sweep, place)) else { continue };
        let is_blocked =
            place.1 == PROTECTED_ENDPOINT || record["EndpointBusinessStatus"] == "FinancialLocked";
        let is_gone = sweep.reading.missing.contains_key(place);
        if is_blocked || is_gone || !is_in_scope(&planned.scope, record) {
            continue;
        }
        for group in
            planned.groups.iter().filter(|group| *group != PROTECTED_GROUP && !groups.contains(*group))
        {
            let remains = |(id, status): (&String, &String)| {
                status != "Detaching" && id != group && !groups.contains(id)
            };
            let may_leave = list.statuses.iter().any(remains) || sweep.replacement(record).is_some();
            if list.statuses.contains_key(group) && may_leave {
                let how = format!("it requests other references, and not {group} of {place:?}");
                return sweep.breach(Guarantee::SweepLimit, how);
            }
        }
    }
    Ok(())
}

/// S6: the id of a request is a function of its sweep, region, endpoint and group, and of nothing else.
pub(super) fn ids(facts: &Facts<'_>) -> Result<(), Breach> {
    let (mut by_request, mut by_id) = (BTreeMap::new(), BTreeMap::new());
    for request in facts.sweeps.values().flat_map(SweepRun::sent) {
        let body = body(request);
        let id = body["request_id"].as_str().unwrap_or_default().to_owned();
        let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let fields = ["region_id", "endpoint_id", "security_group_id"].map(|field| part(&body[field]));
        let request = (part(&body["metadata"]["sweep_id"]), fields);
        let known = by_request.entry(request.clone()).or_insert_with(|| id.clone());
        if *known != id || *by_id.entry(id.clone()).or_insert_with(|| request.clone()) != request {
            return breach(Guarantee::SweepRequests, format!("the request {request:?} has the id {id}"));
        }
    }
    Ok(())
}
