//! Every response to an HTTP call.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use local_aws::{Action, FunctionUrlSettings};
use serde_json::{Value, json};

use crate::deployment::{Deployment, SECRET, Settings, attribute, request, requests, webhook};

#[tokio::test]
async fn signed_request_is_accepted_and_enqueued_in_its_lane() {
    let deployment = Deployment::new().await;
    let mut body = request("sg-a");
    body["metadata"] = json!({ "ticket": "CHG7" });
    let response = deployment.call(webhook(&body).signed_as("msg_1", 0, crate::deployment::SECRET)).await;
    assert_eq!((response.status.as_u16(), response.header("content-type")), (202, Some("application/json")));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(
        response.body,
        json!({ "accepted": [{
            "request_id": "msg_1", "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a",
            "dry_run": false,
        }] })
    );
    let [message] = &deployment.messages()[..] else { panic!("one message") };
    assert_eq!(message.group.as_deref(), Some("eu-west-1/ep-a"));
    assert_eq!(attribute(message, "trigger"), Some("webhook"));
    body["request_id"] = "msg_1".into();
    body["dry_run"] = false.into();
    assert_eq!(serde_json::from_str::<Value>(&message.body).unwrap(), body);
}

#[tokio::test]
async fn webhook_makes_one_aws_call() {
    let deployment = Deployment::new().await;
    assert_eq!(deployment.aws_calls(), [Action::GetSecretValue], "the secret is read at start");
    assert_eq!(deployment.post(&requests(10)).await.accepted().len(), 10);
    assert_eq!(deployment.aws_calls(), [Action::GetSecretValue, Action::SendMessageBatch]);
}

