//! Which signatures the intake accepts, and which it rejects.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::deployment::{Call, Deployment, Response, SECRET, now, request, webhook};

/// Signs bytes that are not text, which the scheme's own library does not accept. Returns the timestamp and the signature.
pub(crate) fn sign_bytes(id: &str, body: &[u8]) -> (String, String) {
    let key = BASE64_STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let timestamp = now().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    (timestamp, format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
}

/// Asserts that the response is the one for every call that is not authenticated, without a reason.
fn assert_unauthorized(response: &Response) {
    response.assert_problem(401);
    assert_eq!(response.header("x-amzn-remapped-www-authenticate"), Some("StandardWebhooks"));
    assert_eq!(response.body.as_object().unwrap().len(), 4);
    assert_eq!(response.body["detail"], "The call is not authenticated.");
}

#[tokio::test]
async fn every_invalid_signature_gets_the_same_response() {
    let deployment = Deployment::new().await;
    let genuine = webhook(&request("sg-a")).signed();
    let with = |name: &str, value: &str| genuine.clone().with(name, value);
    let signed_differently =
        |seconds: i64, secret: &str| webhook(&request("sg-a")).signed_as("msg_1", seconds, secret);
    let signature = genuine.headers["webhook-signature"].to_str().unwrap();
    let base64 = signature.strip_prefix("v1,").unwrap();
    let mut hex = "v1,".to_owned();
    for byte in BASE64_STANDARD.decode(base64).unwrap() {
        write!(hex, "{byte:02x}").unwrap();
    }
    let cases: Vec<(&str, Call)> = vec![
        ("unsigned", webhook(&request("sg-a"))),
        ("forged by another secret", signed_differently(0, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")),
        ("late", signed_differently(-245, SECRET)),
        ("early", signed_differently(60, SECRET)),
        ("for another body", genuine.clone().with_body(request("sg-b").to_string())),
        (
            "for the same JSON with other spaces",
            genuine.clone().with_body(serde_json::to_string_pretty(&request("sg-a")).unwrap()),
        ),
        ("for another id", with("webhook-id", "msg_1")),
        ("for another time", with("webhook-timestamp", &(now() + 1).to_string())),
        ("for the same time with a leading zero", with("webhook-timestamp", &format!("0{}", now()))),
        ("truncated", with("webhook-signature", &signature[..signature.len() - 2])),
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
        let response = deployment.call(call).await;
        assert_eq!(response.status, 401, "{name}");
        assert_unauthorized(&response);
    }
    assert_eq!(deployment.call(genuine).await.status, 202, "the call from which the others were derived");
    assert_eq!(deployment.messages().len(), 1);
}

#[tokio::test]
async fn timestamp_within_the_tolerance_is_accepted() {
    let deployment = Deployment::new().await;
    for seconds in [-230, -60, 0, 20] {
        let call = webhook(&request("sg-a")).signed_as(&format!("msg_{}", seconds + 1000), seconds, SECRET);
        assert_eq!(deployment.call(call).await.status, 202, "{seconds}");
    }
}

/// Invokes the function with a webhook that is `age` seconds old when AWS receives it. The function's own clock is
/// `ahead` seconds ahead of AWS's. Returns the status and the number of messages in the queue.
async fn received(age: i64, ahead: i64) -> (u64, usize) {
    let deployment = Deployment::new().await;
    let received_at = now() - ahead;
    let call = webhook(&request("sg-a")).signed_as("msg_1", -ahead - age, SECRET);
    let header = |name: &str| call.headers[name].to_str().unwrap();
    let event = serde_json::json!({
        "version": "2.0", "rawPath": "/detachments", "isBase64Encoded": false,
        "headers": {
            "content-type": "application/json", "webhook-id": header("webhook-id"),
            "webhook-timestamp": header("webhook-timestamp"), "webhook-signature": header("webhook-signature"),
        },
        "body": std::str::from_utf8(&call.body).unwrap(),
        "requestContext": { "http": { "method": "POST" }, "timeEpoch": received_at * 1000 },
    });
    let response = deployment.invoke(&event.to_string()).await.unwrap();
    (response["statusCode"].as_u64().unwrap(), deployment.messages().len())
}

#[tokio::test]
async fn age_is_judged_by_the_time_at_which_aws_received_the_call() {
    let minutes = |minutes: i64| minutes * 60;
    for (age, ahead, expected) in [
        (minutes(9), -minutes(10), (401, 0)),
        // By a clock that is 10 minutes behind, these were signed now and 2 minutes ago.
        (minutes(10), -minutes(10), (401, 0)),
        (minutes(12), -minutes(10), (401, 0)),
        (0, -minutes(10), (202, 1)),
        (0, minutes(10), (202, 1)),
    ] {
        assert_eq!(received(age, ahead).await, expected, "{age} s old, the clock is {ahead} s ahead");
    }
}

#[tokio::test]
async fn header_names_are_case_insensitive() {
    let deployment = Deployment::new().await;
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
    assert_eq!(deployment.invoke(&event.to_string()).await.unwrap()["statusCode"], 202);
}

#[tokio::test]
async fn replayed_webhook_gets_the_same_response_and_enqueues_nothing() {
    let deployment = Deployment::new().await;
    let body = serde_json::json!({ "requests": [request("sg-a"), request("sg-b")] });
    let replay = || webhook(&body).signed_as("msg_1", -100, SECRET);
    let first = deployment.call(replay()).await;
    assert_eq!(first.status, 202);
    for _ in 0..3 {
        let replayed = deployment.call(replay()).await;
        assert_eq!((replayed.status, &replayed.body), (first.status, &first.body));
    }
    // A sender that retries signs the webhook again.
    assert_eq!(deployment.call(webhook(&body).signed_as("msg_1", 0, SECRET)).await.body, first.body);
    assert_eq!(deployment.messages().len(), 2);
    // A webhook with another id and the same body has new requests.
    assert_eq!(deployment.call(webhook(&body).signed_as("msg_2", 0, SECRET)).await.status, 202);
    assert_eq!(deployment.messages().len(), 4);
}

#[tokio::test]
async fn request_that_is_sent_again_under_its_name_is_enqueued_again() {
    let deployment = Deployment::new().await;
    let mut named = request("sg-a");
    named["request_id"] = "CHG1".into();
    // The first one was refused by Alibaba Cloud; its sender follows the advice at once.
    for (id, enqueued) in [("msg_1", 1), ("msg_1", 1), ("msg_2", 2)] {
        let response = deployment.call(webhook(&named).signed_as(id, 0, SECRET)).await;
        assert_eq!((response.status.as_u16(), response.accepted()), (202, vec!["CHG1"]));
        assert_eq!(deployment.messages().len(), enqueued, "{id}");
    }
}

#[tokio::test]
async fn delivery_without_an_id_of_its_own_is_identified_by_the_request_id() {
    let deployment = Deployment::with_iam(Some("arn:aws:iam::123456789012:role/bot")).await;
    let named = |request_id: &str| {
        let mut named = request("sg-a");
        named["request_id"] = request_id.into();
        named
    };
    let call = |request_id: &str| webhook(&named(request_id));
    let calls = [
        (call("CHG1"), 1),
        (call("CHG1"), 1),
        (call("CHG2"), 2),
        (call("CHG1").with("webhook-id", "msg_1"), 3),
    ];
    for (call, enqueued) in calls {
        assert_eq!(deployment.call(call).await.status, 202);
        assert_eq!(deployment.messages().len(), enqueued);
    }
    // A single request of a schedule.
    for (request_id, enqueued) in [("CHG3", 4), ("CHG3", 4), ("CHG4", 5)] {
        deployment.invoke(&named(request_id).to_string()).await.unwrap();
        assert_eq!(deployment.messages().len(), enqueued, "{request_id}");
    }
}

#[tokio::test]
async fn webhook_id_of_any_length_and_characters_is_accepted() {
    let deployment = Deployment::new().await;
    let long = format!("evt_{}", "x".repeat(200));
    for id in [long.as_str(), "a b/c", "{curly}"] {
        let response = deployment.call(webhook(&request("sg-a")).signed_as(id, 0, SECRET)).await;
        assert_eq!(response.status, 202, "{id}: {response:?}");
        assert!(response.accepted()[0].len() <= 64);
    }
    let other = format!("evt_{}y", "x".repeat(199));
    assert_eq!(deployment.call(webhook(&request("sg-a")).signed_as(&other, 0, SECRET)).await.status, 202);
    assert_eq!(deployment.messages().len(), 4, "every id has its own request");
}
