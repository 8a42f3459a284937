//! I1: a confirmed detach is reported only when it was confirmed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use privatelink_simulator::Action;
use serde_json::Value;

use super::facts::{Call, Facts, Publication};
use super::{Breach, Guarantee, breach};
use crate::record::Served;

/// The state of the reads of one delivery, derived from the responses by rules of this file.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Reads {
    /// The list in progress.
    in_progress: Option<List>,
    /// The records of a list in progress.
    records: Option<Vec<Value>>,
    /// The latest complete list of records.
    records_before: Option<Vec<Value>>,
    pub(super) listed: Option<BTreeSet<String>>,
    /// Whether the latest list was read to its end.
    pub(super) is_complete: bool,
    /// Whether the latest complete list allows a conclusion: alone, or together with the ones before it.
    pub(super) is_settled: bool,
    /// The groups of the latest complete list with their status, and since when the same has been read.
    unchanged: Option<(BTreeMap<String, String>, SystemTime)>,
    /// Whether every other group in the latest complete list is `Attaching` or `Detaching`.
    pub(super) is_only_stable_group: bool,
    /// Whether the latest list was rejected because the endpoint does not exist.
    pub(super) is_list_missing: bool,
    /// The endpoint's status in the latest record.
    pub(super) status: Option<String>,
    /// Whether the group was actually absent at one moment of the latest complete list.
    pub(super) is_actually_absent: bool,
    /// Whether the latest complete list does not contain the group, and a record that allows the conclusion followed.
    pub(super) is_confirmed: bool,
    /// Whether that conclusion was correct.
    pub(super) is_conclusion_correct: bool,
    /// Whether a complete list contained the group at least once.
    pub(super) has_listed_group: bool,
    /// Whether a record was served at least once.
    pub(super) has_served_record: bool,
    /// Whether the latest list of records did not contain the endpoint.
    pub(super) is_record_missing: bool,
    /// Each group of a complete list, with the VPC in the record that was read after it.
    pub(super) seen_in_vpc: BTreeSet<(String, String)>,
}

/// How long an empty list must be the response before it allows a conclusion.
const EMPTY_FOR: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct List {
    ids: BTreeSet<String>,
    statuses: BTreeMap<String, String>,
    pages: u32,
    others_attached: usize,
    next_token: Option<String>,
    total: Option<u64>,
    is_actually_absent: bool,
}

