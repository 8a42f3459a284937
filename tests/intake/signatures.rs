//! Who gets in by a signature, and who does not.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::account::{Account, Answer, Call, SECRET, now, request, webhook};

/// Signs bytes that the scheme's own library takes for no payload; the timestamp and the signature.
pub(crate) fn sign_bytes(id: &str, body: &[u8]) -> (String, String) {
    let key = BASE64_STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let timestamp = now().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    (timestamp, format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
}

/// The answer that everybody gets who is not let in, whatever the cause.
fn assert_unauthorized(answer: &Answer) {
    answer.assert_problem(401);
    assert_eq!(answer.header("x-amzn-remapped-www-authenticate"), Some("StandardWebhooks"));
    assert_eq!(answer.body.as_object().unwrap().len(), 4);
    assert_eq!(answer.body["detail"], "The call is not authenticated.");
}

#[tokio::test]
async fn forged_late_early_cut_and_reencoded_signatures_fail_alike() {
    let account = Account::new().await;
    let genuine = webhook(&request("sg-a")).signed();
    let with = |name: &str, value: &str| genuine.clone().with(name, value);
    let signed_otherwise =
        |seconds: i64, secret: &str| webhook(&request("sg-a")).signed_as("msg_1", seconds, secret);
    let signature = genuine.headers["webhook-signature"].to_str().unwrap();
    let base64 = signature.strip_prefix("v1,").unwrap();
    let mut hex = "v1,".to_owned();
    for byte in BASE64_STANDARD.decode(base64).unwrap() {
        write!(hex, "{byte:02x}").unwrap();
    }
    let cases: Vec<(&str, Call)> = vec![
        ("unsigned", webhook(&request("sg-a"))),
        ("forged by another secret", signed_otherwise(0, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")),
        ("late", signed_otherwise(-245, SECRET)),
        ("early", signed_otherwise(60, SECRET)),
        ("for another body", genuine.clone().with_body(request("sg-b").to_string())),
        ("re-serialised", genuine.clone().with_body(serde_json::to_string_pretty(&request("sg-a")).unwrap())),
        ("for another id", with("webhook-id", "msg_1")),
        ("for another time", with("webhook-timestamp", &(now() + 1).to_string())),
        ("for the same time, written otherwise", with("webhook-timestamp", &format!("0{}", now()))),
        ("cut", with("webhook-signature", &signature[..signature.len() - 2])),
        ("without its version", with("webhook-signature", base64)),
        ("of another version", with("webhook-signature", &format!("v1a,{base64}"))),
        ("without its padding", with("webhook-signature", signature.trim_end_matches('='))),
        ("in hexadecimal", with("webhook-signature", &hex)),
        ("in quotes", with("webhook-signature", &format!("\"{signature}\""))),
        ("empty", with("webhook-signature", "")),
        ("of another call", webhook(&request("sg-a")).signed().with("webhook-signature", signature)),
        ("without an id", genuine.clone().without("webhook-id")),
        ("with an empty id", with("webhook-id", "")),
        ("without a time", genuine.clone().without("webhook-timestamp")),
        ("with a time in words", with("webhook-timestamp", "now")),
        ("without a signature", genuine.clone().without("webhook-signature")),
    ];
    for (name, call) in cases {
        let answer = account.call(call).await;
        assert_eq!(answer.status, 401, "{name}");
        assert_unauthorized(&answer);
    }
    assert_eq!(account.call(genuine).await.status, 202, "the call that they were made from");
    assert_eq!(account.messages().len(), 1);
}

#[tokio::test]
async fn a_clock_may_be_a_little_ahead_and_a_webhook_a_little_late() {
    let account = Account::new().await;
    for seconds in [-230, -60, 0, 20] {
        let call = webhook(&request("sg-a")).signed_as(&format!("msg_{}", seconds + 1000), seconds, SECRET);
        assert_eq!(account.call(call).await.status, 202, "{seconds}");
    }
}

#[tokio::test]
async fn header_names_come_in_any_case() {
    let account = Account::new().await;
    let call = webhook(&request("sg-a")).signed();
    let headers: serde_json::Map<String, Value> = call
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_uppercase(), value.to_str().unwrap().into()))
        .collect();
    let event = serde_json::json!({
        "version": "2.0", "rawPath": "/detachments", "headers": headers, "isBase64Encoded": false,
        "body": std::str::from_utf8(&call.body).unwrap(),
        "requestContext": { "http": { "method": "POST" }, "timeEpoch": 0 },
    });
    assert_eq!(account.invoke(&event.to_string()).await.unwrap()["statusCode"], 202);
}

#[tokio::test]
async fn a_replay_gets_the_same_answer_and_enqueues_nothing() {
    let account = Account::new().await;
    let body = serde_json::json!({ "requests": [request("sg-a"), request("sg-b")] });
    let again = || webhook(&body).signed_as("msg_1", -100, SECRET);
    let first = account.call(again()).await;
    assert_eq!(first.status, 202);
    for _ in 0..3 {
        let replayed = account.call(again()).await;
        assert_eq!((replayed.status, &replayed.body), (first.status, &first.body));
    }
    // A sender's own repetition is signed anew.
    assert_eq!(account.call(webhook(&body).signed_as("msg_1", 0, SECRET)).await.body, first.body);
    assert_eq!(account.messages().len(), 2);
    // Another webhook with the same words is another request.
    assert_eq!(account.call(webhook(&body).signed_as("msg_2", 0, SECRET)).await.status, 202);
    assert_eq!(account.messages().len(), 4);
}

#[tokio::test]
async fn a_long_or_strange_id_names_its_requests_all_the_same() {
    let account = Account::new().await;
    let long = format!("evt_{}", "x".repeat(200));
    for id in [long.as_str(), "a b/c", "{curly}"] {
        let answer = account.call(webhook(&request("sg-a")).signed_as(id, 0, SECRET)).await;
        assert_eq!(answer.status, 202, "{id}: {answer:?}");
        assert!(answer.accepted()[0].len() <= 64);
    }
    let other = format!("evt_{}y", "x".repeat(199));
    assert_eq!(account.call(webhook(&request("sg-a")).signed_as(&other, 0, SECRET)).await.status, 202);
    assert_eq!(account.messages().len(), 4, "no two are taken for one");
}
