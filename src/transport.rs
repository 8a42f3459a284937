//! Sends one HTTP request to Alibaba Cloud or a chat platform, once, with limits on time and size.

pub mod base_url;
pub mod cause;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::loopback::is_loopback;
pub use base_url::BaseUrl;
use cause::Cause;

/// Maximum size of a response body in bytes. The largest valid one, a page of 50 groups, has about 5 KiB.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The same for a program that sweeps: a page of 1,000 endpoints has about 1 MiB, and many tags are several more.
const SWEEP_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Timeout of the TCP and TLS handshakes, the default of Alibaba Cloud's SDKs. The call's timeout also applies.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How many calls open a connection of their own after a lost one: the two calls of a read and a write in each of ten
/// lanes, the largest batch of a FIFO queue. Then the pool is tried again.
const UNPOOLED_CALLS: u32 = 30;

/// Identifies this program; Alibaba Cloud defines no format for it.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Why there is no readable response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoResponse {
    Timeout,
    /// The connection could not be opened, or was closed.
    ConnectionLost,
    /// The response is not in the operation's format, too large, cut off, or contradicts itself.
    UnreadableAnswer,
    /// An HTTP status without a code.
    Status(u16),
}

impl NoResponse {
    /// This project's name for it, in events and logs.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::Timeout => Cow::Borrowed("Timeout"),
            Self::ConnectionLost => Cow::Borrowed("ConnectionLost"),
            Self::UnreadableAnswer => Cow::Borrowed("UnreadableAnswer"),
            Self::Status(status) => Cow::Owned(format!("Http{status}")),
        }
    }
}

/// Why a request got no complete response.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .cause.as_ref().map_or_else(|| why.name().into_owned(), Cause::to_string))]
pub struct SendError {
    pub why: NoResponse,
    /// What happened to the connection; absent if the response itself is the error.
    pub cause: Option<Cause>,
}

impl From<NoResponse> for SendError {
    fn from(why: NoResponse) -> Self {
        Self { why, cause: None }
    }
}

impl From<reqwest::Error> for SendError {
    fn from(error: reqwest::Error) -> Self {
        let why = if error.is_timeout() { NoResponse::Timeout } else { NoResponse::ConnectionLost };
        Self { why, cause: Some(Cause::of(error)) }
    }
}

/// Sends one request once.
///
/// A seam: production sends over HTTPS, a simulation responds from memory on a virtual clock.
pub trait Transport {
    /// The complete response with any status, or why there is none within `timeout`.
    fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> impl Future<Output = Result<http::Response<Bytes>, SendError>>;
}

/// HTTPS with one connection pool for the life of the process; clones share it.
///
/// After a lost connection the next calls open connections of their own. The pool may have others that the same peer,
/// proxy or gateway has dropped without a sign: a read of several calls would never be complete.
///
/// It does not retry, follow redirects or decompress, because each would hide a result from the code that decides
/// about it.
#[derive(Debug, Clone)]
pub struct Https {
    proxied: Clients,
    /// For loopback addresses, without a proxy: a proxy cannot reach them, and would get the request
    /// unencrypted.
    direct: Option<Clients>,
    /// How many of the next calls open a connection of their own.
    unpooled_calls: Arc<AtomicU32>,
    body_bytes_max: usize,
}

/// Two clients that differ only in their connections.
#[derive(Debug, Clone)]
struct Clients {
    pooled: reqwest::Client,
    /// Uses every connection for one call.
    unpooled: reqwest::Client,
}

#[derive(Debug, Error)]
#[error("the HTTPS client could not be built")]
pub struct HttpsUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Https {
    /// A client with Mozilla's root certificates compiled in: loading the system's takes some milliseconds of every
    /// cold start.
    ///
    /// It uses the proxy of the environment, if there is one; with `has_loopback`, it calls loopback addresses
    /// directly.
    pub fn new(has_loopback: bool) -> Result<Self, HttpsUnavailable> {
        let tls = tls()?;
        let proxied = Clients::new(&tls, reqwest::Client::builder)?;
        let direct =
            has_loopback.then(|| Clients::new(&tls, || reqwest::Client::builder().no_proxy())).transpose()?;
        Ok(Self { proxied, direct, unpooled_calls: Arc::default(), body_bytes_max: BODY_BYTES_MAX })
    }

