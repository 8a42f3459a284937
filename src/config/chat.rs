//! The environment variables of chat in the intake.

use std::time::Duration;

use super::reader::Reader;
use crate::chat::identity::{Conversation, Person, Tenant};
use crate::chat::policy::{Policy, Requesters};
use crate::chat::texts::LanguageSetting;

/// How long a request can be approved, in seconds: long enough for a person to read it, and not longer than a shift.
const APPROVAL_TIMEOUT_SECONDS: std::ops::RangeInclusive<u64> = 60..=86_400;

const APPROVAL_TIMEOUT_DEFAULT: Duration = Duration::from_hours(1);

/// The entry of `CHAT_REQUESTERS` that allows every person in an allowed conversation.
const ANYONE: &str = "*";

/// The variables besides the one that switches chat on.
const VARIABLES: [&str; 8] = [
    "CHAT_TENANTS",
    "CHAT_CONVERSATIONS",
    "CHAT_REQUESTERS",
    "CHAT_APPROVERS",
    "CHAT_APPROVAL_TIMEOUT_SECONDS",
    "CHAT_LANGUAGE",
    "CHAT_SIGNING_SECRET_ARN",
    "NOTICE_QUEUE_URL",
];

/// The configuration of chat.
#[derive(Debug, Clone)]
pub struct ChatConfig {
    /// `CHAT_TENANTS`, `CHAT_CONVERSATIONS`, `CHAT_REQUESTERS`, `CHAT_APPROVERS`
    pub policy: Policy,
    /// `CHAT_APPROVAL_TIMEOUT_SECONDS`
    pub approval_timeout: Duration,
    /// `CHAT_LANGUAGE`
    pub language: LanguageSetting,
    /// `CHAT_VERIFICATION_SECRET_ARN`
    pub verification_secret_arn: String,
    /// `CHAT_SIGNING_SECRET_ARN`
    pub signing_secret_arn: String,
    /// `NOTICE_QUEUE_URL`
    pub notice_queue_url: String,
}

