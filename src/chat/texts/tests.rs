use std::collections::BTreeSet;

use super::super::command::{Part, Problem};
use super::super::content::samples;
use super::super::identity::{Conversation, Person};
use super::super::policy::NotAllowed;
use super::super::request::Phase;
use super::*;
use crate::alibaba::codes;
use crate::detach::ReasonCode;
use crate::request::RejectionCode;

fn every_text() -> Vec<Text> {
    [answers::all(), notices::all(), reasons::all(), vec![HOURS, MINUTES, SECONDS]].concat()
}

fn is_chinese(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

/// The names of the values, each as often as the text has it.
fn values(text: Text, language: Language) -> Vec<&'static str> {
    let name = |piece| match piece {
        Piece::Value(name) => Some(name),
        Piece::Words(_) => None,
    };
    let mut names: Vec<_> = text.pieces(language).filter_map(name).collect();
    names.sort_unstable();
    names
}

#[test]
fn every_text_has_the_same_values_in_each_language() {
    let texts = every_text();
    assert!(texts.len() > 100);
    for text in texts {
        assert!(Language::ALL.iter().all(|language| !text.of(*language).trim().is_empty()), "{text:?}");
        assert_eq!(values(text, Language::En), values(text, Language::Zh), "{text:?}");
    }
}

#[test]
fn every_chinese_text_is_chinese_and_every_english_one_is_not() {
    for text in every_text() {
        assert!(text.zh.chars().any(is_chinese), "{text:?}");
        // The help names the command of the other language.
        assert!(text.en.contains("中文：") || !text.en.chars().any(is_chinese), "{text:?}");
        let chars: Vec<char> = text.zh.chars().collect();
        for pair in chars.windows(2) {
            assert!(!(is_chinese(pair[0]) && ",;:.!?()".contains(pair[1])), "half-width {pair:?}: {text:?}");
        }
    }
}

#[test]
fn value_is_never_read_as_a_part_of_the_text() {
    let text = Text::new("{a}{b} and {a}", "{a}和{b}{a}");
    let values = [("a", "{b}"), ("b", "}{")];
    assert_eq!(text.fill(Language::En, &values), "{b}}{ and {b}");
    assert_eq!(text.fill(Language::Zh, &values), "{b}和}{{b}");
    assert_eq!(Text::new("}{a}{open", "").fill(Language::En, &values), "}{b}{open");
}

#[test]
fn length_of_time_has_the_units_of_the_language() {
    for (milliseconds, en, zh) in [
        (0, "0 s", "0 秒"),
        (12_431, "12.4 s", "12.4 秒"),
        (30_000, "30 s", "30 秒"),
        (60_500, "1 min", "1 分钟"),
        (192_000, "3 min 12 s", "3 分钟 12 秒"),
        (7_200_000, "2 h", "2 小时"),
        (39_600_000, "11 h", "11 小时"),
        (90_061_000, "25 h 1 min 1 s", "25 小时 1 分钟 1 秒"),
    ] {
        let shown = Language::ALL.map(|language| duration(language, Duration::from_millis(milliseconds)));
        assert_eq!(shown, [en, zh], "{milliseconds}");
    }
}

/// Every code of this project's own that can reach chat. A new one does not compile until it is in the match.
fn own_codes() -> [ReasonCode; 10] {
    match ReasonCode::InvalidRequest {
        ReasonCode::InvalidRequest
        | ReasonCode::RegionNotAllowed
        | ReasonCode::ProtectedSecurityGroup
        | ReasonCode::ProtectedEndpoint
        | ReasonCode::SecurityGroupNotAttached
        | ReasonCode::EndpointMustContainSecurityGroup
        | ReasonCode::ReplacementNotAttached
        | ReasonCode::FinancialLocked
        | ReasonCode::DryRunIgnored
        | ReasonCode::DeadlineExceeded
        // A dead letter without an event has it, and the result of a direct invocation: chat shows neither.
        | ReasonCode::CompletionNotPublished
        | ReasonCode::InvocationTimeout
        | ReasonCode::Alibaba(_) => [
            ReasonCode::InvalidRequest,
            ReasonCode::RegionNotAllowed,
            ReasonCode::ProtectedSecurityGroup,
            ReasonCode::ProtectedEndpoint,
            ReasonCode::SecurityGroupNotAttached,
            ReasonCode::EndpointMustContainSecurityGroup,
            ReasonCode::ReplacementNotAttached,
            ReasonCode::FinancialLocked,
            ReasonCode::DryRunIgnored,
            ReasonCode::DeadlineExceeded,
        ],
    }
}

