//! Decides about a click: what it ends as, which the messenger posts.

use std::time::SystemTime;

use super::call::{Action, Click};
use super::identity::{Conversation, MessageId, UserId};
use super::policy::{NotAllowed, Policy};
use super::request::{ChatRequest, Phase};
use super::signed::{self, ChatKeys};
use super::texts::Language;
use crate::request::RequestId;

/// What the messenger posts about a click.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickNotice {
    pub result: ClickResult,
    pub conversation: Conversation,
    /// The message with the button, where the platform names it.
    pub message: Option<MessageId>,
    /// The person who clicked, of the conversation's tenant.
    pub person: UserId,
    pub language: Language,
    /// The request of the button, if the button can be verified.
    pub request_id: Option<RequestId>,
}

/// What a click ends as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClickResult {
    /// The request goes to the worker before the notice goes to the messenger.
    Approved(ChatRequest),
    Declined(ChatRequest),
    /// The request can no longer be approved.
    Expired(ChatRequest),
    /// For the person who clicked alone.
    NotAllowed(NotAllowed),
}

impl ClickResult {
    /// The name in logs and notices.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Approved(_) => "approved",
            Self::Declined(_) => "declined",
            Self::Expired(_) => "expired",
            Self::NotAllowed(_) => "not_allowed",
        }
    }
}

/// Decides about a click whose platform verified it. `language` is that of a text for a button that cannot be verified.
///
/// An error is for the log alone: this deployment does not post to the conversation.
pub fn decide(
    click: &Click,
    policy: &Policy,
    keys: &ChatKeys,
    language: Language,
    now: SystemTime,
) -> Result<ClickNotice, NotAllowed> {
    let request = signed::open_button(&click.value, keys);
    let signed = request.as_ref().map(|request| &request.conversation);
    let conversation = click.conversation.as_ref().or(signed).ok_or(NotAllowed::Unverified)?.clone();
    policy.check_place(&click.person, &conversation)?;
    let language = request.as_ref().map_or(language, |request| request.language);
    // A button of another conversation was copied.
    let request = request.filter(|request| request.conversation == conversation);
    let request_id = request.as_ref().map(|request| request.id.clone());
    let result = match request {
        None => ClickResult::NotAllowed(NotAllowed::Unverified),
        Some(request) => of_request(request, click, policy, now),
    };
    let (message, person) = (click.message.clone(), click.person.id.clone());
    Ok(ClickNotice { result, conversation, message, person, language, request_id })
}

