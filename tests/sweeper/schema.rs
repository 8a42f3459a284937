//! Checks the events of sweeps against the published schema.

use serde_json::{Value, json};

use crate::schemas::check_that_it_rejects;

const SWEEP: &str = include_str!("../../docs/sweep-completed.schema.json");

/// Panics with all violations if `detail` does not conform to the schema.
pub(crate) fn check(detail: &Value) {
    crate::schemas::check(SWEEP, detail);
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
            "status": "Attached", "requested": false, "blocked_by": "FinancialLocked", "replacement_security_group_id": null,
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
        ("/references/0/replacement_security_group_id", json!("sg-b")),
        ("/requested_count", json!(1)),
        ("/reason", Value::Null),
        ("/reason/code", json!("OverLimit")),
        ("/reason/runbook", json!("docs/runbook.md")),
    ];
    check_that_it_rejects(SWEEP, &valid, &changes);
}

#[test]
fn only_a_sweep_that_was_carried_out_has_requests() {
    let valid = json!({
        "version": "1", "sweep_id": "s", "mode": "apply", "mode_requested": "apply", "verdict": "references_found",
        "security_group_ids": ["sg-a"], "security_groups_found": null, "scope": "all",
        "endpoints_read": { "eu-west-1": 2 }, "endpoints_skipped": { "eu-west-1": 0 }, "endpoints_unread": {},
        "started_at": "2026-11-22T07:00:00.000Z", "completed_at": "2026-11-22T07:14:00.000Z",
        "references": [{
            "region_id": "eu-west-1", "endpoint_id": "ep-a", "endpoint_name": null, "security_group_id": "sg-a",
            "status": "Detaching", "requested": true, "blocked_by": null, "replacement_security_group_id": null,
        }],
        "references_total": 1, "requested_count": 2, "remaining_count": 1,
        "reason": { "code": "NotRequested", "message": "m", "advice": "a", "runbook": "docs/runbook.md#notrequested" },
    });
    let changes = [
        ("/mode", json!("report")),
        ("/mode_requested", json!("report")),
        ("/verdict", json!("no_references")),
        ("/verdict", json!("over_limit")),
        ("/verdict", json!("incomplete")),
        ("/references", json!([])),
        ("/references/0/replacement_security_group_id", json!("vpc-a")),
        ("/reason/code", json!("OverLimit")),
    ];
    check_that_it_rejects(SWEEP, &valid, &changes);
}