#[test]
fn every_reason_has_its_explanation_and_every_explanation_a_reason() {
    let rows = codes::CODES.iter().chain(&codes::FAMILIES).chain([&codes::DENIAL, &codes::OTHER]);
    let sections: BTreeSet<String> = own_codes()
        .iter()
        .map(|code| code.as_str().to_ascii_lowercase())
        .chain(rows.map(|row| row.runbook.to_owned()))
        .collect();
    for section in &sections {
        let explanation = reasons::explain(&format!("docs/runbook.md#{section}"));
        assert_eq!(explanation.section, section);
    }
    assert_eq!(reasons::all().len(), 2 * sections.len());
}

#[test]
fn reason_of_an_unknown_section_is_any_other_code() {
    for runbook in ["", "docs/runbook.md", "https://example.com/#new-section", "nopermission"] {
        assert_eq!(reasons::explain(runbook).section, "any-other-code", "{runbook}");
    }
}

fn accepted(dry_run: bool) -> Answer {
    let request =
        super::super::request::ChatRequest { dry_run, ..samples::request(Phase::Preview, Language::En) };
    Answer::Accepted { request, approval_seconds: 3600 }
}

fn not_allowed(why: NotAllowed) -> Answer {
    let person = Person::parse("slack:T04TEAM/U04PERSON").unwrap();
    Answer::NotAllowed { why, person, conversation: Conversation::parse("slack:T04TEAM/C04CHANNEL").unwrap() }
}

#[test]
fn accepted_command_is_told_what_happens_next() {
    assert_eq!(
        accepted(false).text(Language::En, "/privatelink"),
        "The dry run of detaching sg-old from ep-a_b in eu-west-1 is queued as slack-0123456789abcdef01234567.preview. Its \
         result comes here; if it passes, with buttons for the approval, which is possible within 1 h from now. If another \
         request for this endpoint is in progress, the dry run waits for it. Nothing changes until an approver other \
         than the requester approves."
    );
    assert_eq!(
        accepted(false).text(Language::Zh, "/privatelink"),
        "从终端节点 ep-a_b（eu-west-1）移除安全组 sg-old 的预检已进入队列，请求 ID 为 \
         slack-0123456789abcdef01234567.preview。预检结果会发送到此会话；如果通过，会附带审批按钮，须在 1 小时内批准。\
         如果该终端节点有其他请求正在执行，预检会等待其结束。在申请人以外的审批人批准之前，不会做任何更改。"
    );
    assert!(!accepted(true).text(Language::En, "/privatelink").contains("approv"));
    assert!(!accepted(true).text(Language::Zh, "/privatelink").contains("批准"));
}

#[test]
fn every_problem_of_a_command_is_told_at_once() {
    let problems = vec![
        Problem::Invalid(Part::Deadline),
        Problem::Repeated(Part::Endpoint),
        Problem::Unknown(2),
        Problem::Missing(Part::Verb),
    ];
    let answer = Answer::Problems(problems);
    assert_eq!(
        answer.text(Language::En, "/privatelink"),
        "The command is not accepted:\n\
         • The deadline is not valid: it must be seconds, or a number with s, m or h, such as deadline=90m, from 30 s to 11 h.\n\
         • The endpoint is given more than once.\n\
         • Words that the command does not know: 2. Remove or correct them; regions, sg- and ep- are in lower case.\n\
         • The verb is missing: it must be detach or dry-run.\n\
         Nothing was requested. For an example, type: /privatelink help"
    );
    assert_eq!(
        answer.text(Language::Zh, "/privatelink"),
        "命令未被接受：\n\
         • 无效的时限：应为秒数，或以 s、m、h 结尾的数字，例如 deadline=90m，从 30 秒到 11 小时。\n\
         • 重复指定了终端节点 ID。\n\
         • 有 2 个无法识别的词，请删除或更正；地域、sg- 和 ep- 须为小写。\n\
         • 缺少操作：应为“移除”或“预检”。\n\
         未提交任何请求。查看示例请输入：/privatelink 帮助"
    );
}

