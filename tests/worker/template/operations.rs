//! Alarms and widgets refer to metrics and alarms that exist, also in a deployment without recorded events.

use std::collections::BTreeSet;

use serde_json::Value;

use super::chat::{CHAT, with_chat};
use super::metrics::{Metric, deployment, sums};
use crate::cloudformation::{Deployment, Node, number, parameter};

/// The metrics of AWS services that the dashboard shows, with the dimension that names the resource.
const OF_AWS: [(&str, &str, &str); 5] = [
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName"),
    ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "QueueName"),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName"),
    ("AWS/Lambda", "Errors", "FunctionName"),
    ("AWS/Lambda", "Throttles", "FunctionName"),
];

fn dashboard(deployment: &Deployment) -> Value {
    let body = deployment.properties("Dashboard")["DashboardBody"].clone();
    serde_json::from_str(body.as_str().unwrap()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

pub(super) fn widgets(deployment: &Deployment, kind: &str) -> Vec<Value> {
    let body = dashboard(deployment);
    let widgets = body["widgets"].as_array().unwrap().iter();
    widgets.filter(|widget| widget["type"] == kind).map(|widget| widget["properties"].clone()).collect()
}

/// The physical names of all resources of a type.
pub(super) fn names(deployment: &Deployment, kind: &str, key: &str) -> BTreeSet<String> {
    let resources = deployment.of_type(kind).into_iter();
    resources.map(|name| deployment.properties(name)[key].as_str().unwrap().to_owned()).collect()
}

/// Panics unless the resource's metric is one that AWS publishes for a resource of the stack.
fn check_metric_of_aws(deployment: &Deployment, namespace: &str, name: &str, dimensions: &[Dimension]) {
    let [(key, value)] = dimensions else { panic!("{name}: {dimensions:?}") };
    assert!(OF_AWS.contains(&(namespace, name, key)), "{namespace} {name} {key}");
    let resources = match &**key {
        "QueueName" => names(deployment, "AWS::SQS::Queue", "QueueName"),
        "FunctionName" => names(deployment, "AWS::Serverless::Function", "FunctionName"),
        other => panic!("{other}"),
    };
    assert!(resources.contains(value), "{name}: {value}");
}

/// The metrics of the functions' logs, which need no recorded events and have no dimension.
fn metrics_of_functions() -> BTreeSet<Metric> {
    let deployment = with_chat(&[("RecordCompletionEvents", "false")]);
    let filters = deployment.of_type("AWS::Logs::MetricFilter").into_iter();
    filters
        .map(|name| {
            let transformation = &deployment.properties(name)["MetricTransformations"][0];
            assert_eq!(transformation["Dimensions"], Value::Null, "{name}");
            own_metric(transformation["MetricName"].as_str().unwrap(), &[])
        })
        .collect()
}

/// The metrics of this application.
pub(super) fn own_metrics() -> BTreeSet<Metric> {
    sums().into_keys().chain(metrics_of_functions()).collect()
}

fn own_metric(name: &str, dimensions: &[Dimension]) -> Metric {
    assert!(dimensions.len() <= 1, "{name}: {dimensions:?}");
    (name.strip_prefix("stack/").unwrap().to_owned(), dimensions.first().cloned())
}

/// The name of a dimension and its value.
type Dimension = (String, String);

/// The namespace, name and dimensions of each metric in the dashboard.
fn metrics_of_widgets(deployment: &Deployment) -> Vec<(String, String, Vec<Dimension>)> {
    let widgets = widgets(deployment, "metric");
    let metrics = widgets.iter().flat_map(|widget| widget["metrics"].as_array().unwrap());
    metrics
        .map(|metric| {
            let texts: Vec<_> = metric.as_array().unwrap().iter().filter_map(Value::as_str).collect();
            let pairs = texts[2..].chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned()));
            (texts[0].to_owned(), texts[1].to_owned(), pairs.collect())
        })
        .collect()
}

#[test]
fn widgets_show_every_metric_of_the_application_and_only_existing_ones() {
    let mut expected: BTreeSet<_> = sums().into_keys().collect();
    assert!(expected.remove(&("sweeps-to-review".to_owned(), None)), "only an alarm uses it");
    for deployment in [deployment(), with_chat(&[])] {
        let mut shown = BTreeSet::new();
        for (namespace, name, dimensions) in metrics_of_widgets(&deployment) {
            if namespace == "privatelink-detach" {
                shown.insert(own_metric(&name, &dimensions));
            } else {
                check_metric_of_aws(&deployment, &namespace, &name, &dimensions);
            }
        }
        assert_eq!(shown, expected);
    }
}

#[test]
fn widgets_show_the_errors_of_every_function_and_every_queue_of_failures() {
    for deployment in [deployment(), with_chat(&[])] {
        let shown = |metric: &str| -> BTreeSet<String> {
            let metrics = metrics_of_widgets(&deployment).into_iter();
            let metrics = metrics.filter(|(_, name, _)| name == metric);
            metrics.flat_map(|(.., dimensions)| dimensions).map(|(_, value)| value).collect()
        };
        let functions = names(&deployment, "AWS::Serverless::Function", "FunctionName");
        assert_eq!((&shown("Errors"), &shown("Throttles")), (&functions, &functions));
        let mut queues = names(&deployment, "AWS::SQS::Queue", "QueueName");
        // The age of the oldest notice is an alarm.
        queues.remove("stack-notices");
        assert_eq!(shown("ApproximateNumberOfMessagesVisible"), queues);
    }
}

