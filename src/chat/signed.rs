//! Signs the content of a request for each use, and verifies it: the button's value, the reply address, the notice of a
//! click, the answer to a command.
//!
//! Signed means authenticated, not secret: everyone who sees a value can read it. Each use has its own purpose, so that a
//! reply address is not accepted as a button. `keys` makes and verifies the signature.

mod keys;
mod notices;

use std::time::Duration;

use super::command::Ticket;
use super::identity::{Conversation, ConversationId, MessageId, Person, Platform, Tenant, TenantId, UserId};
use super::request::{ChatRequest, Phase};
use super::texts::Language;
use crate::request::{EndpointId, Metadata, RegionId, RequestId, SecurityGroupId};

pub use keys::{ChatKeys, LENGTH_MAX, UnusableKeys};
use keys::{Purpose, unsealed};
pub use notices::{answer, notice, open_answer, open_notice};

/// The fields of `metadata`.
const REPLY: &str = "chat";
const REQUESTED_BY: &str = "requested_by";
const APPROVED_BY: &str = "approved_by";
const TICKET: &str = "ticket";

/// The value of a request's buttons.
#[must_use]
pub fn button(request: &ChatRequest, keys: &ChatKeys) -> String {
    let fields = fields(request);
    keys.seal(Purpose::Button, &fields, &fields)
}

/// The request in the value of a button; `None` if no key of this deployment made it.
#[must_use]
pub fn open_button(value: &str, keys: &ChatKeys) -> Option<ChatRequest> {
    let (fields, signature) = unsealed(value, LENGTH_MAX)?;
    let request = request_of(&fields)?;
    keys.verify(Purpose::Button, &fields, signature).then_some(request)
}

/// The metadata of a request for the worker, which the completion event repeats: the signed reply address, and in clear the
/// people and the ticket. The signature covers all of it, and what the request asks for.
#[must_use]
pub fn metadata(request: &ChatRequest, keys: &ChatKeys) -> Metadata {
    let ChatRequest { conversation, thread, language, phase, dry_run, expires_at, deadline, .. } = request;
    let carried = [
        conversation.id.to_string(),
        optional(thread.as_ref().map(MessageId::as_str)),
        language.name().to_owned(),
        phase.name().to_owned(),
        dry_run.to_string(),
        expires_at.to_string(),
        seconds(*deadline),
    ];
    let mut metadata = Metadata::new();
    metadata.insert(REPLY.to_owned(), keys.seal(Purpose::Reply, &carried, &fields(request)));
    metadata.insert(REQUESTED_BY.to_owned(), request.requester().to_string());
    if let Some(approver) = request.approver() {
        metadata.insert(APPROVED_BY.to_owned(), approver.to_string());
    }
    if let Some(ticket) = &request.ticket {
        metadata.insert(TICKET.to_owned(), ticket.as_str().to_owned());
    }
    metadata
}

/// What a completion event says about its request, beside the metadata.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub request_id: &'a RequestId,
    pub region_id: &'a RegionId,
    pub endpoint_id: &'a EndpointId,
    pub security_group_id: &'a SecurityGroupId,
}

/// The request of a completion event; `None` if no key of this deployment signed its reply address for this subject.
#[must_use]
pub fn open_metadata(metadata: &Metadata, subject: Subject<'_>, keys: &ChatKeys) -> Option<ChatRequest> {
    let (carried, signature) = unsealed(metadata.get(REPLY)?, LENGTH_MAX)?;
    let [conversation, thread, language, phase, dry_run, expires_at, deadline] = carried.as_slice() else {
        return None;
    };
    let requester = Person::parse(metadata.get(REQUESTED_BY)?)?;
    let approver = parse_entry(metadata, APPROVED_BY, Person::parse).ok()?;
    let is_of_other_tenant = |person: &Person| person.tenant != requester.tenant;
    if approver.as_ref().is_some_and(is_of_other_tenant) {
        return None;
    }
    let phase = Phase::parse(phase)?;
    let request = ChatRequest {
        conversation: Conversation { tenant: requester.tenant, id: ConversationId::parse(conversation)? },
        thread: parse_optional(thread, MessageId::parse).ok()?,
        requester: requester.id,
        approver: approver.map(|person| person.id),
        language: Language::parse(language)?,
        phase,
        id: phase.id(subject.request_id)?,
        region_id: subject.region_id.clone(),
        endpoint_id: subject.endpoint_id.clone(),
        security_group_id: subject.security_group_id.clone(),
        dry_run: parse_bool(dry_run)?,
        expires_at: expires_at.parse().ok()?,
        deadline: parse_optional(deadline, parse_seconds).ok()?,
        ticket: parse_entry(metadata, TICKET, Ticket::parse).ok()?,
    };
    keys.verify(Purpose::Reply, &fields(&request), signature).then_some(request)
}

