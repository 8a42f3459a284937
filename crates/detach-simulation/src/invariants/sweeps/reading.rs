//! What was served to a sweep: its lists of endpoints and of their groups, derived from the responses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use privatelink_simulator::Action;
use serde_json::Value;

use super::super::confirmed::{Reads, fields};
use super::super::facts::{Call, Facts, SweepRun};
use crate::record::InvocationNumber;

/// A region, and an endpoint in it.
pub(super) type Place = (String, String);

/// What was served to one invocation.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The lists of endpoints that the first reading made, by region.
    pub(super) regions: BTreeMap<String, Region>,
    /// The complete lists of groups that count, by endpoint.
    pub(super) lists: BTreeMap<Place, Vec<Groups>>,
    /// When a response said that an endpoint does not exist, or a list after the first reading lacked it, and whether that was
    /// true as far as the response shows.
    pub(super) missing: BTreeMap<Place, Vec<(SystemTime, bool)>>,
    /// The complete lists of endpoints after the first reading, by region, and when each was begun.
    pub(super) later: Vec<(String, SystemTime, Vec<Value>)>,
}

/// The lists of endpoints of a region.
#[derive(Debug, Default)]
pub(super) struct Region {
    /// The number of complete lists.
    pub(super) lists: usize,
    /// The endpoints of the latest list; none if it was not read to its end.
    pub(super) latest: Option<Vec<Value>>,
    /// When the first page of the latest list was requested.
    pub(super) began: Option<SystemTime>,
    pages: Option<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    records: Vec<Value>,
    next_token: Option<String>,
    total: Option<u64>,
}

/// A complete list of an endpoint's groups.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) at: SystemTime,
    pub(super) statuses: BTreeMap<String, String>,
    /// The groups of the sweep that were actually absent at one moment of the list.
    pub(super) absent: BTreeSet<String>,
}

impl Reading {
    pub(super) fn of(facts: &Facts<'_>, invocation: InvocationNumber, run: &SweepRun<'_>) -> Self {
        let (mut reading, mut regions) = (Self::default(), BTreeMap::new());
        // What ends the first reading: the requests, if any.
        let first_ends = run.requested_at();
        let mut calls: Vec<&Call<'_>> = facts.calls_of_sweep(invocation).collect();
        calls.retain(|call| call.returned.is_some());
        calls.sort_by_key(|call| call.returned);
        let mut later: BTreeMap<String, Region> = BTreeMap::new();
        let mut reads: BTreeMap<Place, Vec<(&String, Reads)>> = BTreeMap::new();
        for call in calls {
            let requested = call.requested;
            match requested.action {
                Some(Action::ListVpcEndpoints) => {
                    let is_later = first_ends.is_some_and(|ends| call.at >= ends);
                    let regions = if is_later { &mut later } else { &mut regions };
                    let region = regions.entry(requested.region.clone()).or_default();
                    region.add(call);
                    if let (true, Some((at, _)), Some(latest)) =
                        (is_later, call.returned, region.latest.as_ref())
                    {
                        let began = region.began.unwrap_or(at);
                        reading.later.push((requested.region.clone(), began, latest.clone()));
                        reading.add_later(&requested.region, at, latest);
                    }
                }
                Some(Action::ListVpcEndpointSecurityGroups) => {
                    let place = (requested.region.clone(), requested.endpoint.clone());
                    let new = || run.planned.groups.iter().map(|group| (group, Reads::default())).collect();
                    let reads = reads.entry(place.clone()).or_insert_with(new);
                    reading.add_groups(place, call, reads);
                }
                _ => {}
            }
        }
        Self { regions, ..reading }
    }

    /// Takes a complete list that was made after the first reading.
    fn add_later(&mut self, region: &str, at: SystemTime, latest: &[Value]) {
        for place in self.lists.keys().filter(|(of, _)| of == region) {
            if latest.iter().all(|record| record["EndpointId"] != place.1.as_str()) {
                self.missing.entry(place.clone()).or_default().push((at, true));
            }
        }
    }

    fn add_groups(&mut self, place: Place, call: &Call<'_>, reads: &mut [(&String, Reads)]) {
        let (Some((at, _)), Some((_, served))) = (call.returned, call.served) else { return };
        for (group, reads) in &mut *reads {
            reads.add(call, group);
        }
        let is_missing =
            call.response().and_then(|served| served.code.as_deref()) == Some("EndpointNotFound");
        if is_missing {
            self.missing.entry(place.clone()).or_default().push((at, served.actual.is_none()));
        }
        if let Some((_, first)) = reads.first().filter(|(_, reads)| reads.is_complete && reads.is_settled) {
            let statuses = first.statuses();
            let absent = reads.iter().filter(|(_, reads)| reads.is_actually_absent);
            let absent = absent.map(|(group, _)| (*group).clone()).collect();
            self.lists.entry(place).or_default().push(Groups { at, statuses, absent });
        }
    }
}

impl Region {
    fn add(&mut self, call: &Call<'_>) {
        let begun = self.pages.take();
        self.latest = None;
        let mut pages = match (begun, &call.requested.next_token) {
            (_, None) => {
                self.began = Some(call.at);
                Pages::default()
            }
            (Some(pages), token) if pages.next_token == *token => pages,
            _ => return,
        };
        let Some(fields) = call.response().and_then(fields) else { return };
        let Some(records) = fields["Endpoints"].as_array() else { return };
        let total = fields["TotalCount"].as_u64();
        if pages.next_token.is_some() && pages.total != total {
            return;
        }
        pages.total = total;
        for record in records {
            let is_known = pages.records.iter().any(|known| known["EndpointId"] == record["EndpointId"]);
            let is_elsewhere =
                record["RegionId"].as_str().is_some_and(|region| region != call.requested.region);
            if is_known || is_elsewhere {
                return;
            }
            pages.records.push(record.clone());
        }
        pages.next_token = fields["NextToken"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
        if pages.next_token.is_some() {
            self.pages = Some(pages);
        } else if pages.total.is_none_or(|total| total <= pages.records.len() as u64) {
            self.lists += 1;
            self.latest = Some(pages.records);
        }
    }
}

/// Whether a record or an actual endpoint, as JSON in the API's names, passes the `scope` of a sweep.
pub(super) fn is_in_scope(scope: &Value, record: &Value) -> bool {
    let names =
        [("vpc_id", "VpcId"), ("endpoint_name", "EndpointName"), ("resource_group_id", "ResourceGroupId")];
    let has_fields =
        names.iter().all(|(filter, field)| scope[filter].is_null() || scope[filter] == record[field]);
    let tags = record["Tags"].as_array();
    let has_tag = |(key, value): (&String, &Value)| {
        tags.is_some_and(|tags| tags.iter().any(|tag| tag["Key"] == key.as_str() && tag["Value"] == *value))
    };
    has_fields && scope["tags"].as_object().into_iter().flatten().all(has_tag)
}
