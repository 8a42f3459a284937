//! The signed text of each notice that the intake sends to the messenger.

use super::super::answer::AnswerNotice;
use super::super::decision::{ClickNotice, ClickResult};
use super::super::identity::{Conversation, ConversationId, MessageId, Platform, Tenant, TenantId, UserId};
use super::super::policy::NotAllowed;
use super::super::request::ChatRequest;
use super::super::texts::Language;
use super::keys::{ANSWER_LENGTH_MAX, ChatKeys, LENGTH_MAX, Purpose, unsealed};
use super::{button, open_button, optional, parse_optional};
use crate::request::RequestId;

/// The text of a click's notice.
#[must_use]
pub fn notice(notice: &ClickNotice, keys: &ChatKeys) -> String {
    let ClickNotice { result, conversation, message, person, language, request_id } = notice;
    let (why, request) = match result {
        ClickResult::Approved(request) | ClickResult::Declined(request) | ClickResult::Expired(request) => {
            (String::new(), button(request, keys))
        }
        ClickResult::NotAllowed(why) => {
            (why.name().to_owned(), optional(request_id.as_ref().map(RequestId::as_str)))
        }
    };
    let tenant = &conversation.tenant;
    let fields = [
        result.name().to_owned(),
        why,
        tenant.platform.name().to_owned(),
        tenant.id.to_string(),
        conversation.id.to_string(),
        optional(message.as_ref().map(MessageId::as_str)),
        person.to_string(),
        language.name().to_owned(),
        request,
    ];
    keys.seal(Purpose::Notice, &fields, &fields)
}

/// The notice of a click in a text; `None` if no key of this deployment made it.
#[must_use]
pub fn open_notice(text: &str, keys: &ChatKeys) -> Option<ClickNotice> {
    let (fields, signature) = unsealed(text, LENGTH_MAX)?;
    let [result, why, platform, tenant, conversation, message, person, language, request] = fields.as_slice()
    else {
        return None;
    };
    let of_request = |make: fn(ChatRequest) -> ClickResult| open_button(request, keys).map(make);
    let result = match result.as_str() {
        "approved" => of_request(ClickResult::Approved)?,
        "declined" => of_request(ClickResult::Declined)?,
        "expired" => of_request(ClickResult::Expired)?,
        "not_allowed" => ClickResult::NotAllowed(NotAllowed::parse(why)?),
        _ => return None,
    };
    let tenant = Tenant { platform: Platform::parse(platform)?, id: TenantId::parse(tenant)? };
    let request_id = match &result {
        ClickResult::Approved(request) | ClickResult::Declined(request) | ClickResult::Expired(request) => {
            Some(request.id.clone())
        }
        ClickResult::NotAllowed(_) => parse_optional(request, RequestId::parse).ok()?,
    };
    let notice = ClickNotice {
        result,
        conversation: Conversation { tenant, id: ConversationId::parse(conversation)? },
        message: parse_optional(message, MessageId::parse).ok()?,
        person: UserId::parse(person)?,
        language: Language::parse(language)?,
        request_id,
    };
    keys.verify(Purpose::Notice, &fields, signature).then_some(notice)
}

/// The text of an answer.
#[must_use]
pub fn answer(answer: &AnswerNotice, keys: &ChatKeys) -> String {
    let AnswerNotice { conversation, message, person, language, request_id, text } = answer;
    let tenant = &conversation.tenant;
    let fields = [
        tenant.platform.name().to_owned(),
        tenant.id.to_string(),
        conversation.id.to_string(),
        optional(message.as_ref().map(MessageId::as_str)),
        person.to_string(),
        language.name().to_owned(),
        optional(request_id.as_ref().map(RequestId::as_str)),
        text.clone(),
    ];
    keys.seal(Purpose::Answer, &fields, &fields)
}

/// The answer in a text; `None` if no key of this deployment made it.
#[must_use]
pub fn open_answer(text: &str, keys: &ChatKeys) -> Option<AnswerNotice> {
    let (fields, signature) = unsealed(text, ANSWER_LENGTH_MAX)?;
    let [platform, tenant, conversation, message, person, language, request_id, text] = fields.as_slice()
    else {
        return None;
    };
    let tenant = Tenant { platform: Platform::parse(platform)?, id: TenantId::parse(tenant)? };
    let answer = AnswerNotice {
        conversation: Conversation { tenant, id: ConversationId::parse(conversation)? },
        message: parse_optional(message, MessageId::parse).ok()?,
        person: UserId::parse(person)?,
        language: Language::parse(language)?,
        request_id: parse_optional(request_id, RequestId::parse).ok()?,
        text: text.clone(),
    };
    keys.verify(Purpose::Answer, &fields, signature).then_some(answer)
}
