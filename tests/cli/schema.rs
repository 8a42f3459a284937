//! Checks the output against the published schemas.

use boon::{Compiler, Schemas};
use serde_json::{Value, json};

const COMPLETION: &str = include_str!("../../docs/completion-event.schema.json");
const PLAN: &str = include_str!("../../docs/plan.schema.json");
const SWEEP: &str = include_str!("../../docs/sweep-completed.schema.json");

/// Panics with all violations if `detail` does not conform to the completion event's schema.
pub(crate) fn check_completion(detail: &Value) {
    check(COMPLETION, detail);
}

/// The same for a sweep's event, which `find` prints.
pub(crate) fn check_sweep(detail: &Value) {
    check(SWEEP, detail);
}

/// The same for a plan file.
pub(crate) fn check_plan(plan: &Value) {
    check(PLAN, plan);
}

fn check(schema: &str, value: &Value) {
    if let Err(violations) = validate(schema, value) {
        panic!("{violations}\n{value:#}");
    }
}

fn validate(schema: &str, value: &Value) -> Result<(), String> {
    let schema = serde_json::from_str(schema).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource("urn:schema", schema).unwrap();
    let index = compiler.compile("urn:schema", &mut schemas).unwrap();
    schemas.validate(value, index).map_err(|error| format!("{error:#}"))
}

/// Changes one field after the other, and expects the schema to reject each result.
fn check_that_it_rejects(schema: &str, valid: &Value, changes: &[(&str, Value)]) {
    assert_eq!(validate(schema, valid), Ok(()));
    for (pointer, value) in changes {
        let mut invalid = valid.clone();
        *invalid.pointer_mut(pointer).unwrap() = value.clone();
        assert!(validate(schema, &invalid).is_err(), "the schema accepts {pointer} = {value}");
    }
    for name in valid.as_object().unwrap().keys() {
        let mut missing_field = valid.clone();
        missing_field.as_object_mut().unwrap().remove(name);
        assert!(validate(schema, &missing_field).is_err(), "the schema does not require {name}");
    }
    let mut unknown_field = valid.clone();
    unknown_field["secret"] = json!("x");
    assert!(validate(schema, &unknown_field).is_err(), "the schema accepts an unknown field");
}

#[test]
fn schema_rejects_sweep_events_that_break_the_contract() {
    let valid = json!({
        "version": "1", "sweep_id": "s", "mode": "report", "mode_requested": "apply", "verdict": "incomplete",
        "security_group_ids": ["sg-a"], "security_groups_found": false, "scope": { "tags": { "env": "prod" } },
        "endpoints_read": { "eu-west-1": 1 }, "endpoints_skipped": { "eu-west-1": 0 },
        "endpoints_unread": { "eu-west-1": {
            "list_error": "Timeout", "total": 1, "endpoints": [{ "endpoint_id": "ep-b", "code": "NoPermission" }],
        } },
        "started_at": "2026-11-22T07:00:00.000Z", "completed_at": "2026-11-22T07:00:12.431Z",
        "references": [{
            "region_id": "eu-west-1", "endpoint_id": "ep-a", "endpoint_name": null, "security_group_id": "sg-a",
            "status": "Attached", "requested": false, "blocked_by": "FinancialLocked",
        }],
        "references_total": 1, "requested_count": 0, "remaining_count": 1,
        "reason": { "code": "Incomplete", "message": "m", "advice": "a", "runbook": "docs/runbook.md#incomplete" },
    });
    let changes = [
        ("/version", json!("2")),
        ("/sweep_id", json!("a b")),
        ("/mode", json!("dry_run")),
        ("/verdict", json!("references_found")),
        ("/verdict", json!("no_endpoints")),
        ("/security_group_ids", json!([])),
        ("/security_group_ids", json!(["sg-a", "sg-a"])),
        ("/security_groups_found", json!("false")),
        ("/scope", json!("some")),
        ("/scope", json!({})),
        ("/scope", json!({ "vpc": "x" })),
        ("/endpoints_read", json!({})),
        ("/endpoints_read/eu-west-1", json!(-1)),
        ("/endpoints_skipped", json!({ "evil.com/#": 1 })),
        ("/endpoints_unread/eu-west-1/list_error", json!("a b")),
        ("/endpoints_unread/eu-west-1/endpoints/0", json!({ "endpoint_id": "ep-b" })),
        ("/started_at", json!("2026-11-22T07:00:00Z")),
        ("/references/0/requested", json!(true)),
        ("/references/0/status", json!("Detached")),
        ("/references/0/blocked_by", json!("Because")),
        ("/requested_count", json!(1)),
        ("/reason", Value::Null),
        ("/reason/code", json!("OverLimit")),
        ("/reason/runbook", json!("docs/runbook.md")),
    ];
    check_that_it_rejects(SWEEP, &valid, &changes);
}

#[test]
fn schema_rejects_plans_that_break_the_contract() {
    let groups = json!([{ "security_group_id": "sg-a", "status": "Attached" }]);
    let valid = json!({
        "version": "1", "account_id": "1234567890123456", "arn": "acs:ram::1234567890123456:root",
        "security_group_ids": ["sg-a"], "security_groups_found": null, "region_ids": ["eu-west-1"], "scope": "all",
        "max_detaches": 1, "verdict": "references_found",
        "started_at": "2026-11-22T07:00:00.000Z", "completed_at": "2026-11-22T07:00:12.431Z",
        "endpoints_read": { "eu-west-1": 2 }, "endpoints_skipped": { "eu-west-1": 0 },
        "references_count": 1, "blocked_count": 1,
        "references": [{
            "region_id": "eu-west-1", "endpoint_id": "ep-a", "endpoint_name": "web", "security_group_id": "sg-a",
            "status": "Attached", "security_groups": groups,
        }],
        "blocked": [{
            "region_id": "eu-west-1", "endpoint_id": "ep-b", "endpoint_name": null, "security_group_id": "sg-a",
            "status": "Attached", "security_groups": groups, "blocked_by": "ProtectedEndpoint",
        }],
    });
    let changes = [
        ("/version", json!("2")),
        ("/account_id", json!(1)),
        ("/arn", json!("arn:aws")),
        ("/security_group_ids", json!([])),
        ("/security_groups_found", json!(false)),
        ("/region_ids", json!(["eu-west-1", "eu-west-1"])),
        ("/scope", json!({})),
        ("/max_detaches", json!(-1)),
        ("/verdict", json!("incomplete")),
        ("/verdict", json!("no_references")),
        ("/completed_at", json!("now")),
        ("/endpoints_read/eu-west-1", json!("2")),
        ("/references_count", json!(null)),
        ("/references/0/status", json!("attached")),
        ("/references/0/security_groups", json!([])),
        ("/references/0/security_groups/0/security_group_id", json!("vpc-1")),
        ("/references/0", valid["blocked"][0].clone()),
        ("/blocked/0/blocked_by", json!("Because")),
        ("/blocked/0", valid["references"][0].clone()),
    ];
    check_that_it_rejects(PLAN, &valid, &changes);
}
