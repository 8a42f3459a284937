//! The intake's variables.

use super::ConfigError;
use super::reader::Reader;
use crate::request::Rules;

/// All that the intake is told from outside.
#[derive(Debug, Clone)]
pub struct IntakeConfig {
    /// `DETACH_QUEUE_URL`
    pub request_queue_url: String,
    /// `ALLOWED_REGIONS`, `PROTECTED_SECURITY_GROUPS`, `PROTECTED_ENDPOINTS`
    pub rules: Rules,
    /// `WEBHOOK_SECRETS_ARN`: where the live signing secrets are. Without it, webhooks are let in by AWS IAM alone.
    pub webhook_secrets_arn: Option<String>,
}

impl IntakeConfig {
    /// The intake's configuration, or everything that is wrong with it.
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
                "must be a FIFO queue: any other would take the same webhook or event twice",
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

    fn faults(variables: &[(&str, &str)]) -> Vec<&'static str> {
        read(variables).err().unwrap_or_default().into_iter().map(|fault| fault.variable).collect()
    }

    #[test]
    fn a_queue_is_enough() {
        let config = read(&[("DETACH_QUEUE_URL", QUEUE), ("WEBHOOK_SECRETS_ARN", "")]).unwrap();
        assert_eq!((config.webhook_secrets_arn, config.rules), (None, Rules::default()));
    }

    #[test]
    fn all_faults_are_reported_together_and_without_values() {
        let faults = read(&[
            ("DETACH_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/requests"),
            ("ALLOWED_REGIONS", "EU"),
            ("PROTECTED_ENDPOINTS", "sg-a"),
            ("WEBHOOK_SECRETS_ARN", "whsec_c2VjcmV0IGluIHRoZSB3cm9uZyBwbGFjZQ=="),
        ])
        .unwrap_err();
        let variables: Vec<_> = faults.iter().map(|fault| fault.variable).collect();
        assert_eq!(
            variables,
            ["DETACH_QUEUE_URL", "ALLOWED_REGIONS", "PROTECTED_ENDPOINTS", "WEBHOOK_SECRETS_ARN"]
        );
        assert!(!format!("{faults:?}").contains("whsec_"));
    }

    #[test]
    fn only_the_arn_of_a_secret_is_one() {
        assert_eq!(faults(&[("DETACH_QUEUE_URL", QUEUE), ("WEBHOOK_SECRETS_ARN", SECRETS)]), [""; 0]);
        for arn in
            ["webhooks", "arn:aws:ssm:eu-west-1:1:parameter:a", "arn:aws:secretsmanager:eu-west-1:1:secret:"]
        {
            let variables = [("DETACH_QUEUE_URL", QUEUE), ("WEBHOOK_SECRETS_ARN", arn)];
            assert_eq!(faults(&variables), ["WEBHOOK_SECRETS_ARN"], "{arn}");
        }
        assert_eq!(faults(&[]), ["DETACH_QUEUE_URL"]);
    }
}
