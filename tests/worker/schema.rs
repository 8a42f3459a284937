//! The published schema of a completion event, held against every event that a test sees.

use boon::{Compiler, Schemas};
use serde_json::{Value, json};

/// Panics with all violations if `detail` is not what the schema promises.
pub(crate) fn check(detail: &Value) {
    if let Err(violations) = validate(detail) {
        panic!("{violations}\n{detail:#}");
    }
}

fn validate(detail: &Value) -> Result<(), String> {
    let schema = serde_json::from_str(include_str!("../../docs/completion-event.schema.json")).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource("urn:event", schema).unwrap();
    let index = compiler.compile("urn:event", &mut schemas).unwrap();
    schemas.validate(detail, index).map_err(|error| format!("{error:#}"))
}

#[test]
fn the_schema_refuses_what_the_contract_does() {
    let good = json!({
        "version": "1", "request_id": "r", "outcome": "detached", "trigger": "queue", "region_id": "eu-west-1",
        "endpoint_id": "ep-a", "security_group_id": "sg-a", "reason": null,
        "evidence": {
            "security_groups_before": ["sg-a", "sg-b"], "security_groups_after": ["sg-b"],
            "endpoint_status": "Active", "confirmed_at": "2026-11-22T07:00:12.431Z",
        },
        "effort": { "deliveries": 1, "detach_calls": 1, "read_calls": 5, "retries": {} },
        "accepted_at": "2026-11-22T07:00:00.000Z", "started_at": "2026-11-22T07:00:00.000Z",
        "completed_at": "2026-11-22T07:00:12.431Z", "duration_ms": 12431, "api_request_ids": ["R"], "metadata": {},
    });
    assert_eq!(validate(&good), Ok(()));
    for (pointer, value) in [
        ("/outcome", json!("done")),
        ("/trigger", json!("cron")),
        ("/region_id", json!("evil.com/#")),
        ("/evidence/confirmed_at", Value::Null),
        ("/completed_at", json!("2026-11-22 07:00")),
        ("/effort/retries", json!({ "EndpointLocked": -1 })),
        ("/metadata", json!({ "a": 1 })),
        ("/reason", json!({ "code": "X" })),
        ("/evidence", Value::Null),
        ("/duration_ms", json!(-1)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value.clone();
        assert!(validate(&bad).is_err(), "{pointer} = {value} passes");
    }
    let mut more = good.clone();
    more["secret"] = json!("x");
    assert!(validate(&more).is_err(), "an unknown field passes");
    let mut less = good;
    less.as_object_mut().unwrap().remove("effort");
    assert!(validate(&less).is_err(), "a missing field passes");
}
