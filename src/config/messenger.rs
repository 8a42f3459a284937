//! The environment variables of the messenger.

use http::uri::{Authority, Scheme};

use super::error::ConfigError;
use super::network::SECRET_AND_QUEUE_ENDPOINTS;
use super::reader::Reader;
use crate::chat::post::Addresses;
use crate::chat::texts::LanguageSetting;
use crate::transport::BaseUrl;

/// The host of Slack's Web API.
const SLACK: &str = "slack.com";

/// The configuration of the messenger, from its environment variables.
#[derive(Debug, Clone)]
pub struct MessengerConfig {
    /// `NOTICE_QUEUE_URL`
    pub notice_queue_url: String,
    /// `DEAD_LETTER_QUEUE_URL`: the dead-letter queue of the notices.
    pub dead_letter_queue_url: String,
    /// `CHAT_TOKEN_SECRET_ARN`
    pub token_secret_arn: String,
    /// `CHAT_SIGNING_SECRET_ARN`
    pub signing_secret_arn: String,
    /// `CHAT_LANGUAGE`
    pub language: LanguageSetting,
    /// `SLACK_ENDPOINT_URL`
    pub addresses: Addresses,
}

impl MessengerConfig {
    /// The messenger's configuration, or all errors in it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(&environment);
        let slack = reader.base_url("SLACK_ENDPOINT_URL");
        let config = Self {
            notice_queue_url: reader.queue_url("NOTICE_QUEUE_URL"),
            dead_letter_queue_url: reader.dead_letter_queue_url("DEAD_LETTER_QUEUE_URL", "NOTICE_QUEUE_URL"),
            token_secret_arn: reader.required_secret_arn("CHAT_TOKEN_SECRET_ARN"),
            signing_secret_arn: reader.required_secret_arn("CHAT_SIGNING_SECRET_ARN"),
            language: reader.chat_language("CHAT_LANGUAGE"),
            addresses: Addresses {
                slack: slack.unwrap_or_else(|| BaseUrl {
                    scheme: Scheme::HTTPS,
                    authority: Authority::from_static(SLACK),
                }),
            },
        };
        reader.check_network(&SECRET_AND_QUEUE_ENDPOINTS);
        reader.finish(config)
    }

    /// Whether a platform has a loopback address, which is called without a proxy.
    #[must_use]
    pub fn has_loopback(&self) -> bool {
        self.addresses.slack.is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::texts::Language;

    const VALID: [(&str, &str); 4] = [
        ("NOTICE_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/notices"),
        ("DEAD_LETTER_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/notices-dead-letter"),
        ("CHAT_TOKEN_SECRET_ARN", "arn:aws:secretsmanager:eu-west-1:1:secret:tokens-AbCdEf"),
        ("CHAT_SIGNING_SECRET_ARN", "arn:aws:secretsmanager:eu-west-1:1:secret:signing-AbCdEf"),
    ];

    /// Reads the valid variables with these changes.
    fn read(changes: &[(&str, &str)]) -> Result<MessengerConfig, Vec<ConfigError>> {
        MessengerConfig::read(|name| {
            let variables = changes.iter().chain(&VALID);
            let mut values = variables.filter(|(variable, _)| *variable == name);
            values.next().map(|(_, value)| (*value).to_owned())
        })
    }

    fn invalid_variables(changes: &[(&str, &str)]) -> Vec<&'static str> {
        read(changes).err().unwrap_or_default().into_iter().map(|error| error.variable).collect()
    }

    #[test]
    fn queues_and_secrets_are_required_and_the_rest_has_defaults() {
        let config = read(&[]).unwrap();
        let BaseUrl { scheme, authority } = &config.addresses.slack;
        assert_eq!((scheme.as_str(), authority.as_str()), ("https", "slack.com"));
        assert_eq!((config.language, config.has_loopback()), (LanguageSetting::Auto, false));
        let empty = VALID.map(|(variable, _)| (variable, ""));
        assert_eq!(invalid_variables(&empty), VALID.map(|(variable, _)| variable));
    }

    #[test]
    fn dead_letter_queue_must_be_another_queue() {
        let variables = invalid_variables(&[("DEAD_LETTER_QUEUE_URL", VALID[0].1)]);
        assert_eq!(variables, ["DEAD_LETTER_QUEUE_URL"]);
    }

    #[test]
    fn language_is_auto_or_one_of_the_languages() {
        let language = |value| read(&[("CHAT_LANGUAGE", value)]).map(|config| config.language);
        assert_eq!(language("AUTO").unwrap(), LanguageSetting::Auto);
        assert_eq!(language("EN").unwrap(), LanguageSetting::Always(Language::En));
        assert_eq!(language("ZH").unwrap(), LanguageSetting::Always(Language::Zh));
        for value in ["en", "zh-CN", "auto", "FR"] {
            assert_eq!(invalid_variables(&[("CHAT_LANGUAGE", value)]), ["CHAT_LANGUAGE"], "{value}");
        }
    }

    #[test]
    fn address_of_slack_is_https_or_loopback() {
        assert!(read(&[("SLACK_ENDPOINT_URL", "http://127.0.0.1:4040")]).unwrap().has_loopback());
        assert!(read(&[("SLACK_ENDPOINT_URL", "https://slack-gov.com")]).is_ok());
        for url in ["http://slack.com", "https://slack.com/api", "slack.com"] {
            assert_eq!(invalid_variables(&[("SLACK_ENDPOINT_URL", url)]), ["SLACK_ENDPOINT_URL"], "{url}");
        }
    }

    #[test]
    fn errors_contain_no_value() {
        let token = "xoxb-in-the-wrong-place";
        let errors = read(&[("CHAT_TOKEN_SECRET_ARN", token), ("AWS_ENDPOINT_URL_SQS", token)]).unwrap_err();
        let variables: Vec<_> = errors.iter().map(|error| error.variable).collect();
        assert_eq!(variables, ["CHAT_TOKEN_SECRET_ARN", "AWS_ENDPOINT_URL_SQS"]);
        assert!(!format!("{errors:?}").contains("xoxb-"));
    }
}
