//! Every answer to an HTTP call.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use local_aws::{Action, FunctionUrlSettings};
use serde_json::{Value, json};

use crate::account::{Account, Setting, attribute, request, requests, webhook};

#[tokio::test]
async fn a_signed_request_is_accepted_and_lies_in_its_lane() {
    let account = Account::new().await;
    let mut body = request("sg-a");
    body["metadata"] = json!({ "ticket": "CHG7" });
    let answer = account.call(webhook(&body).signed_as("msg_1", 0, crate::account::SECRET)).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (202, Some("application/json")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(
        answer.body,
        json!({ "accepted": [{
            "request_id": "msg_1", "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a",
            "dry_run": false,
        }] })
    );
    let [message] = &account.messages()[..] else { panic!("one message") };
    assert_eq!(message.group.as_deref(), Some("eu-west-1/ep-a"));
    assert_eq!(attribute(message, "trigger"), Some("webhook"));
    body["request_id"] = "msg_1".into();
    body["dry_run"] = false.into();
    assert_eq!(serde_json::from_str::<Value>(&message.body).unwrap(), body);
}

#[tokio::test]
async fn a_webhook_costs_one_call_of_the_queue_and_none_for_its_secret() {
    let account = Account::new().await;
    assert_eq!(account.aws_calls(), [Action::GetSecretValue], "read at start");
    assert_eq!(account.post(&requests(10)).await.accepted().len(), 10);
    assert_eq!(account.aws_calls(), [Action::GetSecretValue, Action::SendMessageBatch]);
}

#[tokio::test]
async fn a_list_is_numbered_and_goes_out_in_tens() {
    let account = Account::new().await;
    let mut body = requests(100);
    body["requests"][4]["request_id"] = "CHG5".into();
    body["requests"][5]["dry_run"] = true.into();
    let answer = account.call(webhook(&body).signed_as("msg_2", 0, crate::account::SECRET)).await;
    let expected: Vec<_> =
        (1..=100).map(|n| if n == 5 { "CHG5".to_owned() } else { format!("msg_2.{n}") }).collect();
    assert_eq!(answer.accepted(), expected);
    assert_eq!(answer.body["accepted"][5]["dry_run"], true);
    let sent: Vec<_> =
        account.bodies().iter().map(|body| body["request_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(sent, expected, "in the order of the list");
    assert_eq!(account.aws_calls().iter().filter(|action| **action == Action::SendMessageBatch).count(), 10);
}

#[tokio::test]
async fn one_invalid_request_keeps_all_out_and_every_fault_is_named() {
    let account = Account::new().await;
    let mut body = requests(3);
    body["requests"][0]["dryrun"] = true.into();
    body["requests"][2]["endpoint_id"] = "sg-a".into();
    body["requests"][2]["deadline_seconds"] = 1.into();
    let answer = account.post(&body).await;
    answer.assert_problem(400);
    assert_eq!(
        answer.errors(),
        [
            (Some(0), "dryrun", "is not a field of a request"),
            (Some(2), "deadline_seconds", "must be a whole number from 30 to 39600"),
            (Some(2), "endpoint_id", "must be an endpoint id: ep- and 1 to 61 letters, digits, _ or -"),
        ]
    );
    assert_eq!(answer.body["errors"][0]["code"], "InvalidRequest");
    assert_eq!(account.messages().len(), 0);
}

#[tokio::test]
async fn a_body_that_is_no_request_says_what_is_wrong_with_it() {
    let account = Account::new().await;
    for (body, field, says) in [
        ("", "body", "is empty"),
        ("{", "body", "is not JSON"),
        ("[]", "body", "must be one JSON object"),
        (
            r#"{"region_id":"eu-west-1","region_id":"eu-west-1","endpoint_id":"ep-a","security_group_id":"sg-a"}"#,
            "region_id",
            "is given twice",
        ),
        (r#"{"requests":[]}"#, "requests", "at least one"),
        (r#"{"requests":[{}],"dry_run":true}"#, "dry_run", "beside requests"),
    ] {
        let answer = account.call(webhook(&Value::Null).with_body(body).signed()).await;
        answer.assert_problem(400);
        let [(None, named, problem)] = answer.errors()[..] else { panic!("{answer:?}") };
        assert!(named == field && problem.contains(says), "{body}: {answer:?}");
    }
    let answer = account.post(&requests(101)).await;
    answer.assert_problem(400);
    assert!(answer.errors()[0].2.contains("at most 100"), "{answer:?}");
    assert_eq!(account.messages().len(), 0);
}

#[tokio::test]
async fn what_is_not_allowed_here_is_forbidden_by_code() {
    let account = Account::with(&[
        ("ALLOWED_REGIONS", "eu-west-1"),
        ("PROTECTED_SECURITY_GROUPS", "sg-safe"),
        ("PROTECTED_ENDPOINTS", "ep-safe"),
    ])
    .await;
    for (field, value, code) in [
        ("region_id", "eu-west-2", "RegionNotAllowed"),
        ("security_group_id", "sg-safe", "ProtectedSecurityGroup"),
        ("endpoint_id", "ep-safe", "ProtectedEndpoint"),
    ] {
        let mut body = json!({ "requests": [request("sg-a"), request("sg-b")] });
        body["requests"][1][field] = value.into();
        let answer = account.post(&body).await;
        answer.assert_problem(403);
        let [error] = &answer.body["errors"].as_array().unwrap()[..] else { panic!("{answer:?}") };
        assert_eq!(
            (&error["code"], &error["field"], &error["index"]),
            (&json!(code), &json!(field), &json!(1))
        );
        // An invalid request beside it weighs more.
        body["requests"][0]["dry_run"] = "yes".into();
        account.post(&body).await.assert_problem(400);
    }
    assert_eq!(account.messages().len(), 0);
}

#[tokio::test]
async fn other_paths_and_methods_are_told_apart() {
    let account = Account::new().await;
    let call = |method: Method, path: &str| {
        let mut call = webhook(&request("sg-a")).signed();
        call.method = method;
        path.clone_into(&mut call.path);
        account.call(call)
    };
    for path in
        ["/", "/detachment", "/detachments/", "/detachments/1", "/DETACHMENTS", "//detachments", "/health/"]
    {
        call(Method::POST, path).await.assert_problem(404);
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE] {
        let answer = call(method, "/detachments?dry_run=true").await;
        answer.assert_problem(405);
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    let answer = call(Method::POST, "/health").await;
    answer.assert_problem(405);
    assert_eq!(answer.header("allow"), Some("GET"));
    assert_eq!(account.messages().len(), 0);
}

#[tokio::test]
async fn health_tells_nothing_and_asks_nothing() {
    let account = Account::new().await;
    let mut call = webhook(&Value::Null).with_body("");
    call.method = Method::GET;
    "/health".clone_into(&mut call.path);
    let answer = account.call(call).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (204, &Value::Null));
    assert_eq!(account.aws_calls(), [Action::GetSecretValue], "nothing but the read at start");
}

#[tokio::test]
async fn a_body_is_at_most_256_kib_before_anybody_asks_who_sent_it() {
    let account = Account::new().await;
    let padded = |bytes: usize| {
        let body = request("sg-a").to_string();
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    let fits = webhook(&Value::Null).with_body(padded(262_144)).signed();
    assert_eq!(account.call(fits).await.status, 202);
    let unsigned = webhook(&Value::Null).with_body(padded(262_145));
    account.call(unsigned).await.assert_problem(413);
}

#[tokio::test]
async fn a_body_is_plain_json_and_said_to_be() {
    let account = Account::new().await;
    let call = || webhook(&request("sg-a")).signed();
    for content_type in
        ["Application/JSON; charset=utf-8", "application/json;", "application/json ; profile=x"]
    {
        assert_eq!(
            account.call(call().with("content-type", content_type)).await.status,
            202,
            "{content_type}"
        );
    }
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json, text/plain",
        "",
    ] {
        account.call(call().with("content-type", content_type)).await.assert_problem(415);
    }
    account.call(call().without("content-type")).await.assert_problem(415);
    account.call(call().with("content-encoding", "gzip")).await.assert_problem(415);
    assert_eq!(account.call(call().with("content-encoding", "identity")).await.status, 202);
    // Whoever is nobody is told nothing about their content type.
    account.call(webhook(&request("sg-a")).with("content-type", "text/plain")).await.assert_problem(401);
}

#[tokio::test]
async fn a_body_that_is_no_text_is_told_so_if_it_is_signed() {
    let account = Account::new().await;
    // The scheme's own library signs text only.
    let mut call = webhook(&Value::Null).with_body(&b"\xff\xfe{}"[..]);
    call = call.with("webhook-id", "msg_1").with("webhook-timestamp", &crate::account::now().to_string());
    account.call(call).await.assert_problem(401);
    let (timestamp, signature) = crate::signatures::sign_bytes("msg_1", b"\xff\xfe{}");
    let call = webhook(&Value::Null).with_body(&b"\xff\xfe{}"[..]).with("webhook-id", "msg_1");
    let answer =
        account.call(call.with("webhook-timestamp", &timestamp).with("webhook-signature", &signature)).await;
    answer.assert_problem(400);
    assert_eq!(answer.errors(), [(None, "body", "is not UTF-8")]);
}

#[tokio::test]
async fn a_body_in_base64_is_verified_as_it_was_sent() {
    let url = FunctionUrlSettings { is_base64_forced: true, ..Default::default() };
    let account = Account::set(Setting { url, ..Setting::default() }).await;
    assert_eq!(account.post(&request("sg-ü")).await.status, 400, "read, and found to be no group");
    assert_eq!(account.post(&request("sg-a")).await.status, 202);
    // What Lambda never sends: base64 that is none.
    let event = |body: &str| {
        json!({ "version": "2.0", "rawPath": "/detachments", "headers": {}, "isBase64Encoded": true, "body": body,
            "requestContext": { "http": { "method": "POST" }, "timeEpoch": 0 } })
    };
    let status = |answer: Result<Value, Value>| answer.unwrap()["statusCode"].as_u64();
    assert_eq!(status(account.invoke(&event("!").to_string()).await), Some(400));
    let large = BASE64_STANDARD.encode(vec![b' '; 262_145]);
    assert_eq!(status(account.invoke(&event(&large).to_string()).await), Some(413));
    let just = BASE64_STANDARD.encode(vec![b' '; 262_144]);
    assert_eq!(status(account.invoke(&event(&just).to_string()).await), Some(401));
}

#[tokio::test]
async fn what_only_looks_like_a_call_is_answered_and_told_to_the_operator() {
    let account = Account::new().await;
    let event = json!({ "requestContext": { "http": { "method": "POST" } }, "headers": { "a b": "c" } });
    let answer = account.invoke(&event.to_string()).await.unwrap();
    assert_eq!(answer["statusCode"], 400);
    assert!(
        answer["body"].as_str().unwrap().contains("belongs to a call that is not valid HTTP"),
        "{answer}"
    );
    assert!(account.output().contains(
        r#""level":"ERROR","message":"the payload looks like an HTTP call and is not valid HTTP""#
    ));
}

#[tokio::test]
async fn an_http_apis_stage_is_not_part_of_the_path() {
    let url = FunctionUrlSettings { stage: Some("prod".to_owned()), ..Default::default() };
    let account = Account::set(Setting { url, ..Setting::default() }).await;
    assert_eq!(account.post(&request("sg-a")).await.status, 202);
    let mut call = webhook(&Value::Null).signed();
    "/prod/detachments".clone_into(&mut call.path);
    account.call(call).await.assert_problem(404);
}

#[tokio::test]
async fn a_caller_that_iam_authorised_needs_no_signature_where_there_are_no_secrets() {
    let account = Account::with_iam(Some("arn:aws:iam::123456789012:role/incident-bot")).await;
    let answer = account.call(webhook(&request("sg-a")).with("webhook-id", "CHG1")).await;
    assert_eq!(answer.accepted(), ["CHG1"]);
    let answer = account.call(webhook(&request("sg-b"))).await;
    let [id] = answer.accepted()[..] else { panic!("{answer:?}") };
    assert!(id.len() > 8, "named by AWS's id of the call");
    assert_eq!(account.aws_calls(), [Action::SendMessageBatch; 2]);
    let output = account.output();
    assert_eq!(
        output.matches(r#""user_arn":"arn:aws:iam::123456789012:role/incident-bot""#).count(),
        2,
        "{output}"
    );
}

#[tokio::test]
async fn an_id_in_any_script_names_a_call_that_iam_authorised() {
    let account = Account::with_iam(Some("arn:aws:iam::123456789012:role/incident-bot")).await;
    for _ in 0..2 {
        let mut call = webhook(&request("sg-a"));
        call.headers.insert("webhook-id", http::HeaderValue::from_bytes("Änderung-7".as_bytes()).unwrap());
        assert_eq!(account.call(call).await.status, 202);
    }
    assert_eq!(account.messages().len(), 1, "the same call twice is one request");
}

#[tokio::test]
async fn without_secrets_and_without_iam_nobody_gets_in() {
    let account = Account::with_iam(None).await;
    let answer = account.post(&request("sg-a")).await;
    answer.assert_problem(401);
    assert_eq!(answer.header("x-amzn-remapped-www-authenticate"), Some("AWS4-HMAC-SHA256"));
    account.call(webhook(&request("sg-a"))).await.assert_problem(401);
    assert_eq!(account.aws_calls(), []);
}

#[tokio::test]
async fn with_secrets_iam_alone_is_not_enough() {
    let caller_arn = Some("arn:aws:iam::123456789012:role/incident-bot".to_owned());
    let url = FunctionUrlSettings { caller_arn, ..Default::default() };
    let account = Account::set(Setting { url, ..Setting::default() }).await;
    account.call(webhook(&request("sg-a"))).await.assert_problem(401);
    assert_eq!(account.post(&request("sg-a")).await.status, 202);
}
