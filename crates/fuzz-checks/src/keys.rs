//! Checks the parsers of the secrets: the worker's credentials for Alibaba Cloud, the intake's signing secrets, and the
//! secrets of chat.

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use privatelink_detach::alibaba::credentials::{CredentialsConfig, CredentialsSource, Permissions};
use privatelink_detach::aws::secret::{Secret, SecretValue};
use privatelink_detach::chat::call::VerificationSecrets;
use privatelink_detach::chat::post::Tokens;
use privatelink_detach::chat::signed::ChatKeys;
use privatelink_detach::intake::secrets::SigningKeys;
use privatelink_detach::intake::signature::SignedWebhook;
use serde_json::Value;
use standardwebhooks::Webhook;

use crate::alibaba::Canned;
use crate::aws::Aws;
use crate::memory::{Bound, bounded};
use crate::text::assert_tame;
use crate::virtual_time::{self, BEGINS_AT, beginning};

/// The client reads the response, which contains the text as JSON, and then the text is parsed.
const MEMORY: Bound = Bound { base: 128 * 1024, per_byte: 64 };

/// Longest text of an error in characters. It is fixed but for a number.
const ERROR_LENGTH_MAX: usize = 300;

const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:s-AbCdEf";

/// The lists in the member of each platform, with the length of the shortest secret.
const VERIFICATION_LISTS: [(&str, &[(&str, usize)]); 3] = [
    ("slack", &[("signing_secrets", 16)]),
    ("dingtalk", &[("app_secrets", 16), ("card_secrets", 16)]),
    ("feishu", &[("encrypt_keys", 8), ("verification_tokens", 16)]),
];

pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    check_credentials(text);
    check_signing_secrets(text);
    check_verification_secrets(text);
    check_chat_keys(text);
    check_chat_tokens(text);
}

fn check_credentials(text: &str) {
    let aws = Aws::with_secret(text);
    let config = CredentialsConfig::SecretsManager { secret_arn: ARN.to_owned() };
    let alibaba = Canned::new(http::Response::default());
    let source =
        CredentialsSource::new(config, &Permissions::Detach, &BTreeSet::new(), &aws.config, &alibaba);
    let read = async |clock| source.current(&clock).await;
    let credentials = bounded(&MEMORY, text.len(), || virtual_time::run(read));
    assert!(alibaba.sent.borrow().is_empty(), "Alibaba Cloud is not called");
    match credentials {
        Ok(credentials) => {
            assert!(credentials.can_be_sent());
            // An out-of-range number in an unused field is invalid JSON to this parser and valid to the other.
            if let Ok(value) = serde_json::from_str::<Value>(text) {
                let token = value["security_token"].as_str().filter(|token| !token.is_empty());
                assert_eq!(value["access_key_id"], credentials.access_key_id());
                assert_eq!(value["access_key_secret"], credentials.access_key_secret());
                assert_eq!(token, credentials.security_token());
            }
        }
        Err(error) => {
            let problems = [
                "the secret is not a JSON object with the strings access_key_id and access_key_secret",
                "the secret has a value that is empty or has spaces, line ends or characters beyond ASCII",
            ];
            assert!(problems.contains(&&*error.to_string()), "{error:?}");
            assert_eq!((&*error.code(), error.is_transient()), ("SecretUnusable", false));
            assert!(source.problem().is_some(), "the operator is alerted");
        }
    }
}

fn check_signing_secrets(text: &str) {
    let aws = Aws::with_secret(text);
    let client = aws_sdk_secretsmanager::Client::new(&aws.config);
    let secrets = Secret::<SigningKeys>::new(client, ARN.to_owned());
    let reading = async |clock| secrets.current(&clock).await;
    let keys = bounded(&MEMORY, text.len(), || virtual_time::run(reading));
    let Ok(keys) = keys else { return };
    // The scheme's own library accepts each secret, and its signatures are verified.
    let list: Vec<String> = serde_json::from_str(text).expect("a list of strings");
    assert_eq!(keys.len(), list.len());
    assert!(list.len() <= 10, "{} secrets", list.len());
    for (key, secret) in keys.iter().zip(&list) {
        assert!(secret.starts_with("whsec_"), "{secret:?}");
        let signature = Webhook::new(secret).expect("a secret").sign("msg_1", BEGINS_AT.cast_signed(), b"{}");
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", "msg_1".parse().expect("a header"));
        headers.insert("webhook-timestamp", BEGINS_AT.into());
        headers.insert("webhook-signature", signature.expect("a signature").parse().expect("a header"));
        let signed = |body| SignedWebhook::parse(&headers, body, beginning()).expect("a signed webhook");
        assert!(signed(b"{}").is_signed_by_any(std::slice::from_ref(key)));
        assert!(!signed(b"{ }").is_signed_by_any(std::slice::from_ref(key)));
    }
}

fn check_verification_secrets(text: &str) {
    match bounded(&MEMORY, text.len(), || VerificationSecrets::parse(text)) {
        Ok(secrets) => {
            // An unused field with an unpaired surrogate is no JSON to the other parser.
            let Ok(value) = serde_json::from_str::<Value>(text) else { return };
            let members = value.as_object().expect("an object");
            for (platform, member) in members {
                let (_, lists) = VERIFICATION_LISTS
                    .iter()
                    .find(|(name, _)| name == platform)
                    .expect("only platforms have members");
                let member = member.as_object().expect("an object");
                assert!(member.keys().all(|name| lists.iter().any(|(list, _)| list == name)), "{platform}");
                for (list, length_min) in *lists {
                    check_list(&member[*list], *length_min, &format!("{secrets:?}"));
                }
            }
        }
        Err(error) => assert_tame(&error.to_string(), ERROR_LENGTH_MAX),
    }
}

/// Each secret of a list is long enough, and is not shown.
fn check_list(list: &Value, length_min: usize, shown: &str) {
    let list = list.as_array().expect("a list");
    assert!((1..=10).contains(&list.len()));
    for secret in list.iter().map(|secret| secret.as_str().expect("a text")) {
        assert!((length_min..=128).contains(&secret.len()), "{} bytes", secret.len());
        assert!(!secret.chars().any(char::is_control));
        assert!(!shown.contains(secret));
    }
}

fn check_chat_keys(text: &str) {
    match bounded(&MEMORY, text.len(), || ChatKeys::parse(text)) {
        Ok(keys) => {
            let list: Vec<String> = serde_json::from_str(text).expect("a list of strings");
            assert!((1..=10).contains(&list.len()), "{} keys", list.len());
            for key in &list {
                let bytes = BASE64_STANDARD.decode(key).expect("base64");
                assert!((32..=64).contains(&bytes.len()), "{} bytes", bytes.len());
                assert!(!format!("{keys:?}").contains(key.as_str()));
            }
        }
        Err(error) => assert_tame(&error.to_string(), ERROR_LENGTH_MAX),
    }
}

fn check_chat_tokens(text: &str) {
    match bounded(&MEMORY, text.len(), || Tokens::parse(text)) {
        Ok(tokens) => {
            let shown = format!("{tokens:?}");
            assert!(["xoxb-", "cli_", "secret"].iter().all(|part| !shown.contains(part)), "{shown}");
        }
        Err(error) => assert_tame(&error.to_string(), ERROR_LENGTH_MAX),
    }
}
