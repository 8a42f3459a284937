//! The configuration that all AWS clients share: TLS, timeouts and the variables that Lambda sets.
//!
//! The SDK's own configuration crate is not used: it searches seven other places for credentials, none of which exist
//! on Lambda, and for that links an STS client into a function that is reachable from the internet.

pub mod bus;
mod error;
mod lazy_client;
pub mod notice_queue;
pub mod request_queue;
pub mod secret;
pub mod sqs;
pub mod sqs_event;

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use thiserror::Error;

use crate::loopback;

pub use error::AwsError;
pub(crate) use error::shown_code;
pub use lazy_client::LazyClient;

/// Timeout of one operation with all attempts of the SDK, which is the only layer of retries. Three operations
/// (publish, delete, return to the queue) fit into the reserve of an invocation.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(3);

/// Timeout of one attempt. A slow AWS, whose every response takes two seconds, is in time: shorter attempts would repeat
/// calls that succeed. The rest of the operation is enough for a second attempt on a new connection, if the first one's was
/// lost and AWS is healthy.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(2400);

/// Longest time before the second attempt, doubled before the third. With the SDK's one second, an attempt that timed out
/// would often be the last one.
const RETRY_AFTER_MAX: Duration = Duration::from_millis(200);

/// Timeout of the TCP and TLS handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The root certificates of AWS endpoints. Loading the system's whole store takes some milliseconds of every cold
/// start.
const ROOTS: &[u8] = include_bytes!("aws/roots.pem");

#[derive(Debug, Error)]
#[error("the AWS clients could not be built")]
pub struct AwsUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>);

