//! Sends one HTTP request to Alibaba Cloud, once, with limits on time and size.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::error::NoResponse;
use super::service_url::is_loopback;

/// Maximum size of a response body in bytes. The largest valid one, a page of 50 groups, has about 5 KiB.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Timeout of the TCP and TLS handshakes, the default of Alibaba Cloud's SDKs. The call's timeout also applies.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Identifies this program; Alibaba Cloud defines no format for it.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Sends one request once.
///
/// A seam: production sends over HTTPS, a simulation responds from memory on a virtual clock.
pub trait Transport {
    /// The complete response with any status, or why there is none within `timeout`.
    fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> impl Future<Output = Result<http::Response<Bytes>, NoResponse>>;
}

/// HTTPS with one connection pool for the life of the process; clones share it.
///
/// It does not retry, follow redirects or decompress, because each would hide a result from the code that decides
/// about it.
#[derive(Debug, Clone)]
pub struct Https {
    client: reqwest::Client,
    /// For loopback addresses, without a proxy: a proxy cannot reach them, and would get the request
    /// unencrypted.
    direct: Option<reqwest::Client>,
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
        let mut request = reqwest::Request::try_from(request).map_err(|error| no_response(&error))?;
        *request.timeout_mut() = Some(timeout);
        let mut response = client.execute(request).await.map_err(|error| no_response(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| no_response(&error))? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(NoResponse::UnreadableAnswer);
            }
            body.extend_from_slice(&chunk);
        }
        let mut complete = http::Response::new(body.into());
        *complete.status_mut() = response.status();
        *complete.headers_mut() = std::mem::take(response.headers_mut());
        Ok(complete)
    }
}

fn no_response(error: &reqwest::Error) -> NoResponse {
    if error.is_timeout() { NoResponse::Timeout } else { NoResponse::ConnectionLost }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_bypass_the_proxy() {
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
