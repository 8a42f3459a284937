//! Queries and field indexes refer to fields, log groups and parameters that exist.

use std::collections::BTreeSet;

use privatelink_detach::alibaba::codes;
use serde_json::{Value, json};

use super::metrics::deployment;
use super::operations::{names, widgets};
use super::sources;
use crate::cloudformation::{Deployment, file};

/// The names of `retries` that are not Alibaba Cloud's.
const ERRORS_WITHOUT_CODE: [&str; 4] = ["Timeout", "ConnectionLost", "UnreadableAnswer", "NoCredentials"];

/// The words of a query that are neither in quotes nor in a regular expression, without its aliases.
fn words(query: &str) -> Vec<String> {
    let mut outside = String::new();
    let mut rest = query;
    while let Some(start) = rest.find(['"', '\'', '/']) {
        let (before, quoted) = rest.split_at(start);
        let quote = quoted.chars().next().unwrap();
        outside += before;
        // A regular expression may contain quotation marks.
        rest = quoted[1..].split_once(quote).expect("closed").1;
    }
    outside += rest;
    let words =
        outside.split(|c: char| !(c.is_alphanumeric() || "._@".contains(c))).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(str::to_owned).collect();
    let is_alias = |word: &String| words.windows(2).any(|pair| pair[0] == "as" && pair[1] == *word);
    words.iter().filter(|word| word.contains('.') || !is_alias(word)).cloned().collect()
}

/// The words of the query language, and the fields that CloudWatch Logs itself adds.
const KEYWORDS: [&str; 25] = [
    "latest",
    "SOURCE",
    "fields",
    "filter",
    "sort",
    "stats",
    "limit",
    "by",
    "as",
    "desc",
    "asc",
    "or",
    "and",
    "in",
    "like",
    "count",
    "pct",
    "avg",
    "max",
    "sum",
    "bin",
    "ispresent",
    "@timestamp",
    "@log",
    "@message",
];

/// Whether a schema has a field.
fn has_field(schema: &Value, node: &Value, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    if let Some(reference) = node["$ref"].as_str() {
        let target = schema.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        return has_field(schema, target, path);
    }
    if let Some(field) = node["properties"].get(*first) {
        return has_field(schema, field, rest);
    }
    // `retries` is the only object whose names are codes.
    if node["additionalProperties"].is_object() && rest.is_empty() {
        let is_retried = codes::CODES.iter().any(|row| row.code == *first && row.is_retried());
        return is_retried || ERRORS_WITHOUT_CODE.contains(first);
    }
    node["oneOf"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| has_field(schema, kind, path)))
}

/// Whether a field is in the events, or in the lines that the functions write.
fn field_exists(field: &str) -> bool {
    let path: Vec<_> = field.split('.').collect();
    match path.split_first() {
        Some((&"detail", path)) => {
            let schemas = ["docs/completion-event.schema.json", "docs/sweep-completed.schema.json"];
            schemas.iter().any(|schema| {
                let schema = serde_json::from_str(&file(schema)).unwrap();
                has_field(&schema, &schema, path)
            })
        }
        Some((&"span", [name]) | (name, [])) => {
            // In the code, a field stands before an equals sign or a comma, or is a string.
            let forms = [format!("{name} ="), format!("{name},"), format!("\"{name}\"")];
            sources().iter().any(|(_, code)| forms.iter().any(|form| code.contains(form)))
        }
        _ => false,
    }
}

fn check_fields(query: &str) {
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let words = words(query);
    assert!(words.len() > 5, "{query}");
    for word in words.iter().filter(|word| !KEYWORDS.contains(&&***word) && !is_number(word)) {
        assert!(field_exists(word), "{word} in {query}");
    }
}

#[test]
fn fields_of_queries_are_checked() {
    for (field, expected) in [
        ("detail.reason.code", true),
        ("detail.reason.cod", false),
        ("detail.verdict", true),
        ("detail.effort.retries.EndpointLocked", true),
        ("detail.effort.retries.EndpointLock", false),
        ("span.request_id", true),
        ("wait_ms", true),
        ("wait_s", false),
    ] {
        assert_eq!(field_exists(field), expected, "{field}");
    }
}

#[test]
fn saved_queries_name_existing_fields_log_groups_and_parameters() {
    for record in ["true", "false"] {
        let deployment = Deployment::of("ENVIRONMENT", &[("RecordCompletionEvents", record)]);
        let log_groups = names(&deployment, "AWS::Logs::LogGroup", "LogGroupName");
        for name in deployment.of_type("AWS::Logs::QueryDefinition") {
            let properties = deployment.properties(name);
            let groups = properties["LogGroupNames"].as_array().unwrap();
            assert!(
                !groups.is_empty() && groups.iter().all(|group| log_groups.contains(group.as_str().unwrap()))
            );
            let query = properties["QueryString"].as_str().unwrap();
            check_fields(query);
            let used = query.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap());
            let parameters = properties["Parameters"].as_array().cloned().unwrap_or_default();
            let defined = parameters.iter().map(|parameter| parameter["Name"].as_str().unwrap());
            assert_eq!(used.collect::<BTreeSet<_>>(), defined.collect(), "{name}");
        }
    }
}

#[test]
fn widgets_with_queries_name_existing_fields_and_log_groups() {
    let deployment = deployment();
    let log_groups = names(&deployment, "AWS::Logs::LogGroup", "LogGroupName");
    let widgets = widgets(&deployment, "log");
    assert!(widgets.len() >= 5, "{widgets:?}");
    for widget in widgets {
        let query = widget["query"].as_str().unwrap();
        let group = query.strip_prefix("SOURCE '").and_then(|rest| rest.split('\'').next()).unwrap();
        assert!(log_groups.contains(group), "{query}");
        check_fields(query);
    }
}

#[test]
fn dashboard_and_saved_query_show_the_same_sweeps() {
    let deployment = deployment();
    let widgets = widgets(&deployment, "log");
    let widget = widgets.iter().find(|widget| widget["title"] == "Latest sweeps").unwrap();
    let group = deployment.properties("CompletionLogGroup");
    let saved = deployment.properties("SweepsQuery");
    let [group, saved] = [&group["LogGroupName"], &saved["QueryString"]].map(|text| text.as_str().unwrap());
    let expected = format!("SOURCE '{group}' | {}", saved.replace('\n', " "));
    assert_eq!((&widget["query"], &widget["view"]), (&json!(expected), &json!("table")));
}

#[test]
fn guide_lists_every_saved_query_and_counts_those_of_the_dashboard() {
    let deployment = deployment();
    let guide = file("docs/operations.md");
    let rows = guide.split("## Saved queries").nth(1).unwrap().split("\n## ").next().unwrap();
    let listed = rows.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).skip(2);
    let saved = names(&deployment, "AWS::Logs::QueryDefinition", "Name");
    assert_eq!(listed.map(|name| format!("stack/{name}")).collect::<BTreeSet<_>>(), saved);
    assert_eq!(widgets(&deployment, "log").len(), 5);
    assert!(guide.contains("its five queries"));
}

#[test]
fn field_indexes_are_ids_of_the_events() {
    let indexes = &deployment().properties("CompletionLogGroup")["FieldIndexPolicies"];
    assert_eq!(
        *indexes,
        json!([{ "Fields": ["detail.request_id", "detail.endpoint_id", "detail.sweep_id"] }])
    );
    for field in indexes[0]["Fields"].as_array().unwrap() {
        assert!(field_exists(field.as_str().unwrap()), "{field}");
    }
}
