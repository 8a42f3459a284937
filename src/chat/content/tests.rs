use super::super::policy::NotAllowed;
use super::super::request::Phase;
use super::*;

fn outcome_of(outcome: OutcomeName, change: impl FnOnce(&mut ChatCompletion)) -> Content {
    let request = samples::request(Phase::Outcome, Language::En);
    let mut completion = samples::completion(&request, outcome, None);
    change(&mut completion);
    Content::of(&Notice::Outcome { request, completion })
}

fn preview_of(outcome: OutcomeName, code: Option<(&str, &str)>) -> Content {
    let request = samples::request(Phase::Preview, Language::En);
    Content::of(&Notice::Preview { completion: samples::completion(&request, outcome, code), request })
}

/// The words of a line; other values by their kind.
fn shown(line: &Line) -> String {
    let shown = |span: &Span| match span {
        Span::Words(words) => words.clone(),
        Span::Code(code) => format!("`{code}`"),
        Span::Person(person) => format!("@{person}"),
        Span::Time(seconds) => format!("@{seconds}"),
    };
    line.iter().map(shown).collect()
}

fn row(content: &Content, label: &str) -> Option<String> {
    content.rows.iter().find(|(name, _)| name == label).map(|(_, value)| shown(value))
}

#[test]
fn absent_group_may_be_the_work_of_an_earlier_attempt_or_approval() {
    // After a redrive or a second approval, the count begins again.
    for deliveries in [1, 3] {
        let content =
            outcome_of(OutcomeName::AlreadyDetached, |completion| completion.deliveries = deliveries);
        assert_eq!(content.title, "Already detached");
        assert_eq!(
            shown(&content.lead),
            "The security group is not on the endpoint. This attempt changed nothing; an earlier attempt or approval of \
             this request, or another request, may have detached it."
        );
    }
}

#[test]
fn attempt_without_a_detach_says_what_an_earlier_attempt_may_have_done() {
    let texts = |outcome, deliveries| {
        let content = outcome_of(outcome, |completion| completion.deliveries = deliveries);
        (content.title, shown(&content.lead))
    };
    for outcome in [OutcomeName::Rejected, OutcomeName::DryRunPassed] {
        let (title, lead) = texts(outcome, 7);
        assert!(
            lead.contains("n earlier attempt of the same request may have detached the group."),
            "{lead}"
        );
        assert!(!title.contains("Not detached") && !lead.contains("othing was"), "{title} {lead}");
        assert!(!texts(outcome, 1).1.contains("earlier"));
    }
}

#[test]
fn dry_run_that_alibaba_cloud_ignored_says_so_first() {
    let code = Some(("DryRunIgnored", "dryrunignored"));
    for (language, title) in
        [(Language::En, "The dry run may have detached the group"), (Language::Zh, "预检可能已移除安全组")]
    {
        let request = samples::request(Phase::Preview, language);
        let completion = samples::completion(&request, OutcomeName::Refused, code);
        let content = Content::of(&Notice::Preview { request, completion });
        assert_eq!(content.title, title);
        assert!(content.notification.starts_with(title), "{}", content.notification);
    }
}

#[test]
fn dry_run_that_was_changed_in_the_queue_says_so_whatever_its_outcome_is() {
    let request = samples::request(Phase::Preview, Language::En);
    for outcome in OutcomeName::ALL {
        let mut completion = samples::completion(&request, outcome, None);
        completion.dry_run = false;
        let content = Content::of(&Notice::Preview { request: request.clone(), completion });
        assert_eq!(content.title, "The dry run was changed to a detach", "{outcome:?}");
    }
}

#[test]
fn dry_run_without_a_result_claims_no_unchanged_endpoint() {
    for outcome in [OutcomeName::Unconfirmed, OutcomeName::AlreadyDetached] {
        let lead = shown(&preview_of(outcome, None).lead);
        assert!(
            lead.contains("A dry run changes nothing by itself; if in doubt, check the endpoint's groups."),
            "{lead}"
        );
        assert!(!lead.contains("Nothing was changed"), "{lead}");
    }
}

#[test]
fn only_the_outcome_has_the_approver_in_a_row() {
    let approver = |content: &Content| row(content, "Approved by:");
    let click = ClickResult::Approved(samples::request(Phase::Outcome, Language::En));
    let clicked = Content::of(&samples::click(click, Language::En));
    assert_eq!(approver(&clicked), None);
    assert!(shown(&clicked.lead).starts_with("@U04APPROVER approved the request."));
    let outcome = outcome_of(OutcomeName::Detached, |_| {});
    assert_eq!(approver(&outcome).unwrap(), "@U04APPROVER");
}