#[tokio::test]
async fn requests_of_a_list_are_numbered_and_sent_in_batches_of_ten() {
    let deployment = Deployment::new().await;
    let mut body = requests(100);
    body["requests"][4]["request_id"] = "CHG5".into();
    body["requests"][5]["dry_run"] = true.into();
    let response = deployment.call(webhook(&body).signed_as("msg_2", 0, crate::deployment::SECRET)).await;
    let expected: Vec<_> =
        (1..=100).map(|n| if n == 5 { "CHG5".to_owned() } else { format!("msg_2.{n}") }).collect();
    assert_eq!(response.accepted(), expected);
    assert_eq!(response.body["accepted"][5]["dry_run"], true);
    let sent: Vec<_> =
        deployment.bodies().iter().map(|body| body["request_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(sent, expected, "in the order of the list");
    assert_eq!(
        deployment.aws_calls().iter().filter(|action| **action == Action::SendMessageBatch).count(),
        10
    );
}

#[tokio::test]
async fn one_invalid_request_rejects_the_list_and_every_error_is_reported() {
    let deployment = Deployment::new().await;
    let mut body = requests(3);
    body["requests"][0]["dryrun"] = true.into();
    body["requests"][2]["endpoint_id"] = "sg-a".into();
    body["requests"][2]["deadline_seconds"] = 1.into();
    let response = deployment.post(&body).await;
    response.assert_problem(400);
    assert_eq!(
        response.errors(),
        [
            (Some(0), "dryrun", "is not a field of a request"),
            (Some(2), "deadline_seconds", "must be a whole number from 30 to 39600"),
            (Some(2), "endpoint_id", "must be an endpoint id: ep- and 1 to 61 letters, digits, _ or -"),
        ]
    );
    assert_eq!(response.body["errors"][0]["code"], "InvalidRequest");
    assert_eq!(deployment.messages().len(), 0);
}

#[tokio::test]
async fn body_that_is_not_a_request_is_rejected_with_the_reason() {
    let deployment = Deployment::new().await;
    for (body, field, expected) in [
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
        let response = deployment.call(webhook(&Value::Null).with_body(body).signed()).await;
        response.assert_problem(400);
        let [(None, actual_field, problem)] = response.errors()[..] else { panic!("{response:?}") };
        assert!(actual_field == field && problem.contains(expected), "{body}: {response:?}");
    }
    let response = deployment.post(&requests(101)).await;
    response.assert_problem(400);
    assert!(response.errors()[0].2.contains("at most 100"), "{response:?}");
    assert_eq!(deployment.messages().len(), 0);
}

#[tokio::test]
async fn request_that_is_not_allowed_is_forbidden_with_its_code() {
    let deployment = Deployment::with(&[
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
        let response = deployment.post(&body).await;
        response.assert_problem(403);
        let [error] = &response.body["errors"].as_array().unwrap()[..] else { panic!("{response:?}") };
        assert_eq!(
            (&error["code"], &error["field"], &error["index"]),
            (&json!(code), &json!(field), &json!(1))
        );
        // An invalid request in the same list takes precedence.
        body["requests"][0]["dry_run"] = "yes".into();
        deployment.post(&body).await.assert_problem(400);
    }
    assert_eq!(deployment.messages().len(), 0);
}

#[tokio::test]
async fn unknown_path_is_not_found_and_wrong_method_is_not_allowed() {
    let deployment = Deployment::new().await;
    let call = |method: Method, path: &str| {
        let mut call = webhook(&request("sg-a")).signed();
        call.method = method;
        path.clone_into(&mut call.path);
        deployment.call(call)
    };
    for path in
        ["/", "//", "/detachment", "/detachments/1", "/DETACHMENTS", "/detach/ments", "/detachments/health"]
    {
        call(Method::POST, path).await.assert_problem(404);
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE] {
        let response = call(method, "/detachments?dry_run=true").await;
        response.assert_problem(405);
        assert_eq!(response.header("allow"), Some("POST"));
    }
    for path in ["/health", "/health/"] {
        let response = call(Method::POST, path).await;
        response.assert_problem(405);
        assert_eq!(response.header("allow"), Some("GET, HEAD"));
    }
    assert_eq!(deployment.messages().len(), 0);
}

#[tokio::test]
async fn health_check_has_no_content_and_makes_no_aws_call() {
    let deployment = Deployment::new().await;
    let mut call = webhook(&Value::Null).with_body("");
    call.method = Method::GET;
    "/health".clone_into(&mut call.path);
    let response = deployment.call(call).await;
    assert_eq!((response.status.as_u16(), &response.body), (204, &Value::Null));
    assert_eq!(deployment.aws_calls(), [Action::GetSecretValue], "only the read at start");
}

#[tokio::test]
async fn body_over_256_kib_is_rejected_before_authentication() {
    let deployment = Deployment::new().await;
    let padded = |bytes: usize| {
        let body = request("sg-a").to_string();
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    let fits = webhook(&Value::Null).with_body(padded(262_144)).signed();
    assert_eq!(deployment.call(fits).await.status, 202);
    let unsigned = webhook(&Value::Null).with_body(padded(262_145));
    deployment.call(unsigned).await.assert_problem(413);
}

#[tokio::test]
async fn content_type_must_be_json_without_an_encoding() {
    let deployment = Deployment::new().await;
    let call = || webhook(&request("sg-a")).signed();
    for content_type in
        ["Application/JSON; charset=utf-8", "application/json;", "application/json ; profile=x"]
    {
        assert_eq!(
            deployment.call(call().with("content-type", content_type)).await.status,
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
        deployment.call(call().with("content-type", content_type)).await.assert_problem(415);
    }
    deployment.call(call().without("content-type")).await.assert_problem(415);
    deployment.call(call().with("content-encoding", "gzip")).await.assert_problem(415);
    assert_eq!(deployment.call(call().with("content-encoding", "identity")).await.status, 202);
    // A call that is not authenticated gets no information about its content type.
    deployment.call(webhook(&request("sg-a")).with("content-type", "text/plain")).await.assert_problem(401);
}

#[tokio::test]
async fn signed_body_that_is_not_utf8_is_invalid() {
    let deployment = Deployment::new().await;
    // The scheme's own library signs text only, so this call has no signature.
    let mut call = webhook(&Value::Null).with_body(&b"\xff\xfe{}"[..]);
    call = call.with("webhook-id", "msg_1").with("webhook-timestamp", &crate::deployment::now().to_string());
    deployment.call(call).await.assert_problem(401);
    let (timestamp, signature) = crate::signatures::sign_bytes("msg_1", b"\xff\xfe{}");
    let call = webhook(&Value::Null).with_body(&b"\xff\xfe{}"[..]).with("webhook-id", "msg_1");
    let response = deployment
        .call(call.with("webhook-timestamp", &timestamp).with("webhook-signature", &signature))
        .await;
    response.assert_problem(400);
    assert_eq!(response.errors(), [(None, "body", "is not UTF-8")]);
}

#[tokio::test]
async fn signature_of_a_base64_body_is_verified_over_the_decoded_bytes() {
    let url = FunctionUrlSettings { is_base64_forced: true, ..Default::default() };
    let deployment = Deployment::with_settings(Settings { url, ..Settings::default() }).await;
    assert_eq!(deployment.post(&request("sg-ü")).await.status, 400, "authenticated, but not a valid group");
    assert_eq!(deployment.post(&request("sg-a")).await.status, 202);
    // Lambda never sends invalid base64; a direct invocation can.
    let event = |body: &str| {
        json!({ "version": "2.0", "rawPath": "/detachments", "headers": {}, "isBase64Encoded": true, "body": body,
            "requestContext": { "http": { "method": "POST" }, "timeEpoch": 0 } })
    };
    let status = |response: Result<Value, Value>| response.unwrap()["statusCode"].as_u64();
    assert_eq!(status(deployment.invoke(&event("!").to_string()).await), Some(400));
    let large = BASE64_STANDARD.encode(vec![b' '; 262_145]);
    assert_eq!(status(deployment.invoke(&event(&large).to_string()).await), Some(413));
    let largest = BASE64_STANDARD.encode(vec![b' '; 262_144]);
    assert_eq!(status(deployment.invoke(&event(&largest).to_string()).await), Some(401));
}

#[tokio::test]
async fn slashes_a_byte_order_mark_and_repeated_signature_headers_do_not_matter() {
    let deployment = Deployment::new().await;
    for (number, path) in ["//detachments", "/detachments/", "///detachments//"].iter().enumerate() {
        let marked = webhook(&request("sg-a")).with_body(format!("\u{feff}{}", request("sg-a")));
        let mut call = marked.signed_as(&format!("msg_{number}"), 0, SECRET);
        (*path).clone_into(&mut call.path);
        let signature = call.headers["webhook-signature"].to_str().unwrap().to_owned();
        let call = call.with("webhook-signature", &format!("v1,AAAA,{signature}"));
        assert_eq!(deployment.call(call).await.status, 202, "{path}");
    }
    assert_eq!(deployment.messages().len(), 3);
    let output = deployment.output();
    assert_eq!(output.matches(r#""method":"POST","path":"/detachments""#).count(), 3, "{output}");
}

#[tokio::test]
async fn head_gets_the_response_to_get_without_its_body() {
    let deployment = Deployment::new().await;
    let event = |method: &str, path: &str| {
        json!({ "version": "2.0", "rawPath": path, "headers": {}, "isBase64Encoded": false,
            "requestContext": { "http": { "method": method }, "timeEpoch": 0 } })
        .to_string()
    };
    for (path, status) in [("/health", 204), ("//health/", 204), ("/hunter2", 404), ("/detachments", 405)] {
        let get = deployment.invoke(&event("GET", path)).await.unwrap();
        let mut head = deployment.invoke(&event("HEAD", path)).await.unwrap();
        assert_eq!((&head["statusCode"], &head["body"]), (&json!(status), &Value::Null), "{path}");
        head["body"] = get["body"].clone();
        assert_eq!(head, get, "{path}");
    }
    let output = deployment.output();
    assert_eq!(output.matches(r#""method":"HEAD","path":"(unknown)","status":404"#).count(), 1, "{output}");
    assert!(!output.contains("hunter2"), "{output}");
}

#[tokio::test]
async fn name_of_an_unknown_field_is_in_the_response_and_not_in_the_log() {
    let deployment = Deployment::new().await;
    let mut body = request("sg-a");
    body["hunter2"] = "s3cret".into();
    let response = deployment.post(&body).await;
    assert_eq!(response.errors(), [(None, "hunter2", "is not a field of a request")]);
    assert_eq!(deployment.invoke(&body.to_string()).await.unwrap_err()["errorType"], "InvalidEvent");
    let output = deployment.output();
    assert!(!output.contains("hunter2") && !output.contains("s3cret"), "{output}");
    assert_eq!(output.matches("an unknown name is not a field of a request").count(), 2, "{output}");
}

#[tokio::test]
async fn payload_that_is_not_valid_http_is_rejected_and_logged_as_an_error() {
    let deployment = Deployment::new().await;
    let event = json!({ "requestContext": { "http": { "method": "POST" } }, "headers": { "a b": "c" } });
    let response = deployment.invoke(&event.to_string()).await.unwrap();
    assert_eq!(response["statusCode"], 400);
    assert!(
        response["body"].as_str().unwrap().contains("belongs to a call that is not valid HTTP"),
        "{response}"
    );
    assert!(deployment.output().contains(
        r#""level":"ERROR","message":"the payload looks like an HTTP call and is not valid HTTP""#
    ));
}

#[tokio::test]
async fn stage_of_an_http_api_is_not_part_of_the_path() {
    let url = FunctionUrlSettings { stage: Some("prod".to_owned()), ..Default::default() };
    let deployment = Deployment::with_settings(Settings { url, ..Settings::default() }).await;
    assert_eq!(deployment.post(&request("sg-a")).await.status, 202);
    let mut call = webhook(&Value::Null).signed();
    "/prod/detachments".clone_into(&mut call.path);
    deployment.call(call).await.assert_problem(404);
}

#[tokio::test]
async fn caller_authenticated_by_iam_needs_no_signature_in_a_deployment_without_secrets() {
    let deployment = Deployment::with_iam(Some("arn:aws:iam::123456789012:role/incident-bot")).await;
    let response = deployment.call(webhook(&request("sg-a")).with("webhook-id", "CHG1")).await;
    assert_eq!(response.accepted(), ["CHG1"]);
    let response = deployment.call(webhook(&request("sg-b"))).await;
    let [id] = response.accepted()[..] else { panic!("{response:?}") };
    assert!(id.len() > 8, "AWS's id of the call");
    assert_eq!(deployment.aws_calls(), [Action::SendMessageBatch; 2]);
    let output = deployment.output();
    assert_eq!(
        output.matches(r#""user_arn":"arn:aws:iam::123456789012:role/incident-bot""#).count(),
        2,
        "{output}"
    );
}

#[tokio::test]
async fn webhook_id_of_a_call_authenticated_by_iam_may_be_utf8() {
    let deployment = Deployment::with_iam(Some("arn:aws:iam::123456789012:role/incident-bot")).await;
    for _ in 0..2 {
        let mut call = webhook(&request("sg-a"));
        call.headers.insert("webhook-id", http::HeaderValue::from_bytes("Änderung-7".as_bytes()).unwrap());
        assert_eq!(deployment.call(call).await.status, 202);
    }
    assert_eq!(deployment.messages().len(), 1, "the second call is a duplicate");
}

#[tokio::test]
async fn call_without_secrets_and_without_iam_is_unauthorized() {
    let deployment = Deployment::with_iam(None).await;
    let response = deployment.post(&request("sg-a")).await;
    response.assert_problem(401);
    assert_eq!(response.header("x-amzn-remapped-www-authenticate"), Some("AWS4-HMAC-SHA256"));
    deployment.call(webhook(&request("sg-a"))).await.assert_problem(401);
    assert_eq!(deployment.aws_calls(), []);
}

#[tokio::test]
async fn caller_authenticated_by_iam_needs_a_signature_in_a_deployment_with_secrets() {
    let caller_arn = Some("arn:aws:iam::123456789012:role/incident-bot".to_owned());
    let url = FunctionUrlSettings { caller_arn, ..Default::default() };
    let deployment = Deployment::with_settings(Settings { url, ..Settings::default() }).await;
    deployment.call(webhook(&request("sg-a"))).await.assert_problem(401);
    assert_eq!(deployment.post(&request("sg-a")).await.status, 202);
}
