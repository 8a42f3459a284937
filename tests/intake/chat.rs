//! Commands and clicks: from the call to the queues. What every platform has in common is in [`platforms`]; the other modules
//! test chat as a whole with the calls of Slack.

mod authentication;
mod clicks;
mod commands;
mod errors;
mod platforms;
mod random_calls;

use local_aws::Action;
use privatelink_detach::chat::call;
use privatelink_detach::chat::identity::Platform;
use privatelink_detach::chat::texts::{Answer, Language};
use serde_json::Value;

use crate::deployment::{Deployment, Response};

/// Asserts that the response is this text for the person who typed the command alone.
#[track_caller]
fn assert_answer(response: &Response, answer: &Answer) {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.body["response_type"], "ephemeral");
    let text = answer.text(Language::En, "/privatelink");
    assert_eq!(Some(&response.body), call::answer(Platform::Slack, &text).as_ref());
}

/// Asserts that the response is the one to a click that was received.
#[track_caller]
fn assert_acknowledged(response: &Response) {
    assert_eq!((response.status.as_u16(), &response.body), (200, &Value::Null), "{response:?}");
}

/// Asserts that the person sees an error of Slack and clicks again.
#[track_caller]
fn assert_unavailable(response: &Response) {
    response.assert_problem(503);
    assert_eq!(response.header("retry-after"), Some("10"));
}

fn count(deployment: &Deployment, action: Action) -> usize {
    deployment.aws_calls().into_iter().filter(|made| *made == action).count()
}

/// The lines of the log with this level.
fn lines(output: &str, level: &str) -> Vec<Value> {
    let lines = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["level"] == level).collect()
}
