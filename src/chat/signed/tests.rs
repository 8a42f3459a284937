use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::keys::mac;
use super::*;
use crate::aws::secret::SecretValue;
use crate::chat::answer::AnswerNotice;
use crate::chat::command::{Part, Problem};
use crate::chat::decision::{ClickNotice, ClickResult};
use crate::chat::policy::NotAllowed;
use crate::chat::samples::{self, KEY, KEY_NEXT, approved, keys, longest, message, person, request};
use crate::chat::texts::Answer;
use crate::request::Rules;

/// Signed values that another program made, with the key [`KEY`].
#[derive(Deserialize)]
struct Vectors {
    key: String,
    button: String,
    reply: String,
    notice: String,
    answer: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/chat-signed.json")).unwrap()
}

fn declined() -> ClickNotice {
    ClickNotice {
        result: ClickResult::Declined(request()),
        conversation: samples::conversation(),
        message: Some(message()),
        person: samples::approver().id,
        language: Language::En,
        request_id: Some(request().id),
    }
}

/// The answer to a command that the intake did not understand.
fn refusal() -> AnswerNotice {
    AnswerNotice {
        conversation: Conversation::parse("feishu:2ed263bf32cf1651/oc_84983ff6516d731e5b5f68d4ea2e1da5")
            .unwrap(),
        message: MessageId::parse("om_dc13264520392913993dd051dba21dcf"),
        person: UserId::parse("ou_3ec3f6a28a0d08c45d895276e8e5e19b").unwrap(),
        language: Language::Zh,
        request_id: None,
        text: "命令未被接受：\n• 有 1 个无法识别的词".to_owned(),
    }
}

/// What a completion event says about the request.
fn open_reply(metadata: &Metadata, request: &ChatRequest, keys: &ChatKeys) -> Option<ChatRequest> {
    let request_id = request.request_id();
    let subject = Subject {
        request_id: &request_id,
        region_id: &request.region_id,
        endpoint_id: &request.endpoint_id,
        security_group_id: &request.security_group_id,
    };
    open_metadata(metadata, subject, keys)
}

/// The request with one field changed, for every field.
fn variants(request: &ChatRequest) -> Vec<ChatRequest> {
    let of = |change: &dyn Fn(&mut ChatRequest)| {
        let mut changed = request.clone();
        change(&mut changed);
        changed
    };
    let variants = vec![
        of(&|r| r.conversation = Conversation::parse("slack:T04TEAMAAAA/C04OTHER").unwrap()),
        of(&|r| r.conversation.tenant = Tenant::parse("slack:T04OTHER").unwrap()),
        of(&|r| r.thread = MessageId::parse("1795330710.000101")),
        of(&|r| r.requester = person("U04OTHER").id),
        of(&|r| r.approver = Some(person("U04OTHER").id)),
        of(&|r| r.language = Language::Zh),
        of(&|r| {
            r.phase = if r.phase == Phase::Preview { Phase::Outcome } else { Phase::Preview };
        }),
        of(&|r| r.id = RequestId::parse("slack-0123456789abcdef01234568").unwrap()),
        of(&|r| r.region_id = RegionId::parse("eu-west-2").unwrap()),
        of(&|r| r.endpoint_id = EndpointId::parse("ep-hp33b2e43fays7s8abce").unwrap()),
        of(&|r| r.security_group_id = SecurityGroupId::parse("sg-hp3c8qj1tyct90ejabce").unwrap()),
        of(&|r| r.dry_run = true),
        of(&|r| r.expires_at += 1),
        of(&|r| r.deadline = None),
        of(&|r| r.ticket = Ticket::parse("CHG-8")),
    ];
    assert!(variants.iter().all(|variant| variant != request));
    variants
}

/// The value with the carried fields of another one, and its own signature.
fn with_carried(value: &str, other: &str) -> String {
    let (carried, _) = other.split_once('.').unwrap();
    let (_, signature) = value.split_once('.').unwrap();
    format!("{carried}.{signature}")
}

#[test]
fn format_is_that_of_the_vectors() {
    let Vectors { key, button: expected_button, reply, notice: expected_notice, answer: expected_answer } =
        vectors();
    assert_eq!(key, KEY);
    let keys = keys(&[KEY]);
    assert_eq!(button(&request(), &keys), expected_button);
    assert_eq!(metadata(&request(), &keys)[REPLY], reply);
    assert_eq!(notice(&declined(), &keys), expected_notice);
    assert_eq!(open_button(&expected_button, &keys), Some(request()));
    assert_eq!(open_notice(&expected_notice, &keys), Some(declined()));
    assert_eq!(answer(&refusal(), &keys), expected_answer);
    assert_eq!(open_answer(&expected_answer, &keys), Some(refusal()));
}

