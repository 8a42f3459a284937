//! What every AWS client here shares: TLS, timeouts and the configuration that Lambda provides in the environment.
//!
//! The variables are read here and not by the SDK's own configuration crate: that one finds keys in seven other places,
//! none of which Lambda has, and links a client of STS for it, into a function that the internet can reach.

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

/// Time for one operation with all attempts of the SDK, its own only layer of retries. Three operations (publish,
/// delete, hand back) then fit into the reserve that an invocation keeps.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(3);

/// Time for one attempt of an operation. Without it, one connection that has gone silent would use up the time of all.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1200);

/// Time for the TCP and TLS handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The roots that AWS endpoints chain to. Reading the system's whole store would cost every cold start
/// some milliseconds.
const ROOTS: &[u8] = include_bytes!("aws/roots.pem");

/// The AWS clients could not be set up.
#[derive(Debug, Error)]
#[error("the TLS context of the AWS clients could not be built")]
pub struct AwsUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>);

/// How all AWS clients are configured, from AWS's own variables: `AWS_REGION`, the keys, `AWS_ENDPOINT_URL` and
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
    // One for all clients, made now. The crate's own HTTP client makes one for each client, drops it, and makes another
    // in the first call, when somebody waits; and each reads the roots anew.
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
        let keys = Credentials::new(id, secret, variable("AWS_SESSION_TOKEN"), None, "environment");
        config.set_credentials_provider(Some(SharedCredentialsProvider::new(keys)));
    }
    Ok(config.service_config(ServiceVariables(environment)).build())
}

/// The variables that concern one service: the common name, `_`, and the service in capitals.
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

/// What a failed call to AWS came to, for whoever has to explain it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    /// AWS's exact code; without one `Http500` and the like, `Timeout` or `ConnectionLost` if there was no answer, and
    /// `NotSent` if the client is not configured for the call.
    pub code: String,
    /// AWS's own words.
    pub message: Option<String>,
    /// Whether it may pass by itself: AWS is busy, broken or out of reach.
    pub is_transient: bool,
}

impl AwsError {
    /// The fault that an SDK client's error stands for.
    #[must_use]
    pub fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = match (error.code(), status, error) {
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
        Self { code, message: error.message().map(str::to_owned), is_transient }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_call_came_to_has_a_name_and_may_pass_or_not() {
        use aws_sdk_sts::error::ErrorMetadata;
        use aws_sdk_sts::operation::get_web_identity_token::GetWebIdentityTokenError as E;
        use aws_smithy_runtime_api::client::result::ConnectorError;
        use aws_smithy_runtime_api::http::StatusCode;
        use aws_smithy_types::body::SdkBody;

        let answered = |status: u16, code: Option<&str>| {
            let mut meta = ErrorMetadata::builder().message("words");
            if let Some(code) = code {
                meta = meta.code(code);
            }
            let response = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty());
            SdkError::service_error(E::generic(meta.build()), response)
        };
        for (error, code, is_transient) in [
            (answered(403, Some("AccessDenied")), "AccessDenied", false),
            (answered(400, Some("Throttling")), "Throttling", true),
            (answered(400, Some("ThrottlingException")), "ThrottlingException", true),
            (answered(429, Some("Anything")), "Anything", true),
            (answered(500, Some("InternalFailure")), "InternalFailure", true),
            (answered(502, None), "Http502", true),
            (answered(403, None), "Http403", false),
            (answered(200, None), "Http200", true),
            (SdkError::timeout_error("late"), "Timeout", true),
            (SdkError::dispatch_failure(ConnectorError::timeout("late".into())), "Timeout", true),
            (SdkError::dispatch_failure(ConnectorError::io("broken".into())), "ConnectionLost", true),
            (SdkError::construction_failure("no region"), "NotSent", false),
        ] {
            let fault = AwsError::of(&error);
            assert_eq!((fault.code.as_str(), fault.is_transient), (code, is_transient), "{error:?}");
        }
        assert_eq!(AwsError::of(&answered(403, Some("X"))).message.as_deref(), Some("words"));
    }

    #[test]
    fn the_variables_of_lambda_are_heeded() {
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
