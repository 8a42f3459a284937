//! The notices: everything that the messenger posts, parsed from the messages of its queue.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::answer::AnswerNotice;
use super::completion::{ChatCompletion, OutcomeName};
use super::decision::ClickNotice;
use super::identity::Conversation;
use super::request::{ChatRequest, Phase};
use super::signed::{self, ChatKeys, Subject};
use super::texts::{Language, LanguageSetting};
use crate::completion::SOURCE;
use crate::json::{Object, without_byte_order_mark};
use crate::request::RequestId;

/// One thing to post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The dry run passed: the groups now and after, and the buttons.
    ApprovalRequest {
        request: ChatRequest,
        completion: ChatCompletion,
        /// The signed value of both buttons.
        button: String,
    },
    /// The dry run passed too late: the request can no longer be approved.
    PreviewExpired { request: ChatRequest },
    /// The result of a dry run, without buttons: another outcome, or the requester wanted the dry run alone.
    Preview { request: ChatRequest, completion: ChatCompletion },
    /// The result of an approved request, in the thread of its approval request.
    Outcome { request: ChatRequest, completion: ChatCompletion },
    /// A click.
    Click(ClickNotice),
    /// The answer to a command.
    Answer(AnswerNotice),
}

/// Why a message of the queue is not posted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoNotice {
    /// Neither a completion event with the trigger `chat` nor a notice of the intake.
    #[error("the message is neither a completion event of a chat request nor a notice")]
    Unreadable,
    /// No key of this deployment signed it.
    #[error("no chat signing key of this deployment made the signature")]
    Unverified {
        /// The request that a completion event names, for the log.
        request_id: Option<RequestId>,
    },
}

/// The message of the intake about a click.
#[derive(Deserialize)]
struct ClickMessage {
    chat_notice: String,
}

/// The message of the intake with the answer to a command.
#[derive(Deserialize)]
struct AnswerMessage {
    chat_answer: String,
}

/// An `EventBridge` event.
#[derive(Deserialize)]
struct Event {
    source: String,
    detail: Box<RawValue>,
}

/// The body of a message with the answer to a command.
#[must_use]
pub fn answer_body(answer: &AnswerNotice, keys: &ChatKeys) -> String {
    serde_json::json!({ "chat_answer": signed::answer(answer, keys) }).to_string()
}

/// The body of a message with the notice of a click.
#[must_use]
pub fn body(notice: &ClickNotice, keys: &ChatKeys) -> String {
    serde_json::json!({ "chat_notice": signed::notice(notice, keys) }).to_string()
}

impl Notice {
    /// The notice in the body of a message.
    pub fn parse(
        body: &str,
        keys: &ChatKeys,
        language: LanguageSetting,
        now: SystemTime,
    ) -> Result<Self, NoNotice> {
        let body = without_byte_order_mark(body);
        let unverified = NoNotice::Unverified { request_id: None };
        if let Ok(Object(AnswerMessage { chat_answer })) = serde_json::from_str(body) {
            return signed::open_answer(&chat_answer, keys).map(Self::Answer).ok_or(unverified);
        }
        if let Ok(Object(ClickMessage { chat_notice })) = serde_json::from_str(body) {
            let notice = signed::open_notice(&chat_notice, keys).ok_or(unverified)?;
            let language = language.resolve(notice.language);
            return Ok(Self::Click(ClickNotice { language, ..notice }));
        }
        let Object(event): Object<Event> = serde_json::from_str(body).map_err(|_| NoNotice::Unreadable)?;
        if event.source != SOURCE {
            return Err(NoNotice::Unreadable);
        }
        let completion = ChatCompletion::parse(event.detail.get()).ok_or(NoNotice::Unreadable)?;
        let subject = Subject {
            request_id: &completion.request_id,
            region_id: &completion.region_id,
            endpoint_id: &completion.endpoint_id,
            security_group_id: &completion.security_group_id,
        };
        let Some(request) = signed::open_metadata(&completion.metadata, subject, keys) else {
            return Err(NoNotice::Unverified { request_id: Some(completion.request_id) });
        };
        let request = ChatRequest { language: language.resolve(request.language), ..request };
        Ok(Self::of_completion(request, completion, keys, now))
    }

