//! The environment variables of the intake. It must not read the environment itself.

use super::error::ConfigError;
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
}

impl IntakeConfig {
    /// Reads the configuration, or returns every error in it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(&environment);
        let config = Self {
            request_queue_url: reader.fifo_queue_url("DETACH_QUEUE_URL"),
            rules: reader.rules(),
            webhook_secrets_arn: reader.secret_arn("WEBHOOK_SECRETS_ARN"),
        };
        reader.finish(config)
    }
}

impl Reader<'_> {
    fn fifo_queue_url(&mut self, variable: &'static str) -> String {
        let url = self.queue_url(variable);
        if !url.is_empty() && url.strip_suffix(".fifo").is_none() {
            self.report(
                variable,
                "must be a FIFO queue: a standard queue would accept the same webhook or event twice",
            );
        }
        url
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
