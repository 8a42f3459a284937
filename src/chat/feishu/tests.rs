use std::collections::BTreeMap;

use aes::Aes256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::Encryptor;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::*;
use crate::aws::secret::SecretValue;
use crate::chat::call::{self, Action, Click, CommandCall, UnusableSecrets, VerificationSecrets};
use crate::chat::identity::{Conversation, MessageId, Person, Platform};
use crate::chat::policy::NotAllowed;
use crate::freshness::{AGE_MAX, AHEAD_MAX};

/// Calls and encrypted texts that the official SDK made and judged.
#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
    encryption: Vec<Encrypted>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    encrypt_key: String,
    verification_token: String,
    headers: BTreeMap<String, String>,
    body: String,
    valid: bool,
    answer: Option<String>,
}

#[derive(Deserialize)]
struct Encrypted {
    encrypt_key: String,
    plaintext: String,
    encrypt: String,
}

const KEY: &str = "9ffbc6f03c9157079cf8f526729114a7";
const TOKEN: &str = "2f5e7aa9d6cb3b8dae13856e1d75375e";

/// When the calls of the vectors were sent, in seconds since 1970-01-01.
const SENT_AT: u64 = 1_795_330_800;

/// A text that no log line may contain.
const PRIVATE: &str = "pr1vate";

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../tests/vectors/chat-feishu.json")).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn secrets(keys: &[&str], tokens: &[&str]) -> VerificationSecrets {
    let member = json!({ "encrypt_keys": keys, "verification_tokens": tokens });
    VerificationSecrets::parse(&json!({ "feishu": member }).to_string()).unwrap()
}