    /// Whether it is a preview or an outcome is decided by the signed phase, never by `dry_run`. A preview that was not
    /// carried out as a dry run was changed in the queue: it has no button.
    fn of_completion(
        request: ChatRequest,
        completion: ChatCompletion,
        keys: &ChatKeys,
        now: SystemTime,
    ) -> Self {
        match request.phase {
            Phase::Outcome => Self::Outcome { request, completion },
            Phase::Preview
                if request.dry_run
                    || !completion.dry_run
                    || completion.outcome != OutcomeName::DryRunPassed =>
            {
                Self::Preview { request, completion }
            }
            Phase::Preview if request.is_expired(now) => Self::PreviewExpired { request },
            Phase::Preview => {
                let button = signed::button(&request, keys);
                Self::ApprovalRequest { request, completion, button }
            }
        }
    }

    /// Where it is posted.
    #[must_use]
    pub fn conversation(&self) -> &Conversation {
        match self {
            Self::ApprovalRequest { request, .. }
            | Self::PreviewExpired { request }
            | Self::Preview { request, .. }
            | Self::Outcome { request, .. } => &request.conversation,
            Self::Click(notice) => &notice.conversation,
            Self::Answer(answer) => &answer.conversation,
        }
    }

    /// The request that it is about; none if the button of a click was not verified, or no request was accepted.
    #[must_use]
    pub fn request_id(&self) -> Option<RequestId> {
        match self {
            Self::ApprovalRequest { request, .. }
            | Self::PreviewExpired { request }
            | Self::Preview { request, .. }
            | Self::Outcome { request, .. } => Some(request.request_id()),
            Self::Click(notice) => notice.request_id.clone(),
            Self::Answer(answer) => answer.request_id.clone(),
        }
    }

    /// The language of its text.
    #[must_use]
    pub fn language(&self) -> Language {
        match self {
            Self::ApprovalRequest { request, .. }
            | Self::PreviewExpired { request }
            | Self::Preview { request, .. }
            | Self::Outcome { request, .. } => request.language,
            Self::Click(notice) => notice.language,
            Self::Answer(answer) => answer.language,
        }
    }

    /// The name in log lines.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ApprovalRequest { .. } => "approval_request",
            Self::PreviewExpired { .. } => "preview_expired",
            Self::Preview { .. } => "preview",
            Self::Outcome { .. } => "outcome",
            Self::Click(notice) => notice.result.name(),
            Self::Answer(_) => "answer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::decision::ClickResult;
    use crate::chat::policy::NotAllowed;
    use crate::chat::samples::{
        EXPIRES_AT, KEY, KEY_NEXT, approved, approver, at, conversation, keys, message, request,
    };

    /// The event of a request that ended with this outcome, as `EventBridge` delivers it.
    fn event(request: &ChatRequest, outcome: &str, dry_run: bool) -> serde_json::Value {
        let reason = serde_json::json!({ "code": "C", "message": "m", "advice": "a", "runbook": "r" });
        serde_json::json!({
            "source": SOURCE,
            "detail": {
                "request_id": request.request_id(), "outcome": outcome, "trigger": "chat", "dry_run": dry_run,
                "region_id": request.region_id, "endpoint_id": request.endpoint_id,
                "security_group_id": request.security_group_id,
                "reason": if outcome == "refused" { reason } else { serde_json::Value::Null },
                "evidence": { "security_groups_before": ["sg-a"], "security_groups_after": ["sg-a"],
                              "confirmed_at": null },
                "effort": { "deliveries": 1 }, "duration_ms": 1,
                "metadata": signed::metadata(request, &keys(&[KEY])),
            }
        })
    }

    fn parse_at(body: &str, seconds: u64) -> Result<Notice, NoNotice> {
        Notice::parse(body, &keys(&[KEY]), LanguageSetting::Auto, at(seconds))
    }

    fn parse(event: &serde_json::Value) -> Result<Notice, NoNotice> {
        parse_at(&event.to_string(), EXPIRES_AT - 1)
    }

    fn click() -> ClickNotice {
        ClickNotice {
            result: ClickResult::Declined(request()),
            conversation: conversation(),
            message: Some(message()),
            person: approver().id,
            language: Language::En,
            request_id: Some(request().id),
        }
    }

