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

/// The host of `DingTalk`'s API.
const DINGTALK: &str = "api.dingtalk.com";

/// The host of Feishu's API. That of Lark is `open.larksuite.com`.
const FEISHU: &str = "open.feishu.cn";

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
    /// `SLACK_ENDPOINT_URL`, `DINGTALK_ENDPOINT_URL`, `FEISHU_ENDPOINT_URL`
    pub addresses: Addresses,
}

impl MessengerConfig {
    /// The messenger's configuration, or all errors in it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(&environment);
        let mut address = |variable, host| {
            let https = || BaseUrl { scheme: Scheme::HTTPS, authority: Authority::from_static(host) };
            reader.base_url(variable).unwrap_or_else(https)
        };
        let addresses = Addresses {
            slack: address("SLACK_ENDPOINT_URL", SLACK),
            dingtalk: address("DINGTALK_ENDPOINT_URL", DINGTALK),
            feishu: address("FEISHU_ENDPOINT_URL", FEISHU),
        };
        let config = Self {
            notice_queue_url: reader.queue_url("NOTICE_QUEUE_URL"),
            dead_letter_queue_url: reader.dead_letter_queue_url("DEAD_LETTER_QUEUE_URL", "NOTICE_QUEUE_URL"),
            token_secret_arn: reader.required_secret_arn("CHAT_TOKEN_SECRET_ARN"),
            signing_secret_arn: reader.required_secret_arn("CHAT_SIGNING_SECRET_ARN"),
            language: reader.chat_language("CHAT_LANGUAGE"),
            addresses,
        };
        reader.check_network(&SECRET_AND_QUEUE_ENDPOINTS);
        reader.finish(config)
    }

    /// Whether a platform has a loopback address, which is called without a proxy.
    #[must_use]
    pub fn has_loopback(&self) -> bool {
        let Addresses { slack, dingtalk, feishu } = &self.addresses;
        [slack, dingtalk, feishu].into_iter().any(BaseUrl::is_loopback)
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
        let Addresses { slack, dingtalk, feishu } = &config.addresses;
        let shown = [slack, dingtalk, feishu].map(|url| format!("{}://{}", url.scheme, url.authority));
        assert_eq!(shown, ["https://slack.com", "https://api.dingtalk.com", "https://open.feishu.cn"]);
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
    fn address_of_a_platform_is_https_or_loopback() {
        for variable in ["SLACK_ENDPOINT_URL", "DINGTALK_ENDPOINT_URL", "FEISHU_ENDPOINT_URL"] {
            assert!(read(&[(variable, "http://127.0.0.1:4040")]).unwrap().has_loopback(), "{variable}");
            assert!(!read(&[(variable, "https://slack-gov.com")]).unwrap().has_loopback(), "{variable}");
            for url in ["http://slack.com", "https://slack.com/api", "slack.com"] {
                assert_eq!(invalid_variables(&[(variable, url)]), [variable], "{url}");
            }
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