#[test]
fn refused_click_names_the_entry_that_a_list_lacks() {
    for (why, entry) in [
        (NotAllowed::Tenant, "`slack:T04TEAM`."),
        (NotAllowed::Conversation, "`slack:T04TEAM/C04CHANNEL`."),
        (NotAllowed::Requester, "`slack:T04TEAM/U04APPROVER`."),
        (NotAllowed::Approver, "`slack:T04TEAM/U04APPROVER`."),
        (NotAllowed::OwnRequest, "You can decline it."),
        (NotAllowed::Unverified, "Ask the requester to send the command again."),
    ] {
        let content = Content::of(&samples::click(ClickResult::NotAllowed(why), Language::En));
        assert!(shown(&content.lead).ends_with(entry), "{:?}", content.lead);
        // A person may see several requests.
        assert_eq!(row(&content, "Request ID:").unwrap(), "`slack-3f0c91d2a47be86015c2d97f`");
    }
}

#[test]
fn dry_run_despite_the_approval_is_shown() {
    let content = outcome_of(OutcomeName::DryRunPassed, |completion| completion.dry_run = true);
    assert_eq!(content.title, "Not detached: this deployment carries out dry runs only");
    assert!(shown(&content.lead).starts_with("Nothing was detached despite the approval"));
}

#[test]
fn approval_request_has_the_groups_now_and_after_and_who_asks() {
    let notices = samples::notices(Language::En);
    let (_, notice) = &notices[0];
    let content = Content::of(notice);
    assert_eq!(row(&content, "Groups now:").unwrap(), "`sg-old`, `sg-new`");
    assert_eq!(row(&content, "Groups after the detach:").unwrap(), "`sg-new`");
    assert_eq!(row(&content, "Requested by:").unwrap(), "@U04REQUESTER");
    assert_eq!(row(&content, "Can be approved until:").unwrap(), "@1795334400");
    assert_eq!(content.buttons.unwrap().value, "the signed value");
    for (name, notice) in notices.iter().filter(|(name, _)| !name.starts_with("approval_request")) {
        assert_eq!(Content::of(notice).buttons, None, "{name}");
    }
}

/// What is posted about the last group of an endpoint, after a dry run or a detach.
fn replaced(
    phase: Phase,
    language: Language,
    change: impl FnOnce(&mut ChatRequest, &mut ChatCompletion),
) -> Content {
    let mut request = samples::request(phase, language);
    let outcome = if phase == Phase::Preview { OutcomeName::DryRunPassed } else { OutcomeName::Detached };
    let mut completion = samples::replaced(&request, outcome);
    change(&mut request, &mut completion);
    Content::of(&match phase {
        Phase::Preview if request.dry_run => Notice::Preview { request, completion },
        Phase::Preview => Notice::ApprovalRequest { request, completion, button: "b".to_owned() },
        Phase::Outcome => Notice::Outcome { request, completion },
    })
}

#[test]
fn approver_of_a_last_group_reads_what_replaces_it() {
    let content = replaced(Phase::Preview, Language::En, |_, _| {});
    assert_eq!(content.title, "Approval needed: replace an endpoint's last security group");
    assert_eq!(row(&content, "Groups now:").unwrap(), "`sg-old`");
    assert_eq!(row(&content, "Groups after the detach:").unwrap(), "replace by `sg-spare`");
    assert!(
        shown(&content.lead).contains("`sg-spare` is attached first, and then the group is detached"),
        "{:?}",
        content.lead
    );
    let confirm = content.buttons.unwrap().confirm;
    assert_eq!(confirm, "The security group sg-spare replaces sg-old on the endpoint ep-a_b in eu-west-1.");
    let content = replaced(Phase::Preview, Language::Zh, |_, _| {});
    assert_eq!(row(&content, "移除后的安全组：").unwrap(), "替换为 `sg-spare`");

    let found = replaced(Phase::Preview, Language::En, |_, completion| {
        completion.groups_after.as_mut().unwrap().push("sg-spare".to_owned());
    });
    assert_eq!(found.title, "Approval needed: detach a security group", "the endpoint has it already");
    assert_eq!(row(&found, "Groups after the detach:").unwrap(), "`sg-spare`");
}

#[test]
fn dry_run_alone_names_what_replaces_a_last_group() {
    let content = replaced(Phase::Preview, Language::En, |request, _| request.dry_run = true);
    assert_eq!((content.title, &content.buttons), ("Dry run passed", &None));
    assert!(
        shown(&content.lead).contains("the attach of `sg-spare`, which replaces it"),
        "{:?}",
        content.lead
    );
}