/// The fields of a request in the order in which they are signed.
fn fields(request: &ChatRequest) -> [String; 16] {
    let tenant = &request.conversation.tenant;
    [
        tenant.platform.name().to_owned(),
        tenant.id.to_string(),
        request.conversation.id.to_string(),
        request.requester.to_string(),
        request.language.name().to_owned(),
        request.phase.name().to_owned(),
        request.id.to_string(),
        request.region_id.to_string(),
        request.endpoint_id.to_string(),
        request.security_group_id.to_string(),
        request.dry_run.to_string(),
        request.expires_at.to_string(),
        seconds(request.deadline),
        optional(request.ticket.as_ref().map(Ticket::as_str)),
        optional(request.thread.as_ref().map(MessageId::as_str)),
        optional(request.approver.as_ref().map(UserId::as_str)),
    ]
}

/// The request of these fields, not verified.
fn request_of(fields: &[String]) -> Option<ChatRequest> {
    let [
        platform,
        tenant,
        conversation,
        requester,
        language,
        phase,
        id,
        region_id,
        endpoint_id,
        security_group_id,
        dry_run,
        expires_at,
        deadline,
        ticket,
        thread,
        approver,
    ] = fields
    else {
        return None;
    };
    let tenant = Tenant { platform: Platform::parse(platform)?, id: TenantId::parse(tenant)? };
    Some(ChatRequest {
        conversation: Conversation { tenant, id: ConversationId::parse(conversation)? },
        thread: parse_optional(thread, MessageId::parse).ok()?,
        requester: UserId::parse(requester)?,
        approver: parse_optional(approver, UserId::parse).ok()?,
        language: Language::parse(language)?,
        phase: Phase::parse(phase)?,
        id: RequestId::parse(id)?,
        region_id: RegionId::parse(region_id)?,
        endpoint_id: EndpointId::parse(endpoint_id)?,
        security_group_id: SecurityGroupId::parse(security_group_id)?,
        dry_run: parse_bool(dry_run)?,
        expires_at: expires_at.parse().ok()?,
        deadline: parse_optional(deadline, parse_seconds).ok()?,
        ticket: parse_optional(ticket, Ticket::parse).ok()?,
    })
}

/// An absent value is an empty field: no valid value is empty.
fn optional(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

/// A field of a signed value is not one that this program writes.
struct Malformed;

fn parse_optional<T>(field: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Malformed> {
    if field.is_empty() { Ok(None) } else { parse(field).map(Some).ok_or(Malformed) }
}

/// The value of an optional key of `metadata`.
fn parse_entry<T>(
    metadata: &Metadata,
    key: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Malformed> {
    metadata.get(key).map(|text| parse(text).ok_or(Malformed)).transpose()
}

fn seconds(deadline: Option<Duration>) -> String {
    deadline.map_or_else(String::new, |deadline| deadline.as_secs().to_string())
}

fn parse_seconds(field: &str) -> Option<Duration> {
    field.parse().ok().map(Duration::from_secs)
}

fn parse_bool(field: &str) -> Option<bool> {
    field.parse().ok()
}

#[cfg(test)]
mod tests;
