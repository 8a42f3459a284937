//! The environment variables of the intake. It must not read the environment itself.

use std::collections::BTreeSet;

use super::chat::ChatConfig;
use super::error::ConfigError;
use super::network::SECRET_AND_QUEUE_ENDPOINTS;
use super::reader::Reader;
use crate::request::Rules;

/// The configuration of the intake.
#[derive(Debug, Clone)]
pub struct IntakeConfig {
    /// `DETACH_QUEUE_URL`
    pub request_queue_url: String,
    /// `ALLOWED_REGIONS`, `PROTECTED_SECURITY_GROUPS`, `PROTECTED_ENDPOINTS`
    pub rules: Rules,
    /// `WEBHOOK_SECRETS_ARN`: the secret with the signing secrets. Without it, AWS IAM alone authenticates
    /// webhooks.
    pub webhook_secrets_arn: Option<String>,
    /// `REQUEST_EVENT_SOURCES`: the only sources whose `EventBridge` events are accepted; empty means none.
    pub request_event_sources: BTreeSet<EventSource>,
    /// Without it, no chat platform is served.
    pub chat: Option<ChatConfig>,
}

/// The `source` of an `EventBridge` event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventSource(String);

impl EventSource {
    /// What a source looks like; it completes the sentence "the source …".
    pub const RULE: &str = "must be 1 to 256 of A-Z a-z 0-9 . _ / -";

    /// A source in the characters that the pattern of an `EventBridge` rule may name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-');
        ((1..=256).contains(&text.len()) && text.bytes().all(is_allowed)).then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl IntakeConfig {
    /// Reads the configuration, or returns every error in it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(&environment);
        let config = Self {
            request_queue_url: reader.fifo_queue_url("DETACH_QUEUE_URL"),
            rules: reader.rules(),
            webhook_secrets_arn: reader.secret_arn("WEBHOOK_SECRETS_ARN"),
            request_event_sources: reader.list(
                "REQUEST_EVENT_SOURCES",
                EventSource::parse,
                EventSource::RULE,
            ),
            chat: reader.chat(),
        };
        reader.check_network(&SECRET_AND_QUEUE_ENDPOINTS);
        reader.finish(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "https://sqs.eu-west-1.amazonaws.com/1/requests.fifo";
    const SECRETS: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:webhooks-AbCdEf";

    fn read(variables: &[(&str, &str)]) -> Result<IntakeConfig, Vec<ConfigError>> {
        IntakeConfig::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    fn invalid_variables(variables: &[(&str, &str)]) -> Vec<&'static str> {
        read(variables).err().unwrap_or_default().into_iter().map(|error| error.variable).collect()
    }

    #[test]
    fn request_queue_url_is_the_only_required_variable() {
        let config = read(&[("DETACH_QUEUE_URL", QUEUE), ("WEBHOOK_SECRETS_ARN", "")]).unwrap();
        assert_eq!((config.webhook_secrets_arn, config.rules), (None, Rules::default()));
        assert_eq!(config.request_event_sources, BTreeSet::new(), "no event is accepted");
    }

    #[test]
    fn request_event_sources_are_a_list_of_sources() {
        let sources = |list| read(&[("DETACH_QUEUE_URL", QUEUE), ("REQUEST_EVENT_SOURCES", list)]);
        let both =
            sources("com.example.offboarding,aws.partner/example.com/1").unwrap().request_event_sources;
        assert_eq!(
            both.iter().map(EventSource::as_str).collect::<Vec<_>>(),
            ["aws.partner/example.com/1", "com.example.offboarding"]
        );
        for list in ["a b", "*", "my.tool,{}", ",", &"x".repeat(257)] {
            let errors = sources(list).unwrap_err();
            assert_eq!(errors[0].variable, "REQUEST_EVENT_SOURCES", "{list}");
        }
    }

    #[test]
    fn all_errors_are_reported_together_and_without_values() {
        let errors = read(&[
            ("DETACH_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/requests"),
            ("ALLOWED_REGIONS", "EU"),
            ("PROTECTED_ENDPOINTS", "sg-a"),
            ("WEBHOOK_SECRETS_ARN", "whsec_c2VjcmV0IGluIHRoZSB3cm9uZyBwbGFjZQ=="),
        ])
        .unwrap_err();
        let variables: Vec<_> = errors.iter().map(|error| error.variable).collect();
        assert_eq!(
            variables,
            ["DETACH_QUEUE_URL", "ALLOWED_REGIONS", "PROTECTED_ENDPOINTS", "WEBHOOK_SECRETS_ARN"]
        );
        assert!(!format!("{errors:?}").contains("whsec_"));
    }

    #[test]
    fn webhook_secrets_arn_must_be_the_arn_of_a_secret() {
        assert_eq!(
            invalid_variables(&[("DETACH_QUEUE_URL", QUEUE), ("WEBHOOK_SECRETS_ARN", SECRETS)]),
            [""; 0]
        );
        for arn in
            ["webhooks", "arn:aws:ssm:eu-west-1:1:parameter:a", "arn:aws:secretsmanager:eu-west-1:1:secret:"]
        {
            let variables = [("DETACH_QUEUE_URL", QUEUE), ("WEBHOOK_SECRETS_ARN", arn)];
            assert_eq!(invalid_variables(&variables), ["WEBHOOK_SECRETS_ARN"], "{arn}");
        }
        assert_eq!(invalid_variables(&[]), ["DETACH_QUEUE_URL"]);
    }
}