    /// The same client with a limit on bodies that a page of a sweep fits into. The functions that only detach have less memory
    /// than they would then need.
    #[must_use]
    pub fn for_sweeps(self) -> Self {
        Self { body_bytes_max: SWEEP_BODY_BYTES_MAX, ..self }
    }

    fn clients_for(&self, uri: &http::Uri) -> &Clients {
        let direct = self.direct.as_ref().filter(|_| uri.host().is_some_and(is_loopback));
        direct.unwrap_or(&self.proxied)
    }

    /// The client of the next call to this address.
    fn client_for(&self, uri: &http::Uri) -> &reqwest::Client {
        let clients = self.clients_for(uri);
        let one_less = |calls: u32| calls.checked_sub(1);
        let is_unpooled = self.unpooled_calls.fetch_update(Relaxed, Relaxed, one_less).is_ok();
        if is_unpooled { &clients.unpooled } else { &clients.pooled }
    }

    /// An error of a call. If its connection was open, others of the pool may be lost like it.
    fn lost(&self, error: reqwest::Error) -> SendError {
        if !error.is_connect() {
            self.unpooled_calls.store(UNPOOLED_CALLS, Relaxed);
        }
        error.into()
    }
}

fn tls() -> Result<rustls::ClientConfig, HttpsUnavailable> {
    let roots: rustls::RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpsUnavailable(error.into()))?;
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}

impl Clients {
    fn new(
        tls: &rustls::ClientConfig,
        builder: impl Fn() -> reqwest::ClientBuilder,
    ) -> Result<Self, HttpsUnavailable> {
        let build = |builder: reqwest::ClientBuilder| {
            let builder = builder
                .tls_backend_preconfigured(tls.clone())
                .retry(reqwest::retry::never())
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .user_agent(USER_AGENT);
            builder.build().map_err(|error| HttpsUnavailable(error.into()))
        };
        Ok(Self { pooled: build(builder())?, unpooled: build(builder().pool_max_idle_per_host(0))? })
    }
}

impl Transport for Https {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, SendError> {
        let client = self.client_for(request.uri());
        let mut request = reqwest::Request::try_from(request)?;
        *request.timeout_mut() = Some(timeout);
        let mut response = client.execute(request).await.map_err(|error| self.lost(error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(error))? {
            if body.len() + chunk.len() > self.body_bytes_max {
                return Err(NoResponse::UnreadableAnswer.into());
            }
            body.extend_from_slice(&chunk);
        }
        let mut complete = http::Response::new(body.into());
        *complete.status_mut() = response.status();
        *complete.headers_mut() = std::mem::take(response.headers_mut());
        Ok(complete)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};

    use super::cause::CauseClass;
    use super::*;