/// A call as it arrives.
#[derive(Clone)]
struct Sent {
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// The encrypted text; the initialization vector is made up.
fn encrypted(key: &str, text: &[u8]) -> String {
    let padding = 16 - text.len() % 16;
    encrypted_blocks(key, &[text, &vec![u8::try_from(padding).unwrap(); padding]].concat())
}

fn encrypted_blocks(key: &str, blocks: &[u8]) -> String {
    let mut text = blocks.to_vec();
    let cipher = Encryptor::<Aes256>::new(&Sha256::digest(key), &[7; 16].into());
    cipher.encrypt_padded::<NoPadding>(&mut text, blocks.len()).unwrap();
    STANDARD.encode([&[7; 16], &text[..]].concat())
}

/// The body of a call, encrypted.
fn body(key: &str, text: &str) -> String {
    json!({ "encrypt": encrypted(key, text.as_bytes()) }).to_string()
}

/// A call with a valid signature.
fn signed(key: &str, timestamp: &str, body: String) -> Sent {
    let hash = Sha256::digest([timestamp, "nonce", key, &body].concat());
    let signature = hash.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let headers =
        vec![(TIMESTAMP, timestamp.to_owned()), (NONCE, "nonce".to_owned()), (SIGNATURE, signature)];
    Sent { headers, body }
}

impl Sent {
    fn open_with(&self, secrets: &VerificationSecrets, seconds: u64) -> Result<ChatCall, Unopened> {
        let header = |(name, value): &(&'static str, String)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let headers = self.headers.iter().map(header).collect();
        call::open(Platform::Feishu, &headers, self.body.as_bytes(), at(seconds), secrets)
    }

    fn open(&self) -> Result<ChatCall, Unopened> {
        self.open_with(&secrets(&[KEY], &[TOKEN]), SENT_AT)
    }

    fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }
}

/// The event of a message, as the vectors have it.
fn message() -> Value {
    json!({
        "schema": "2.0",
        "header": {
            "event_id": "298eddd0fa89c1f0105505cebaf71969", "token": TOKEN, "create_time": "1795330800001",
            "event_type": "im.message.receive_v1", "tenant_key": "af278ac2ae029da4", "app_id": "cli_f941c4c300225e1d",
        },
        "event": {
            "sender": {
                "sender_id": { "union_id": "on_077354b557ec183dea437abc0131c94e", "user_id": "568dbb42",
                               "open_id": "ou_8156d5e169a1cbca6dc7b5e5c0ba7344" },
                "sender_type": "user", "tenant_key": "af278ac2ae029da4",
            },
            "message": {
                "message_id": samples::COMMAND, "create_time": "1795330799980", "update_time": "1795330799980",
                "chat_id": "oc_eb1772f317cf009dfdd2c3052baa2758", "chat_type": "group", "message_type": "text",
                "content": r#"{"text":"@_user_1 detach sg-a"}"#,
                "mentions": [{ "key": "@_user_1", "id": { "open_id": "ou_5d10210889c39309a3c2cd56eb24f1c2" },
                               "name": "bot", "tenant_key": "af278ac2ae029da4" }],
            },
        },
    })
}

/// The callback of a click, as Feishu documents it.
fn click() -> Value {
    json!({
        "schema": "2.0",
        "header": {
            "event_id": "4b04afee36cdd3f1a389397280100fe3", "token": TOKEN, "create_time": "1795330800000000",
            "event_type": "card.action.trigger", "tenant_key": "af278ac2ae029da4", "app_id": "cli_f941c4c300225e1d",
        },
        "event": {
            "operator": { "tenant_key": "af278ac2ae029da4", "user_id": "987bb442",
                          "open_id": "ou_f55b8b743ffd1e3c2239a5d7a833c30b" },
            "token": "c-4fba267a0ea5d080f0b439b33abfe4d3a27d9e98",
            "action": { "value": { "action": "approve", "request": "v" }, "tag": "button" },
            "host": "im_message",
            "context": { "open_message_id": samples::CARD, "open_chat_id": "oc_eb1772f317cf009dfdd2c3052baa2758" },
        },
    })
}

fn check() -> Value {
    json!({ "type": "url_verification", "token": TOKEN, "challenge": "c" })
}

fn sent(text: &Value) -> Sent {
    signed(KEY, &SENT_AT.to_string(), body(KEY, &text.to_string()))
}

fn unsigned(text: &Value) -> Sent {
    Sent { headers: Vec::new(), body: body(KEY, &text.to_string()) }
}

fn opened_with(mut text: Value, change: impl FnOnce(&mut Value)) -> Result<ChatCall, Unopened> {
    change(&mut text);
    sent(&text).open()
}

fn conversation() -> Conversation {
    Conversation::parse(samples::CONVERSATION).unwrap()
}

fn command(text: &str) -> ChatCall {
    ChatCall::Command(CommandCall {
        person: Person::parse("feishu:af278ac2ae029da4/ou_8156d5e169a1cbca6dc7b5e5c0ba7344").unwrap(),
        conversation: conversation(),
        name: "@bot".to_owned(),
        message: MessageId::parse(samples::COMMAND),
        text: text.to_owned(),
        platform_id: samples::COMMAND.to_owned(),
    })
}

#[test]
fn official_sdk_judges_every_call_alike() {
    let cases = vectors().cases;
    assert_eq!(cases.len(), 10);
    for case in cases {
        let secrets = secrets(&[&case.encrypt_key], &[&case.verification_token]);
        let headers = case.headers.iter().map(|(name, value)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        });
        let opened =
            call::open(Platform::Feishu, &headers.collect(), case.body.as_bytes(), at(SENT_AT), &secrets);
        let text = "移除 sg-hp3c8qj1tyct90ejabcd ep-hp33b2e43fays7s8abcd eu-west-1";
        let expected = match case.name.as_str() {
            "message, encrypted" | "message, key with a space or signs" => Ok(command(text)),
            // Verified and decrypted, but the value of the button is not one of this project; and a call that is not
            // encrypted, which Feishu does not send if it has a key.
            "button, encrypted" | "button, non-ASCII key" | "message, not encrypted, but signed" => {
                Err(Unopened::Unknown)
            }
            "url_verification, encrypted, unsigned" => {
                let answer = serde_json::from_str(&case.answer.unwrap()).unwrap();
                Ok(ChatCall::Handshake(Some(answer)))
            }
            _ => Err(Unopened::NoMatch),
        };
        assert_eq!(opened, expected, "{}", case.name);
        assert_eq!(opened != Err(Unopened::NoMatch), case.valid, "{}", case.name);
    }
}

