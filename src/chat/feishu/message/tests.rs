use std::collections::BTreeMap;

use super::super::samples;
use super::*;
use crate::aws::secret::SecretValue;
use crate::chat::command::Ticket;
use crate::chat::completion::{ChatReason, OutcomeName};
use crate::chat::content::samples as contents;
use crate::chat::decision::{ClickNotice, ClickResult};
use crate::chat::identity::{Conversation, MessageId, UserId};
use crate::chat::notice::Notice;
use crate::chat::policy::NotAllowed;
use crate::chat::request::{ChatRequest, Phase};
use crate::chat::signed::{self, ChatKeys};
use crate::chat::texts::Language;
use crate::request::{EndpointId, RegionId, RequestId, SecurityGroupId};

fn rendered(notice: &Notice) -> Value {
    card(&Content::of(notice))
}

/// The texts of a card, by their tag, in order.
fn texts(card: &Value) -> Vec<(String, String)> {
    fn collect(value: &Value, texts: &mut Vec<(String, String)>) {
        match value {
            Value::Object(members) => {
                if let (Some(Value::String(tag)), Some(Value::String(content))) =
                    (members.get("tag"), members.get("content"))
                {
                    texts.push((tag.clone(), content.clone()));
                }
                members.values().for_each(|member| collect(member, texts));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
            _ => {}
        }
    }
    let mut texts = Vec::new();
    collect(card, &mut texts);
    texts
}

#[test]
fn every_notice_is_rendered_as_recorded_in_both_languages() {
    for (language, recorded) in
        [(Language::En, include_str!("en.json")), (Language::Zh, include_str!("zh.json"))]
    {
        let mut recorded: BTreeMap<String, Value> = serde_json::from_str(recorded).unwrap();
        let notices = samples::notices(language);
        for (name, notice) in notices.into_iter().filter(|(_, notice)| !matches!(notice, Notice::Answer(_))) {
            let card = rendered(&notice);
            let expected = recorded.remove(name).unwrap_or_default();
            assert_eq!(card, expected, "{name}:\n{}", serde_json::to_string_pretty(&card).unwrap());
        }
        assert!(recorded.is_empty());
    }
}

/// Every notice, with hostile texts wherever an event or Alibaba Cloud can have written them.
fn hostile(text: &str, language: Language) -> Vec<Notice> {
    let mut notices = samples::notices(language);
    for (_, notice) in &mut notices {
        if let Notice::ApprovalRequest { completion, .. }
        | Notice::Preview { completion, .. }
        | Notice::Outcome { completion, .. } = notice
        {
            completion.groups_before = Some(vec![text.to_owned(); 3]);
            completion.groups_after = Some(vec![text.to_owned(); 3]);
            completion.confirmed_at = Some(text.to_owned());
            let (code, message) = (text.to_owned(), text.to_owned());
            completion.reason = Some(ChatReason { code, message, runbook: text.to_owned() });
        }
    }
    notices.into_iter().map(|(_, notice)| notice).collect()
}

#[test]
fn untrusted_text_is_no_markup() {
    for text in [
        "<at id=all></at>",
        "&#60;at id=all&#62;&#60;/at&#62;",
        "**bold** *italic* ~~gone~~ `code` _x_",
        "[Runbook](https://evil.example)",
        "![image](img_v2_x)",
        "https://evil.example/<at id=all>",
        "https://evil.example/)[Approve](https://evil.example",
        "<local_datetime millisecond='0' format_type='time'></local_datetime>",
        "<font color='red'>x</font> <link url='https://evil.example'>y</link>",
        "# title\n> quote\n| a | b |",
        "` <at id=all></at> `",
        "$x$ \\` :DONE:",
    ] {
        for notice in hostile(text, Language::En) {
            for (tag, shown) in texts(&rendered(&notice)) {
                if tag != "markdown" {
                    continue;
                }
                assert_eq!(shown.matches('`').count() % 2, 0, "{shown}");
                for markup in shown.split('<').skip(1) {
                    let is_ours = markup.starts_with("at id=ou_8156d5e169a1cbca6dc7b5e5c0ba7344>")
                        || markup.starts_with("at id=ou_f55b8b743ffd1e3c2239a5d7a833c30b>")
                        || markup.starts_with("/at>")
                        || markup.starts_with("local_datetime millisecond='1795334400000' format_type='")
                        || markup.starts_with("/local_datetime>");
                    assert!(is_ours, "{shown}");
                }
                assert!(!shown.contains("]("), "{shown}");
                for untrusted in [text, &escaped(text)] {
                    assert!(!shown.contains(untrusted), "{shown}");
                }
            }
        }
    }
}

#[test]
fn no_character_of_a_text_is_markup() {
    assert_eq!(escaped("a-b: c/d, 中文。"), "a-b: c/d, 中文。");
    assert_eq!(escaped("<a> & *b*"), "&#60;a&#62; &#38; &#42;b&#42;");
    for c in r"<>[]()*_#`~|@&!$\".chars() {
        assert_eq!(escaped(&c.to_string()), format!("&#{};", u32::from(c)));
    }
}

