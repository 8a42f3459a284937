//! The messages of the queue of notices, as the worker, EventBridge and the intake make them.

use std::time::{Duration, SystemTime};

use privatelink_detach::aws::secret::SecretValue;
use privatelink_detach::chat::answer::AnswerNotice;
use privatelink_detach::chat::command::{Detach, Ticket};
use privatelink_detach::chat::decision::{ClickNotice, ClickResult};
use privatelink_detach::chat::identity::{Conversation, MessageId, Person, UserId};
use privatelink_detach::chat::notice;
use privatelink_detach::chat::policy::NotAllowed;
use privatelink_detach::chat::request::{ChatRequest, Phase, unix_seconds};
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

/// Where a request is made, and by whom.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) conversation: &'static str,
    pub(crate) requester: &'static str,
    pub(crate) approver: &'static str,
    pub(crate) id: &'static str,
    /// The message with the command, if the platform names it.
    pub(crate) command: Option<&'static str>,
    /// The message with the buttons.
    pub(crate) card: &'static str,
}

pub(crate) const SLACK: Place = Place {
    conversation: "slack:T04/C07",
    requester: "slack:T04/U01",
    approver: "U02",
    id: ID,
    command: None,
    card: "1800000000.000100",
};

pub(crate) const DINGTALK: Place = Place {
    conversation: "dingtalk:ding04/cid07/a+b==",
    requester: "dingtalk:ding04/user01",
    approver: "user02",
    id: "dingtalk-0123456789abcdef01234567",
    command: None,
    card: "dingtalk-ffffffffffffffffffffffff",
};

pub(crate) const FEISHU: Place = Place {
    conversation: "feishu:tenant04/oc_07",
    requester: "feishu:tenant04/ou_01",
    approver: "ou_02",
    id: "feishu-0123456789abcdef01234567",
    command: Some("om_command"),
    card: "om_card",
};

/// A request that can be approved for an hour.
pub(crate) fn request(place: &Place) -> ChatRequest {
    let detach = Detach {
        region_id: RegionId::parse("eu-west-1").unwrap(),
        endpoint_id: EndpointId::parse("ep-a").unwrap(),
        security_group_id: SecurityGroupId::parse("sg-a").unwrap(),
        dry_run: false,
        deadline: None,
        ticket: Ticket::parse("CHG-1"),
    };
    let requester = Person::parse(place.requester).unwrap();
    let conversation = Conversation::parse(place.conversation).unwrap();
    let expires_at = unix_seconds(now()) + 3600;
    let id = RequestId::parse(place.id).unwrap();
    let thread = place.command.and_then(MessageId::parse);
    let request = ChatRequest::of_command(detach, id, &requester, conversation, Language::En, expires_at);
    ChatRequest { thread, ..request }
}

/// What an approval makes of it.
fn approved_request(place: &Place) -> ChatRequest {
    ChatRequest {
        phase: Phase::Outcome,
        thread: MessageId::parse(place.card),
        approver: UserId::parse(place.approver),
        ..request(place)
    }
}

/// The message with the event of a dry run that passed.
pub(crate) fn preview() -> String {
    preview_signed_by(KEY)
}

/// The same, signed with this key.
pub(crate) fn preview_signed_by(key: &str) -> String {
    preview_event(key).to_string()
}

/// The message with the event of a dry run that passed on this platform.
pub(crate) fn preview_at(place: &Place) -> String {
    event(&request(place), "dry_run_passed", KEY).to_string()
}

/// The message with the event of a confirmed detach on this platform.
pub(crate) fn outcome_at(place: &Place) -> String {
    event(&approved_request(place), "detached", KEY).to_string()
}

/// The event of a dry run that passed, signed with this key.
pub(crate) fn preview_event(key: &str) -> Value {
    event(&request(&SLACK), "dry_run_passed", key)
}

/// The event of a request that ended with this outcome.
fn event(request: &ChatRequest, outcome: &str, key: &str) -> Value {
    json!({
        "version": "0", "id": "e", "detail-type": "Security Group Detach Completed", "source": "privatelink-detach",
        "account": "000000000000", "time": "2027-01-15T08:00:00Z", "region": "us-east-1", "resources": [],
        "detail": {
            "version": "1", "request_id": request.request_id().as_str(), "outcome": outcome, "trigger": "chat",
            "dry_run": request.phase == Phase::Preview, "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a",
            "reason": null,
            "evidence": {
                "security_groups_before": ["sg-a", "sg-b"], "security_groups_after": ["sg-a", "sg-b"],
                "security_group_seen": true, "replacement_security_group_id": null,
                "endpoint_status": "Active", "confirmed_at": null,
            },
            "effort": { "deliveries": 1, "detach_calls": 1, "read_calls": 2, "retries": {} },
            "accepted_at": "2027-01-15T07:59:58Z", "started_at": "2027-01-15T07:59:59Z",
            "completed_at": "2027-01-15T08:00:00Z", "duration_ms": 2000, "api_request_ids": [],
            "metadata": signed::metadata(request, &keys(key)),
        },
    })
}

/// The notice of a click with this result, on the message with the buttons.
fn click(place: &Place, result: ClickResult) -> String {
    let notice = ClickNotice {
        result,
        conversation: request(place).conversation,
        message: MessageId::parse(place.card),
        person: UserId::parse(place.approver).unwrap(),
        language: Language::En,
        request_id: Some(request(place).id),
    };
    notice::body(&notice, &keys(KEY))
}

/// A person approved the request.
pub(crate) fn approved_at(place: &Place) -> String {
    click(place, ClickResult::Approved(approved_request(place)))
}

/// A person declined the request.
pub(crate) fn declined_at(place: &Place) -> String {
    click(place, ClickResult::Declined(request(place)))
}

/// A person clicked who is not an approver.
pub(crate) fn not_allowed_at(place: &Place) -> String {
    click(place, ClickResult::NotAllowed(NotAllowed::Approver))
}

/// A person declined the request in Slack.
pub(crate) fn declined() -> String {
    declined_at(&SLACK)
}

/// A person clicked in Slack who is not an approver.
pub(crate) fn not_allowed() -> String {
    not_allowed_at(&SLACK)
}

/// The answer to a command.
pub(crate) fn answer_at(place: &Place) -> String {
    let ChatRequest { conversation, thread, requester, .. } = request(place);
    let answer = AnswerNotice {
        conversation,
        message: thread,
        person: requester,
        language: Language::En,
        request_id: Some(request(place).request_id()),
        text: "the answer".to_owned(),
    };
    notice::answer_body(&answer, &keys(KEY))
}
