//! Checks examples/completion-webhook.yaml against the events that the programs publish.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use privatelink_detach::completion::SOURCE;

use super::metrics::events;
use crate::cloudformation::{Node, file, read};

static EXAMPLE: LazyLock<Node> = LazyLock::new(|| read(&file("examples/completion-webhook.yaml")));

fn properties(resource: &str) -> &'static Node {
    EXAMPLE.key("Resources").key(resource).key("Properties")
}

#[test]
fn rule_matches_every_event_by_default() {
    let pattern = properties("Rule").key("EventPattern");
    assert_eq!(*pattern.key("source"), Node::List(vec![Node::Text(SOURCE.to_owned())]));
    let parameter = Node::Tagged("Ref".to_owned(), Box::new(Node::Text("DetailTypes".to_owned())));
    assert_eq!(*pattern.key("detail-type"), parameter);
    let default = EXAMPLE.key("Parameters").key("DetailTypes").key("Default").text();
    let published: BTreeSet<_> = events().iter().map(|event| event["detail-type"].to_string()).collect();
    let listed = default.split(',').map(|name| format!("\"{name}\"")).collect();
    assert_eq!(published, listed);
}

#[test]
fn undelivered_events_are_kept_and_no_parameter_is_a_secret() {
    let [target] = properties("Rule").key("Targets").items() else { panic!("not one target") };
    let queue = Node::Tagged("GetAtt".to_owned(), Box::new(Node::Text("UndeliveredEvents.Arn".to_owned())));
    assert_eq!(*target.key("DeadLetterConfig").key("Arn"), queue);
    let parameters = EXAMPLE.key("Parameters").entries().iter().map(|(name, _)| name.as_str());
    let expected = [
        "CompletionBusName",
        "DetailTypes",
        "ConnectionArn",
        "WebhookUrl",
        "RateLimitPerSecond",
        "AlarmTopicArn",
    ];
    assert_eq!(parameters.collect::<Vec<_>>(), expected);
    let url = EXAMPLE.key("Parameters").key("WebhookUrl").key("AllowedPattern").text();
    assert!(url.starts_with("^https://"), "{url}");
}
