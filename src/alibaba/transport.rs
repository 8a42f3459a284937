//! Bytes to Alibaba Cloud and back: one attempt, bounded in time and size.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::error::NoResponse;
use super::service_url::is_loopback;

/// Most bytes of an answer that are read. The largest honest one, a page of 50 groups, has about 5 KiB.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Time for the TCP and TLS handshakes, the default of Alibaba's own SDKs. The call's whole timeout still holds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Free text by Alibaba's rules; names who calls.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Sends one request once.
///
/// A seam: production sends over HTTPS, a simulation on a virtual clock answers from memory.
pub trait Transport {
    /// The complete answer, whatever its status, or why there is none after `timeout`.
    fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> impl Future<Output = Result<http::Response<Bytes>, NoResponse>>;
}

/// HTTPS with one connection pool for the life of the process.
///
/// It does not retry, follow redirects or decompress: each would hide what happened from the one place that decides.
#[derive(Debug, Clone)]
pub struct Https {
    client: reqwest::Client,
    /// For addresses on this machine, where no proxy can lead to: they would reach it in the clear.
    direct: Option<reqwest::Client>,
}

/// TLS could not be set up.
#[derive(Debug, Error)]
#[error("the HTTPS client could not be built")]
pub struct HttpsUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Https {
    /// A client with Mozilla's root certificates, compiled in: reading the system's would cost every cold start some milliseconds.
    ///
    /// The environment's proxy, if there is one, stands between it and the internet. If `has_loopback`, addresses on this
    /// machine are called, too, and past it.
    pub fn new(has_loopback: bool) -> Result<Self, HttpsUnavailable> {
        let roots: rustls::RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| HttpsUnavailable(error.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let build = |builder: reqwest::ClientBuilder| {
            let builder = builder
                .tls_backend_preconfigured(tls.clone())
                .retry(reqwest::retry::never())
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .user_agent(USER_AGENT);
            builder.build().map_err(|error| HttpsUnavailable(error.into()))
        };
        let client = build(reqwest::Client::builder())?;
        let direct = has_loopback.then(|| build(reqwest::Client::builder().no_proxy())).transpose()?;
        Ok(Self { client, direct })
    }

    fn client_for(&self, uri: &http::Uri) -> &reqwest::Client {
        let direct = self.direct.as_ref().filter(|_| uri.host().is_some_and(is_loopback));
        direct.unwrap_or(&self.client)
    }
}

impl Transport for Https {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, NoResponse> {
        let client = self.client_for(request.uri());
        let mut request = reqwest::Request::try_from(request).map_err(|error| unanswered(&error))?;
        *request.timeout_mut() = Some(timeout);
        let mut response = client.execute(request).await.map_err(|error| unanswered(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(&error))? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(NoResponse::UnreadableAnswer);
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = http::Response::new(body.into());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    }
}

fn unanswered(error: &reqwest::Error) -> NoResponse {
    if error.is_timeout() { NoResponse::Timeout } else { NoResponse::ConnectionLost }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_on_this_machine_are_called_past_the_proxy() {
        let https = Https::new(true).unwrap();
        let is_direct = |https: &Https, uri: &'static str| {
            let direct = https.direct.as_ref();
            direct.is_some_and(|direct| std::ptr::eq(https.client_for(&http::Uri::from_static(uri)), direct))
        };
        for uri in ["http://127.0.0.1:4010/?a=b", "http://localhost/", "http://[::1]:1/"] {
            assert!(is_direct(&https, uri), "{uri}");
        }
        for uri in ["https://sts.aliyuncs.com/", "https://privatelink.eu-west-1.aliyuncs.com/?a=127.0.0.1"] {
            assert!(!is_direct(&https, uri), "{uri}");
        }
        assert!(Https::new(false).unwrap().direct.is_none(), "production builds one client");
    }
}
