//! The configuration that all AWS clients share: TLS, timeouts and the variables that Lambda sets.
//!
//! The SDK's own configuration crate is not used: it searches seven other places for credentials, none of which exist
//! on Lambda, and for that links an STS client into a function that is reachable from the internet.

pub mod sqs;

use std::fmt;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use thiserror::Error;

/// Timeout of one operation with all attempts of the SDK, which is the only layer of retries. Three operations
/// (publish, delete, return to the queue) fit into the reserve of an invocation.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(3);

/// Timeout of one attempt. Without it, a connection that stops responding would use the whole time of the operation.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1200);

/// Timeout of the TCP and TLS handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The root certificates of AWS endpoints. Loading the system's whole store takes some milliseconds of every cold
/// start.
const ROOTS: &[u8] = include_bytes!("aws/roots.pem");

#[derive(Debug, Error)]
#[error("the TLS context of the AWS clients could not be built")]
pub struct AwsUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>);

/// The configuration from AWS's variables: `AWS_REGION`, the credentials, `AWS_ENDPOINT_URL` and
/// `AWS_ENDPOINT_URL_{SERVICE}`, `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`.
pub fn config(
    environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Result<SdkConfig, AwsUnavailable> {
    let tls = TlsContext::builder()
        .with_trust_store(TrustStore::empty().with_pem_certificate(ROOTS))
        .build()
        .map_err(|error| AwsUnavailable(error.into()))?;
    let connector = Connector::builder()
        .connector_settings(HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(tls)
        .build();
    // One connector for all clients, built at start. The crate's own HTTP client builds one per client, drops it, and
    // builds another during the first call; each of them parses the root certificates again.
    let connector = SharedHttpConnector::new(connector);
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

/// Why a call to AWS failed.
#[derive(Debug, Error)]
#[error("{code}")]
pub struct AwsError {
    /// AWS's exact code. Without one: `Http` and the status, `Timeout` or `ConnectionLost` if there was no response,
    /// and `NotSent` if the client is not configured for the call.
    pub code: String,
    /// AWS's message, unchanged.
    pub message: Option<String>,
    /// Whether the error can disappear without a change: AWS throttles, fails or is unreachable.
    pub is_transient: bool,
    /// What happened to the connection, if AWS did not respond.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl AwsError {
    /// A call for which the invocation had no time left. Its effect is unknown.
    #[must_use]
    pub fn out_of_time() -> Self {
        let message = Some("no time is left in this invocation".to_owned());
        Self { code: "Timeout".to_owned(), message, is_transient: true, cause: None }
    }
}

impl<E> From<SdkError<E, HttpResponse>> for AwsError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = match (error.code(), status, &error) {
            (Some(code), _, _) => code.to_owned(),
            (None, Some(status), _) => format!("Http{status}"),
            (None, None, SdkError::TimeoutError(_)) => "Timeout".to_owned(),
            (None, None, SdkError::ConstructionFailure(_)) => "NotSent".to_owned(),
            (None, None, SdkError::DispatchFailure(failure)) if failure.is_timeout() => "Timeout".to_owned(),
            (None, None, _) => "ConnectionLost".to_owned(),
        };
        let is_throttled = status == Some(429)
            || matches!(code.as_str(), "Throttling" | "ThrottlingException" | "RequestLimitExceeded");
        let is_transient = match status {
            Some(status) => is_throttled || status >= 500 || status == 200,
            None => !matches!(error, SdkError::ConstructionFailure(_)),
        };
        let message = error.message().map(str::to_owned);
        // The source of a response would repeat its code and message.
        let cause = if status.is_none() { error.into_source().ok() } else { None };
        Self { code, message, is_transient, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_call_has_a_code_and_is_transient_or_not() {
        use aws_sdk_sts::error::ErrorMetadata;
        use aws_sdk_sts::operation::get_web_identity_token::GetWebIdentityTokenError as E;
        use aws_smithy_runtime_api::client::result::ConnectorError;
        use aws_smithy_runtime_api::http::StatusCode;
        use aws_smithy_types::body::SdkBody;

        let response = |status: u16, code: Option<&str>| {
            let mut meta = ErrorMetadata::builder().message("words");
            if let Some(code) = code {
                meta = meta.code(code);
            }
            let raw = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
            SdkError::service_error(E::generic(meta.build()), raw)
        };
        for (error, code, is_transient) in [
            (response(403, Some("AccessDenied")), "AccessDenied", false),
            (response(400, Some("Throttling")), "Throttling", true),
            (response(400, Some("ThrottlingException")), "ThrottlingException", true),
            (response(429, Some("Anything")), "Anything", true),
            (response(500, Some("InternalFailure")), "InternalFailure", true),
            (response(502, None), "Http502", true),
            (response(403, None), "Http403", false),
            (response(200, None), "Http200", true),
            (SdkError::timeout_error("late"), "Timeout", true),
            (SdkError::dispatch_failure(ConnectorError::timeout("late".into())), "Timeout", true),
            (SdkError::dispatch_failure(ConnectorError::io("broken".into())), "ConnectionLost", true),
            (SdkError::construction_failure("no region"), "NotSent", false),
        ] {
            let has_response = error.raw_response().is_some();
            let error = AwsError::from(error);
            assert_eq!((error.code.as_str(), error.is_transient), (code, is_transient), "{error:?}");
            assert_eq!(error.cause.is_none(), has_response, "{error:?}");
        }
        assert_eq!(AwsError::from(response(403, Some("X"))).message.as_deref(), Some("words"));
    }

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
}
