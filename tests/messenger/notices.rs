//! The messages of the queue of notices, as the worker, EventBridge and the intake make them.

use std::time::{Duration, SystemTime};

use privatelink_detach::aws::secret::SecretValue;
use privatelink_detach::chat::command::{Detach, Ticket};
use privatelink_detach::chat::decision::{ClickNotice, ClickResult};
use privatelink_detach::chat::identity::{Conversation, MessageId, Person, UserId};
use privatelink_detach::chat::notice;
use privatelink_detach::chat::policy::NotAllowed;
use privatelink_detach::chat::request::{ChatRequest, unix_seconds};
use privatelink_detach::chat::signed::{self, ChatKeys};
use privatelink_detach::chat::texts::Language;
use privatelink_detach::request::{EndpointId, RegionId, RequestId, SecurityGroupId};
use serde_json::{Value, json};

/// The keys of this deployment, and two others, each in the form in which the secret has it.
pub(crate) const KEY: &str = "a2V5LW9uZS1rZXktb25lLWtleS1vbmUta2V5LW9uZS0=";
pub(crate) const NEXT_KEY: &str = "a2V5LXR3by1rZXktdHdvLWtleS10d28ta2V5LXR3by0=";
pub(crate) const FOREIGN_KEY: &str = "Zm9yZWlnbi1mb3JlaWduLWZvcmVpZ24tZm9yZWlnbi0=";

/// The name of the request.
pub(crate) const ID: &str = "slack-0123456789abcdef01234567";

/// The secret with these keys.
pub(crate) fn keys_secret(keys: &[&str]) -> String {
    json!(keys).to_string()
}

fn keys(key: &str) -> ChatKeys {
    ChatKeys::parse(&keys_secret(&[key])).unwrap()
}

/// When the tests take place.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

/// A request that can be approved for an hour.
pub(crate) fn request() -> ChatRequest {
    let detach = Detach {
        region_id: RegionId::parse("eu-west-1").unwrap(),
        endpoint_id: EndpointId::parse("ep-a").unwrap(),
        security_group_id: SecurityGroupId::parse("sg-a").unwrap(),
        dry_run: false,
        deadline: None,
        ticket: Ticket::parse("CHG-1"),
    };
    let requester = Person::parse("slack:T04/U01").unwrap();
    let conversation = Conversation::parse("slack:T04/C07").unwrap();
    let expires_at = unix_seconds(now()) + 3600;
    ChatRequest::of_command(
        detach,
        RequestId::parse(ID).unwrap(),
        &requester,
        conversation,
        Language::En,
        expires_at,
    )
}

/// The message with the event of a dry run that passed.
pub(crate) fn preview() -> String {
    preview_signed_by(KEY)
}

/// The same, signed with this key.
pub(crate) fn preview_signed_by(key: &str) -> String {
    preview_event(key).to_string()
}

/// The event of a dry run that passed, signed with this key.
pub(crate) fn preview_event(key: &str) -> Value {
    let request = request();
    json!({
        "version": "0", "id": "e", "detail-type": "Security Group Detach Completed", "source": "privatelink-detach",
        "account": "000000000000", "time": "2027-01-15T08:00:00Z", "region": "us-east-1", "resources": [],
        "detail": {
            "version": "1", "request_id": request.request_id().as_str(), "outcome": "dry_run_passed", "trigger": "chat",
            "dry_run": true, "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a",
            "reason": null,
            "evidence": {
                "security_groups_before": ["sg-a", "sg-b"], "security_groups_after": ["sg-a", "sg-b"],
                "security_group_seen": true, "endpoint_status": "Active", "confirmed_at": null,
            },
            "effort": { "deliveries": 1, "detach_calls": 1, "read_calls": 2, "retries": {} },
            "accepted_at": "2027-01-15T07:59:58Z", "started_at": "2027-01-15T07:59:59Z",
            "completed_at": "2027-01-15T08:00:00Z", "duration_ms": 2000, "api_request_ids": [],
            "metadata": signed::metadata(&request, &keys(key)),
        },
    })
}

/// The notice of a click with this result, on a message of Slack.
fn click(result: ClickResult) -> String {
    let notice = ClickNotice {
        result,
        conversation: request().conversation,
        message: MessageId::parse("1800000000.000100"),
        person: UserId::parse("U02").unwrap(),
        language: Language::En,
        request_id: Some(request().id),
    };
    notice::body(&notice, &keys(KEY))
}

/// A person declined the request.
pub(crate) fn declined() -> String {
    click(ClickResult::Declined(request()))
}

/// A person clicked who is not an approver.
pub(crate) fn not_allowed() -> String {
    click(ClickResult::NotAllowed(NotAllowed::Approver))
}