#[test]
fn request_is_the_same_after_signing() {
    let keys = keys(&[KEY]);
    let plain = ChatRequest { deadline: None, ticket: None, dry_run: true, ..request() };
    for request in [request(), approved(), plain, longest()] {
        assert_eq!(open_button(&button(&request, &keys), &keys).as_ref(), Some(&request));
        assert_eq!(open_reply(&metadata(&request, &keys), &request, &keys).as_ref(), Some(&request));
    }
}

#[test]
fn notice_is_the_same_after_signing() {
    let keys = keys(&[KEY]);
    let results = [
        ClickResult::Approved(approved()),
        ClickResult::Declined(request()),
        ClickResult::Expired(request()),
    ];
    let refusals = NotAllowed::ALL.map(ClickResult::NotAllowed);
    for result in results.into_iter().chain(refusals) {
        for (message, language) in [(Some(message()), Language::En), (None, Language::Zh)] {
            let before = ClickNotice { result: result.clone(), message, language, ..declined() };
            assert_eq!(open_notice(&notice(&before, &keys), &keys), Some(before));
        }
    }
}

#[test]
fn button_with_one_changed_field_is_not_verified() {
    let keys = keys(&[KEY]);
    for request in [request(), approved()] {
        let value = button(&request, &keys);
        for other in variants(&request) {
            let changed = with_carried(&value, &button(&other, &keys));
            assert_eq!(open_button(&changed, &keys), None, "{other:?}");
        }
    }
}

#[test]
fn event_with_one_changed_field_is_not_verified() {
    let keys = keys(&[KEY]);
    for request in [request(), approved()] {
        let signed = metadata(&request, &keys);
        for other in variants(&request) {
            // As the event of the changed request would be, but for the signature.
            let mut changed = metadata(&other, &keys);
            changed.insert(REPLY.to_owned(), with_carried(&signed[REPLY], &changed[REPLY]));
            assert_eq!(open_reply(&changed, &other, &keys), None, "{other:?}");
        }
        // Each part of the metadata alone, removed or added.
        for key in [REPLY, REQUESTED_BY, APPROVED_BY, TICKET] {
            let mut changed = signed.clone();
            if changed.remove(key).is_none() {
                changed.insert(key.to_owned(), "slack:T04TEAMAAAA/U04OTHER".to_owned());
            }
            assert_eq!(open_reply(&changed, &request, &keys), None, "{key}");
        }
    }
}

#[test]
fn approver_of_another_workspace_is_not_verified() {
    let keys = keys(&[KEY]);
    let mut metadata = metadata(&approved(), &keys);
    metadata.insert(APPROVED_BY.to_owned(), "slack:T04OTHER/U09APPROVER".to_owned());
    assert_eq!(open_reply(&metadata, &approved(), &keys), None);
}

#[test]
fn other_entries_of_the_metadata_do_not_matter() {
    let keys = keys(&[KEY]);
    let mut metadata = metadata(&request(), &keys);
    metadata.insert("note".to_owned(), "x".to_owned());
    assert_eq!(open_reply(&metadata, &request(), &keys), Some(request()));
}

#[test]
fn notice_with_one_changed_field_is_not_verified() {
    let keys = keys(&[KEY]);
    let value = notice(&declined(), &keys);
    for other in [
        ClickNotice { result: ClickResult::Approved(request()), ..declined() },
        ClickNotice { result: ClickResult::NotAllowed(NotAllowed::Approver), ..declined() },
        ClickNotice { result: ClickResult::Declined(approved()), ..declined() },
        ClickNotice {
            conversation: Conversation::parse("slack:T04TEAMAAAA/C04OTHER").unwrap(),
            ..declined()
        },
        ClickNotice { message: None, ..declined() },
        ClickNotice { person: person("U04OTHER").id, ..declined() },
        ClickNotice { language: Language::Zh, ..declined() },
    ] {
        let changed = with_carried(&value, &notice(&other, &keys));
        assert_eq!(open_notice(&changed, &keys), None, "{other:?}");
    }
    let refused = |why| ClickNotice { result: ClickResult::NotAllowed(why), ..declined() };
    let (value, other) =
        (notice(&refused(NotAllowed::Approver), &keys), notice(&refused(NotAllowed::OwnRequest), &keys));
    assert_eq!(open_notice(&with_carried(&value, &other), &keys), None);
}