#[test]
fn refused_person_reads_which_list_lacks_which_entry() {
    for (why, setting, entry) in [
        (NotAllowed::Tenant, "CHAT_TENANTS", "slack:T04TEAM."),
        (NotAllowed::Conversation, "CHAT_CONVERSATIONS", "slack:T04TEAM/C04CHANNEL."),
        (NotAllowed::Requester, "CHAT_REQUESTERS", "slack:T04TEAM/U04PERSON."),
        (NotAllowed::Approver, "CHAT_APPROVERS", "slack:T04TEAM/U04PERSON."),
    ] {
        let text = not_allowed(why).text(Language::En, "/privatelink");
        assert!(text.contains(setting) && text.ends_with(entry), "{text}");
        let text = not_allowed(why).text(Language::Zh, "/privatelink");
        assert!(text.contains(setting) && text.ends_with(&entry.replace('.', "。")), "{text}");
    }
}

#[test]
fn rejected_request_reads_the_setting() {
    let codes = vec![
        RejectionCode::RegionNotAllowed,
        RejectionCode::ProtectedEndpoint,
        RejectionCode::ProtectedSecurityGroup,
    ];
    for language in Language::ALL {
        let text = Answer::Rejected(codes.clone()).text(language, "/privatelink");
        for setting in ["ALLOWED_REGIONS", "PROTECTED_ENDPOINTS", "PROTECTED_SECURITY_GROUPS"] {
            assert_eq!(text.matches(setting).count(), 1, "{text}");
        }
    }
}

#[test]
fn help_has_every_verb_and_option_of_its_language() {
    for (language, words) in [
        (Language::En, ["/privatelink-eu detach", "/privatelink-eu dry-run", "/privatelink-eu 帮助"]),
        (Language::Zh, ["/privatelink-eu 移除", "/privatelink-eu 预检", "/privatelink-eu help"]),
    ] {
        let help = Answer::Help.text(language, "/privatelink-eu");
        for word in words.into_iter().chain(["deadline=2h", "ticket=CHG-1234", "CHAT_APPROVERS", "11 "]) {
            assert!(help.contains(word), "{word}: {help}");
        }
        assert_eq!(help.matches("privatelink").count(), help.matches("/privatelink-eu ").count(), "{help}");
    }
}

#[test]
fn help_addresses_the_robot_where_a_command_is_a_message_to_it() {
    for (language, words) in
        [(Language::En, ["@bot detach", "@bot 帮助"]), (Language::Zh, ["@bot 移除", "@bot help"])]
    {
        let help = Answer::Help.text(language, "@bot");
        assert!(words.iter().all(|word| help.contains(word)), "{help}");
        assert!(!help.contains('/'), "no slash command: {help}");
    }
}

/// Every text is shown on every platform: `DingTalk` has no threads, and only Slack has channels and calls a thread 消息列.
#[test]
fn no_text_has_a_word_of_one_platform() {
    for text in every_text() {
        for word in ["Slack", "DingTalk", "Feishu", "thread", "channel", "slash", "消息列", "频道", "话题"]
        {
            assert!(
                Language::ALL.iter().all(|language| !text.of(*language).contains(word)),
                "{word}: {text:?}"
            );
        }
    }
}

/// Slack shows an answer in one section of 3000 characters.
#[test]
fn every_answer_is_complete_and_fits_one_section() {
    let problems = Part::ALL
        .into_iter()
        .flat_map(|part| [Problem::Missing(part), Problem::Repeated(part), Problem::Invalid(part)]);
    let mut answers = vec![
        Answer::Help,
        accepted(false),
        accepted(true),
        Answer::Problems(problems.chain([Problem::Unknown(usize::MAX)]).collect()),
        Answer::Rejected(vec![RejectionCode::InvalidRequest]),
        Answer::TryAgain,
    ];
    answers.extend(NotAllowed::ALL.map(not_allowed));
    for (answer, language) in
        answers.iter().flat_map(|answer| Language::ALL.map(|language| (answer, language)))
    {
        let text = answer.text(language, "/privatelink");
        assert!(text.chars().count() <= 3000 && !text.contains(['{', '}']), "{text}");
    }
}