    #[test]
    fn passed_dry_run_becomes_an_approval_request_with_a_signed_button() {
        let Ok(Notice::ApprovalRequest { request: shown, completion, button }) =
            parse(&event(&request(), "dry_run_passed", true))
        else {
            panic!("an approval request")
        };
        assert_eq!(shown, request());
        assert_eq!(completion.outcome, OutcomeName::DryRunPassed);
        assert_eq!(signed::open_button(&button, &keys(&[KEY])), Some(request()));
    }

    #[test]
    fn dry_run_with_another_outcome_has_no_button() {
        for outcome in ["detached", "already_detached", "endpoint_gone", "refused", "rejected", "unconfirmed"]
        {
            let notice = parse(&event(&request(), outcome, true)).unwrap();
            assert!(matches!(notice, Notice::Preview { .. }), "{outcome}: {notice:?}");
        }
    }

    #[test]
    fn dry_run_that_was_requested_alone_has_no_button() {
        let alone = ChatRequest { dry_run: true, ..request() };
        let notice = parse(&event(&alone, "dry_run_passed", true)).unwrap();
        assert!(matches!(notice, Notice::Preview { .. }), "{notice:?}");
        // Nor does it expire: there is nothing to approve.
        let notice = parse_at(&event(&alone, "dry_run_passed", true).to_string(), EXPIRES_AT).unwrap();
        assert!(matches!(notice, Notice::Preview { .. }), "{notice:?}");
    }

    #[test]
    fn dry_run_that_passes_too_late_cannot_be_approved() {
        let body = event(&request(), "dry_run_passed", true).to_string();
        for seconds in [EXPIRES_AT, EXPIRES_AT + 1] {
            assert_eq!(parse_at(&body, seconds), Ok(Notice::PreviewExpired { request: request() }));
        }
        let late_refusal = parse_at(&event(&request(), "refused", true).to_string(), EXPIRES_AT).unwrap();
        assert!(matches!(late_refusal, Notice::Preview { .. }), "{late_refusal:?}");
    }

    #[test]
    fn phase_decides_and_not_how_the_request_was_carried_out() {
        // With DRY_RUN_ONLY the worker carries out an approved request as a dry run.
        let notice = parse(&event(&approved(), "dry_run_passed", true)).unwrap();
        assert!(matches!(notice, Notice::Outcome { .. }), "{notice:?}");
        for outcome in ["detached", "already_detached", "endpoint_gone", "refused", "rejected", "unconfirmed"]
        {
            let Ok(Notice::Outcome { request: shown, .. }) = parse(&event(&approved(), outcome, false))
            else {
                panic!("{outcome}: an outcome")
            };
            assert_eq!(shown, approved());
        }
        let notice = parse(&event(&request(), "dry_run_passed", false)).unwrap();
        assert!(matches!(notice, Notice::Preview { .. }), "without buttons: {notice:?}");
    }

    #[test]
    fn outcome_is_told_after_the_expiry() {
        let body = event(&approved(), "detached", false).to_string();
        assert!(matches!(parse_at(&body, EXPIRES_AT + 9), Ok(Notice::Outcome { .. })));
    }

    #[test]
    fn event_that_no_key_signed_is_unverified() {
        let whole = event(&request(), "dry_run_passed", true);
        let other_keys = keys(&[KEY_NEXT]);
        let parsed =
            Notice::parse(&whole.to_string(), &other_keys, LanguageSetting::Auto, at(EXPIRES_AT - 1));
        assert!(matches!(parsed, Err(NoNotice::Unverified { .. })));
        for (field, value) in [
            ("request_id", "slack-0123456789abcdef01234568.preview"),
            ("request_id", "slack-0123456789abcdef01234567"),
            ("region_id", "eu-west-2"),
            ("endpoint_id", "ep-b"),
            ("security_group_id", "sg-b"),
        ] {
            let mut changed = whole.clone();
            changed["detail"][field] = value.into();
            let request_id = RequestId::parse(changed["detail"]["request_id"].as_str().unwrap());
            assert_eq!(parse(&changed), Err(NoNotice::Unverified { request_id }), "{field}");
        }
        for entry in ["chat", "requested_by", "ticket"] {
            let mut changed = whole.clone();
            changed["detail"]["metadata"].as_object_mut().unwrap().remove(entry);
            assert!(matches!(parse(&changed), Err(NoNotice::Unverified { .. })), "{entry}");
        }
    }

