use serde_json::{Value, json};

use super::*;

fn smallest() -> Value {
    json!({ "security_group_ids": ["sg-a"], "region_ids": ["eu-west-1"], "scope": "all" })
}

fn with(field: &str, value: Value) -> String {
    let mut body = smallest();
    body[field] = value;
    body.to_string()
}

fn errors(body: &str) -> Vec<String> {
    let invalid = parse(body, &Rules::default()).unwrap_err();
    invalid.errors.iter().map(ToString::to_string).collect()
}

#[test]
fn smallest_request_reports_on_everything() {
    let request = parse(&smallest().to_string(), &Rules::default()).unwrap();
    let expected = SweepRequest {
        sweep_id: None,
        security_group_ids: vec![SecurityGroupId::parse("sg-a").unwrap()],
        region_ids: vec![RegionId::parse("eu-west-1").unwrap()],
        filter: EndpointFilter::default(),
        mode: Mode::Report,
        max_detaches: None,
        deadline: None,
        metadata: Metadata::new(),
    };
    assert_eq!(request, expected);
    let with_nulls = with("sweep_id", Value::Null).replace('}', r#","mode":null,"max_detaches":null}"#);
    assert_eq!(parse(&format!("\u{feff}{with_nulls}"), &Rules::default()).unwrap(), expected);
}

#[test]
fn every_field_is_read() {
    let body = json!({
        "sweep_id": "nightly-1", "security_group_ids": ["sg-a", "sg-b"], "region_ids": ["eu-west-1", "cn-hangzhou"],
        "scope": { "vpc_id": "vpc-1", "endpoint_name": "web", "resource_group_id": "rg-1", "tags": { "env": "test", "b": "" } },
        "mode": "apply", "max_detaches": 0, "deadline_seconds": 600, "metadata": { "ticket": "CHG7" },
    });
    let request = parse(&body.to_string(), &Rules::default()).unwrap();
    let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
    let filter = EndpointFilter {
        vpc_id: Some("vpc-1".to_owned()),
        endpoint_name: Some("web".to_owned()),
        resource_group_id: Some("rg-1".to_owned()),
        tags: vec![tag("b", ""), tag("env", "test")],
    };
    assert_eq!((request.filter, request.mode, request.max_detaches), (filter, Mode::Apply, Some(0)));
    assert_eq!(request.sweep_id, RequestId::parse("nightly-1"));
    assert_eq!((request.security_group_ids.len(), request.region_ids.len()), (2, 2));
    assert_eq!(
        (request.deadline, request.metadata["ticket"].as_str()),
        (Some(Duration::from_mins(10)), "CHG7")
    );
}

#[test]
fn every_error_is_reported_at_once_by_field() {
    let groups: Vec<_> = (0..11).map(|number| format!("sg-{number}")).collect();
    for (body, expected) in [
        (
            "{}".to_owned(),
            vec!["security_group_ids is required", "region_ids is required", "scope is required"],
        ),
        ("[]".to_owned(), vec!["body must be one JSON object"]),
        ("{".to_owned(), vec!["body is not JSON"]),
        (String::new(), vec!["body is not JSON"]),
        (
            with("security_group_ids", json!(groups)),
            vec!["security_group_ids must be a list of 1 to 10 security group ids, each once"],
        ),
        (
            with("security_group_ids", json!([])),
            vec!["security_group_ids must be a list of 1 to 10 security group ids, each once"],
        ),
        (
            with("security_group_ids", json!(["sg-a", "sg-a"])),
            vec!["security_group_ids must be a list of 1 to 10 security group ids, each once"],
        ),
        (
            with("security_group_ids", json!("sg-a")),
            vec!["security_group_ids must be a list of 1 to 10 security group ids, each once"],
        ),
        (
            with("region_ids", json!(["eu-west-1", "evil.com/#"])),
            vec!["region_ids must be a list of 1 to 50 region ids, each once"],
        ),
        (
            with("scope", json!({})),
            vec!["scope must be \"all\", or an object with vpc_id, endpoint_name, resource_group_id or tags"],
        ),
        (
            with("scope", json!("ALL")),
            vec!["scope must be \"all\", or an object with vpc_id, endpoint_name, resource_group_id or tags"],
        ),
        (with("scope", Value::Null), vec!["scope is required"]),
        (
            with("scope", json!({ "vpc": "vpc-1", "vpc_id": null, "endpoint_name": "", "tags": {} })),
            vec![
                "scope.endpoint_name must be a text of 1 to 256 characters",
                "scope.tags must be an object of 1 to 20 tags, each a key with a text",
                "scope.vpc is not a filter",
                "scope.vpc_id must be a text of 1 to 256 characters",
            ],
        ),
        (with("mode", json!("Apply")), vec!["mode must be report or apply"]),
        (with("mode", json!("apply")), vec!["max_detaches is required with apply; 0 allows no detach"]),
        (
            with("mode", json!("apply")).replace('}', r#","max_detaches":null}"#),
            vec!["max_detaches is required with apply; 0 allows no detach"],
        ),
        (with("max_detaches", json!(-1)), vec!["max_detaches must be a whole number from 0 to 4294967295"]),
        (with("max_detaches", json!("5")), vec!["max_detaches must be a whole number from 0 to 4294967295"]),
        (with("max_detaches", json!(1.5)), vec!["max_detaches must be a whole number from 0 to 4294967295"]),
        (
            with("deadline_seconds", json!(29)),
            vec!["deadline_seconds must be a whole number from 30 to 39600"],
        ),
        (
            with("metadata", json!({ "sweep_id": "x" })),
            vec!["metadata must not contain sweep_id, which the sweeper adds to each request"],
        ),
        (
            with("metadata", json!({ "a": "x".repeat(768) })),
            vec!["metadata must be at most 768 bytes as JSON"],
        ),
        (with("sweep_id", json!("a b")), vec!["sweep_id must be 1 to 64 of A-Z a-z 0-9 . _ : -"]),
        (with("dry_run", json!(true)), vec!["dry_run is not a field of a sweep request"]),
        (with("mode", json!("report")).replace('}', r#","mode":"apply"}"#), vec!["mode is given twice"]),
        (with("mode", Value::Null).replace('}', r#","mode":"report"}"#), vec!["mode is given twice"]),
    ] {
        assert_eq!(errors(&body), expected, "{body}");
    }
}

#[test]
fn region_must_be_allowed_in_this_deployment() {
    let rules =
        Rules { allowed_regions: [RegionId::parse("cn-hangzhou").unwrap()].into(), ..Rules::default() };
    let invalid = parse(&smallest().to_string(), &rules).unwrap_err();
    assert_eq!(invalid.to_string(), "region_ids names a region that is not allowed in this deployment");
    assert!(parse(&with("region_ids", json!(["cn-hangzhou"])), &rules).is_ok());
}

#[test]
fn log_does_not_repeat_unknown_names_and_the_sender_sees_them() {
    let body = with("s3cret", json!(1)).replace(r#""all""#, r#"{"t0ken":"x"}"#);
    let invalid = parse(&body, &Rules::default()).unwrap_err();
    assert_eq!(invalid.to_string(), "s3cret is not a field of a sweep request; scope.t0ken is not a filter");
    assert_eq!(
        invalid.logged(),
        "an unknown name is not a field of a sweep request; an unknown name is not a filter"
    );
}

#[test]
fn number_of_reported_errors_is_bounded() {
    let many: serde_json::Map<_, _> = (0..1000).map(|n| (n.to_string(), json!(n))).collect();
    let errors = errors(&Value::Object(many).to_string());
    assert_eq!((errors.len(), errors[20].as_str()), (21, "body has 983 more errors"));
}
