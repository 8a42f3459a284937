use std::collections::BTreeMap;

use crate::aws::secret::SecretValue;
use crate::chat::command::Ticket;
use crate::chat::completion::{ChatReason, OutcomeName};
use crate::chat::content::samples;
use crate::chat::decision::{ClickNotice, ClickResult};
use crate::chat::identity::{Conversation, MessageId, UserId};
use crate::chat::notice::Notice;
use crate::chat::policy::NotAllowed;
use crate::chat::request::{ChatRequest, Phase};
use crate::chat::signed::{self, ChatKeys};
use crate::chat::texts::Language;
use crate::request::{EndpointId, RegionId, RequestId, SecurityGroupId};

use super::*;

fn rendered(notice: &Notice) -> Value {
    let Message { text, blocks } = Message::of(&Content::of(notice));
    json!({ "text": text, "blocks": blocks })
}

/// The texts of the blocks, by their type, in order.
fn texts(message: &Value) -> Vec<(String, String)> {
    fn collect(value: &Value, texts: &mut Vec<(String, String)>) {
        match value {
            Value::Object(members) => {
                if let (Some(Value::String(kind)), Some(Value::String(text))) =
                    (members.get("type"), members.get("text"))
                {
                    texts.push((kind.clone(), text.clone()));
                }
                members.values().for_each(|member| collect(member, texts));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
            _ => {}
        }
    }
    let mut texts = Vec::new();
    collect(&message["blocks"], &mut texts);
    texts
}

#[test]
fn every_notice_is_rendered_as_recorded_in_both_languages() {
    for (language, recorded) in
        [(Language::En, include_str!("en.json")), (Language::Zh, include_str!("zh.json"))]
    {
        let mut recorded: BTreeMap<String, Value> = serde_json::from_str(recorded).unwrap();
        for (name, notice) in samples::notices(language) {
            let message = rendered(&notice);
            let expected = recorded.remove(name).unwrap_or_default();
            assert_eq!(message, expected, "{name}:\n{}", serde_json::to_string_pretty(&message).unwrap());
        }
        assert!(recorded.is_empty());
    }
}

/// Every notice, with hostile texts wherever an event or Alibaba Cloud can have written them.
fn hostile(text: &str, language: Language) -> Vec<Notice> {
    samples::notices(language)
        .into_iter()
        .map(|(_, mut notice)| {
            if let Notice::ApprovalRequest { completion, .. }
            | Notice::Preview { completion, .. }
            | Notice::Outcome { completion, .. } = &mut notice
            {
                completion.groups_before = Some(vec![text.to_owned(); 3]);
                completion.groups_after = Some(vec![text.to_owned(); 3]);
                completion.confirmed_at = Some(text.to_owned());
                let (code, message) = (text.to_owned(), text.to_owned());
                completion.reason = Some(ChatReason { code, message, runbook: text.to_owned() });
            }
            notice
        })
        .collect()
}

#[test]
fn untrusted_text_is_no_markup() {
    for text in [
        "<!channel>",
        "&lt;!here&gt;",
        "*bold* _italic_ ~gone~ `code`",
        "<https://evil.example|Runbook>",
        "https://evil.example/<!channel>",
        "https://evil.example/|Approve",
        "@channel\n> quote",
        "` <@U04VICTIM> `",
    ] {
        for notice in hostile(text, Language::En) {
            let message = rendered(&notice);
            for (kind, shown) in texts(&message) {
                if kind != "mrkdwn" {
                    continue;
                }
                assert_eq!(shown.matches('`').count() % 2, 0, "{shown}");
                for markup in shown.split('<').skip(1) {
                    let is_ours = markup.starts_with("@U04REQUESTER>")
                        || markup.starts_with("@U04APPROVER>")
                        || markup.starts_with("!date^1795334400^");
                    assert!(is_ours, "{shown}");
                }
                for untrusted in [text, &escaped(text)] {
                    assert!(!shown.contains(untrusted), "{shown}");
                }
            }
        }
    }
}

#[test]
fn message_of_alibaba_cloud_is_shown_as_it_is() {
    let text = "&lt; <!channel> *bold* <https://evil.example|x> @here";
    let notice = hostile(text, Language::En).into_iter().find(|notice| notice.name() == "outcome").unwrap();
    let shown = texts(&rendered(&notice));
    assert!(shown.contains(&("plain_text".to_owned(), format!("Details: {text}"))), "{shown:?}");
}

#[test]
fn runbook_is_a_link_only_if_it_is_an_address() {
    let plain_text = |url: &str| link("Runbook", url)["type"] == json!("plain_text");
    assert_eq!(
        link("Runbook", "https://example.com/r?a=1&b=2#nopermission"),
        json!({
            "type": "mrkdwn",
            "text": "<https://example.com/r?a=1&amp;b=2#nopermission|Runbook>",
            "verbatim": true,
        })
    );
    for url in
        ["docs/runbook.md#nopermission", "javascript:alert(1)", "https://a|b", "https://a b", "https://a>"]
    {
        assert!(plain_text(url), "{url}");
    }
    assert!(plain_text(&format!("https://{}", "a".repeat(URL_LENGTH_MAX))));
}

#[test]
fn time_beyond_the_calendar_is_shown() {
    assert!(span(&Span::Time(u64::MAX)).contains(&u64::MAX.to_string()));
}

/// A request with the longest ids, which a person of this deployment could have.
fn largest(phase: Phase, language: Language) -> ChatRequest {
    let (id, long) = ("U".repeat(64), "x".repeat(61));
    ChatRequest {
        conversation: Conversation::parse(&format!("slack:{}/{}", "T".repeat(64), "C".repeat(128))).unwrap(),
        thread: MessageId::parse(&"1".repeat(64)),
        requester: UserId::parse(&id).unwrap(),
        approver: (phase == Phase::Outcome).then(|| UserId::parse(&id).unwrap()),
        id: RequestId::parse(&"r".repeat(56)).unwrap(),
        region_id: RegionId::parse(&format!("eu-{}", "w".repeat(29))).unwrap(),
        endpoint_id: EndpointId::parse(&format!("ep-{long}")).unwrap(),
        security_group_id: SecurityGroupId::parse(&format!("sg-{long}")).unwrap(),
        expires_at: u64::MAX,
        ticket: Ticket::parse(&"t".repeat(64)),
        ..samples::request(phase, language)
    }
}

/// Every kind of notice with the longest ids and texts.
fn largest_notices(language: Language) -> Vec<Notice> {
    let keys = ChatKeys::parse(&format!("[\"{}=\"]", "A".repeat(43))).unwrap();
    let (previewed, approved) = (largest(Phase::Preview, language), largest(Phase::Outcome, language));
    let completion = |request: &ChatRequest, outcome| {
        let code = "c".repeat(10_000);
        let mut completion = samples::completion(request, outcome, Some((&code, "nopermission")));
        completion.groups_before = Some(vec!["&".repeat(1000); 100]);
        completion.groups_after = completion.groups_before.clone();
        completion.replacement = SecurityGroupId::parse(&format!("sg-{}", "s".repeat(61)));
        if request.phase == Phase::Outcome {
            completion.groups_after = completion.replacement.iter().map(|id| Some(id.to_string())).collect();
        }
        completion.confirmed_at = Some("<".repeat(1000));
        completion.duration = Duration::MAX;
        completion.deliveries = u32::MAX;
        let reason = completion.reason.as_mut().unwrap();
        reason.message = "消息<&>".repeat(10_000);
        reason.runbook = format!("https://{}#nopermission", "&".repeat(10_000));
        completion
    };
    let mut notices = vec![
        Notice::ApprovalRequest {
            completion: completion(&previewed, OutcomeName::DryRunPassed),
            button: signed::button(&previewed, &keys),
            request: previewed.clone(),
        },
        Notice::PreviewExpired { request: previewed.clone() },
    ];
    for outcome in OutcomeName::ALL {
        let (preview, detach) = (completion(&previewed, outcome), completion(&approved, outcome));
        notices.push(Notice::Preview { request: previewed.clone(), completion: preview });
        notices.push(Notice::Outcome { request: approved.clone(), completion: detach });
    }
    let clicks = [
        ClickResult::Approved(approved.clone()),
        ClickResult::Declined(previewed.clone()),
        ClickResult::Expired(previewed.clone()),
    ];
    let not_allowed = NotAllowed::ALL.map(ClickResult::NotAllowed);
    notices.extend(clicks.into_iter().chain(not_allowed).map(|result| {
        Notice::Click(ClickNotice {
            result,
            conversation: previewed.conversation.clone(),
            message: None,
            person: previewed.requester.clone(),
            language,
            request_id: Some(previewed.id.clone()),
        })
    }));
    notices
}

#[test]
fn longest_content_stays_within_the_limits_of_slack() {
    let length = |value: &Value| value.as_str().unwrap().chars().count();
    let longest = Language::ALL.into_iter().flat_map(largest_notices);
    for notice in longest {
        let message = rendered(&notice);
        let blocks = message["blocks"].as_array().unwrap();
        assert!((1..=50).contains(&blocks.len()), "{message}");
        // Slack advises 4000 characters for the text, and cuts it at 40,000.
        assert!((1..=4000).contains(&length(&message["text"])), "{message}");
        assert!(
            texts(&message).iter().all(|(_, text)| (1..=3000).contains(&text.chars().count())),
            "{message}"
        );
        for block in blocks.iter().filter(|block| block["type"] == "actions") {
            for button in block["elements"].as_array().unwrap() {
                assert!((1..=2000).contains(&length(&button["value"])), "{button}");
                assert!(length(&button["text"]["text"]) <= 75);
                assert!(length(&button["action_id"]) <= 255);
            }
            let confirm = &block["elements"][0]["confirm"];
            let lengths = ["title", "text", "confirm", "deny"].map(|part| length(&confirm[part]["text"]));
            assert!(lengths.iter().zip([100, 300, 30, 30]).all(|(length, max)| *length <= max), "{confirm}");
        }
    }
}

#[test]
fn sections_hold_whole_lines() {
    let lines = ["a".repeat(2999), String::new(), "b".repeat(3000), "c".to_owned()];
    let sections = sections(lines.iter().cloned());
    let texts: Vec<_> = sections.iter().map(|section| section["text"]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, [&format!("{}\n", lines[0]), &lines[2], &lines[3]]);
}
