//! Posts a platform's requests to the app: plain HTTP/1.1, one request per connection, with a time limit.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;

/// The largest accepted response. Lambda's largest response is 6 MB; a chat message is far smaller.
const RESPONSE_BYTES_MAX: usize = 1024 * 1024;

/// The response of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppResponse {
    pub status: u16,
    /// The header `content-type`, or an empty text.
    pub content_type: String,
    pub body: Bytes,
}

/// Why there is no response.
#[derive(Debug, Error)]
pub enum PostError {
    #[error("{0:?} is not an http URL")]
    Url(String),
    #[error("a header is not valid")]
    Header(#[source] http::Error),
    #[error("the app did not respond within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("the connection to the app failed")]
    Connect(#[source] io::Error),
    #[error("the exchange with the app failed")]
    Exchange(#[source] hyper::Error),
    #[error("the body of the app's response is incomplete or too large")]
    Body,
}

/// Posts a body, and waits at most `limit` for the whole response.
#[expect(clippy::disallowed_methods, reason = "a platform waits for an app only for a few seconds")]
pub async fn post(
    url: &str,
    headers: &[(&'static str, String)],
    body: &str,
    limit: Duration,
) -> Result<AppResponse, PostError> {
    let exchange = exchange(url, headers, body);
    tokio::time::timeout(limit, exchange).await.map_err(|_| PostError::TimedOut(limit))?
}

async fn exchange(
    url: &str,
    headers: &[(&'static str, String)],
    body: &str,
) -> Result<AppResponse, PostError> {
    let invalid = || PostError::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| invalid())?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(invalid)?;
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = Request::builder().method(Method::POST).uri(path);
    request = request.header(header::HOST, authority.as_str());
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request =
        request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).map_err(PostError::Header)?;

    let port = authority.port_u16().unwrap_or(80);
    let stream = TcpStream::connect(format!("{}:{port}", address_of(authority.host())))
        .await
        .map_err(PostError::Connect)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(PostError::Exchange)?;
    let mut exchanged = pin!(async move {
        let response = sender.send_request(request).await.map_err(PostError::Exchange)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, RESPONSE_BYTES_MAX).collect().await.map_err(|_| PostError::Body)?;
        let content_type = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str);
        Ok(AppResponse {
            status: head.status.as_u16(),
            content_type: content_type.and_then(Result::ok).unwrap_or_default().to_owned(),
            body: body.to_bytes(),
        })
    });
    tokio::select! {
        response = &mut exchanged => response,
        // The rest of the response is then in memory, or the exchange fails.
        _ = connection => exchanged.await,
    }
}

/// The host to connect to. Names below `localhost` are the loopback address (RFC 6761), which not every resolver knows.
fn address_of(host: &str) -> &str {
    if host.ends_with(".localhost") { "127.0.0.1" } else { host }
}
