//! Requests, people and keys for the tests of chat.

use std::time::{Duration, SystemTime};

use super::command::Ticket;
use super::identity::{Conversation, MessageId, Person, UserId};
use super::request::{ChatRequest, Phase};
use super::signed::ChatKeys;
use super::texts::Language;
use crate::aws::secret::SecretValue;
use crate::request::{EndpointId, RegionId, RequestId, SecurityGroupId};

/// The key of the bytes 0 to 31.
pub(crate) const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Another key.
pub(crate) const KEY_NEXT: &str = "IAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// When [`request`] expires, in seconds since 1970-01-01.
pub(crate) const EXPIRES_AT: u64 = 1_795_334_400;

pub(crate) fn keys(list: &[&str]) -> ChatKeys {
    ChatKeys::parse(&serde_json::json!(list).to_string()).unwrap()
}

pub(crate) fn conversation() -> Conversation {
    Conversation::parse("slack:T04TEAMAAAA/C04OPSAAAAA").unwrap()
}

/// A person of the conversation's workspace.
pub(crate) fn person(id: &str) -> Person {
    Person { tenant: conversation().tenant, id: UserId::parse(id).unwrap() }
}

pub(crate) fn requester() -> Person {
    person("U04REQUESTR")
}

pub(crate) fn approver() -> Person {
    person("U09APPROVER")
}

pub(crate) fn message() -> MessageId {
    MessageId::parse("1795330710.000100").unwrap()
}

/// A request as a command makes it.
pub(crate) fn request() -> ChatRequest {
    ChatRequest {
        conversation: conversation(),
        thread: None,
        requester: requester().id,
        approver: None,
        language: Language::En,
        phase: Phase::Preview,
        id: RequestId::parse("slack-0123456789abcdef01234567").unwrap(),
        region_id: RegionId::parse("eu-west-1").unwrap(),
        endpoint_id: EndpointId::parse("ep-hp33b2e43fays7s8abcd").unwrap(),
        security_group_id: SecurityGroupId::parse("sg-hp3c8qj1tyct90ejabcd").unwrap(),
        dry_run: false,
        expires_at: EXPIRES_AT,
        deadline: Some(Duration::from_hours(2)),
        ticket: Ticket::parse("CHG-7"),
    }
}

/// The same request after its approval.
pub(crate) fn approved() -> ChatRequest {
    ChatRequest { phase: Phase::Outcome, thread: Some(message()), approver: Some(approver().id), ..request() }
}

/// A request whose every id is as long as its type allows.
pub(crate) fn longest() -> ChatRequest {
    let id = "I".repeat(64);
    let conversation = format!("slack:{id}/{}", "/".repeat(128));
    ChatRequest {
        conversation: Conversation::parse(&conversation).unwrap(),
        thread: MessageId::parse(&id),
        requester: UserId::parse(&id).unwrap(),
        approver: UserId::parse(&"J".repeat(64)),
        language: Language::Zh,
        phase: Phase::Outcome,
        id: RequestId::parse(&id).unwrap(),
        region_id: RegionId::parse(&format!("eu-{}", "r".repeat(29))).unwrap(),
        endpoint_id: EndpointId::parse(&format!("ep-{}", "e".repeat(61))).unwrap(),
        security_group_id: SecurityGroupId::parse(&format!("sg-{}", "s".repeat(61))).unwrap(),
        dry_run: false,
        expires_at: u64::MAX,
        deadline: Some(Duration::from_hours(11)),
        ticket: Ticket::parse(&id),
    }
}

/// So many seconds since 1970-01-01.
pub(crate) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
