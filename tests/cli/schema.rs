//! Checks the output against the published schemas.

use serde_json::{Value, json};

use crate::schemas::{check, check_that_it_rejects};

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
