//! What every AWS client here shares: TLS, timeouts and the configuration that Lambda provides.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use thiserror::Error;

/// Time for one operation with all attempts of the SDK, its own only layer of retries. Three operations (publish,
/// delete, hand back) then fit into the reserve that an invocation keeps.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for the TCP and TLS handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The roots that AWS endpoints chain to. Reading the system's whole store would cost every cold start
/// some milliseconds.
const ROOTS: &[u8] = include_bytes!("aws/roots.pem");

/// The AWS clients could not be set up.
#[derive(Debug, Error)]
#[error("the TLS context of the AWS clients could not be built")]
pub struct AwsUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>);

/// How all AWS clients are configured. AWS's own environment variables count, as soon as it is loaded.
pub fn loader() -> Result<ConfigLoader, AwsUnavailable> {
    let tls = TlsContext::builder()
        .with_trust_store(TrustStore::empty().with_pem_certificate(ROOTS))
        .build()
        .map_err(|error| AwsUnavailable(error.into()))?;
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .operation_timeout(OPERATION_TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .build();
    Ok(aws_config::defaults(BehaviorVersion::latest()).http_client(http).timeout_config(timeouts))
}

/// An error of an AWS client with its whole chain of causes, in one line and without the raw answer.
#[must_use]
pub fn cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // Some errors say again what their source says.
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}
