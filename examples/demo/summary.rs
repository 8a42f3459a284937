//! What is left at the end: the completion events, a table of them, and the dead-letter queue.

use std::collections::BTreeMap;
use std::process::ExitCode;

use local_aws::bus::Event;
use local_aws::queues::AttributeValue;
use privatelink_simulator::Action;
use serde_json::Value;

use crate::play::{Answer, Play};
use crate::screen::{Look, Screen};
use crate::stage::{DEAD_LETTERS, Stage};
use crate::timeline::shortened;

/// Where a request's name is cut in the table.
const REQUEST_WIDTH: usize = 24;

/// Shows everything, and says whether every call and event got its answer and every request its outcome.
pub(crate) fn show(stage: &Stage, play: &Play, screen: Screen) -> ExitCode {
    let events = stage.aws.bus().events().to_vec();
    for answer in play.answers() {
        show_answer(answer, screen);
    }
    let has_shown_detail = play.answers().iter().any(|answer| answer.is_direct);
    show_events(&events, has_shown_detail, screen);
    if !events.is_empty() {
        show_table(&events, screen);
    }
    show_dead_letters(stage, screen);
    show_calls(stage, screen);
    let unanswered = play.requests().saturating_sub(events.len());
    if unanswered > 0 {
        let text = format!("\n{unanswered} of {} requests got no outcome.", play.requests());
        screen.line(&screen.paint(Look::Bad, &text));
    }
    for line in [
        "\nTry next:",
        "  make demo ARGS=events/webhook-invalid.json  a webhook that is turned away, and why",
        "  make demo ARGS=events/direct-detach.json    one request, answered directly",
        "  make demo ARGS=--help                       files of your own, and the real Alibaba Cloud",
    ] {
        screen.line(line);
    }
    if unanswered == 0 && play.is_answered() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn heading(text: &str, screen: Screen) {
    screen.line(&format!("\n{}\n", screen.paint(Look::Bold, text)));
}

fn show_answer(answer: &Answer, screen: Screen) {
    heading(&format!("The worker's answer to {}", answer.name), screen);
    match &answer.result {
        Ok(answer) => screen.line(&format!("{answer:#}")),
        Err(error) => screen.line(&screen.paint(Look::Bad, error)),
    }
}

/// One event whole, unless a detail is on the screen already; the others in short. It is a detach if there is one, at
/// best for a webhook, whose whole way is then told.
fn show_events(events: &[Event], has_shown_detail: bool, screen: Screen) {
    let is_detach = |event: &Event| event.detail["outcome"] == "detached";
    let is_of_webhook = |event: &Event| is_detach(event) && event.detail["trigger"] == "webhook";
    let whole = events.iter().position(is_of_webhook).or_else(|| events.iter().position(is_detach));
    let whole = whole.unwrap_or_default();
    let (heading_text, whole) = match (events.len(), has_shown_detail) {
        (0, _) => ("No completion event was published", None),
        (1, false) => ("The completion event", Some(whole)),
        (1, true) => ("The completion event, in short", None),
        (_, false) => ("The completion events, one of them in full", Some(whole)),
        (_, true) => ("The completion events, in short", None),
    };
    screen.line(&format!("\n{}", screen.paint(Look::Bold, heading_text)));
    for (number, event) in events.iter().enumerate() {
        let (request, outcome) = (text(&event.detail["request_id"]), text(&event.detail["outcome"]));
        let title = format!("{}: {request}, {outcome}", event.detail_type);
        let look = if event.detail["reason"].is_null() { Look::Good } else { Look::Bad };
        screen.line(&format!("\n{}", screen.paint(look, &title)));
        if whole == Some(number) {
            screen.line(&format!("{:#}", event.detail));
        } else {
            show_in_short(&event.detail, screen);
        }
    }
}

fn show_in_short(detail: &Value, screen: Screen) {
    let reason = &detail["reason"];
    if !reason.is_null() {
        let told = [("reason", &reason["code"]), ("", &reason["message"]), ("advice", &reason["advice"])];
        for (name, value) in told {
            screen.field(name, &text(value));
        }
        screen.field("runbook", &text(&reason["runbook"]));
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
        let proved =
            format!("{}, endpoint {}", text(&evidence["confirmed_at"]), text(&evidence["endpoint_status"]));
        screen.field("proved", &proved);
    }
    let retries = detail["effort"]["retries"].as_object();
    let retries: Vec<String> =
        retries.into_iter().flatten().map(|(code, times)| format!("{times} after {code}")).collect();
    if !retries.is_empty() {
        screen.field("retries", &retries.join(", "));
    }
}

fn show_table(events: &[Event], screen: Screen) {
    heading("Summary", screen);
    let titles = [
        "REQUEST",
        "TRIGGER",
        "ENDPOINT",
        "GROUP",
        "OUTCOME",
        "TOOK",
        "ASKED",
        "LOOKED",
        "DELIVERIES",
        "REASON",
    ];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(events.iter().map(|event| {
        let detail = &event.detail;
        let effort = &detail["effort"];
        let took = detail["duration_ms"].as_f64().unwrap_or_default() / 1000.0;
        [
            shortened(&text(&detail["request_id"]), REQUEST_WIDTH),
            text(&detail["trigger"]),
            text(&detail["endpoint_id"]),
            text(&detail["security_group_id"]),
            text(&detail["outcome"]),
            format!("{took:.1} s"),
            text(&effort["detach_calls"]),
            text(&effort["look_calls"]),
            text(&effort["deliveries"]),
            text(&detail["reason"]["code"]),
        ]
    }));
    let widths: Vec<usize> = (0..titles.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match column {
                5..9 => format!("{cell:>width$}"),
                _ => format!("{cell:width$}"),
            })
            .collect();
        let look = match (number, row[9].as_str()) {
            (0, _) => Look::Dim,
            (_, "-") => Look::Plain,
            _ => Look::Bad,
        };
        screen.line(&screen.paint(look, &format!("  {}", cells.join("  ").trim_end())));
    }
}

fn show_dead_letters(stage: &Stage, screen: Screen) {
    let queues = stage.aws.queues();
    let letters = queues.messages(DEAD_LETTERS).unwrap_or_default();
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for letter in letters {
        let code = letter.attributes.get("reason_code").map(|code| &code.value);
        let code = match code {
            Some(AttributeValue::Text(code)) => code,
            _ => "no reason code",
        };
        *codes.entry(code).or_default() += 1;
    }
    let codes: Vec<String> = codes.iter().map(|(code, n)| format!("{n} {code}")).collect();
    let what = if codes.is_empty() { "empty".to_owned() } else { codes.join(", ") };
    screen.line(&format!("\nDead-letter queue: {what}"));
}

/// The same story as the other side counted it.
fn show_calls(stage: &Stage, screen: Screen) {
    let Some(cloud) = &stage.cloud else {
        return;
    };
    let cloud = cloud.server.cloud();
    let counts = cloud.counts();
    if counts.calls_total == 0 {
        screen.line("The simulator was never called.");
        return;
    }
    let accepted: u64 = counts.endpoints.values().map(|of| of.detaches_accepted).sum();
    let at_once = counts.endpoints.values().map(|of| of.detaches_in_flight_max).max();
    screen.line(&format!(
        "The simulator counted {} calls, {} of them to detach. It accepted {accepted}, at most {} at a time on one \
         endpoint.",
        counts.calls_total,
        counts.of(Action::DetachSecurityGroupFromVpcEndpoint),
        at_once.unwrap_or_default(),
    ));
}

/// A value as a reader writes it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
