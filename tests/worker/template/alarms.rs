//! Every alarm watches what is there, under the name that it has.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cloudformation::Deployment;

/// What each resource of a type has for these properties.
fn of_each(deployment: &Deployment, kind: &str, keys: &[&str]) -> BTreeSet<String> {
    let names = deployment.of_type(kind).into_iter();
    names
        .map(|name| {
            let properties = deployment.properties(name);
            keys.iter().map(|key| properties[key].clone()).collect::<Value>().to_string()
        })
        .collect()
}

fn set<const N: usize>(values: [Value; N]) -> BTreeSet<String> {
    values.map(|value| value.to_string()).into()
}

#[test]
fn every_alarm_watches_something_that_is_there() {
    let deployment = Deployment::of("ENVIRONMENT", &[]);
    // One minute for what lies in a queue, five for what is counted; and one such span is enough, unless it says more.
    let alarm = |of: [&str; 2], dimensions: Value, how: [&str; 4]| {
        let [statistic, period, spans, threshold] = how;
        let above = ["GreaterThanThreshold", threshold, "notBreaching"];
        json!([of, dimensions, [statistic, period, spans], above])
    };
    let queue = |metric, name: &str, how| {
        let dimension = json!([{ "Name": "QueueName", "Value": format!("stack-{name}") }]);
        alarm(["AWS/SQS", metric], dimension, how)
    };
    let function = |metric, name: &str, spans| {
        let dimension = json!([{ "Name": "FunctionName", "Value": format!("stack-{name}") }]);
        alarm(["AWS/Lambda", metric], dimension, ["Sum", "300", spans, "0"])
    };
    let lines = |name| alarm(["privatelink-detach", name], Value::Null, ["Sum", "300", "1", "0"]);
    let lies_there = ["Maximum", "60", "1", "0"];
    let watched = set([
        queue("ApproximateNumberOfMessagesVisible", "dead-letter.fifo", lies_there),
        queue("ApproximateNumberOfMessagesVisible", "intake-failures", lies_there),
        queue("ApproximateAgeOfOldestMessage", "requests.fifo", ["Maximum", "300", "1", "4200"]),
        function("Errors", "worker", "1"),
        function("Errors", "intake", "1"),
        function("Throttles", "worker", "3"),
        function("Throttles", "intake", "1"),
        lines("stack-error-lines"),
        lines("stack/intake-error-lines"),
    ]);
    let alarms = deployment.of_type("AWS::CloudWatch::Alarm").into_iter().map(|name| {
        let of = deployment.properties(name);
        let keys = |keys: [&str; 3]| keys.map(|key| of[key].clone());
        json!([
            [of["Namespace"], of["MetricName"]],
            of["Dimensions"],
            keys(["Statistic", "Period", "EvaluationPeriods"]),
            keys(["ComparisonOperator", "Threshold", "TreatMissingData"]),
        ])
    });
    assert_eq!(alarms.map(|alarm| alarm.to_string()).collect::<BTreeSet<_>>(), watched);
    // The name that the log has for the level is held to by the tests of the processes.
    let filter = |group: &str, metric: &str| {
        let metric =
            json!({ "MetricNamespace": "privatelink-detach", "MetricName": metric, "MetricValue": "1" });
        json!([format!("/aws/lambda/stack-{group}"), r#"{ $.level = "ERROR" }"#, [metric]])
    };
    let filters = set([filter("worker", "stack-error-lines"), filter("intake", "stack/intake-error-lines")]);
    let keys = ["LogGroupName", "FilterPattern", "MetricTransformations"];
    assert_eq!(of_each(&deployment, "AWS::Logs::MetricFilter", &keys), filters);
}

#[test]
fn every_alarm_tells_the_topic_or_nobody() {
    let actions = |topic| {
        let deployment = Deployment::of("ENVIRONMENT", &[("AlarmTopicArn", topic)]);
        of_each(&deployment, "AWS::CloudWatch::Alarm", &["AlarmActions", "OKActions"])
    };
    let topic = "arn:aws:sns:eu-west-1:123456789012:alarms";
    assert_eq!(actions(topic), set([json!([[topic], [topic]])]));
    assert_eq!(actions(""), set([json!([null, null])]));
}
