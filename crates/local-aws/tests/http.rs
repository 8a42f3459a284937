//! Function URL, Secrets Manager and STS over a socket, with a client that works on bytes and normalizes nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use local_aws::wire::{GET_SECRET_VALUE, secret_arn};
use local_aws::{
    Action, Ending, Fault, FunctionUrl, FunctionUrlSettings, InvocationResult, LocalAws, RuntimeApi,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A response as received, with its header section in lowercase.
#[derive(Debug)]
struct HttpResponse {
    status: u16,
    head: String,
    body: String,
}

impl HttpResponse {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Sends a request with additional header lines to a URL, and reads until the server closes the connection. Returns
/// `None` if the server closes it without a response.
async fn send(method: &str, url: &str, lines: &[&[u8]], body: &[u8]) -> Option<HttpResponse> {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let first = format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    let mut request = first.into_bytes();
    for line in lines {
        request.extend([line, b"\r\n".as_slice()].concat());
    }
    request.extend(format!("content-length: {}\r\n\r\n", body.len()).into_bytes());
    request.extend(body);
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let mut response = Vec::new();
    // A reset counts as no response too.
    let _ = stream.read_to_end(&mut response).await;
    let response = String::from_utf8(response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some(HttpResponse { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

async fn post(url: &str, lines: &[&[u8]], body: &[u8]) -> Option<HttpResponse> {
    send("POST", url, lines, body).await
}

/// A function that returns every event as its response, and the events that it received.
async fn echo(settings: FunctionUrlSettings) -> (FunctionUrl, Arc<Mutex<Vec<Bytes>>>) {
    let events = Arc::<Mutex<Vec<Bytes>>>::default();
    let received = Arc::clone(&events);
    let url = FunctionUrl::start(settings, move |event| {
        received.lock().unwrap().push(event.clone());
        ready(InvocationResult::Response(event))
    });
    (url.await.unwrap(), events)
}

#[tokio::test]
async fn request_reaches_the_function_with_all_headers() {
    let (url, _) = echo(FunctionUrlSettings::default()).await;
    let to = format!("{}/detachments?dry=1", url.url());
    let lines = [b"X-Twice: a".as_slice(), b"x-twice: \xfcb", b"Content-Type: application/json"];

    let response = post(&to, &lines, b"{}").await.unwrap();

    let event = response.json();
    assert_eq!((response.status, &event["rawPath"]), (200, &json!("/detachments")));
    assert_eq!(event["headers"]["x-twice"], "a,\u{fffd}b");
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("{}"), &json!(false)));
    assert_eq!(event["queryStringParameters"], json!({ "dry": "1" }));
}

#[tokio::test]
async fn request_ids_are_unique_in_a_process() {
    let urls = [echo(FunctionUrlSettings::default()).await, echo(FunctionUrlSettings::default()).await];
    let mut ids = Vec::new();
    for (url, _) in urls.iter().chain(&urls) {
        let response = post(&format!("{}/", url.url()), &[], b"").await.unwrap();
        ids.push(response.json()["requestContext"]["requestId"].as_str().unwrap().to_owned());
    }

    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    assert!(ids.iter().all(|id| id.len() == 36), "{ids:?}");
}

#[tokio::test]
async fn only_paths_with_the_stage_reach_the_function() {
    let settings = FunctionUrlSettings { stage: Some("prod".to_owned()), ..FunctionUrlSettings::default() };
    let (url, events) = echo(settings).await;
    let response = post(&format!("{}/detachments", url.url()), &[], b"").await.unwrap();
    assert_eq!((response.status, &response.json()["rawPath"]), (200, &json!("/prod/detachments")));

    for other in ["detachments", "production/detachments", ""] {
        let to = format!("{}/{other}", url.url().strip_suffix("/prod").unwrap());
        let response = post(&to, &[], b"").await.unwrap();
        assert_eq!((response.status, response.json()), (404, json!({ "message": "Not Found" })));
    }
    assert_eq!(events.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn too_large_body_is_refused_without_an_invocation() {
    const MIB: usize = 1024 * 1024;
    let (url, events) = echo(FunctionUrlSettings::default()).await;
    let to = format!("{}/", url.url());
    let text = b"content-type: text/plain".as_slice();

    // Encoded in base64, the second body is too large; the last one exceeds the limit of the server.
    for (lines, mib) in [([text].as_slice(), 7), (&[], 5), (&[text], 9)] {
        let response = post(&to, lines, &vec![b'x'; mib * MIB]).await.unwrap();
        assert_eq!(response.status, 413, "{mib} MiB");
    }
    assert_eq!(events.lock().unwrap().len(), 0);
    assert_eq!(post(&to, &[text], &vec![b'x'; 5 * MIB]).await.unwrap().status, 200);
}

#[tokio::test]
async fn function_url_invokes_through_the_runtime_api() {
    let api = Arc::new(RuntimeApi::start().await.unwrap());
    let invoking = Arc::clone(&api);
    let url = FunctionUrl::start(FunctionUrlSettings::default(), move |event| {
        let api = Arc::clone(&invoking);
        async move { api.invoke(event, Duration::from_secs(10)).await }
    });
    let url = url.await.unwrap();

    let to = format!("{}/", url.url());
    let (response, ()) = tokio::join!(post(&to, &[], b""), async {
        let next = format!("http://{}/2018-06-01/runtime/invocation", api.address());
        let given = send("GET", &format!("{next}/next"), &[], b"").await.unwrap();
        let id = given.head.lines().find_map(|line| line.strip_prefix("lambda-runtime-aws-request-id: "));
        let response = json!({
            "statusCode": 401,
            "headers": { "www-authenticate": "StandardWebhooks", "content-length": "77" },
            "body": "none",
        });
        let to = format!("{next}/{}/response", id.unwrap());
        post(&to, &[], response.to_string().as_bytes()).await.unwrap();
    });

    let response = response.unwrap();
    assert_eq!((response.status, response.body.as_str()), (401, "none"));
    assert!(
        response.head.contains("\r\nx-amzn-remapped-www-authenticate: standardwebhooks"),
        "{}",
        response.head
    );
    assert!(response.head.contains("\r\ncontent-length: 4"), "{}", response.head);
}

#[tokio::test]
async fn dropped_function_url_closes_its_port() {
    let (url, _) = echo(FunctionUrlSettings::default()).await;
    let to = url.url();
    drop(url);
    tokio::task::yield_now().await;

    assert!(TcpStream::connect(to.strip_prefix("http://").unwrap()).await.is_err());
}

#[tokio::test]
async fn every_read_of_a_secret_is_journaled() {
    let aws = LocalAws::start().await.unwrap();
    aws.secrets().put("webhooks", "old");
    aws.secrets().faults().plan(Action::GetSecretValue, 1, Fault::ResponseLost);
    let target = format!("x-amz-target: {GET_SECRET_VALUE}");
    let lines = [target.as_bytes()];
    let to = format!("{}/", aws.url());
    let read = |id: &str| json!({ "SecretId": id }).to_string();

    assert!(post(&to, &lines, read("webhooks").as_bytes()).await.is_none());
    let old = post(&to, &lines, read(&secret_arn("webhooks")).as_bytes()).await.unwrap();
    aws.secrets().put("webhooks", "new");
    let new = post(&to, &lines, read("webhooks").as_bytes()).await.unwrap();
    aws.secrets().remove("webhooks");
    let removed = post(&to, &lines, read("webhooks").as_bytes()).await.unwrap();

    assert_eq!((&old.json()["SecretString"], &new.json()["SecretString"]), (&json!("old"), &json!("new")));
    assert_ne!(old.json()["VersionId"], new.json()["VersionId"]);
    assert_eq!(removed.json()["__type"], "ResourceNotFoundException");
    let endings: Vec<_> =
        aws.journal().into_iter().map(|entry| (entry.action, entry.target, entry.ending)).collect();
    let each = |ending| (Action::GetSecretValue, "webhooks".to_owned(), ending);
    assert_eq!(
        endings,
        [
            each(Ending::Faulted(Fault::ResponseLost)),
            each(Ending::Done),
            each(Ending::Done),
            each(Ending::Refused("ResourceNotFoundException".to_owned())),
        ]
    );
}

#[tokio::test]
async fn token_is_issued_only_for_a_form_posted_to_the_root() {
    let aws = LocalAws::start().await.unwrap();
    let form = b"Action=GetWebIdentityToken&Version=2011-06-15&Audience.member.1=a&SigningAlgorithm=RS256";
    let content_type = b"content-type: application/x-www-form-urlencoded; charset=utf-8".as_slice();
    let json = b"content-type: application/json".as_slice();
    let other = b"x-amz-target: Elsewhere.Call".as_slice();
    let root = format!("{}/", aws.url());

    for number in 1..=2 {
        let response = post(&root, &[content_type], form).await.unwrap();
        assert_eq!(response.status, 200, "{}", response.body);
        let request_id = format!("\r\nx-amzn-requestid: 00000000-0000-4000-8000-00000000000{number}\r\n");
        assert!(response.head.contains(&request_id), "{}", response.head);
    }
    for (method, to, lines) in [
        ("PUT", root.clone(), vec![content_type]),
        ("POST", format!("{root}other"), vec![content_type]),
        ("POST", root.clone(), vec![json]),
        ("POST", root.clone(), vec![]),
        ("POST", root, vec![content_type, other]),
    ] {
        let response = send(method, &to, &lines, form).await.unwrap();
        let unknown = json!({ "__type": "com.amazon.coral.service#UnknownOperationException" });
        assert_eq!((response.status, response.json()), (400, unknown), "{method} {to} {lines:?}");
    }
    assert_eq!(aws.journal().len(), 2);
}

#[tokio::test]
async fn changed_secret_wakes_a_waiting_condition() {
    let aws = LocalAws::start().await.unwrap();
    let (reached, ()) = tokio::join!(
        aws.until(|view| view.secrets.get("webhooks").is_some_and(|secret| secret.value == "new")),
        async { aws.secrets().put("webhooks", "new") },
    );
    reached.unwrap();
}
