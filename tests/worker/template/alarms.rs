//! Alarms and metric filters refer to existing queues, functions, log groups and metrics.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::chat::with_chat;
use super::operations::own_metrics;
use crate::cloudformation::{Deployment, file};

/// The values of these properties in every resource of a type.
fn properties_of(deployment: &Deployment, kind: &str, keys: &[&str]) -> BTreeSet<String> {
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
fn alarms_and_metric_filters_refer_to_existing_resources() {
    let events = [
        ("RequestEventSources", "my.tool"),
        ("CompletionBusName", "own-bus"),
        ("CreateCompletionBus", "true"),
    ];
    let deployment = with_chat(&events);
    // `settings` are the statistic, the period in seconds, the number of periods and the threshold.
    let alarm = |metric: [&str; 2], dimensions: Value, settings: [&str; 4]| {
        let [statistic, period, periods, threshold] = settings;
        let above = ["GreaterThanThreshold", threshold, "notBreaching"];
        json!([metric, dimensions, [statistic, period, periods], above])
    };
    let queue = |metric, name: &str, settings| {
        let dimension = json!([{ "Name": "QueueName", "Value": format!("stack-{name}") }]);
        alarm(["AWS/SQS", metric], dimension, settings)
    };
    let function_in = |period, metric, name: &str, periods| {
        let dimension = json!([{ "Name": "FunctionName", "Value": format!("stack-{name}") }]);
        alarm(["AWS/Lambda", metric], dimension, ["Sum", period, periods, "0"])
    };
    let function = |metric, name, periods| function_in("300", metric, name, periods);
    let rule = |metric, dimensions| alarm(["AWS/Events", metric], dimensions, ["Sum", "300", "1", "0"]);
    let dimension = |name: &str, value: &str| json!({ "Name": name, "Value": value });
    let rule_name = dimension("RuleName", "stack-events");
    let own_bus = dimension("EventBusName", "own-bus");
    let counted = |metric| alarm(["privatelink-detach", metric], Value::Null, ["Sum", "300", "1", "0"]);
    let not_empty = ["Maximum", "60", "1", "0"];
    let expected = set([
        queue("ApproximateNumberOfMessagesVisible", "dead-letter.fifo", not_empty),
        queue("ApproximateNumberOfMessagesVisible", "intake-failures", not_empty),
        queue("ApproximateNumberOfMessagesVisible", "sweeper-failures", not_empty),
        queue("ApproximateAgeOfOldestMessage", "requests.fifo", ["Maximum", "300", "1", "4200"]),
        function("Errors", "worker", "1"),
        function("Errors", "intake", "1"),
        function("Errors", "sweeper", "1"),
        function("Throttles", "worker", "3"),
        function("Throttles", "intake", "1"),
        // Twice the longest pause between Lambda's attempts to start a throttled sweep.
        function_in("600", "Throttles", "sweeper", "2"),
        function("DestinationDeliveryFailures", "intake", "1"),
        function("DestinationDeliveryFailures", "sweeper", "1"),
        rule("InvocationsFailedToBeSentToDlq", json!([dimension("RuleName", "RequestRule")])),
        rule("FailedInvocations", json!([own_bus, rule_name])),
        counted("stack/worker-error-lines"),
        counted("stack/intake-error-lines"),
        counted("stack/sweeper-error-lines"),
        counted("stack/failed-detaches"),
        counted("stack/sweeps-to-review"),
        queue("ApproximateNumberOfMessagesVisible", "notices-dead-letter", not_empty),
        queue("ApproximateAgeOfOldestMessage", "notices", ["Maximum", "300", "1", "600"]),
        function("Errors", "messenger", "1"),
        function("Throttles", "messenger", "3"),
        rule("InvocationsFailedToBeSentToDlq", json!([own_bus, dimension("RuleName", "stack-chat")])),
        counted("stack/messenger-error-lines"),
    ]);
    let alarms = deployment.of_type("AWS::CloudWatch::Alarm").into_iter().map(|name| {
        let properties = deployment.properties(name);
        let keys = |keys: [&str; 3]| keys.map(|key| properties[key].clone());
        json!([
            [properties["Namespace"], properties["MetricName"]],
            properties["Dimensions"],
            keys(["Statistic", "Period", "EvaluationPeriods"]),
            keys(["ComparisonOperator", "Threshold", "TreatMissingData"]),
        ])
    });
    assert_eq!(alarms.map(|alarm| alarm.to_string()).collect::<BTreeSet<_>>(), expected);
    // For the default bus EventBridge publishes the metrics of a rule without the name of the bus.
    let on_the_default_bus = Deployment::of("ENVIRONMENT", &[]).properties("CompletionRuleAlarm");
    assert_eq!(on_the_default_bus["Dimensions"], json!([rule_name]));
    let of_chat = with_chat(&[]).properties("ChatCompletionRuleAlarm");
    assert_eq!(of_chat["Dimensions"], json!([dimension("RuleName", "stack-chat")]));
    let unrecorded = Deployment::of("ENVIRONMENT", &[("RecordCompletionEvents", "false")]);
    assert!(!unrecorded.creates("CompletionRuleAlarm") && !unrecorded.creates("RequestRuleAlarm"));
    let absence = [("CanaryScheduleExpression", "rate(1 day)"), ("CanaryAlarmPeriods", "30")];
    let canary = Deployment::of("ENVIRONMENT", &absence).properties("CanaryAlarm");
    let below = ["LessThanThreshold", "1", "breaching"].map(Value::from);
    assert_eq!(["ComparisonOperator", "Threshold", "TreatMissingData"].map(|key| canary[key].clone()), below);
    assert_eq!(
        [&canary["Statistic"], &canary["Period"], &canary["EvaluationPeriods"]],
        ["Sum", "3600", "30"]
    );
    // The tests of the processes check that the log has this field and value. metrics.rs checks the other filters.
    let filter = |group: &str, metric: &str| {
        let metric =
            json!({ "MetricNamespace": "privatelink-detach", "MetricName": metric, "MetricValue": "1" });
        json!([format!("/aws/lambda/stack-{group}"), r#"{ $.level = "ERROR" }"#, [metric]])
    };
    let filters = set([
        filter("worker", "stack/worker-error-lines"),
        filter("intake", "stack/intake-error-lines"),
        filter("sweeper", "stack/sweeper-error-lines"),
        filter("messenger", "stack/messenger-error-lines"),
    ]);
    let keys = ["LogGroupName", "FilterPattern", "MetricTransformations"];
    let unrecorded = with_chat(&[("RecordCompletionEvents", "false")]);
    assert_eq!(properties_of(&unrecorded, "AWS::Logs::MetricFilter", &keys), filters);
}

#[test]
fn alarms_name_their_section_of_the_runbook() {
    let url = "https://git.example.com/runbook";
    let changes = [
        ("RunbookUrl", url),
        ("RequestEventSources", "my.tool"),
        ("CanaryScheduleExpression", "rate(1 day)"),
    ];
    let deployment = with_chat(&changes);
    let runbook = file("docs/runbook.md");
    let alarms = deployment.of_type("AWS::CloudWatch::Alarm");
    assert!(alarms.len() >= 26, "{alarms:?}");
    for name in alarms {
        let description = deployment.properties(name)["AlarmDescription"].as_str().unwrap().to_owned();
        assert!(
            description.ends_with(&format!(" Runbook: {url}#{}", name.to_lowercase())),
            "{name}: {description}"
        );
        // CloudWatch's limit, with the longest URL.
        assert!(description.len() - url.len() + 512 <= 1024, "{name}: {description}");
        assert!(runbook.contains(&format!("\n## {name}\n")), "{name} has no section");
    }
}

#[test]
fn alarms_notify_only_the_given_topic() {
    let actions = |topic| {
        let deployment = with_chat(&[("AlarmTopicArn", topic)]);
        properties_of(&deployment, "AWS::CloudWatch::Alarm", &["AlarmActions", "OKActions"])
    };
    let topic = "arn:aws:sns:eu-west-1:123456789012:alarms";
    assert_eq!(actions(topic), set([json!([[topic], [topic]])]));
    assert_eq!(actions(""), set([json!([null, null])]));
}

#[test]
fn documents_list_every_alarm() {
    let page = file("docs/operations.md");
    let runbook = file("docs/runbook.md");
    let (start, _) = runbook.split_once("\n# Alarms\n").unwrap();
    let changes = [("RequestEventSources", "my.tool"), ("CanaryScheduleExpression", "rate(1 day)")];
    for name in with_chat(&changes).of_type("AWS::CloudWatch::Alarm") {
        let link = format!("[{name}](#{})", name.to_lowercase());
        assert!(start.contains(&link), "docs/runbook.md does not link {name} at its start");
        let link = format!("| [{name}](runbook.md#{}) |", name.to_lowercase());
        assert!(page.contains(&link), "docs/operations.md has no row for {name}");
    }
}

#[test]
fn documents_count_the_alarms_and_metrics_of_the_default_deployment() {
    let deployment = Deployment::of("SECRETS_MANAGER", &[]);
    let numbers = ["eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"];
    let alarms = numbers[deployment.of_type("AWS::CloudWatch::Alarm").len() - 11];
    let not_by_default = ["canary-passes", "messenger-error-lines"];
    let metrics = own_metrics().into_iter().filter(|(name, _)| !not_by_default.contains(&&**name)).count();
    let stated = [format!("{alarms} CloudWatch alarms"), format!("up to {metrics} custom metrics")];
    let text_of = |path| file(path).split_whitespace().collect::<Vec<_>>().join(" ");
    for path in ["README.md", "docs/deploy.md"] {
        let page = text_of(path);
        assert!(stated.iter().all(|text| page.contains(text)), "{path} must state: {stated:?}");
    }
    let of_chat = |kind| with_chat(&[]).of_type(kind).len() - deployment.of_type(kind).len();
    let more = [of_chat("AWS::CloudWatch::Alarm"), of_chat("AWS::Logs::MetricFilter")];
    assert_eq!(more, [6, 1]);
    assert!(text_of("docs/deploy.md").contains("Chat adds six alarms and one custom metric"));
}