#[test]
fn outcome_says_what_was_attached() {
    let content = replaced(Phase::Outcome, Language::En, |_, _| {});
    assert!(shown(&content.lead).ends_with("It was the last one; `sg-spare` was attached instead."));
    assert_eq!(row(&content, "Attached, and stays:"), None);
    let found = replaced(Phase::Outcome, Language::En, |_, completion| {
        completion.groups_before.as_mut().unwrap().push("sg-spare".to_owned());
    });
    assert!(!shown(&found.lead).contains("sg-spare"), "it was not attached by this attempt");
    let refused = replaced(Phase::Outcome, Language::En, |_, completion| {
        completion.outcome = OutcomeName::Refused;
        completion.groups_after = Some(vec!["sg-old".to_owned(), "sg-spare".to_owned()]);
    });
    assert_eq!(row(&refused, "Attached, and stays:").unwrap(), "`sg-spare`");
    assert_eq!(refused.title, "Detach refused");
}

#[test]
fn first_groups_of_many_are_listed_and_the_rest_is_counted() {
    let with = |groups: Option<Vec<String>>| {
        let content = outcome_of(OutcomeName::Refused, |completion| completion.groups_after = groups);
        row(&content, "Groups at the last read:").unwrap()
    };
    let many = |number: usize| Some((0..number).map(|n| format!("sg-{n}")).collect());
    assert_eq!(with(None), "not read");
    assert_eq!(with(many(0)), "none");
    assert!(with(many(20)).ends_with(", `sg-19`"));
    assert!(with(many(100)).ends_with(", `sg-19` and 80 more"));
}

#[test]
fn failure_has_its_meaning_its_advice_and_where_to_read_more() {
    let content = preview_of(OutcomeName::Refused, Some(("UserDisable", "nopermission")));
    assert!(
        row(&content, "Reason:")
            .unwrap()
            .starts_with("`UserDisable` Alibaba Cloud's access control (RAM) does not allow")
    );
    assert!(row(&content, "What to do:").unwrap().starts_with("Ask an operator to grant the denied action"));
    assert!(content.details.unwrap().starts_with("Details: What UserDisable means."));
    assert_eq!(
        content.runbook,
        Some(("Runbook", "https://example.com/runbook.md?a=1&b=2#nopermission".to_owned()))
    );
}

/// The details of a request that was refused with this message about the endpoint's last group.
fn details_of(message: &str) -> Option<String> {
    let request = samples::request(Phase::Outcome, Language::En);
    let code = Some(("EndpointMustContainSecurityGroup", "endpointmustcontainsecuritygroup"));
    let mut completion = samples::completion(&request, OutcomeName::Refused, code);
    completion.reason.as_mut().unwrap().message = message.to_owned();
    Content::of(&Notice::Outcome { request, completion }).details
}

#[test]
fn details_that_repeat_the_reason_are_omitted() {
    let meaning = "The group is the endpoint's last one, and an endpoint must keep at least one";
    assert_eq!(details_of(meaning), None);
    assert_eq!(details_of(&format!("{meaning}.")), None);
    for other in ["", "The group is the endpoint's last one", &format!("{meaning}: sg-a")] {
        assert_eq!(details_of(other), Some(format!("Details: {other}")));
    }
}

#[test]
fn details_are_one_line_in_the_order_of_their_characters() {
    assert_eq!(
        details_of("first\nApproved by: @boss\r\u{202e}txt\u{2066}\u{200f}\u{2028}\u{7}."),
        Some("Details: first Approved by: @boss txt .".to_owned())
    );
}

#[test]
fn dry_run_behind_a_busy_endpoint_says_so_instead_of_a_deadline() {
    let content = preview_of(OutcomeName::Unconfirmed, Some(("DeadlineExceeded", "deadlineexceeded")));
    assert!(shown(&content.lead).contains("another request for this endpoint is in progress"));
    assert_eq!(row(&content, "Reason:"), None);
    assert!(content.details.is_some());
}

#[test]
fn long_message_of_a_failure_is_cut_between_characters() {
    for (message, length) in [("消".repeat(1000), 1000), ("消".repeat(1001), 1000)] {
        let cut = cut(&message, DETAILS_LENGTH_MAX);
        assert_eq!(cut.chars().count(), length);
        assert_eq!(cut.ends_with('…'), message != cut);
    }
}