#[test]
fn answer_with_one_changed_field_is_not_verified() {
    let keys = keys(&[KEY]);
    let value = answer(&refusal(), &keys);
    for other in [
        AnswerNotice { conversation: samples::conversation(), ..refusal() },
        AnswerNotice { message: None, ..refusal() },
        AnswerNotice { person: person("U04OTHER").id, ..refusal() },
        AnswerNotice { language: Language::En, ..refusal() },
        AnswerNotice { request_id: Some(request().id), ..refusal() },
        AnswerNotice { text: "Click here".to_owned(), ..refusal() },
    ] {
        assert_eq!(open_answer(&answer(&other, &keys), &keys).as_ref(), Some(&other));
        let changed = with_carried(&value, &answer(&other, &keys));
        assert_eq!(open_answer(&changed, &keys), None, "{other:?}");
    }
}

#[test]
fn longest_answer_is_verified() {
    let keys = keys(&[KEY]);
    let problems: Vec<_> = Part::ALL
        .into_iter()
        .flat_map(|part| [Problem::Invalid(part), Problem::Repeated(part), Problem::Missing(part)])
        .chain([Problem::Unknown(usize::MAX)])
        .collect();
    for language in Language::ALL {
        let accepted = Answer::Accepted { request: longest(), approval_seconds: 86_399 };
        for text in [Answer::Help, Answer::Problems(problems.clone()), accepted] {
            let before = AnswerNotice {
                conversation: longest().conversation,
                message: longest().thread,
                person: longest().requester,
                language,
                request_id: Some(longest().id),
                text: text.text(language, "/a-command-of-thirty-two-letters"),
            };
            assert_eq!(open_answer(&answer(&before, &keys), &keys), Some(before));
        }
    }
}

#[test]
fn notice_does_not_carry_a_button_that_no_key_made() {
    let (ours, others) = (keys(&[KEY]), keys(&[KEY_NEXT]));
    let (fields, _) = unsealed(&notice(&declined(), &ours), LENGTH_MAX).unwrap();
    let mut fields = <[String; 9]>::try_from(fields).unwrap();
    fields[8] = button(&request(), &others);
    assert_eq!(open_notice(&ours.seal(Purpose::Notice, &fields, &fields), &ours), None);
}

#[test]
fn value_for_one_use_is_no_value_for_another() {
    let keys = keys(&[KEY]);
    let (request, fields) = (request(), fields(&request()));
    for purpose in [Purpose::Reply, Purpose::Notice, Purpose::Answer] {
        assert_eq!(open_button(&keys.seal(purpose, &fields, &fields), &keys), None, "{purpose:?}");
    }
    let mut metadata = metadata(&request, &keys);
    let (carried, _) = unsealed(&metadata[REPLY], LENGTH_MAX).unwrap();
    for purpose in [Purpose::Button, Purpose::Notice, Purpose::Answer] {
        metadata.insert(REPLY.to_owned(), keys.seal(purpose, &carried, &fields));
        assert_eq!(open_reply(&metadata, &request, &keys), None, "{purpose:?}");
    }
    let (carried, _) = unsealed(&notice(&declined(), &keys), LENGTH_MAX).unwrap();
    for purpose in [Purpose::Button, Purpose::Reply, Purpose::Answer] {
        assert_eq!(open_notice(&keys.seal(purpose, &carried, &carried), &keys), None, "{purpose:?}");
    }
    let (carried, _) = unsealed(&answer(&refusal(), &keys), LENGTH_MAX).unwrap();
    for purpose in [Purpose::Button, Purpose::Reply, Purpose::Notice] {
        assert_eq!(open_answer(&keys.seal(purpose, &carried, &carried), &keys), None, "{purpose:?}");
    }
}

#[test]
fn any_key_verifies_and_the_first_signs() {
    let (old, rotated, new) = (keys(&[KEY]), keys(&[KEY_NEXT, KEY]), keys(&[KEY_NEXT]));
    let value = button(&request(), &old);
    assert_eq!(open_button(&value, &new), None);
    assert_eq!(open_button(&value, &rotated), Some(request()));
    assert_eq!(button(&request(), &rotated), button(&request(), &new));
    let (of_old, of_rotated) = (metadata(&request(), &old), metadata(&request(), &rotated));
    assert_eq!(open_reply(&of_old, &request(), &rotated), Some(request()));
    assert_eq!(open_reply(&of_old, &request(), &new), None);
    assert_eq!(open_reply(&of_rotated, &request(), &new), Some(request()));
    assert_eq!(open_notice(&notice(&declined(), &old), &new), None);
    assert_eq!(open_notice(&notice(&declined(), &old), &rotated), Some(declined()));
}