#[test]
fn official_sdk_decrypts_every_text_alike() {
    let cases = vectors().encryption;
    assert_eq!(cases.len(), 6);
    for Encrypted { encrypt_key, plaintext, encrypt } in cases {
        let member = json!({ "encrypt_keys": [encrypt_key], "verification_tokens": [TOKEN] });
        let secrets = Secrets::parse(&serde_json::value::to_raw_value(&member).unwrap()).unwrap();
        assert_eq!(secrets.keys()[0].decrypt(&encrypt), Some(plaintext.into_bytes()));
    }
}

#[test]
fn text_that_is_not_encrypted_whole_is_refused() {
    let member = json!({ "encrypt_keys": [KEY], "verification_tokens": [TOKEN] });
    let secrets = Secrets::parse(&serde_json::value::to_raw_value(&member).unwrap()).unwrap();
    let decrypted = |encrypted: &str| secrets.keys()[0].decrypt(encrypted);
    let padded = |block: [u8; 16]| encrypted_blocks(KEY, &block);
    assert_eq!(decrypted(&padded([16; 16])), Some(vec![]));
    assert_eq!(decrypted(&padded(*b"123456789012345\x01")), Some(b"123456789012345".to_vec()));
    assert_eq!(decrypted(&padded(*b"1234567890123\x03\x03\x03")), Some(b"1234567890123".to_vec()));
    for wrong in [
        *b"123456789012345\x00",
        *b"123456789012345\x11",
        *b"1234567890123\x03\x02\x03",
        *b"1234567890123\x02\x03\x03",
        *b"\x0f234567890123\x0f\x0f\x10",
        [17; 16],
        [255; 16],
    ] {
        assert_eq!(decrypted(&padded(wrong)), None, "{wrong:?}");
    }
    let whole = encrypted(KEY, b"text");
    for wrong in
        ["", "=", "text", &STANDARD.encode([7; 15]), &STANDARD.encode([7; 16]), &STANDARD.encode([7; 31])]
    {
        assert_eq!(decrypted(wrong), None, "{wrong}");
    }
    assert_eq!(decrypted(&whole[1..]), None);
    assert_eq!(decrypted(&format!("{whole} ")), None);
    assert_eq!(decrypted(&encrypted("another key", b"text")), None);
}

#[test]
fn any_key_and_any_token_verify() {
    let (other_key, other_token) = ("c87879816b60ace2", "9da36143581967dc");
    let open = |call: &Sent, keys: &[&str], tokens: &[&str]| {
        call.open_with(&secrets(keys, tokens), SENT_AT).map(|_| ())
    };
    for call in [sent(&message()), sent(&click()), unsigned(&check()), sent(&check())] {
        assert_eq!(open(&call, &[other_key, KEY], &[other_token, TOKEN]), Ok(()));
        assert_eq!(open(&call, &[KEY, other_key], &[TOKEN, other_token]), Ok(()));
        // What does not match is not told.
        assert_eq!(open(&call, &[other_key], &[TOKEN]), Err(Unopened::NoMatch));
        assert_eq!(open(&call, &[KEY], &[other_token]), Err(Unopened::NoMatch));
        let none = VerificationSecrets::parse("{}").unwrap();
        assert_eq!(call.open_with(&none, SENT_AT), Err(Unopened::NotConfigured));
    }
}