/// The configuration from AWS's variables: `AWS_REGION`, the credentials, `AWS_ENDPOINT_URL` and
/// `AWS_ENDPOINT_URL_{SERVICE}`, `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`; and from the variables of the proxy,
/// which are the same for the calls to Alibaba Cloud.
pub fn config(
    environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Result<SdkConfig, AwsUnavailable> {
    let proxy = proxy(&environment)?;
    // One connector for all clients, built by the first call. The crate's own HTTP client builds one per client, drops it,
    // and builds another during the first call; each of them parses the root certificates again.
    let connector = LazyLock::new(move || connector(proxy));
    let timeouts = TimeoutConfig::builder()
        .operation_timeout(OPERATION_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    let is_on = |name: &str| variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .timeout_config(timeouts)
        // It watches every body to end a call that is stalled for 5 s. The timeouts end such a call earlier.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(RetryConfig::standard().with_initial_backoff(RETRY_AFTER_MAX))
        .use_fips(is_on("AWS_USE_FIPS_ENDPOINT"))
        .use_dual_stack(is_on("AWS_USE_DUALSTACK_ENDPOINT"));
    config.set_region(variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")).map(Region::new));
    config.set_endpoint_url(variable("AWS_ENDPOINT_URL"));
    if let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        let credentials = Credentials::new(id, secret, variable("AWS_SESSION_TOKEN"), None, "environment");
        config.set_credentials_provider(Some(SharedCredentialsProvider::new(credentials)));
    }
    Ok(config.service_config(ServiceVariables(environment)).build())
}

/// The same configuration for calls whose caller waits for a second or less: with shorter attempts, the second one begins in
/// time. It uses the same connector, and so the same connections.
#[must_use]
pub fn with_attempt_timeout(config: &SdkConfig, attempt_timeout: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .operation_timeout(OPERATION_TIMEOUT)
        .operation_attempt_timeout(attempt_timeout)
        .build();
    config.to_builder().timeout_config(timeouts).build()
}

#[expect(clippy::expect_used, reason = "the root certificates are constants")]
fn connector(proxy: ProxyConfig) -> SharedHttpConnector {
    let tls = TlsContext::builder()
        .with_trust_store(TrustStore::empty().with_pem_certificate(ROOTS))
        .build()
        .expect("valid root certificates");
    let connector = Connector::builder()
        .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .proxy_config(proxy)
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .build();
    SharedHttpConnector::new(connector)
}

/// The proxy of the environment. The first of two spellings applies even if it is empty, as in the client for Alibaba Cloud.
///
/// `HTTP_PROXY` does not matter: only a loopback address may be called without TLS, and no proxy can reach one.
fn proxy(environment: impl Fn(&str) -> Option<String>) -> Result<ProxyConfig, AwsUnavailable> {
    let first = |names: [&str; 2]| names.into_iter().find_map(&environment).filter(|value| !value.is_empty());
    let Some(address) = first(["HTTPS_PROXY", "https_proxy"]).or_else(|| first(["ALL_PROXY", "all_proxy"]))
    else {
        return Ok(ProxyConfig::disabled());
    };
    let address = if address.contains("://") { address } else { format!("http://{address}") };
    // Its own error could quote the address, and with it a password.
    let proxy = ProxyConfig::https(address)
        .map_err(|_| AwsUnavailable("the address of the proxy is not valid".into()))?;
    let hosts = first(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    Ok(proxy.no_proxy(format!("{hosts},{}", loopback::NO_PROXY)))
}

/// The variables of one service: the common name, `_`, and the service in uppercase.
struct ServiceVariables<E>(E);

impl<E> fmt::Debug for ServiceVariables<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceVariables")
    }
}

impl<E: Fn(&str) -> Option<String> + Send + Sync> LoadServiceConfig for ServiceVariables<E> {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_ascii_uppercase().replace([' ', '-'], "_");
        (self.0)(&format!("{}_{service}", key.env())).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_lambda_are_applied() {
        let config = config(|name| {
            let value = match name {
                "AWS_REGION" => "eu-west-1",
                "AWS_ENDPOINT_URL" => "http://127.0.0.1:1",
                "AWS_ENDPOINT_URL_SQS" => "http://127.0.0.1:2",
                "AWS_ENDPOINT_URL_SECRETS_MANAGER" => "http://127.0.0.1:3",
                "AWS_USE_FIPS_ENDPOINT" => "TRUE",
                "AWS_USE_DUALSTACK_ENDPOINT" | "AWS_ENDPOINT_URL_EVENTBRIDGE" => "",
                "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => "key",
                _ => return None,
            };
            Some(value.to_owned())
        })
        .unwrap();
        assert_eq!(config.region(), Some(&Region::from_static("eu-west-1")));
        assert_eq!(config.endpoint_url(), Some("http://127.0.0.1:1"));
        assert_eq!((config.use_fips(), config.use_dual_stack()), (Some(true), Some(false)));
        assert!(config.credentials_provider().is_some());
        let endpoint = |service| {
            let key = ServiceConfigKey::builder()
                .service_id(service)
                .env("AWS_ENDPOINT_URL")
                .profile("endpoint_url");
            config.service_config().unwrap().load_config(key.build().unwrap())
        };
        assert_eq!(endpoint("SQS").as_deref(), Some("http://127.0.0.1:2"));
        assert_eq!(endpoint("Secrets Manager").as_deref(), Some("http://127.0.0.1:3"));
        assert_eq!(endpoint("EventBridge"), None);
    }

    /// Calls SQS with these variables. Returns what a proxy on loopback receives, up to the end of the headers; `None` if the
    /// call failed without it.
    async fn received_by_a_proxy(variables: &[(&'static str, &str)]) -> Option<String> {
        use tokio::io::AsyncReadExt;

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (*name, value.replace("PROXY", &address))).collect();
        let sdk = config(move |name| {
            let value = variables.iter().find(|(variable, _)| *variable == name);
            value.map(|(_, value)| value.clone()).or_else(|| match name {
                "AWS_REGION" => Some("eu-west-1".to_owned()),
                "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("key".to_owned()),
                _ => None,
            })
        });
        let client = aws_sdk_sqs::Client::new(&sdk.unwrap());
        let call = client.delete_message().queue_url("https://queue").receipt_handle("handle").send();
        let received = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            while !text.ends_with("\r\n\r\n") {
                text.push(stream.read_u8().await.unwrap().into());
            }
            text
        };
        tokio::select! {
            biased;
            text = received => Some(text),
            result = call => {
                assert!(result.is_err());
                None
            }
        }
    }

    #[tokio::test]
    async fn calls_go_through_the_proxy_of_the_environment() {
        let connect = "CONNECT sqs.eu-west-1.amazonaws.com:443 HTTP/1.1\r\n";
        for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            for address in ["http://PROXY", "PROXY", "http://PROXY/"] {
                let received = received_by_a_proxy(&[(variable, address)]).await.unwrap();
                assert!(received.starts_with(connect), "{variable}={address}: {received}");
                assert!(!received.to_ascii_lowercase().contains("authorization"), "{received}");
            }
        }
        let received = received_by_a_proxy(&[("HTTPS_PROXY", "http://user:word@PROXY")]).await.unwrap();
        assert!(received.to_ascii_lowercase().contains("proxy-authorization: basic "), "{received}");
    }

    #[tokio::test]
    async fn listed_hosts_and_loopback_are_called_without_the_proxy() {
        let proxy = ("HTTPS_PROXY", "http://PROXY");
        for variables in [
            vec![proxy, ("NO_PROXY", "other,.test"), ("AWS_ENDPOINT_URL", "https://sqs.test")],
            vec![proxy, ("no_proxy", "sqs.test"), ("AWS_ENDPOINT_URL_SQS", "https://sqs.test")],
            vec![proxy, ("AWS_ENDPOINT_URL", "https://127.0.0.1:1")],
            vec![proxy, ("AWS_ENDPOINT_URL", "https://localhost:1")],
            vec![("HTTP_PROXY", "http://PROXY"), ("AWS_ENDPOINT_URL", "https://127.0.0.1:1")],
            vec![
                ("HTTPS_PROXY", ""),
                ("https_proxy", "http://PROXY"),
                ("AWS_ENDPOINT_URL", "https://sqs.test"),
            ],
        ] {
            assert_eq!(received_by_a_proxy(&variables).await, None, "{variables:?}");
        }
    }
}