#[test]
fn message_of_alibaba_cloud_is_shown_as_it_is() {
    let text = "&lt; <at id=all></at> **bold** [x](https://evil.example)";
    let notice = hostile(text, Language::En).into_iter().find(|notice| notice.name() == "outcome").unwrap();
    let shown = texts(&rendered(&notice));
    assert!(shown.contains(&("plain_text".to_owned(), format!("Details: {text}"))), "{shown:?}");
}

#[test]
fn runbook_is_a_link_only_if_it_is_an_address() {
    assert_eq!(
        link("Runbook", "https://example.com/r?a=1&b=2#nopermission"),
        json!({ "tag": "markdown", "content": "[Runbook](https://example.com/r?a=1&b=2#nopermission)" })
    );
    for url in [
        "docs/runbook.md#nopermission",
        "javascript:alert(1)",
        "https://a)b",
        "https://a b",
        "https://a>",
        "https://a*b*",
        "https://a&#41;",
        &format!("https://{}", "a".repeat(URL_LENGTH_MAX)),
    ] {
        assert_eq!(link("Runbook", url)["tag"], "div", "{url}");
    }
}

#[test]
fn time_is_shown_in_the_time_zone_of_the_reader() {
    let shown = span(&Span::Time(1_795_334_400));
    for format in ["date_num", "time", "timezone"] {
        let tag =
            format!("<local_datetime millisecond='1795334400000' format_type='{format}'></local_datetime>");
        assert!(shown.contains(&tag), "{shown}");
    }
    assert_eq!(span(&Span::Time(u64::MAX)), u64::MAX.to_string());
    assert_eq!(plain(&vec![Span::Time(1_795_330_812)]), "2026-11-22T07:00:12Z");
}

#[test]
fn buttons_return_the_signed_request() {
    let card = rendered(&samples::notice("approval_request"));
    let columns = card["body"]["elements"].as_array().unwrap().last().unwrap()["columns"].as_array().unwrap();
    let buttons: Vec<_> = columns.iter().map(|column| &column["elements"][0]).collect();
    for (button, action) in buttons.iter().zip(["approve", "decline"]) {
        let value = json!({ "action": action, "request": "the signed value" });
        assert_eq!(button["behaviors"], json!([{ "type": "callback", "value": value }]));
    }
    assert!(buttons[0]["confirm"]["text"]["content"].as_str().unwrap().contains("sg-old"), "{card}");
    assert_eq!((buttons.len(), &buttons[1]["confirm"]), (2, &Value::Null));
    for (name, notice) in samples::notices(Language::En) {
        let has_buttons = rendered(&notice).to_string().contains("callback");
        assert_eq!(has_buttons, name.starts_with("approval_request"), "{name}");
    }
}

#[test]
fn every_card_can_be_changed() {
    for (name, notice) in samples::notices(Language::Zh) {
        let card = rendered(&notice);
        assert_eq!(
            (&card["schema"], &card["config"]["update_multi"]),
            (&json!("2.0"), &json!(true)),
            "{name}"
        );
    }
}

/// A request with the longest ids, which a person of this deployment could have.
fn largest(phase: Phase, language: Language) -> ChatRequest {
    let (id, long) = ("u".repeat(64), "x".repeat(61));
    ChatRequest {
        conversation: Conversation::parse(&format!("feishu:{}/{}", "t".repeat(64), "c".repeat(128))).unwrap(),
        thread: MessageId::parse(&"1".repeat(64)),
        requester: UserId::parse(&id).unwrap(),
        approver: (phase == Phase::Outcome).then(|| UserId::parse(&id).unwrap()),
        id: RequestId::parse(&"r".repeat(56)).unwrap(),
        region_id: RegionId::parse(&format!("eu-{}", "w".repeat(29))).unwrap(),
        endpoint_id: EndpointId::parse(&format!("ep-{long}")).unwrap(),
        security_group_id: SecurityGroupId::parse(&format!("sg-{long}")).unwrap(),
        expires_at: TIME_MAX,
        ticket: Ticket::parse(&"t".repeat(64)),
        ..contents::request(phase, language)
    }
}

/// Every kind of notice with the longest ids and texts.
fn largest_notices(language: Language) -> Vec<Notice> {
    let keys = ChatKeys::parse(&format!("[\"{}=\"]", "A".repeat(43))).unwrap();
    let (previewed, approved) = (largest(Phase::Preview, language), largest(Phase::Outcome, language));
    let completion = |request: &ChatRequest, outcome| {
        let code = "c".repeat(10_000);
        let mut completion = contents::completion(request, outcome, Some((&code, "nopermission")));
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
        reason.message = "消息<\"\\>".repeat(10_000);
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
fn longest_card_stays_within_the_limit_of_feishu() {
    for notice in Language::ALL.into_iter().flat_map(largest_notices) {
        let card = rendered(&notice);
        // As the API receives it: a text in a text.
        let length = Value::String(card.to_string()).to_string().len();
        assert!(length < 30_000, "{length}: {}", notice.name());
        for (_, text) in texts(&card) {
            assert!(!text.is_empty());
        }
    }
}