#[test]
fn check_of_the_address_is_answered_with_its_challenge() {
    let expected = Ok(ChatCall::Handshake(Some(json!({ "challenge": "c" }))));
    assert_eq!(unsigned(&check()).open(), expected);
    assert_eq!(sent(&check()).open(), expected);
    // Feishu's own SDKs check no signature either.
    assert_eq!(sent(&check()).with_header(SIGNATURE, &"0".repeat(64)).open(), expected);
    for change in [
        (|c: &mut Value| c["type"] = "event_callback".into()) as fn(&mut Value),
        |c| c["token"] = "x".into(),
        |c| c["token"] = "".into(),
        |c| c["token"] = Value::Null,
        |c| c["challenge"] = Value::Null,
        |c| *c = json!(["url_verification", TOKEN, "c"]),
    ] {
        let mut check = check();
        change(&mut check);
        assert_eq!(unsigned(&check).open(), Err(Unopened::NoMatch), "{check}");
    }
    let not_encrypted = Sent { headers: Vec::new(), body: check().to_string() };
    assert_eq!(not_encrypted.open(), Err(Unopened::Headers));
    let mut long = check();
    long["challenge"] = "c".repeat(CHECK_LENGTH_MAX).into();
    assert_eq!(unsigned(&long).open(), Err(Unopened::Headers));
}

#[test]
fn call_without_a_signature_is_never_carried_out() {
    for event in [message(), click()] {
        assert_eq!(unsigned(&event).open(), Err(Unopened::NoMatch));
        let call = || sent(&event);
        assert!(call().open().is_ok());
        for header in [TIMESTAMP, NONCE, SIGNATURE] {
            assert_eq!(call().without_header(header).open(), Err(Unopened::NoMatch), "{header}");
            assert_eq!(call().with_header(header, "0").open(), Err(Unopened::NoMatch), "{header}");
        }
        let other_body = Sent { body: format!("{} ", call().body), ..call() };
        assert_eq!(other_body.open(), Err(Unopened::NoMatch));
    }
}

#[test]
fn signature_is_64_digits_in_lower_case() {
    let valid = sent(&message()).headers[2].1.clone();
    for text in [
        String::new(),
        valid.to_uppercase(),
        format!("{valid}0"),
        valid[1..].to_owned(),
        format!("{valid},{valid}"),
        format!("g{}", &valid[1..]),
        format!("sha256={valid}"),
    ] {
        assert_eq!(signature(&text), None, "{text}");
    }
    assert!(signature(&valid).is_some());
}

