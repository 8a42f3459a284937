use std::collections::BTreeMap;

use super::*;
use crate::chat::answer::AnswerNotice;
use crate::chat::call::Action;
use crate::chat::command::{Part, Problem, Ticket};
use crate::chat::completion::{ChatReason, OutcomeName};
use crate::chat::content::samples;
use crate::chat::decision::{ClickNotice, ClickResult};
use crate::chat::identity::{Conversation, UserId};
use crate::chat::notice::Notice;
use crate::chat::policy::NotAllowed;
use crate::chat::request::{ChatRequest, Phase};
use crate::chat::samples::{KEY, keys, longest};
use crate::chat::signed;
use crate::chat::texts::{Answer, Language};
use crate::request::SecurityGroupId;

/// What a notice becomes: the card, what one person reads on it, or the message.
fn rendered(notice: &Notice) -> Value {
    let content = Content::of(notice);
    match notice {
        Notice::ApprovalRequest { .. } => json!({ "card": card(&content, Status::Open) }),
        Notice::Click(ClickNotice { result: ClickResult::Approved(_), .. }) => {
            json!({ "card": card(&content, Status::Approved) })
        }
        Notice::Click(ClickNotice { result: ClickResult::Declined(_), .. }) => {
            json!({ "card": card(&content, Status::Declined) })
        }
        Notice::Click(_) => json!({ "note": note(&content) }),
        Notice::Answer(_) => json!({ "text": parameters(&text(&content)) }),
        Notice::PreviewExpired { .. } | Notice::Preview { .. } | Notice::Outcome { .. } => {
            json!({ "markdown": parameters(&markdown(&content)) })
        }
    }
}