fn of_request(request: ChatRequest, click: &Click, policy: &Policy, now: SystemTime) -> ClickResult {
    let requester = request.requester();
    let allowed = match click.action {
        Action::Approve => policy.check_approval(&click.person, &requester, &request.conversation),
        Action::Decline => policy.check_decline(&click.person, &requester),
    };
    match (allowed, click.action) {
        (Err(why), _) => ClickResult::NotAllowed(why),
        (Ok(()), _) if request.is_expired(now) => ClickResult::Expired(request),
        (Ok(()), Action::Decline) => ClickResult::Declined(request),
        (Ok(()), Action::Approve) => ClickResult::Approved(ChatRequest {
            phase: Phase::Outcome,
            thread: click.message.clone().or_else(|| request.thread.clone()),
            approver: Some(click.person.id.clone()),
            ..request
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::identity::{Person, Tenant};
    use crate::chat::policy::Requesters;
    use crate::chat::samples::{
        EXPIRES_AT, KEY, KEY_NEXT, approved, approver, at, conversation, keys, message, person, request,
        requester,
    };

    fn policy() -> Policy {
        Policy {
            tenants: [conversation().tenant, tenant("slack:T04OTHER")].into(),
            conversations: [conversation(), other_conversation()].into(),
            requesters: Requesters::Anyone,
            approvers: [approver(), requester()].into(),
        }
    }

    fn tenant(text: &str) -> Tenant {
        Tenant::parse(text).unwrap()
    }

    fn other_conversation() -> Conversation {
        Conversation::parse("slack:T04TEAMAAAA/C04OTHER").unwrap()
    }

    /// A click of the approver on a button of [`request`].
    fn click(action: Action) -> Click {
        Click {
            person: approver(),
            conversation: Some(conversation()),
            message: Some(message()),
            action,
            value: signed::button(&request(), &keys(&[KEY])),
        }
    }

    fn decide_at(click: &Click, seconds: u64) -> Result<ClickNotice, NotAllowed> {
        decide(click, &policy(), &keys(&[KEY]), Language::Zh, at(seconds))
    }

    /// What a click ends as before the expiry.
    fn result(click: &Click) -> ClickResult {
        decide_at(click, EXPIRES_AT - 1).unwrap().result
    }

    #[test]
    fn approval_names_the_approver_and_the_thread() {
        let notice = decide_at(&click(Action::Approve), EXPIRES_AT - 1);
        let expected = ClickNotice {
            result: ClickResult::Approved(approved()),
            conversation: conversation(),
            message: Some(message()),
            person: approver().id,
            language: Language::En,
            request_id: Some(request().id),
        };
        assert_eq!(notice, Ok(expected));
        assert_eq!(approved().request_id(), request().id);
    }

    #[test]
    fn requester_and_approver_may_decline() {
        for who in [requester(), approver()] {
            let click = Click { person: who.clone(), ..click(Action::Decline) };
            assert_eq!(result(&click), ClickResult::Declined(request()), "{who}");
        }
        let click = Click { person: person("U04OTHER"), ..click(Action::Decline) };
        assert_eq!(result(&click), ClickResult::NotAllowed(NotAllowed::Approver));
    }

    #[test]
    fn requester_cannot_approve_even_as_a_listed_approver() {
        let click = Click { person: requester(), ..click(Action::Approve) };
        assert_eq!(result(&click), ClickResult::NotAllowed(NotAllowed::OwnRequest));
    }

    #[test]
    fn person_who_is_not_listed_cannot_approve() {
        let click = Click { person: person("U04OTHER"), ..click(Action::Approve) };
        assert_eq!(result(&click), ClickResult::NotAllowed(NotAllowed::Approver));
        assert_eq!(decide_at(&click, EXPIRES_AT).unwrap().person, person("U04OTHER").id);
    }

    #[test]
    fn request_cannot_be_approved_or_declined_from_its_expiry_on() {
        for action in [Action::Approve, Action::Decline] {
            let notice = |seconds| decide_at(&click(action), seconds).unwrap().result;
            assert_ne!(notice(EXPIRES_AT - 1), ClickResult::Expired(request()));
            for seconds in [EXPIRES_AT, EXPIRES_AT + 1, 2 * EXPIRES_AT] {
                assert_eq!(notice(seconds), ClickResult::Expired(request()), "{seconds}");
            }
        }
        // Only people who may approve learn that it is too late.
        let click = Click { person: person("U04OTHER"), ..click(Action::Approve) };
        let notice = decide_at(&click, EXPIRES_AT).unwrap();
        assert_eq!(notice.result, ClickResult::NotAllowed(NotAllowed::Approver));
    }

    #[test]
    fn place_that_is_not_allowed_gets_no_notice() {
        let unlisted = Conversation::parse("slack:T04TEAMAAAA/C04THIRD").unwrap();
        let other_tenant = Conversation::parse("slack:T04THIRD/C04OPSAAAAA").unwrap();
        let guest = Person::parse("slack:T04OTHER/U09APPROVER").unwrap();
        for (click, why) in [
            (Click { conversation: Some(unlisted), ..click(Action::Approve) }, NotAllowed::Conversation),
            (Click { conversation: Some(other_tenant), ..click(Action::Approve) }, NotAllowed::Tenant),
            // A person of another workspace in a shared channel.
            (Click { person: guest, ..click(Action::Approve) }, NotAllowed::Tenant),
        ] {
            assert_eq!(decide_at(&click, EXPIRES_AT - 1), Err(why), "{click:?}");
        }
    }

    #[test]
    fn button_that_no_key_made_is_unverified_in_the_language_of_the_deployment() {
        let others = signed::button(&request(), &keys(&[KEY_NEXT]));
        for value in ["", "x", &others, &format!("{}x", click(Action::Approve).value)] {
            for action in [Action::Approve, Action::Decline] {
                let click = Click { value: value.to_owned(), ..click(action) };
                let notice = decide_at(&click, EXPIRES_AT - 1).unwrap();
                assert_eq!(notice.result, ClickResult::NotAllowed(NotAllowed::Unverified), "{value}");
                assert_eq!((notice.conversation, notice.language), (conversation(), Language::Zh));
            }
        }
    }

    #[test]
    fn button_copied_into_another_conversation_is_unverified() {
        let click = Click { conversation: Some(other_conversation()), ..click(Action::Approve) };
        let notice = decide_at(&click, EXPIRES_AT - 1).unwrap();
        assert_eq!(notice.result, ClickResult::NotAllowed(NotAllowed::Unverified));
        assert_eq!(notice.conversation, other_conversation());
    }

    #[test]
    fn conversation_that_the_platform_does_not_name_is_the_signed_one() {
        let nameless = Click { conversation: None, message: None, ..click(Action::Approve) };
        let notice = decide_at(&nameless, EXPIRES_AT - 1).unwrap();
        assert_eq!(notice.conversation, conversation());
        let ClickResult::Approved(request) = notice.result else { panic!("{notice:?}") };
        assert_eq!((request.thread, request.approver), (None, Some(approver().id)));
        // The message that the request names stays the one to answer.
        let asked = ChatRequest { thread: Some(message()), ..self::request() };
        let asked = Click { value: signed::button(&asked, &keys(&[KEY])), ..nameless.clone() };
        let ClickResult::Approved(request) = result(&asked) else { panic!("an approval") };
        assert_eq!(request.thread, Some(message()));
        let unverified = Click { value: String::new(), ..nameless };
        assert_eq!(decide_at(&unverified, EXPIRES_AT - 1), Err(NotAllowed::Unverified));
    }
}
