//! Checks completion events against the published schema.

use serde_json::{Value, json};

use crate::schemas::check_that_it_rejects;

const COMPLETION: &str = include_str!("../../docs/completion-event.schema.json");

/// Panics with all violations if `detail` does not conform to the schema.
pub(crate) fn check(detail: &Value) {
    crate::schemas::check(COMPLETION, detail);
}

#[test]
fn schema_rejects_events_that_break_the_contract() {
    let valid = json!({
        "version": "1", "request_id": "r", "outcome": "detached", "trigger": "queue", "dry_run": false,
        "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a", "reason": null,
        "evidence": {
            "security_groups_before": ["sg-a", "sg-b"], "security_groups_after": ["sg-b"],
            "security_group_seen": true, "replacement_security_group_id": null, "endpoint_status": "Active",
            "confirmed_at": "2026-11-22T07:00:12.431Z",
        },
        "effort": { "deliveries": 1, "detach_calls": 1, "read_calls": 5, "retries": {} },
        "accepted_at": "2026-11-22T07:00:00.000Z", "started_at": "2026-11-22T07:00:00.000Z",
        "completed_at": "2026-11-22T07:00:12.431Z", "duration_ms": 12431, "api_request_ids": ["8D778FF9-7640-4C13-BCD6-9265CA9A2F81"], "metadata": {},
    });
    let changes = [
        ("/outcome", json!("done")),
        ("/trigger", json!("cron")),
        ("/dry_run", Value::Null),
        ("/dry_run", json!(true)),
        ("/dry_run", json!("false")),
        ("/region_id", json!("evil.com/#")),
        ("/evidence/confirmed_at", Value::Null),
        ("/evidence/security_group_seen", Value::Null),
        ("/evidence/replacement_security_group_id", json!("ep-a")),
        ("/evidence/endpoint_status", json!("Pending")),
        ("/evidence/security_groups_before", json!(["no id"])),
        ("/api_request_ids", json!(["LTAI5tSecret"])),
        ("/completed_at", json!("2026-11-22 07:00")),
        ("/effort/retries", json!({ "EndpointLocked": -1 })),
        ("/metadata", json!({ "a": 1 })),
        ("/reason", json!({ "code": "X" })),
        ("/evidence", Value::Null),
        ("/duration_ms", json!(-1)),
    ];
    check_that_it_rejects(COMPLETION, &valid, &changes);
}