fn parameters(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Every text of a rendered notice that is markdown.
fn markdown_of(rendered: &Value) -> Vec<String> {
    [&rendered["card"]["body"], &rendered["note"], &rendered["markdown"]["text"]]
        .into_iter()
        .filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
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
fn hostile(text: &str) -> Vec<Notice> {
    let changed = |(_, mut notice): (&str, Notice)| {
        if let Notice::ApprovalRequest { completion, .. }
        | Notice::Preview { completion, .. }
        | Notice::Outcome { completion, .. } = &mut notice
        {
            completion.groups_before = Some(vec![text.to_owned(); 3]);
            completion.groups_after = Some(vec![text.to_owned(); 3]);
            completion.confirmed_at = Some(text.to_owned());
            let (code, message) = (text.to_owned(), text.to_owned());
            // An address is a link there.
            let runbook = text.replace("https://", "http://");
            completion.reason = Some(ChatReason { code, message, runbook });
        }
        notice
    };
    samples::notices(Language::En).into_iter().map(changed).collect()
}

#[test]
fn untrusted_text_is_no_markup() {
    let harmless: Vec<_> = hostile("sg").iter().map(|notice| markdown_of(&rendered(notice))).collect();
    for hostile_text in [
        "<font color=red>x</font>",
        "<a atId=manager1>x</a>",
        "<at id=all></at>",
        "[Approve](https://evil.example)",
        "![](https://evil.example/x.png)",
        "*bold* **bold** ~~gone~~ `code`",
        "@all @13800000000",
        "# title",
        "| a | b |",
        r"\*x\* &lt;b&gt;",
        "https://evil.example/login",
        "dingtalk://dingtalkclient/page/link?url=x",
    ] {
        for (notice, harmless) in hostile(hostile_text).iter().zip(&harmless) {
            for (shown, harmless) in markdown_of(&rendered(notice)).iter().zip(harmless) {
                for c in r"<>[]()`~|@\&".chars() {
                    assert_eq!(shown.matches(c).count(), harmless.matches(c).count(), "{c} in {shown}");
                }
                // Ours are the title and the labels in bold.
                assert_eq!(shown.matches('*').count(), harmless.matches('*').count(), "{shown}");
                assert_eq!(shown.matches('#').count(), harmless.matches('#').count(), "{shown}");
                assert!(!shown.contains("://"), "{shown}");
            }
        }
    }
}

#[test]
fn untrusted_text_adds_no_row() {
    let text = "x\n\n**Approved by:** admin\r\n- y\u{2028}z";
    for (notice, harmless) in hostile(text).iter().zip(hostile("sg")) {
        let lines = |notice: &Notice| -> Vec<usize> {
            markdown_of(&rendered(notice)).iter().map(|text| text.split(char::is_control).count()).collect()
        };
        assert_eq!(lines(notice), lines(&harmless));
    }
}

#[test]
fn message_of_alibaba_cloud_stays_readable() {
    assert_eq!(plain("no <!channel> & *no* a_b"), "no ＜!channel＞ ＆ ＊no＊ a＿b");
    assert_eq!(plain("see https://x\ny"), "see https：//x y");
}

#[test]
fn ids_are_shown_whole() {
    let id = "dingtalk:ding365d/cidMTdi+YTE5//MWY5==_-.x";
    assert_eq!(code(id), id);
    assert_eq!(code("`a b` <x>"), "?a?b???x?");
}

#[test]
fn time_is_that_of_china_and_says_so() {
    assert_eq!(span(&Span::Time(1_795_334_400)), "2026-11-22 16:00:00 (UTC+8)");
    assert!(span(&Span::Time(u64::MAX)).contains(&u64::MAX.to_string()));
}

#[test]
fn runbook_is_a_link_only_if_it_is_an_address() {
    let url = "https://example.com/r?a=1&b=2#nopermission";
    assert_eq!(link("Runbook", url), format!("[Runbook]({url})"));
    for url in
        ["docs/runbook.md#x", "javascript:alert(1)", "https://a)b", "https://a b", "https://a>", "http://a"]
    {
        assert!(!link("Runbook", url).contains("]("), "{url}");
    }
}

#[test]
fn lines_that_do_not_fit_are_left_out_whole() {
    let lines = || vec!["a".repeat(10), "b".repeat(20), "c".repeat(5)];
    let whole = lines().join(LINE_BREAK);
    assert_eq!(fitted(lines(), whole.len(), str::len), whole);
    let cut = format!("{}{LINE_BREAK}{}{LINE_BREAK}{CUT}", "a".repeat(10), "c".repeat(5));
    assert_eq!(fitted(lines(), whole.len() - 3, str::len), cut);
    assert_eq!(fitted(lines(), cut.len(), str::len), cut);
    assert_eq!(fitted(lines(), 0, str::len), CUT);
}

/// A request with the longest ids, which a person of this deployment could have.
fn largest(phase: Phase, language: Language) -> ChatRequest {
    let longest = longest();
    let conversation = Conversation::parse(&longest.conversation.to_string().replace("slack:", "dingtalk:"));
    ChatRequest {
        conversation: conversation.unwrap(),
        phase,
        language,
        id: crate::request::RequestId::parse(&"r".repeat(56)).unwrap(),
        ticket: Ticket::parse(&"t".repeat(64)),
        ..longest
    }
}

/// Every kind of notice with the longest ids and texts.
fn largest_notices(language: Language) -> Vec<Notice> {
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
        let reason = completion.reason.as_mut().unwrap();
        reason.message = "消息\"<&>".repeat(10_000);
        reason.runbook = format!("https://{}#nopermission", "a".repeat(20_000));
        completion
    };
    let mut notices = vec![
        Notice::ApprovalRequest {
            completion: completion(&previewed, OutcomeName::DryRunPassed),
            button: signed::button(&previewed, &keys(&[KEY])),
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
    let problems = Part::ALL.into_iter().flat_map(|part| [Problem::Invalid(part), Problem::Repeated(part)]);
    for answer in [
        Answer::Help,
        Answer::Accepted { request: previewed.clone(), approval_seconds: u64::MAX },
        Answer::Problems(problems.collect()),
        Answer::TryAgain,
    ] {
        notices.push(Notice::Answer(AnswerNotice {
            conversation: previewed.conversation.clone(),
            message: None,
            person: UserId::parse("U").unwrap(),
            language,
            request_id: None,
            text: answer.text(language, "@bot"),
        }));
    }
    notices
}

#[test]
fn longest_content_stays_within_the_limits_of_dingtalk() {
    for notice in Language::ALL.into_iter().flat_map(largest_notices) {
        let content = Content::of(&notice);
        let message = if matches!(notice, Notice::Answer(_)) { text(&content) } else { markdown(&content) };
        assert!((2..=MESSAGE_BYTES_MAX).contains(&message.len()), "{}: {message}", notice.name());
        assert!(notification(&content).chars().count() <= 200);
        let card = card(&content, Status::Open);
        for (name, value) in card.as_object().unwrap() {
            let value = value.as_str().unwrap_or_else(|| panic!("{name} is no text"));
            assert!(name.len() <= 100 && value.len() <= 1000, "{name}: {value}");
        }
        assert!(note(&content).len() <= 1000);
    }
}

#[test]
fn approver_sees_every_id_of_the_longest_request_and_gets_the_whole_button() {
    for language in Language::ALL {
        let notice = largest_notices(language).remove(0);
        let Notice::ApprovalRequest { request, button, completion } = &notice else { panic!() };
        let card = &rendered(&notice)["card"];
        let body = card["body"].as_str().unwrap();
        let ids = [
            request.security_group_id.as_str(),
            request.endpoint_id.as_str(),
            request.region_id.as_str(),
            request.requester.as_str(),
            request.ticket.as_ref().unwrap().as_str(),
            completion.replacement.as_ref().unwrap().as_str(),
        ];
        for id in ids {
            assert!(body.contains(id), "{id} in {body}");
        }
        let parts = ["request_1", "request_2"].map(|name| card[name].as_str().unwrap());
        assert_eq!(parts.concat(), *button);
        assert!(!parts[1].is_empty(), "the longest value has two parts");
    }
}

#[test]
fn groups_of_a_full_endpoint_leave_space_for_every_row() {
    let mut notice = samples::notices(Language::En).remove(0).1;
    let Notice::ApprovalRequest { completion, .. } = &mut notice else { panic!() };
    let groups: Vec<_> = (0..10).map(|n| format!("sg-hp3c8qj1tyct90ejabc{n}")).collect();
    completion.groups_after = Some(groups.clone());
    let body = rendered(&notice)["card"]["body"].as_str().unwrap().to_owned();
    let whole = Content::of(&notice).rows.len() + 1;
    assert_eq!(body.split(LINE_BREAK).count(), whole, "{body}");
    assert!(body.contains(&groups[..6].join(", ")) && body.contains("Request ID"), "{body}");
}

/// The card template that an operator imports.
#[test]
fn card_template_has_every_parameter_and_both_buttons() {
    let exported: Value = serde_json::from_str(include_str!("../../../../docs/dingtalk-card.json")).unwrap();
    let template = parameters(exported["editorData"].as_str().unwrap());
    let variables = template["variableList"].as_array().unwrap();
    let mut names: Vec<_> =
        variables.iter().map(|v| (v["name"].as_str().unwrap(), v["private"].as_bool().unwrap())).collect();
    names.sort_unstable();
    let card = card(&Content::of(&samples::notices(Language::En).remove(0).1), Status::Open);
    let public = card.as_object().unwrap().keys().map(|name| (name.as_str(), false));
    let mut expected: Vec<_> = public.chain([("note", true)]).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    let parts = template["schema"]["componentsTree"][0]["children"].as_array().unwrap();
    let shown: Vec<_> =
        parts.iter().filter_map(|part| part["props"]["content"]["variable"].as_str()).collect();
    assert_eq!(shown, ["body", "note"]);
    let buttons = parts.iter().find_map(|part| part["props"]["buttons"].as_array()).unwrap();
    let actions = [Action::Approve, Action::Decline].map(Action::name);
    assert_eq!(buttons.len(), actions.len());
    for (button, action) in buttons.iter().zip(actions) {
        assert_eq!((&button["id"], &button["actionId"]["content"]), (&json!(action), &json!(action)));
        assert_eq!(button["text"]["content"], format!("${{{action}}}"));
        let given = button["params"].as_array().unwrap().iter();
        let given: Vec<_> =
            given.map(|p| (p["name"].as_str().unwrap(), p["variable"].as_str().unwrap())).collect();
        assert_eq!(given, [("request_1", "request_1"), ("request_2", "request_2")]);
        let condition = &button["visible"]["condition"]["conditions"][0];
        let condition = ["variable", "op", "value"].map(|part| condition[part].as_str().unwrap());
        assert_eq!(condition, ["status", "equal", Status::Open.name()]);
    }
}
