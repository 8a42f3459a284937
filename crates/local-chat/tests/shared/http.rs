//! The app's side over sockets: a client that works on bytes, and a server that gives one prepared response.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
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
pub(crate) async fn http(verb: &str, url: &str, lines: &[&str], body: &str) -> Option<HttpResponse> {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let (host_line, length) = (format!("host: {host}"), format!("content-length: {}", body.len()));
    let head = [&[host_line.as_str(), "connection: close", &length], lines].concat().join("\r\n");
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(format!("{verb} /{path} HTTP/1.1\r\n{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    let response = String::from_utf8(response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some(HttpResponse { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

/// An app that gives one request a prepared response.
pub(crate) struct App {
    pub(crate) url: String,
    request: JoinHandle<String>,
}

impl App {
    /// Responds with this status and this body, or never.
    pub(crate) async fn start(response: Option<(u16, &str)>) -> Self {
        let (app, release) = Self::held(response).await;
        release.send(()).unwrap();
        app
    }

    /// The same, but responds only after a message is sent.
    pub(crate) async fn held(response: Option<(u16, &str)>) -> (Self, oneshot::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/chat", listener.local_addr().unwrap());
        let response = response.map(|(status, body)| {
            format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{JSON}\r\n\r\n{body}", body.len())
        });
        let (release, released) = oneshot::channel();
        let request = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            released.await.unwrap();
            if let Some(response) = response {
                stream.write_all(response.as_bytes()).await.unwrap();
            } else {
                // The caller stops waiting and closes the connection.
                let _ = stream.read(&mut [0]).await;
            }
            request
        });
        (Self { url, request }, release)
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