#[test]
fn body_is_one_object_with_the_encrypted_text() {
    let whole = body(KEY, &message().to_string());
    let text = &whole[r#"{"encrypt":"#.len()..whole.len() - 1];
    for wrong in [
        String::new(),
        "[]".to_owned(),
        format!("[{text}]"),
        format!("{whole}x"),
        format!("{whole}{whole}"),
        format!(r#"{{"encrypt":{text},"encrypt":{text}}}"#),
        format!(r#"{{"encrypt":[{text}]}}"#),
        format!(r#"{{"Encrypt":{text}}}"#),
        body(KEY, ""),
        body(KEY, "null"),
        body(KEY, &format!("{}x", message())),
        body("another key", &message().to_string()),
        message().to_string(),
    ] {
        let call = signed(KEY, &SENT_AT.to_string(), wrong);
        assert_eq!(call.open(), Err(Unopened::Unknown), "{}", call.body);
    }
}

#[test]
fn age_of_a_call_has_limits() {
    let secrets = secrets(&[KEY], &[TOKEN]);
    let (age, ahead) = (AGE_MAX.as_secs(), AHEAD_MAX.as_secs());
    let mut young = message();
    young["event"]["message"]["create_time"] = ((SENT_AT + age) * 1000).to_string().into();
    for (event, late) in [(young, Ok(ChatCall::Late)), (click(), Err(Unopened::TooOld))] {
        let open = |seconds| sent(&event).open_with(&secrets, seconds);
        assert!(open(SENT_AT + age).is_ok() && open(SENT_AT - ahead).is_ok());
        assert_eq!(open(SENT_AT + age + 1), late);
        assert_eq!(open(SENT_AT - ahead - 1), Err(Unopened::TooEarly));
    }
    for timestamp in ["", "x", "+1795330800", "1795330800.0", "0x6b0"] {
        let call = signed(KEY, timestamp, body(KEY, &message().to_string()));
        assert_eq!(call.open(), Err(Unopened::Headers), "{timestamp}");
    }
}

#[test]
fn message_of_some_minutes_ago_is_late() {
    let opened = |created_at: &str| {
        opened_with(message(), |m| m["event"]["message"]["create_time"] = created_at.into())
    };
    let limit = (SENT_AT - AGE_MAX.as_secs()) * 1000;
    assert_eq!(opened(&limit.to_string()), Ok(command("detach sg-a")));
    assert_eq!(opened(&(limit - 1).to_string()), Ok(ChatCall::Late));
    assert_eq!(opened("1"), Ok(ChatCall::Late));
    assert_eq!(opened(""), Err(Unopened::Unknown));
    assert_eq!(opened("yesterday"), Err(Unopened::Unknown));
}

#[test]
fn mentions_are_no_part_of_a_command() {
    let text = |text: &str| {
        let content = json!({ "text": text }).to_string();
        opened_with(message(), |m| m["event"]["message"]["content"] = content.into())
    };
    for (typed, expected) in [
        ("@_user_1 detach sg-a", "detach sg-a"),
        ("detach\u{3000}sg-a\u{3000}@_user_12", "detach sg-a"),
        (" @_all @_user_1\n detach\t@x sg-a ", "detach sg-a"),
        ("@_user_1", ""),
        ("", ""),
        ("a@b", "a@b"),
    ] {
        assert_eq!(text(typed), Ok(command(expected)), "{typed:?}");
    }
    for content in ["", "{}", "[\"detach\"]", "text", r#"{"text":1}"#] {
        let opened = opened_with(message(), |m| m["event"]["message"]["content"] = content.into());
        assert_eq!(opened, Err(Unopened::Unknown), "{content}");
    }
    // A picture asks for help.
    let picture = opened_with(message(), |m| {
        m["event"]["message"]["message_type"] = "image".into();
        m["event"]["message"]["content"] = r#"{"image_key":"x"}"#.into();
    });
    assert_eq!(picture, Ok(command("")));
}

#[test]
fn only_messages_of_people_to_the_bot_are_commands() {
    let ignored: [fn(&mut Value); 7] = [
        |m| m["event"]["sender"]["sender_type"] = "app".into(),
        |m| m["event"]["sender"] = json!({ "sender_id": {}, "sender_type": "app" }),
        |m| m["event"]["message"]["mentions"] = json!([]),
        |m| m["event"]["message"]["mentions"] = Value::Null,
        |m| {
            m["event"]["message"]["chat_type"] = "topic_group".into();
            m["event"]["message"]["mentions"] = json!([]);
        },
        |m| m["header"]["event_type"] = "im.message.read_v1".into(),
        |m| m["header"]["event_type"] = "im.message.recalled_v1".into(),
    ];
    for (n, change) in ignored.into_iter().enumerate() {
        let opened = opened_with(message(), change);
        assert!(matches!(opened, Ok(ChatCall::Ignored(_))), "change {n}: {opened:?}");
    }
    let alone = opened_with(message(), |m| {
        m["event"]["message"]["chat_type"] = "p2p".into();
        m["event"]["message"]["mentions"] = Value::Null;
    });
    assert_eq!(alone, Ok(command("detach sg-a")));
}

#[test]
fn command_needs_each_of_its_ids() {
    let changes: [fn(&mut Value); 9] = [
        |m| m["header"]["tenant_key"] = "".into(),
        |m| m["header"]["tenant_key"] = "a/b".into(),
        |m| m["event"]["sender"]["sender_id"]["open_id"] = Value::Null,
        |m| m["event"]["sender"]["sender_id"]["open_id"] = "ou <at>".into(),
        |m| m["event"]["sender"]["tenant_key"] = "*".into(),
        |m| m["event"]["message"]["chat_id"] = "".into(),
        |m| m["event"]["message"]["message_id"] = "../om".into(),
        |m| m["event"]["message"]["message_id"] = Value::Null,
        |m| m["event"] = json!([m["event"]["sender"], m["event"]["message"]]),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        assert_eq!(opened_with(message(), change), Err(Unopened::Unknown), "change {n}");
    }
}

#[test]
fn person_in_an_external_group_is_of_their_own_tenant() {
    let opened = opened_with(message(), |m| m["event"]["sender"]["tenant_key"] = "other".into());
    let Ok(ChatCall::Command(call)) = opened else { panic!("{opened:?}") };
    assert_eq!(call.person.tenant.to_string(), "feishu:other");
    assert_eq!(call.conversation, conversation());
    let opened = opened_with(click(), |c| c["event"]["operator"]["tenant_key"] = "other".into());
    let Ok(ChatCall::Click(call)) = opened else { panic!("{opened:?}") };
    assert_eq!(call.person.tenant.to_string(), "feishu:other");
    assert_eq!(call.conversation, Some(conversation()));
}

#[test]
fn person_without_a_tenant_is_not_taken_as_one_of_the_groups() {
    let opened = opened_with(message(), |m| {
        m["event"]["sender"].as_object_mut().unwrap().remove("tenant_key");
    });
    assert!(matches!(opened, Ok(ChatCall::Ignored(_))), "{opened:?}");
}

#[test]
fn click_is_an_action_of_ours_on_a_message() {
    let expected = |action| {
        Ok(ChatCall::Click(Click {
            person: Person::parse("feishu:af278ac2ae029da4/ou_f55b8b743ffd1e3c2239a5d7a833c30b").unwrap(),
            conversation: Some(conversation()),
            message: MessageId::parse(samples::CARD),
            action,
            value: "v".to_owned(),
        }))
    };
    assert_eq!(sent(&click()).open(), expected(Action::Approve));
    let declined = opened_with(click(), |c| c["event"]["action"]["value"]["action"] = "decline".into());
    assert_eq!(declined, expected(Action::Decline));
    let changes: [fn(&mut Value); 11] = [
        |c| c["event"]["action"]["value"]["action"] = "other".into(),
        |c| c["event"]["action"]["value"]["request"] = Value::Null,
        |c| c["event"]["action"]["value"] = "approve".into(),
        |c| c["event"]["action"] = json!({ "tag": "button" }),
        |c| c["event"]["operator"]["open_id"] = Value::Null,
        |c| c["event"]["operator"]["open_id"] = "ou/9".into(),
        |c| c["event"]["operator"]["tenant_key"] = Value::Null,
        |c| c["event"]["context"]["open_chat_id"] = Value::Null,
        |c| c["event"]["context"]["open_message_id"] = "".into(),
        |c| c["event"] = Value::Null,
        |c| c["header"]["tenant_key"] = Value::Null,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        assert_eq!(opened_with(click(), change), Err(Unopened::Unknown), "change {n}");
    }
}

#[test]
fn member_that_is_given_twice_is_not_used() {
    let open = |text: &str| signed(KEY, &SENT_AT.to_string(), body(KEY, text)).open();
    for (event, member) in [
        (message(), r#""sender_type":"user""#),
        (message(), r#""chat_id":"oc_eb1772f317cf009dfdd2c3052baa2758""#),
        (click(), r#""open_id":"ou_f55b8b743ffd1e3c2239a5d7a833c30b""#),
        (click(), r#""request":"v""#),
        (click(), r#""tenant_key":"af278ac2ae029da4""#),
    ] {
        let once = event.to_string();
        let twice = once.replace(member, &format!("{member},{member}"));
        assert!(open(&once).is_ok() && once != twice);
        assert_eq!(open(&twice), Err(Unopened::Unknown), "{member}");
    }
}

#[test]
fn secrets_are_lists_of_keys_and_tokens() {
    let parse =
        |member: Value| VerificationSecrets::parse(&json!({ "feishu": member }).to_string()).map(|_| ());
    let lists =
        |keys: Value, tokens: Value| parse(json!({ "encrypt_keys": keys, "verification_tokens": tokens }));
    assert_eq!(lists(json!([KEY]), json!([TOKEN])), Ok(()));
    assert_eq!(lists(json!(vec!["k".repeat(128); 10]), json!(vec!["t".repeat(128); 10])), Ok(()));
    assert_eq!(lists(json!(["test key", "密钥a2bb523a31"]), json!(["t".repeat(16)])), Ok(()));
    let error = UnusableSecrets::Platform { platform: Platform::Feishu, rule: Secrets::RULE };
    let (text, unusable) = (error.to_string(), Err(error));
    assert!(text.contains("8 to 128 bytes") && text.contains("16 to 128 ASCII characters"), "{text}");
    for keys in [
        json!([]),
        json!(KEY),
        json!([1]),
        json!(vec![KEY; 11]),
        json!(["k".repeat(7)]),
        json!(["k".repeat(129)]),
        json!([format!("{KEY}\n")]),
        json!([format!(" {KEY}")]),
        json!([KEY, ""]),
        Value::Null,
    ] {
        assert_eq!(lists(keys.clone(), json!([TOKEN])), unusable, "{keys}");
    }
    for tokens in [
        json!([]),
        json!(TOKEN),
        json!(vec![TOKEN; 11]),
        json!(["t".repeat(15)]),
        json!(["t".repeat(129)]),
        json!(["two words of a token"]),
        json!([TOKEN, ""]),
        Value::Null,
    ] {
        assert_eq!(lists(json!([KEY]), tokens.clone()), unusable, "{tokens}");
    }
    assert_eq!(parse(json!({ "encrypt_keys": [KEY] })), unusable);
    assert_eq!(parse(json!([[KEY], [TOKEN]])), unusable);
    let unknown = json!({ "encrypt_keys": [KEY], "verification_tokens": [TOKEN], "app_secret": "x" });
    assert_eq!(parse(unknown), unusable);
}

#[test]
fn no_text_contains_a_secret() {
    let unusable = VerificationSecrets::parse(
        &json!({ "feishu": { PRIVATE: 1, "encrypt_keys": [PRIVATE] } }).to_string(),
    )
    .unwrap_err();
    let keys = secrets(&["pr1vate key"], &["pr1vate-token-of-app"]);
    let mut event = message();
    event["header"]["tenant_key"] = format!("{PRIVATE}/").into();
    let unopened = sent(&event).open().unwrap_err();
    let shown = format!("{unusable} {unusable:?} {keys:?} {unopened} {unopened:?}");
    assert!(!shown.contains(PRIVATE), "{shown}");
}

/// The response to a click with this result.
fn acknowledged(name: &str) -> Acknowledgement {
    let Notice::Click(click) = samples::notice(name) else { panic!("{name} is no click") };
    call::acknowledge(&click)
}

#[test]
fn decision_replaces_the_card_for_everyone() {
    for (name, kind, title) in [("approved", "success", "Approved"), ("declined", "info", "Declined")] {
        let Acknowledgement { body, notice_after } = acknowledged(name);
        let card = message::card(&Content::of(&samples::notice(name)));
        let toast = json!({ "type": kind, "content": title });
        assert_eq!(body, Some(json!({ "toast": toast, "card": { "type": "raw", "data": card } })));
        assert_eq!(notice_after, Some(Duration::ZERO));
    }
}

#[test]
fn refusal_is_shown_to_the_person_alone() {
    for (name, kind, begin) in [
        ("expired", "warning", "The request can no longer be approved."),
        (
            "not_allowed",
            "error",
            "The setting CHAT_APPROVERS does not contain you, so you can neither approve nor decline the request of another \
             person. An operator of the deployment can add feishu:af278ac2ae029da4/ou_f55b8b743ffd1e3c2239a5d7a833c30b.",
        ),
    ] {
        let Acknowledgement { body, notice_after } = acknowledged(name);
        let body = body.unwrap();
        assert_eq!(body["toast"]["type"], kind);
        assert!(body["toast"]["content"].as_str().unwrap().starts_with(begin), "{body}");
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        assert_eq!(notice_after, None);
    }
    let Notice::Click(mut click) = samples::notice("not_allowed") else { panic!("a click") };
    click.result = ClickResult::NotAllowed(NotAllowed::OwnRequest);
    assert!(
        call::acknowledge(&click).body.unwrap()["toast"]["content"]
            .as_str()
            .unwrap()
            .contains("your own request")
    );
}
