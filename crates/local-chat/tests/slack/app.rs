//! The app's side: a client that works on bytes, and a server that gives one prepared response.

use local_chat::Slack;
use local_chat::slack::{BOT_TOKEN, CHANNEL, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) const JSON: &str = "content-type: application/json; charset=utf-8";

/// A response as received, with its header section in lowercase.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl HttpResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Sends a request, and reads until the server closes the connection. Returns `None` if there is no response.
pub(crate) async fn http(method: &str, url: &str, lines: &[&str], body: &str) -> Option<HttpResponse> {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let length = format!("content-length: {}", body.len());
    let head = [&[host_line(host).as_str(), "connection: close", &length], lines].concat().join("\r\n");
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(format!("{method} /{path} HTTP/1.1\r\n{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    let response = String::from_utf8(response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some(HttpResponse { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

fn host_line(host: &str) -> String {
    format!("host: {host}")
}

/// Calls a method of the Web API with the app's token.
pub(crate) async fn call(slack: &Slack, method: &str, body: &Value) -> Option<HttpResponse> {
    let token = format!("authorization: Bearer {BOT_TOKEN}");
    http("POST", &format!("{}/api/{method}", slack.url()), &[JSON, &token], &body.to_string()).await
}

/// Calls a method and returns the body of the response, whose status must be 200.
pub(crate) async fn api(slack: &Slack, method: &str, body: &Value) -> Value {
    let response = call(slack, method, body).await.unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

/// Posts a message with the buttons of an approval, and returns its timestamp.
pub(crate) async fn post_approval(slack: &Slack) -> Timestamp {
    let button = |text: &str, action_id: &str, style: &str| {
        json!({ "type": "button", "text": { "type": "plain_text", "text": text }, "action_id": action_id,
            "value": format!("signed {action_id}"), "style": style })
    };
    let body = json!({ "channel": CHANNEL, "text": "Detach sg-old?", "blocks": [
        { "type": "section", "text": { "type": "mrkdwn", "text": "<@U0REQUESTER> asks to detach sg-old &amp; more" } },
        { "type": "actions", "block_id": "decision", "elements": [
            button("Approve detach", "approve", "danger"), button("Decline", "decline", "primary")] }] });
    let response = api(slack, "chat.postMessage", &body).await;
    assert_eq!(response["ok"], true, "{response}");
    response["ts"].as_str().unwrap().parse().unwrap()
}

/// An app that gives one request a prepared response.
pub(crate) struct App {
    pub(crate) url: String,
    request: JoinHandle<String>,
}

impl App {
    /// Responds with this status and this JSON, or never.
    pub(crate) async fn start(response: Option<(u16, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/chat/slack", listener.local_addr().unwrap());
        let request = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            if let Some((status, body)) = response {
                let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{JSON}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            } else {
                // The caller stops waiting and closes the connection.
                let _ = stream.read(&mut [0]).await;
            }
            request
        });
        Self { url, request }
    }

    /// The request, as received.
    pub(crate) async fn request(self) -> String {
        self.request.await.unwrap()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return text;
            }
        }
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).await.unwrap();
        assert!(count > 0, "the request ends early: {text}");
        request.extend(&bytes[..count]);
    }
}