impl Reader<'_> {
    /// The configuration of chat; `None` if `CHAT_VERIFICATION_SECRET_ARN` is not set, and then no other variable of chat may be.
    pub(super) fn chat(&mut self) -> Option<ChatConfig> {
        let Some(verification_secret_arn) = self.secret_arn("CHAT_VERIFICATION_SECRET_ARN") else {
            for variable in VARIABLES {
                if self.optional(variable).is_some() {
                    self.report(
                        variable,
                        "is set, but CHAT_VERIFICATION_SECRET_ARN, which switches chat on, is not",
                    );
                }
            }
            return None;
        };
        Some(ChatConfig {
            policy: Policy {
                tenants: self.list("CHAT_TENANTS", Tenant::parse, Tenant::RULE),
                conversations: self.list("CHAT_CONVERSATIONS", Conversation::parse, Conversation::RULE),
                requesters: self.requesters("CHAT_REQUESTERS"),
                approvers: self.list("CHAT_APPROVERS", Person::parse, Person::RULE),
            },
            approval_timeout: self.approval_timeout("CHAT_APPROVAL_TIMEOUT_SECONDS"),
            language: self.chat_language("CHAT_LANGUAGE"),
            verification_secret_arn,
            signing_secret_arn: self.required_secret_arn("CHAT_SIGNING_SECRET_ARN"),
            notice_queue_url: self.queue_url("NOTICE_QUEUE_URL"),
        })
    }

    fn requesters(&mut self, variable: &'static str) -> Requesters {
        let value = self.optional(variable).unwrap_or_default();
        if value.trim() == ANYONE {
            return Requesters::Anyone;
        }
        let rule = format!("{} (or the whole list is {ANYONE})", Person::RULE);
        Requesters::Listed(self.list(variable, Person::parse, &rule))
    }

    fn approval_timeout(&mut self, variable: &'static str) -> Duration {
        let Some(text) = self.optional(variable) else { return APPROVAL_TIMEOUT_DEFAULT };
        let seconds = text.parse().ok().filter(|seconds| APPROVAL_TIMEOUT_SECONDS.contains(seconds));
        seconds.map_or_else(
            || {
                let (min, max) = (APPROVAL_TIMEOUT_SECONDS.start(), APPROVAL_TIMEOUT_SECONDS.end());
                self.report(variable, format!("must be a whole number of seconds from {min} to {max}"));
                APPROVAL_TIMEOUT_DEFAULT
            },
            Duration::from_secs,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigError, IntakeConfig};

    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:chat-AbCdEf";
    const REQUIRED: [(&str, &str); 4] = [
        ("DETACH_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/requests.fifo"),
        ("CHAT_VERIFICATION_SECRET_ARN", SECRET),
        ("CHAT_SIGNING_SECRET_ARN", SECRET),
        ("NOTICE_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/notices"),
    ];

    fn read(variables: &[(&str, &str)]) -> Result<Option<ChatConfig>, Vec<ConfigError>> {
        let set = |name: &str| variables.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        IntakeConfig::read(set).map(|config| config.chat)
    }

    fn with(variable: &'static str, value: &str) -> Result<ChatConfig, Vec<&'static str>> {
        let variables = [&REQUIRED[..], &[(variable, value)]].concat();
        match read(&variables) {
            Ok(chat) => Ok(chat.unwrap()),
            Err(errors) => Err(errors.into_iter().map(|error| error.variable).collect()),
        }
    }

    #[test]
    fn chat_is_off_without_its_variables() {
        assert!(read(&REQUIRED[..1]).unwrap().is_none());
    }

    #[test]
    fn lists_are_empty_by_default_and_the_approval_timeout_is_an_hour() {
        let chat = read(&REQUIRED).unwrap().unwrap();
        assert_eq!(chat.policy, Policy::default());
        assert_eq!((chat.approval_timeout, chat.language), (Duration::from_hours(1), LanguageSetting::Auto));
    }

    #[test]
    fn half_a_configuration_is_an_error() {
        for variable in ["CHAT_SIGNING_SECRET_ARN", "NOTICE_QUEUE_URL"] {
            assert_eq!(with(variable, "").unwrap_err(), [variable]);
        }
        for variable in VARIABLES {
            let errors = read(&[REQUIRED[0], (variable, "x")]).unwrap_err();
            assert_eq!(errors.iter().map(|error| error.variable).collect::<Vec<_>>(), [variable]);
        }
    }

    #[test]
    fn requesters_may_be_anyone_and_approvers_may_not() {
        let requesters = |value| with("CHAT_REQUESTERS", value).map(|chat| chat.policy.requesters);
        assert_eq!(requesters("*"), Ok(Requesters::Anyone));
        let both = requesters("slack:T1/U1, slack:T1/U2").unwrap();
        assert_eq!(
            both,
            Requesters::Listed(["slack:T1/U1", "slack:T1/U2"].map(|p| Person::parse(p).unwrap()).into())
        );
        assert_eq!(requesters("slack:T1/U1,*"), Err(vec!["CHAT_REQUESTERS"]));
        for variable in ["CHAT_APPROVERS", "CHAT_TENANTS", "CHAT_CONVERSATIONS"] {
            assert_eq!(with(variable, "*").unwrap_err(), [variable]);
        }
    }

    #[test]
    fn approval_timeout_has_limits() {
        let timeout =
            |value| with("CHAT_APPROVAL_TIMEOUT_SECONDS", value).map(|chat| chat.approval_timeout.as_secs());
        assert_eq!((timeout("60"), timeout("86400")), (Ok(60), Ok(86_400)));
        for value in ["59", "86401", "1h", "-60"] {
            assert_eq!(timeout(value), Err(vec!["CHAT_APPROVAL_TIMEOUT_SECONDS"]), "{value}");
        }
    }
}