    /// A server that writes this response to the beginning of each request, or none, and closes the connection. Its
    /// address.
    fn server(response: Option<&'static [u8]>) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let _ = connection.read(&mut [0; 1024]);
                match response {
                    Some(response) => connection.write_all(response).unwrap(),
                    None => open.push(connection),
                }
            }
        });
        address
    }

    fn direct() -> Https {
        https(|| reqwest::Client::builder().no_proxy())
    }

    fn https(builder: impl Fn() -> reqwest::ClientBuilder) -> Https {
        let proxied = Clients::new(&tls().unwrap(), builder).unwrap();
        Https { proxied, direct: None, unpooled_calls: Arc::default(), body_bytes_max: BODY_BYTES_MAX }
    }

    async fn call(https: &Https, url: &str) -> Result<http::Response<Bytes>, SendError> {
        let request = http::Request::post(format!("{url}/?SecurityGroupId=sg-a")).body(Bytes::new());
        https.send(request.unwrap(), Duration::from_millis(500)).await
    }

    /// A server whose connections each respond to this many requests. A later request gets no response: the connection
    /// is closed, or stays silent. Its URL, and the number of connections.
    fn forgetful_server(responses: usize, is_silent: bool) -> (String, Arc<AtomicU32>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                count.fetch_add(1, Relaxed);
                std::thread::spawn(move || {
                    let mut request = [0; 4096];
                    for _ in 0..responses {
                        if connection.read(&mut request).is_ok_and(|bytes| bytes > 0) {
                            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
                        }
                    }
                    let _ = connection.read(&mut request);
                    if is_silent {
                        // Until the client closes it.
                        let _ = connection.read(&mut request);
                    }
                });
            }
        });
        (url, connections)
    }

    #[tokio::test]
    async fn calls_use_one_connection() {
        let (url, connections) = forgetful_server(100, false);
        let https = direct();
        for _ in 0..50 {
            call(&https, &url).await.unwrap();
        }
        assert_eq!(connections.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn lost_connection_is_followed_by_calls_with_connections_of_their_own() {
        for is_silent in [false, true] {
            let (url, connections) = forgetful_server(1, is_silent);
            let https = direct();
            call(&https, &url).await.unwrap();
            call(&https, &url).await.unwrap_err();
            for _ in 0..UNPOOLED_CALLS {
                call(&https, &url).await.unwrap();
            }
            assert_eq!(connections.load(Relaxed), 1 + UNPOOLED_CALLS, "one for each call");
            call(&https, &url).await.unwrap();
            call(&https, &url).await.unwrap_err();
            call(&https, &url).await.unwrap();
        }
    }

    #[tokio::test]
    async fn connection_that_cannot_be_opened_leaves_the_pool_in_use() {
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let (url, connections) = forgetful_server(100, false);
        let https = direct();
        call(&https, &format!("http://{closed}")).await.unwrap_err();
        for _ in 0..5 {
            call(&https, &url).await.unwrap();
        }
        assert_eq!(connections.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn error_without_a_response_names_its_cause_and_not_the_url() {
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let ends = server(Some(b""));
        let cut_off = server(Some(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"));
        let silent = server(None);
        // No name has a part of more than 63 characters, so no name server is asked.
        let nowhere = "x".repeat(64);
        for (url, why, class) in [
            (format!("http://{closed}"), NoResponse::ConnectionLost, CauseClass::Refused),
            (format!("http://{nowhere}"), NoResponse::ConnectionLost, CauseClass::Dns),
            (format!("http://{ends}"), NoResponse::ConnectionLost, CauseClass::Reset),
            (format!("http://{cut_off}"), NoResponse::ConnectionLost, CauseClass::Reset),
            (format!("https://{cut_off}"), NoResponse::ConnectionLost, CauseClass::Tls),
            (format!("http://{silent}"), NoResponse::Timeout, CauseClass::Timeout),
        ] {
            let error = call(&direct(), &url).await.unwrap_err();
            let cause = error.cause.as_ref().unwrap();
            assert_eq!((error.why, cause.class), (why, class), "{url}: {error}");
            assert!(!cause.text.contains("sg-a") && !cause.text.contains(&url), "{error}");
        }
    }

    #[tokio::test]
    async fn proxy_that_opens_no_connection_is_the_cause() {
        let proxy = server(Some(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"));
        let proxy = reqwest::Proxy::all(format!("http://user:s3cret@{proxy}")).unwrap();
        let https = https(|| reqwest::Client::builder().proxy(proxy.clone()));
        let error = call(&https, "https://privatelink.eu-west-1.aliyuncs.com").await.unwrap_err();
        assert_eq!(error.cause.as_ref().unwrap().class, CauseClass::Proxy, "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn only_loopback_addresses_bypass_the_proxy() {
        let https = Https::new(true).unwrap();
        let is_direct = |https: &Https, uri: &'static str| {
            let direct = https.direct.as_ref();
            direct.is_some_and(|direct| std::ptr::eq(https.clients_for(&http::Uri::from_static(uri)), direct))
        };
        for uri in ["http://127.0.0.1:4010/?a=b", "http://localhost/", "http://[::1]:1/"] {
            assert!(is_direct(&https, uri), "{uri}");
        }
        for uri in ["https://sts.aliyuncs.com/", "https://privatelink.eu-west-1.aliyuncs.com/?a=127.0.0.1"] {
            assert!(!is_direct(&https, uri), "{uri}");
        }
        assert!(Https::new(false).unwrap().direct.is_none(), "production builds no others");
    }
}
