//! The result of a run: the responses, the completion events, a summary of them, the dead-letter queue, and the ids
//! that the simulated Alibaba Cloud does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use local_aws::bus::Event;
use local_aws::queues::AttributeValue;
use privatelink_simulator::{Action, Endpoint, SecurityGroupId, Seed};
use serde_json::Value;

use crate::environment::{DEAD_LETTERS, Environment};
use crate::run::{Run, WorkerResponse};
use crate::screen::{Screen, Style, WIDTH, wrapped};
use crate::sweep;

/// The longest outcome, `already_detached`.
const OUTCOME_WIDTH: usize = 16;

/// A duration below an hour, in seconds with one decimal place.
const TIME_WIDTH: usize = 8;

/// Prints the result of the run. The exit status says whether every call, event and sweep has a final response and every request an
/// outcome.
pub(crate) fn show(environment: &Environment, run: &Run, screen: Screen) -> ExitCode {
    let events = environment.aws.bus().events().to_vec();
    for response in run.sweeps() {
        sweep::show(response, &events, screen);
    }
    let events: Vec<Event> = events.into_iter().filter(|event| !sweep::is_event(event)).collect();
    for response in run.responses() {
        show_response(response, &events, screen);
    }
    let has_shown_detail =
        !run.sweeps().is_empty() || run.responses().iter().any(|response| response.is_direct);
    if run.sweeps().is_empty() || !events.is_empty() {
        show_events(&events, has_shown_detail, screen);
    }
    if !events.is_empty() {
        show_summary(&events, screen);
    }
    show_dead_letters(environment, screen);
    show_calls(environment, screen);
    show_unknown_ids(environment, run, screen);
    let missing = run.requests_total().saturating_sub(events.len());
    if missing > 0 {
        let text = format!("\n{missing} of {} requests have no outcome.", run.requests_total());
        screen.line(&screen.paint(Style::Bad, &text));
    }
    show_next(run, screen);
    if missing == 0 && run.has_response() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Suggests commands, except those that this run has carried out.
fn show_next(run: &Run, screen: Screen) {
    screen.line("\nTry next:");
    for (file, description) in [
        ("events/webhook-invalid.json", "a webhook that is refused, and why"),
        ("events/direct-detach.json", "a direct invocation of the worker"),
        ("events/sweep-apply.json", "a group off every endpoint with a tag"),
    ] {
        if !run.has_input(file) {
            screen.line(&format!("  {:37}  {description}", format!("make demo {file}")));
        }
    }
    screen.line("  make demo ARGS=--help                  your own files and endpoints");
    screen.line("  make serve                             keep it running; send your own requests");
}

fn heading(text: &str, screen: Screen) {
    screen.line(&format!("\n{}\n", screen.paint(Style::Bold, text)));
}

/// The response to a direct invocation is the event's detail, so it is printed in the event's order.
fn show_response(response: &WorkerResponse, events: &[Event], screen: Screen) {
    heading(&format!("The worker's response to {}", response.name), screen);
    match &response.result {
        Ok(value) => match events.iter().find(|event| event.detail == *value) {
            Some(event) => screen.json(&event.detail_text),
            None => screen.json(&value.to_string()),
        },
        Err(error) => screen.line(&screen.paint(Style::Bad, error)),
    }
}

/// One event in full, unless a detail is on the screen already; the others in short. The one in full is a detach, of a
/// webhook if there is one.
fn show_events(events: &[Event], has_shown_detail: bool, screen: Screen) {
    let is_detach = |event: &Event| event.detail["outcome"] == "detached";
    let is_of_webhook = |event: &Event| is_detach(event) && event.detail["trigger"] == "webhook";
    let full = events.iter().position(is_of_webhook).or_else(|| events.iter().position(is_detach));
    let full = full.unwrap_or_default();
    let (heading_text, full) = match (events.len(), has_shown_detail) {
        (0, _) => ("No completion event was published", None),
        (1, false) => ("The completion event", Some(full)),
        (1, true) => ("The completion event, in short", None),
        (_, false) => ("The completion events, one of them in full", Some(full)),
        (_, true) => ("The completion events, in short", None),
    };
    screen.line(&format!("\n{}", screen.paint(Style::Bold, heading_text)));
    for (number, event) in events.iter().enumerate() {
        let (request, outcome) = (text(&event.detail["request_id"]), text(&event.detail["outcome"]));
        let title = format!("{}: {request}, {outcome}", event.detail_type);
        let style = if event.detail["reason"].is_null() { Style::Good } else { Style::Bad };
        screen.line(&format!("\n{}", screen.paint(style, &title)));
        if full == Some(number) {
            screen.json(&event.detail_text);
        } else {
            show_in_short(&event.detail, screen);
        }
    }
}

fn show_in_short(detail: &Value, screen: Screen) {
    let reason = &detail["reason"];
    if !reason.is_null() {
        let fields = [("reason", "code"), ("", "message"), ("advice", "advice"), ("runbook", "runbook")];
        for (name, field) in fields {
            screen.field(name, &text(&reason[field]));
        }
    }
    let evidence = &detail["evidence"];
    if !evidence["security_groups_after"].is_null() {
        let groups = |name: &str| {
            let groups = evidence[name].as_array().map(Vec::as_slice).unwrap_or_default();
            groups.iter().map(text).collect::<Vec<_>>().join(", ")
        };
        screen.field("before", &groups("security_groups_before"));
        screen.field("after", &groups("security_groups_after"));
    }
    if !evidence["confirmed_at"].is_null() {
        let (time, status) = (text(&evidence["confirmed_at"]), text(&evidence["endpoint_status"]));
        screen.field("confirmed", &format!("{time}, endpoint {status}"));
    }
    let retries = detail["effort"]["retries"].as_object();
    let retries: Vec<String> =
        retries.into_iter().flatten().map(|(code, times)| format!("{times} after {code}")).collect();
    if !retries.is_empty() {
        screen.field("retries", &retries.join(", "));
    }
}

/// For each event a line with outcome, time and ids, and below it the request and what it took. Every id is whole.
fn show_summary(events: &[Event], screen: Screen) {
    heading("Summary", screen);
    let width = |field: &str, title: &str| {
        let ids = events.iter().map(|event| text(&event.detail[field]).chars().count());
        ids.max().unwrap_or_default().max(title.len())
    };
    let (endpoint_width, group_width) =
        (width("endpoint_id", "ENDPOINT"), width("security_group_id", "GROUP"));
    let show_row = |style: Style, [outcome, time, endpoint, group]: [&str; 4]| {
        let ids = [format!("{endpoint:endpoint_width$}"), format!("{group:group_width$}")];
        let room = WIDTH - OUTCOME_WIDTH - TIME_WIDTH - 6;
        for (index, ids) in wrapped(&ids.each_ref().map(String::as_str), "  ", room).iter().enumerate() {
            let (outcome, time) = if index == 0 { (outcome, time) } else { ("", "") };
            let row = format!("  {outcome:OUTCOME_WIDTH$}  {time:>TIME_WIDTH$}  {ids}");
            screen.line(&screen.paint(style, row.trim_end()));
        }
    };
    show_row(Style::Dim, ["OUTCOME", "TIME", "ENDPOINT", "GROUP"]);
    for event in events {
        let detail = &event.detail;
        let effort = &detail["effort"];
        let time = format!("{:.1} s", detail["duration_ms"].as_f64().unwrap_or_default() / 1000.0);
        let [outcome, endpoint, group, request, trigger] =
            ["outcome", "endpoint_id", "security_group_id", "request_id", "trigger"]
                .map(|field| text(&detail[field]));
        let reason = &detail["reason"];
        let style = if reason.is_null() { Style::Plain } else { Style::Bad };
        show_row(style, [&outcome, &time, &endpoint, &group]);
        let mut parts = vec![format!("request {request}"), format!("({trigger}):")];
        if !reason.is_null() {
            parts.push(format!("{},", text(&reason["code"])));
        }
        parts.push(format!("{},", counted(&effort["detach_calls"], "detach call", "detach calls")));
        parts.push(format!("{},", counted(&effort["read_calls"], "read call", "read calls")));
        parts.push(counted(&effort["deliveries"], "delivery", "deliveries"));
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        for line in wrapped(&parts, " ", WIDTH - 4) {
            screen.line(&format!("    {}", screen.paint(Style::Dim, &line)));
        }
    }
}

fn counted(number: &Value, singular: &str, plural: &str) -> String {
    format!("{} {}", text(number), if *number == 1 { singular } else { plural })
}

fn show_dead_letters(environment: &Environment, screen: Screen) {
    let queues = environment.aws.queues();
    let messages = queues.messages(DEAD_LETTERS).unwrap_or_default();
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for message in messages {
        let code = message.attributes.get("reason_code").map(|code| &code.value);
        let code = match code {
            Some(AttributeValue::Text(code)) => code,
            _ => "without a reason code",
        };
        *codes.entry(code).or_default() += 1;
    }
    let codes: Vec<String> = codes.iter().map(|(code, n)| format!("{n} {code}")).collect();
    let content = if codes.is_empty() { "empty".to_owned() } else { codes.join(", ") };
    screen.line(&format!("\nDead-letter queue: {content}"));
}

/// The calls as the simulator counted them.
fn show_calls(environment: &Environment, screen: Screen) {
    let counts = environment.cloud.counts();
    let calls: u64 = counts.iter().map(|counts| counts.calls_total).sum();
    if calls == 0 {
        screen.line("No call to Alibaba Cloud was made.");
        return;
    }
    let detaches: u64 =
        counts.iter().map(|counts| counts.of(Action::DetachSecurityGroupFromVpcEndpoint)).sum();
    let endpoints = || counts.iter().flat_map(|counts| counts.endpoints.values());
    let accepted: u64 = endpoints().map(|of| of.detaches_accepted).sum();
    let concurrent = endpoints().map(|of| of.detaches_in_flight_max).max().unwrap_or_default();
    screen.line(&format!(
        "The simulator counted {calls} calls, {detaches} of them Detach. It accepted {accepted},\nat most \
         {concurrent} at the same time on one endpoint.",
    ));
}

/// Lists the endpoints and groups of the simulated Alibaba Cloud if a request names others.
fn show_unknown_ids(environment: &Environment, run: &Run, screen: Screen) {
    let seed = &environment.cloud.seed;
    let unknown = unknown_ids(seed, run);
    if unknown.is_empty() {
        return;
    }
    screen.line("");
    for id in unknown {
        screen.line(&screen.paint(Style::Bad, &format!("The simulated Alibaba Cloud has no {id}.")));
    }
    screen.line("Its endpoints and their security groups at the start of the run:\n");
    let width = seed.endpoints.iter().map(|endpoint| endpoint.endpoint_id.as_str().len()).max();
    let width = width.unwrap_or_default();
    for endpoint in &seed.endpoints {
        let groups: Vec<&str> = endpoint.security_groups.iter().map(|group| group.id.as_str()).collect();
        let (region, id) = (&endpoint.region_id, &endpoint.endpoint_id);
        let prefix = format!("  {region}  {:width$}  ", id.as_str());
        let room = WIDTH.saturating_sub(prefix.len()).max(1);
        for (index, groups) in wrapped(&groups, " ", room).iter().enumerate() {
            let prefix = if index == 0 { prefix.clone() } else { " ".repeat(prefix.len()) };
            screen.line(&format!("{prefix}{groups}"));
        }
    }
    screen.line("\nUse these ids, or describe your own endpoints in a file: ARGS=\"--seed FILE\"");
}

/// The endpoints and groups that requests name and the seed does not contain.
fn unknown_ids(seed: &Seed, run: &Run) -> BTreeSet<String> {
    let mut unknown = BTreeSet::new();
    for request in run.requests().iter().filter_map(|parsed| parsed.result.as_ref().ok()) {
        let (region, endpoint) = (request.region_id.as_str(), request.endpoint_id.as_str());
        let is_named = |of: &Endpoint| of.region_id.as_str() == region && of.endpoint_id.as_str() == endpoint;
        if !seed.endpoints.iter().any(is_named) {
            unknown.insert(format!("endpoint {endpoint} in {region}"));
        }
        let group = request.security_group_id.as_str();
        let attached = seed.endpoints.iter().flat_map(|endpoint| &endpoint.security_groups);
        let known = attached
            .map(|group| group.id.as_str())
            .chain(seed.security_groups.iter().map(SecurityGroupId::as_str));
        if known.into_iter().all(|known| known != group) {
            unknown.insert(format!("security group {group}"));
        }
    }
    unknown
}

/// A value without the quotes of a string.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
