//! I1: gone is said only when gone was proved.

use std::collections::BTreeSet;
use std::time::SystemTime;

use privatelink_simulator::Action;
use serde_json::Value;

use super::facts::{Call, Facts, Publication};
use super::{Breach, Promise, breach};
use crate::record::Served;

/// What the answers to one delivery amount to, read by rules of this file's own.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Looks {
    /// The list under way: its ids so far, the token of its next page, and its count.
    under_way: Option<List>,
    /// The records of a list under way.
    records: Option<Vec<Value>>,
    /// The latest complete list.
    pub(super) listed: Option<BTreeSet<String>>,
    /// The latest list was read to its end.
    pub(super) is_complete: bool,
    /// In the latest complete list, every other group is on its way to or from the endpoint.
    pub(super) is_alone_soon: bool,
    /// The latest list was refused because there is no such endpoint.
    pub(super) is_list_missing: bool,
    /// The endpoint's status in the latest record.
    pub(super) status: Option<String>,
    /// The group was truly off the endpoint at one moment of the latest complete list.
    is_truly_absent: bool,
    /// The latest complete list lacks the group, and a record that allows the conclusion came after it.
    pub(super) is_proved: bool,
    /// That conclusion is true.
    pub(super) is_true: bool,
    /// A complete list had the group at least once.
    pub(super) has_listed_group: bool,
    /// A record was served at least once.
    pub(super) has_shown_record: bool,
    /// The latest list of records had none of this endpoint.
    pub(super) is_record_missing: bool,
}

#[derive(Debug, Default)]
struct List {
    ids: BTreeSet<String>,
    others_attached: usize,
    next_token: Option<String>,
    total: Option<u64>,
    is_truly_absent: bool,
}

impl Looks {
    /// Of a delivery's calls, in order.
    pub(super) fn of<'a, 'f: 'a>(
        calls: impl Iterator<Item = &'a Call<'f>>,
        group: &str,
        until: SystemTime,
    ) -> Self {
        let mut looks = Self::default();
        for call in calls.filter(|call| call.returned.is_some_and(|(at, _)| at <= until)) {
            looks.add(call, group);
        }
        looks
    }

    fn add(&mut self, call: &Call<'_>, group: &str) {
        let fields = call.answer().and_then(fields);
        match call.asked.action {
            Some(Action::ListVpcEndpointSecurityGroups) => {
                let begun = self.under_way.take();
                self.is_complete = false;
                self.is_list_missing =
                    call.answer().and_then(|served| served.code.as_deref()) == Some("EndpointNotFound");
                if let (Some(fields), Some(served)) = (fields, call.answer()) {
                    self.page(begun, call, &fields, served, group);
                }
            }
            Some(Action::ListVpcEndpoints) => match fields {
                Some(fields) => self.record(&fields, call, group),
                None => self.records = None,
            },
            _ => {}
        }
    }

    fn page(&mut self, begun: Option<List>, call: &Call<'_>, fields: &Value, served: &Served, group: &str) {
        let mut list = match (begun, &call.asked.next_token) {
            (_, None) => List { total: fields["TotalCount"].as_u64(), ..List::default() },
            (Some(list), token) if list.next_token == *token => list,
            _ => return,
        };
        let Some(items) = fields["SecurityGroups"].as_array() else { return };
        for item in items {
            let id = item["SecurityGroupId"].as_str().unwrap_or_default();
            if !list.ids.insert(id.to_owned()) {
                return;
            }
            // What has no status, or one that nobody knows, counts as attached.
            let is_moving = matches!(item["SecurityGroupStatus"].as_str(), Some("Attaching" | "Detaching"));
            list.others_attached += usize::from(id != group && !is_moving);
        }
        if list.total != fields["TotalCount"].as_u64() {
            return;
        }
        let truth = served.truth.as_ref();
        list.is_truly_absent |= truth.is_none_or(|endpoint| endpoint.group(&group.into()).is_none());
        list.next_token = fields["NextToken"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
        if list.next_token.is_some() {
            self.under_way = Some(list);
        } else if list.total.is_none_or(|total| total == list.ids.len() as u64) {
            self.is_proved = false;
            self.is_complete = true;
            self.is_alone_soon = list.others_attached == 0;
            self.has_listed_group |= list.ids.contains(group);
            self.is_truly_absent = list.is_truly_absent;
            self.listed = Some(list.ids);
        }
    }

    fn record(&mut self, fields: &Value, call: &Call<'_>, group: &str) {
        let Some(page) = fields["Endpoints"].as_array() else { return };
        let mut records = match (self.records.take(), &call.asked.next_token) {
            (_, None) => Vec::new(),
            (Some(records), Some(_)) => records,
            (None, Some(_)) => return,
        };
        for record in page {
            if records.iter().any(|earlier: &Value| earlier["EndpointId"] == record["EndpointId"]) {
                return;
            }
            records.push(record.clone());
        }
        if fields["NextToken"].is_string() {
            self.records = Some(records);
            return;
        }
        if fields["TotalCount"].as_u64().is_some_and(|total| total != records.len() as u64) {
            return;
        }
        let ours = records.iter().find(|record| record["EndpointId"] == call.asked.endpoint.as_str());
        self.is_record_missing = ours.is_none();
        self.has_shown_record |= ours.is_some();
        let status = ours.and_then(|record| record["EndpointStatus"].as_str()).unwrap_or_default();
        let is_absent = self.listed.as_ref().is_some_and(|listed| !listed.contains(group));
        self.status = Some(status.to_owned());
        // Neither a status that is missing nor an endpoint that is being made allows a conclusion.
        if is_absent && !matches!(status, "" | "Pending" | "Creating") {
            self.is_proved = true;
            self.is_true = self.is_truly_absent;
        }
    }
}