#[test]
fn longest_request_fits_a_button_and_the_metadata_of_a_request() {
    let keys = keys(&[KEY]);
    let request = longest();
    let value = button(&request, &keys);
    assert!(value.len() <= LENGTH_MAX, "{} bytes", value.len());
    let detach = request.to_detach(metadata(&request, &keys));
    let body = detach.to_body(&request.request_id());
    assert_eq!(crate::request::parse(&body, &Rules::default()).result.as_ref(), Ok(&detach));
}

#[test]
fn notice_of_the_longest_request_is_verified() {
    let keys = keys(&[KEY]);
    for platform in Platform::ALL {
        let mut request = longest();
        request.conversation.tenant.platform = platform;
        let before = ClickNotice {
            conversation: request.conversation.clone(),
            message: request.thread.clone(),
            person: request.requester.clone(),
            language: Language::Zh,
            request_id: Some(request.id.clone()),
            result: ClickResult::Approved(request),
        };
        assert_eq!(open_notice(&notice(&before, &keys), &keys), Some(before));
    }
}

#[test]
fn text_that_is_no_signed_value_is_not_verified() {
    let keys = keys(&[KEY]);
    let value = button(&request(), &keys);
    let (carried, signature) = value.split_once('.').unwrap();
    let of_json = |json: &str| format!("{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(json));
    let others = [
        String::new(),
        ".".to_owned(),
        carried.to_owned(),
        format!("{carried}."),
        format!(".{signature}"),
        format!("{value}="),
        format!("{value}.{signature}"),
        format!("{carried}.{}", &signature[1..]),
        format!(" {value}"),
        of_json("{}"),
        of_json("[]"),
        of_json("[1]"),
        of_json("null"),
        of_json(&"[".repeat(1000)),
        format!("{value}{}", "A".repeat(LENGTH_MAX)),
    ];
    for text in others {
        assert_eq!(open_button(&text, &keys), None, "{text}");
        assert_eq!(open_notice(&text, &keys), None, "{text}");
        assert_eq!(open_answer(&text, &keys), None, "{text}");
        let metadata = Metadata::from([
            (REPLY.to_owned(), text.clone()),
            (REQUESTED_BY.to_owned(), request().requester().to_string()),
        ]);
        assert_eq!(open_reply(&metadata, &request(), &keys), None, "{text}");
    }
}

#[test]
fn lists_of_fields_with_the_same_text_have_different_signatures() {
    let keys = keys(&[KEY]);
    let mac = |fields: &[&str]| {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        mac(&keys.0[0], Purpose::Button, &fields).into_bytes()
    };
    let lists: [&[&str]; 5] = [&["ab", "c"], &["a", "bc"], &["abc"], &["abc", ""], &["", "abc"]];
    for (n, one) in lists.iter().enumerate() {
        for other in &lists[n + 1..] {
            assert_ne!(mac(one), mac(other), "{one:?} {other:?}");
        }
    }
}

#[test]
fn keys_are_a_list_of_base64_of_32_to_64_bytes() {
    let of_bytes = |count: usize| BASE64_STANDARD.encode(vec![7; count]);
    let parse = |keys: &[String]| ChatKeys::parse(&serde_json::to_string(keys).unwrap()).map(|_| ());
    for valid in [vec![of_bytes(32)], vec![of_bytes(64), of_bytes(33)], vec![of_bytes(32); 10]] {
        assert_eq!(parse(&valid), Ok(()), "{valid:?}");
    }
    for invalid in
        [of_bytes(31), of_bytes(65), String::new(), "s3cret".to_owned(), format!("{} ", of_bytes(32))]
    {
        assert_eq!(parse(&[of_bytes(32), invalid.clone()]), Err(UnusableKeys::Key(2)), "{invalid}");
    }
    assert_eq!(parse(&[]), Err(UnusableKeys::Count(0)));
    assert_eq!(parse(&vec![of_bytes(32); 11]), Err(UnusableKeys::Count(11)));
    for text in ["", "s3cret", r#""s3cret""#, r#"{"keys":["s3cret"]}"#, r#"[["s3cret"]]"#, "[1]", "null"] {
        assert_eq!(ChatKeys::parse(text).map(|_| ()), Err(UnusableKeys::NotAList), "{text}");
    }
}

#[test]
fn no_text_contains_a_key() {
    let key = BASE64_STANDARD.encode([b's'; 31]);
    let error = ChatKeys::parse(&serde_json::json!([key]).to_string()).unwrap_err();
    for shown in [error.to_string(), format!("{error:?}"), format!("{:?}", keys(&[KEY]))] {
        assert!(!shown.contains(&key[..6]) && !shown.contains(&KEY[..6]), "{shown}");
    }
}