impl Reads {
    /// Derives the state from a delivery's calls, in order.
    pub(super) fn of<'a, 'f: 'a>(
        calls: impl Iterator<Item = &'a Call<'f>>,
        group: &str,
        until: SystemTime,
    ) -> Self {
        let mut reads = Self::default();
        for call in calls.filter(|call| call.returned.is_some_and(|(at, _)| at <= until)) {
            reads.add(call, group);
        }
        reads
    }

    pub(super) fn add(&mut self, call: &Call<'_>, group: &str) {
        let fields = call.response().and_then(fields);
        match call.requested.action {
            Some(Action::ListVpcEndpointSecurityGroups) => {
                let begun = self.in_progress.take();
                self.is_complete = false;
                self.is_list_missing =
                    call.response().and_then(|served| served.code.as_deref()) == Some("EndpointNotFound");
                if let (Some(fields), Some(served)) = (fields, call.response()) {
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

    /// The groups of the latest complete list, with their statuses.
    pub(super) fn statuses(&self) -> BTreeMap<String, String> {
        self.unchanged.as_ref().map(|(statuses, _)| statuses.clone()).unwrap_or_default()
    }

    fn page(&mut self, begun: Option<List>, call: &Call<'_>, fields: &Value, served: &Served, group: &str) {
        let mut list = match (begun, &call.requested.next_token) {
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
            // A group without a status, or with an unknown one, counts as attached.
            let status = item["SecurityGroupStatus"].as_str();
            let is_moving = matches!(status, Some("Attaching" | "Detaching"));
            let status = status.filter(|_| is_moving).unwrap_or("Attached");
            list.statuses.insert(id.to_owned(), status.to_owned());
            list.others_attached += usize::from(id != group && !is_moving);
        }
        if list.total != fields["TotalCount"].as_u64() {
            return;
        }
        let actual = served.actual.as_ref();
        list.is_actually_absent |= actual.is_none_or(|endpoint| endpoint.group(&group.into()).is_none());
        list.pages += 1;
        list.next_token = fields["NextToken"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
        if list.next_token.is_some() {
            self.in_progress = Some(list);
        } else if list.total.is_none_or(|total| total <= list.ids.len() as u64) {
            self.is_confirmed = false;
            self.is_complete = true;
            let returned = call.returned.map_or(call.at, |(at, _)| at);
            let earlier = self.unchanged.take().filter(|(statuses, _)| *statuses == list.statuses);
            let is_plain = list.pages == 1 && list.total.is_none_or(|total| total == list.ids.len() as u64);
            self.is_settled = match &earlier {
                Some((statuses, since)) if statuses.is_empty() => *since + EMPTY_FOR <= returned,
                Some(_) => true,
                None => is_plain && !list.ids.is_empty(),
            };
            self.unchanged = Some(earlier.unwrap_or((list.statuses, returned)));
            self.is_only_stable_group = list.others_attached == 0;
            self.has_listed_group |= list.ids.contains(group);
            self.is_actually_absent = list.is_actually_absent;
            self.listed = Some(list.ids);
        }
    }

    fn record(&mut self, fields: &Value, call: &Call<'_>, group: &str) {
        let Some(page) = fields["Endpoints"].as_array() else { return };
        let mut records = match (self.records.take(), &call.requested.next_token) {
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
        let total = fields["TotalCount"]
            .as_u64()
            .map_or(records.len(), |total| usize::try_from(total).unwrap_or(usize::MAX));
        if total > records.len() {
            return;
        }
        // A list that may be incomplete or wrong counts when it repeats.
        let is_plain = call.requested.next_token.is_none() && total == records.len();
        let before = self.records_before.replace(records.clone());
        if !is_plain && before.as_ref() != Some(&records) {
            return;
        }
        let record = records.iter().find(|record| record["EndpointId"] == call.requested.endpoint.as_str());
        if record.is_some_and(|record| record["RegionId"] != call.requested.region.as_str()) {
            return;
        }
        self.is_record_missing = record.is_none();
        self.has_served_record |= record.is_some();
        let status = record.and_then(|record| record["EndpointStatus"].as_str()).unwrap_or_default();
        let is_absent = self.listed.as_ref().is_some_and(|listed| !listed.contains(group));
        self.status = Some(status.to_owned());
        if let Some(vpc) = record.and_then(|record| record["VpcId"].as_str()).filter(|_| self.is_complete) {
            let listed = self.listed.iter().flatten();
            self.seen_in_vpc.extend(listed.map(|group| (vpc.to_owned(), group.clone())));
        }
        // Only these two statuses are at rest.
        if is_absent && self.is_complete && self.is_settled && matches!(status, "Active" | "Deleting") {
            self.is_confirmed = true;
            self.is_conclusion_correct = self.is_actually_absent;
        }
    }
}

/// The fields of a successful response; none if the body itself says that the call failed.
pub(super) fn fields(served: &Served) -> Option<Value> {
    let fields: Value = (served.status == Some(200)).then(|| serde_json::from_slice(&served.body).ok())??;
    let is_failed = fields["Success"] == false || fields["Code"].is_string();
    (!is_failed).then_some(fields)
}

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    let of_interest =
        |publication: &&Publication<'_>| matches!(publication.outcome(), "detached" | "already_detached");
    facts.publications.iter().filter(of_interest).try_for_each(|publication| one(facts, publication))
}

fn one(facts: &Facts<'_>, publication: &Publication<'_>) -> Result<(), Breach> {
    let at = facts.after(publication.at);
    let outcome = publication.outcome();
    let parsed = publication.request.and_then(|place| facts.request(place)?.parsed.as_ref());
    let Some(parsed) = parsed else {
        return breach(Guarantee::Confirmed, format!("{outcome} at {at} for no valid request"));
    };
    let calls = facts.calls_of_delivery(
        publication.invocation,
        &parsed.endpoint,
        publication.request,
        publication.requested_at,
    );
    let reads = Reads::of(calls, &parsed.group, publication.requested_at);
    let pair = format!("{} of {}", parsed.group, parsed.endpoint);
    if !reads.is_confirmed {
        return breach(Guarantee::Confirmed, format!("{outcome} at {at} without confirmation: {pair}"));
    }
    if !facts.has_lag() && !reads.is_conclusion_correct {
        return breach(
            Guarantee::Confirmed,
            format!("{outcome} at {at}, but the group was never absent: {pair}"),
        );
    }
    evidence(facts, publication, &parsed.group, &parsed.endpoint)?;
    let is_first_delivery = publication.request.is_some_and(|place| {
        let mut deliveries = facts.batch_messages(publication.invocation, place);
        deliveries.all(|(received, _)| received.receive_count == 1)
    });
    if parsed.expect_attached && outcome == "already_detached" && is_first_delivery {
        let how = format!("{outcome} at {at} in the first delivery, although the group was expected: {pair}");
        return breach(Guarantee::Confirmed, how);
    }
    let is_own_detach = reads.has_listed_group && !parsed.dry_run;
    // After a redrive one batch may contain a request twice, and the reads are those of both messages.
    let message_count =
        publication.request.map_or(0, |place| facts.batch_messages(publication.invocation, place).count());
    if is_own_detach != (outcome == "detached") && message_count < 2 {
        let listed = if reads.has_listed_group { "was" } else { "was not" };
        let how = format!("{outcome} at {at}, but the group {listed} listed in this delivery: {pair}");
        return breach(Guarantee::Confirmed, how);
    }
    Ok(())
}

/// Whether the event's evidence matches its outcome.
fn evidence(
    facts: &Facts<'_>,
    publication: &Publication<'_>,
    group: &str,
    endpoint: &str,
) -> Result<(), Breach> {
    let detail = publication.detail;
    let after = detail["evidence"]["security_groups_after"].as_array();
    let is_listed_absent = after.is_some_and(|after| after.iter().all(|id| id != group));
    let is_confirmed = detail["evidence"]["confirmed_at"].is_string();
    // A batch may hold several requests for the group, and the lists read for another one do not count.
    let is_seen = detail["evidence"]["security_group_seen"].as_bool();
    let is_seen_if_detached = is_seen == Some(true) || publication.outcome() == "already_detached";
    if is_listed_absent && is_confirmed && is_seen_if_detached && detail["endpoint_id"] == endpoint {
        return Ok(());
    }
    let at = facts.after(publication.at);
    breach(
        Guarantee::Confirmed,
        format!("the evidence of the event at {at} contradicts its outcome: {}", detail["evidence"]),
    )
}