fn fields(served: &Served) -> Option<Value> {
    (served.status == Some(200)).then(|| serde_json::from_slice(&served.body).ok()).flatten()
}

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    let of_interest =
        |publication: &&Publication<'_>| matches!(publication.outcome(), "detached" | "already_detached");
    facts.publications.iter().filter(of_interest).try_for_each(|publication| one(facts, publication))
}

fn one(facts: &Facts<'_>, publication: &Publication<'_>) -> Result<(), Breach> {
    let at = facts.after(publication.at);
    let outcome = publication.outcome();
    let wanted = publication.request.and_then(|place| facts.request(place)?.wanted.as_ref());
    let Some(wanted) = wanted else {
        return breach(Promise::Proof, format!("{outcome} at {at} about no valid request"));
    };
    let calls = facts.calls_of_delivery(
        publication.invocation,
        &wanted.endpoint,
        publication.request,
        publication.asked_at,
    );
    let looks = Looks::of(calls, &wanted.group, publication.asked_at);
    let pair = format!("{} of {}", wanted.group, wanted.endpoint);
    if !looks.is_proved {
        return breach(Promise::Proof, format!("{outcome} at {at} without proof: {pair}"));
    }
    if !facts.has_lag() && !looks.is_true {
        return breach(Promise::Proof, format!("{outcome} at {at}, and it is not true: {pair}"));
    }
    evidence(facts, publication, &wanted.group, &wanted.endpoint)?;
    let is_ours = looks.has_listed_group && !wanted.dry_run;
    // After a redrive one batch may bring a request twice, and its looks are those of both.
    let brought = publication.request.map_or(0, |place| facts.given(publication.invocation, place).count());
    if is_ours != (outcome == "detached") && brought < 2 {
        let seen = if looks.has_listed_group { "was" } else { "was not" };
        let how = format!("{outcome} at {at}, and the group {seen} seen in this delivery: {pair}");
        return breach(Promise::Proof, how);
    }
    Ok(())
}

/// What the event shows is what it says.
fn evidence(
    facts: &Facts<'_>,
    publication: &Publication<'_>,
    group: &str,
    endpoint: &str,
) -> Result<(), Breach> {
    let detail = publication.detail;
    let after = detail["evidence"]["security_groups_after"].as_array();
    let is_shown_absent = after.is_some_and(|after| after.iter().all(|id| id != group));
    let is_confirmed = detail["evidence"]["confirmed_at"].is_string();
    if is_shown_absent && is_confirmed && detail["endpoint_id"] == endpoint {
        return Ok(());
    }
    let at = facts.after(publication.at);
    breach(Promise::Proof, format!("the event at {at} shows something else: {}", detail["evidence"]))
}