    #[test]
    fn body_that_is_neither_an_event_of_chat_nor_a_notice_is_unreadable() {
        for text in
            ["", "null", "[]", "{}", "x", r#"{"chat_notice":1}"#, r#"{"source":"privatelink-detach"}"#]
        {
            assert_eq!(parse_at(text, 0), Err(NoNotice::Unreadable), "{text}");
        }
        let mut of_others = event(&request(), "dry_run_passed", true);
        of_others["source"] = "com.example".into();
        assert_eq!(parse(&of_others), Err(NoNotice::Unreadable));
        let mut of_a_webhook = event(&request(), "dry_run_passed", true);
        of_a_webhook["detail"]["trigger"] = "webhook".into();
        assert_eq!(parse(&of_a_webhook), Err(NoNotice::Unreadable));
    }

    #[test]
    fn notice_of_a_click_is_read_as_it_was_sent() {
        let body = body(&click(), &keys(&[KEY]));
        assert_eq!(parse_at(&body, 0), Ok(Notice::Click(click())));
        assert_eq!(parse_at(&format!("\u{feff}{body}"), 0), Ok(Notice::Click(click())));
        let parsed = Notice::parse(&body, &keys(&[KEY_NEXT]), LanguageSetting::Auto, at(0));
        assert!(matches!(parsed, Err(NoNotice::Unverified { .. })));
        assert!(matches!(parse_at(r#"{"chat_notice":"x"}"#, 0), Err(NoNotice::Unverified { .. })));
    }

    #[test]
    fn answer_to_a_command_is_read_as_it_was_sent() {
        let answer = AnswerNotice {
            conversation: conversation(),
            message: Some(message()),
            person: approver().id,
            language: Language::En,
            request_id: Some(request().id),
            text: "The dry run is queued.".to_owned(),
        };
        let body = answer_body(&answer, &keys(&[KEY]));
        let notice = Notice::Answer(answer);
        assert_eq!((notice.name(), notice.conversation()), ("answer", &conversation()));
        assert_eq!((notice.request_id(), notice.language()), (Some(request().id), Language::En));
        assert_eq!(parse_at(&body, 0), Ok(notice));
        let parsed = Notice::parse(&body, &keys(&[KEY_NEXT]), LanguageSetting::Auto, at(0));
        assert!(matches!(parsed, Err(NoNotice::Unverified { .. })));
        // Neither is accepted as the other.
        let renamed = body.replace("chat_answer", "chat_notice");
        assert!(matches!(parse_at(&renamed, 0), Err(NoNotice::Unverified { .. })));
    }

    #[test]
    fn language_is_the_configured_one() {
        let language = |body: &str, setting| {
            Notice::parse(body, &keys(&[KEY]), setting, at(EXPIRES_AT - 1)).unwrap().language()
        };
        let zh = ChatRequest { language: Language::Zh, ..request() };
        for body in [
            event(&zh, "dry_run_passed", true).to_string(),
            body(&ClickNotice { language: Language::Zh, ..click() }, &keys(&[KEY])),
        ] {
            assert_eq!(language(&body, LanguageSetting::Auto), Language::Zh);
            assert_eq!(language(&body, LanguageSetting::Always(Language::En)), Language::En);
        }
    }

    #[test]
    fn every_notice_has_a_name_and_a_conversation() {
        let of_click = |result| Notice::Click(ClickNotice { result, ..click() });
        let notices = [
            (parse(&event(&request(), "dry_run_passed", true)).unwrap(), "approval_request"),
            (Notice::PreviewExpired { request: request() }, "preview_expired"),
            (parse(&event(&request(), "refused", true)).unwrap(), "preview"),
            (parse(&event(&approved(), "detached", false)).unwrap(), "outcome"),
            (of_click(ClickResult::Approved(approved())), "approved"),
            (of_click(ClickResult::Declined(request())), "declined"),
            (of_click(ClickResult::Expired(request())), "expired"),
            (of_click(ClickResult::NotAllowed(NotAllowed::Approver)), "not_allowed"),
        ];
        for (notice, name) in notices {
            assert_eq!((notice.name(), notice.conversation()), (name, &conversation()));
        }
    }
}