#[test]
fn alarms_on_metrics_of_the_application_name_an_existing_one() {
    let deployment = with_chat(&[("CanaryScheduleExpression", "rate(1 hour)")]);
    let mut checked = 0;
    for name in deployment.of_type("AWS::CloudWatch::Alarm") {
        let properties = deployment.properties(name);
        if properties["Namespace"] == "privatelink-detach" {
            assert_eq!(properties["Dimensions"], Value::Null, "{name}");
            let metric = own_metric(properties["MetricName"].as_str().unwrap(), &[]);
            assert!(own_metrics().contains(&metric), "{name}: {metric:?}");
            checked += 1;
        }
    }
    assert!(checked >= 5, "{checked}");
}

#[test]
fn dashboard_shows_every_alarm() {
    let events = ("RequestEventSources", "my.tool");
    let canary = ("CanaryScheduleExpression", "rate(1 hour)");
    let everything = [&CHAT[..], &[events, canary]].concat();
    for changes in [&[][..], &[events], &[canary], &[events, canary], &CHAT, &everything] {
        let deployment = Deployment::of("ENVIRONMENT", changes);
        let arn = |name| format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}");
        let alarms: BTreeSet<_> = deployment.of_type("AWS::CloudWatch::Alarm").into_iter().map(arn).collect();
        let [widget] = &widgets(&deployment, "alarm")[..] else { panic!("not one widget with alarms") };
        let shown = widget["alarms"].as_array().unwrap().iter().map(|arn| arn.as_str().unwrap().to_owned());
        assert_eq!(shown.collect::<BTreeSet<_>>(), alarms);
        // CloudWatch's limit for one widget.
        assert!(alarms.len() <= 100);
    }
}

#[test]
fn widgets_do_not_overlap_and_fit_into_the_grid() {
    let body = dashboard(&deployment());
    let mut taken = BTreeSet::new();
    for widget in body["widgets"].as_array().unwrap() {
        let [x, y, width, height] = ["x", "y", "width", "height"].map(|key| widget[key].as_u64().unwrap());
        assert!(x + width <= 24, "{widget}");
        let cells = (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y)));
        cells.for_each(|cell| assert!(taken.insert(cell), "overlaps: {widget}"));
    }
}

#[test]
fn without_recorded_events_nothing_refers_to_them() {
    let unrecorded = with_chat(&[("RecordCompletionEvents", "false")]);
    // Every reference to a resource that is not created fails the evaluation.
    for kind in ["AWS::Logs::MetricFilter", "AWS::CloudWatch::Alarm", "AWS::Logs::QueryDefinition"] {
        unrecorded.of_type(kind).into_iter().for_each(|name| drop(unrecorded.properties(name)));
    }
    let recorded = [
        "Dashboard",
        "FailedDetachesAlarm",
        "SweepVerdictAlarm",
        "CompletedRequests",
        "EndpointQuery",
        "SweepsQuery",
    ];
    assert!(recorded.iter().all(|name| !unrecorded.creates(name) && deployment().creates(name)));
    assert_eq!(unrecorded.of_type("AWS::Logs::QueryDefinition"), ["RequestQuery", "RetriesQuery"]);
}

#[test]
fn canary_needs_recorded_events() {
    let canary = ("CanaryScheduleExpression", "rate(1 hour)");
    assert!(deployment().creates("CanaryAlarm") && deployment().creates("CanaryPasses"));
    let unrecorded = Deployment::of("ENVIRONMENT", &[canary, ("RecordCompletionEvents", "false")]);
    let failures = |deployment: &Deployment| {
        let failures = deployment.failed_assertions().into_iter();
        failures.filter(|failure| failure.contains("RecordCompletionEvents")).count()
    };
    assert_eq!([failures(&deployment()), failures(&unrecorded)], [0, 1]);
    assert!(!unrecorded.creates("CanaryAlarm") && !unrecorded.creates("CanaryPasses"));
    assert!(!Deployment::of("ENVIRONMENT", &[]).creates("CanaryAlarm"));
}

#[test]
fn resources_keep_the_limits_of_cloudwatch() {
    let deployment = deployment();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for name in deployment.of_type("AWS::Logs::MetricFilter") {
        let pattern = text(&deployment.properties(name)["FilterPattern"]);
        assert!(pattern.len() <= 1024, "{name}: {}", pattern.len());
    }
    for name in deployment.of_type("AWS::Logs::QueryDefinition") {
        assert!(text(&deployment.properties(name)["QueryString"]).len() <= 10_000, "{name}");
    }
    // Period times number of periods is at most a day for periods below an hour, and otherwise at most seven days.
    let periods_max = number(&parameter("CanaryAlarmPeriods").key("MaxValue").text().into());
    for period in parameter("CanaryAlarmPeriodSeconds").key("AllowedValues").items().iter().map(Node::text) {
        let period = number(&period.into());
        let most = if period < 3600 { 86_400 } else { 604_800 };
        assert!(period.is_multiple_of(60) && period * periods_max <= most, "{period}");
    }
}
