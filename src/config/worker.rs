//! The worker's environment variables.

use std::num::NonZeroU16;
use std::time::Duration;

use super::error::ConfigError;
use super::network::WORKER_ENDPOINTS;
use super::reader::Reader;
use crate::alibaba::credentials::CredentialsConfig;
use crate::alibaba::service_url::ServiceUrl;
use crate::completion::reason::RunbookUrl;
use crate::request::{DEADLINE_SECONDS, Rules};

#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// `DETACH_QUEUE_URL`
    pub request_queue_url: String,
    /// `DEAD_LETTER_QUEUE_URL`
    pub dead_letter_queue_url: String,
    /// `COMPLETION_BUS_NAME`
    pub bus_name: String,
    /// `DETACH_DEADLINE_SECONDS`: the deadline of a request without its own.
    pub deadline: Duration,
    /// `WORKER_MAXIMUM_CONCURRENCY`: the maximum number of concurrent workers.
    pub concurrency: NonZeroU16,
    /// `ALLOWED_REGIONS`, `PROTECTED_SECURITY_GROUPS`, `PROTECTED_ENDPOINTS`, `REPLACEMENT_SECURITY_GROUPS`, `DRY_RUN_ONLY`
    pub rules: Rules,
    /// `RUNBOOK_URL`: where the operators find the runbook.
    pub runbook_url: RunbookUrl,
    /// `PRIVATELINK_ENDPOINT_URL`
    pub service_url: ServiceUrl,
    /// `ALIBABA_CLOUD_ACCESS_KEY_ID` and the rest of an `AccessKey` or session, `ALIBABA_CREDENTIALS_SECRET_ARN`, or
    /// `ALIBABA_CLOUD_ROLE_ARN` and the other variables of OIDC federation.
    pub credentials: CredentialsConfig,
}

impl WorkerConfig {
    /// Default of `DETACH_DEADLINE_SECONDS`.
    pub const DEADLINE_SECONDS_DEFAULT: u64 = 3_600;

    /// Default of `WORKER_MAXIMUM_CONCURRENCY`.
    pub const CONCURRENCY_DEFAULT: NonZeroU16 = NonZeroU16::new(10).unwrap();

    /// The maximum of an SQS event source mapping.
    pub const CONCURRENCY_MAX: u16 = 1_000;

    /// The worker's configuration, or all errors in it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(&environment);
        let config = Self {
            request_queue_url: reader.queue_url("DETACH_QUEUE_URL"),
            dead_letter_queue_url: reader.dead_letter_queue_url("DEAD_LETTER_QUEUE_URL", "DETACH_QUEUE_URL"),
            bus_name: reader.bus_name("COMPLETION_BUS_NAME"),
            deadline: reader.deadline("DETACH_DEADLINE_SECONDS"),
            concurrency: reader.concurrency("WORKER_MAXIMUM_CONCURRENCY"),
            rules: Rules {
                dry_run_only: reader.switch("DRY_RUN_ONLY", true),
                replacements: reader.replacements("REPLACEMENT_SECURITY_GROUPS"),
                ..reader.rules()
            },
            runbook_url: reader.runbook_url("RUNBOOK_URL"),
            service_url: reader.service_url("PRIVATELINK_ENDPOINT_URL"),
            credentials: reader.credentials(),
        };
        reader.check_network(&WORKER_ENDPOINTS);
        reader.finish(config)
    }

    /// Whether a service of Alibaba Cloud has a loopback address, which is called without a proxy.
    #[must_use]
    pub fn has_loopback(&self) -> bool {
        self.service_url.is_loopback() || self.credentials.has_loopback()
    }
}

impl Reader<'_> {
    fn deadline(&mut self, variable: &'static str) -> Duration {
        let Some(value) = self.optional(variable) else {
            return Duration::from_secs(WorkerConfig::DEADLINE_SECONDS_DEFAULT);
        };
        let seconds = value.parse().ok().filter(|seconds| DEADLINE_SECONDS.contains(seconds));
        if seconds.is_none() {
            let (min, max) = (DEADLINE_SECONDS.start(), DEADLINE_SECONDS.end());
            self.report(variable, format!("must be a whole number of seconds from {min} to {max}"));
        }
        Duration::from_secs(seconds.unwrap_or(WorkerConfig::DEADLINE_SECONDS_DEFAULT))
    }

    fn concurrency(&mut self, variable: &'static str) -> NonZeroU16 {
        let default = WorkerConfig::CONCURRENCY_DEFAULT;
        let Some(value) = self.optional(variable) else { return default };
        let max = WorkerConfig::CONCURRENCY_MAX;
        let workers = value.parse::<NonZeroU16>().ok().filter(|workers| workers.get() <= max);
        if workers.is_none() {
            self.report(variable, format!("must be a whole number from 1 to {max}"));
        }
        workers.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alibaba::credentials::{Credentials, OidcConfig};
    use crate::transport::BaseUrl;

    const COMPLETE: [(&str, &str); 4] = [
        ("DETACH_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/requests.fifo"),
        ("DEAD_LETTER_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/dead-letter.fifo"),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIid"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s3cret"),
    ];

    fn read(changes: &[(&str, &str)]) -> Result<WorkerConfig, Vec<ConfigError>> {
        WorkerConfig::read(|name| {
            let find =
                |list: &[(&str, &str)]| list.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            find(changes).or_else(|| find(&COMPLETE))
        })
    }

    fn invalid_variables(changes: &[(&str, &str)]) -> Vec<&'static str> {
        read(changes).err().unwrap_or_default().into_iter().map(|error| error.variable).collect()
    }

    #[test]
    fn optional_variables_have_defaults() {
        let config = read(&[("ALLOWED_REGIONS", ""), ("DETACH_DEADLINE_SECONDS", "")]).unwrap();
        assert_eq!((config.bus_name.as_str(), config.deadline), ("default", Duration::from_hours(1)));
        assert_eq!(config.concurrency.get(), 10);
        assert_eq!((config.rules, config.service_url), (Rules::default(), ServiceUrl::Regional));
    }

    #[test]
    fn all_errors_are_reported_together_and_without_values() {
        let errors = WorkerConfig::read(|name| match name {
            "DETACH_QUEUE_URL" | "ALIBABA_CLOUD_SECURITY_TOKEN" => {
                Some("s3cret in the wrong place".to_owned())
            }
            "DETACH_DEADLINE_SECONDS" => Some("29".to_owned()),
            "ALLOWED_REGIONS" => Some("eu-west-1, EU".to_owned()),
            "PRIVATELINK_ENDPOINT_URL" => Some("http://privatelink.internal".to_owned()),
            _ => None,
        })
        .unwrap_err();
        let variables: Vec<_> = errors.iter().map(|error| error.variable).collect();
        assert_eq!(
            variables,
            [
                "DETACH_QUEUE_URL",
                "DEAD_LETTER_QUEUE_URL",
                "DETACH_DEADLINE_SECONDS",
                "ALLOWED_REGIONS",
                "PRIVATELINK_ENDPOINT_URL",
                "ALIBABA_CLOUD_ACCESS_KEY_ID",
                "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
                "ALIBABA_CLOUD_SECURITY_TOKEN",
            ]
        );
        assert!(!format!("{errors:?}").contains("s3cret"));
    }

    #[test]
    fn dead_letter_queue_must_be_another_queue() {
        let (requests, dead_letters) = (COMPLETE[0].1, COMPLETE[1].1);
        for url in [
            requests,
            "https://sqs.eu-west-1.amazonaws.com/1/requests.fifo/",
            "https://eu-west-1.queue.amazonaws.com/1/requests.fifo",
            "https://vpce-1a2b.sqs.eu-west-1.vpce.amazonaws.com/1/requests.fifo",
        ] {
            assert_eq!(
                invalid_variables(&[("DEAD_LETTER_QUEUE_URL", url), ("COMPLETION_BUS_NAME", "bad bus")]),
                ["DEAD_LETTER_QUEUE_URL", "COMPLETION_BUS_NAME"],
                "{url}"
            );
        }
        assert!(
            read(&[
                ("DETACH_QUEUE_URL", "http://127.0.0.1:1/requests"),
                ("DEAD_LETTER_QUEUE_URL", dead_letters)
            ])
            .is_ok()
        );
        let other_account = "https://sqs.eu-west-1.amazonaws.com/2/requests.fifo";
        assert!(read(&[("DEAD_LETTER_QUEUE_URL", other_account)]).is_ok());
    }

    #[test]
    fn queue_url_has_a_name_and_is_encrypted() {
        for url in [
            "https://sqs.eu-west-1.amazonaws.com/1/other",
            "http://127.0.0.1:4566/000000000000/other.fifo",
            "http://localhost:4566/other",
        ] {
            assert_eq!(invalid_variables(&[("DEAD_LETTER_QUEUE_URL", url)]), [""; 0], "{url}");
        }
        for url in [
            "https://sqs.eu-west-1.amazonaws.com",
            "https://sqs.eu-west-1.amazonaws.com/",
            "http://sqs.eu-west-1.amazonaws.com/1/other",
            "sqs.eu-west-1.amazonaws.com/1/other",
            "other",
        ] {
            let variable = "DEAD_LETTER_QUEUE_URL";
            assert_eq!(invalid_variables(&[(variable, url)]), [variable], "{url}");
        }
    }

    #[test]
    fn mistyped_protected_id_is_an_error() {
        assert_eq!(
            invalid_variables(&[("PROTECTED_SECURITY_GROUPS", "sg-a,sg_b")]),
            ["PROTECTED_SECURITY_GROUPS"]
        );
        assert_eq!(invalid_variables(&[("PROTECTED_ENDPOINTS", "sg-a")]), ["PROTECTED_ENDPOINTS"]);
        assert_eq!(
            invalid_variables(&[("ALLOWED_REGIONS", " , ")]),
            ["ALLOWED_REGIONS"],
            "a list without entries"
        );
        let rules = read(&[("PROTECTED_SECURITY_GROUPS", " sg-a , sg-b,")]).unwrap().rules;
        assert_eq!(rules.protected_security_groups.len(), 2);
    }

    #[test]
    fn each_vpc_has_at_most_one_replacement() {
        const REPLACEMENTS: &str = "REPLACEMENT_SECURITY_GROUPS";
        let pairs = |value: &str| -> Vec<(String, String)> {
            let replacements = read(&[(REPLACEMENTS, value)]).unwrap().rules.replacements;
            replacements.iter().map(|(vpc, group)| (vpc.to_string(), group.to_string())).collect()
        };
        let pair = |vpc: &str, group: &str| (vpc.to_owned(), group.to_owned());
        assert_eq!(pairs(""), []);
        let two = [pair("vpc-a", "sg-a"), pair("vpc-b", "sg-a")];
        assert_eq!(pairs("vpc-b=sg-a,vpc-a=sg-a"), two);
        assert_eq!(pairs(" vpc-a = sg-a , vpc-b=sg-a,"), two);
        assert_eq!(pairs("vpc-a=sg-a,vpc-a=sg-a"), two[..1], "the same entry twice");

        let errors = |value: &str| {
            let errors = read(&[(REPLACEMENTS, value)]).unwrap_err();
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let invalid = |number| {
            format!(
                "{REPLACEMENTS} has an invalid entry, number {number}: it must be a VPC id, = and a security group id, such as vpc-a=sg-b"
            )
        };
        for value in [
            "vpc-a",
            "sg-a=vpc-a",
            "vpc-a=sg_a",
            "vpc-a=sg-a=sg-b",
            "vpc-a:sg-a",
            "=sg-a",
            "vpc-a=",
            "s3cret",
        ] {
            assert_eq!(errors(value), [invalid(1)], "{value}");
        }
        assert_eq!(errors("vpc-a=sg-a, vpc-b=sg-s3cret!,vpc-c"), [invalid(2), invalid(3)]);
        let second = format!("{REPLACEMENTS} names more than one security group for a VPC");
        assert_eq!(errors("vpc-a=sg-a,vpc-a=sg-b"), [second]);
        assert_eq!(errors(" , "), [format!("{REPLACEMENTS} is set but has no entries")]);
    }

    #[test]
    fn concurrency_has_the_limits_of_an_event_source_mapping() {
        const CONCURRENCY: &str = "WORKER_MAXIMUM_CONCURRENCY";
        for (value, workers) in [("1", 1), ("24", 24), ("1000", 1000)] {
            assert_eq!(read(&[(CONCURRENCY, value)]).unwrap().concurrency.get(), workers);
        }
        for value in ["0", "1001", "-1", "2.5", "ten", "70000"] {
            assert_eq!(invalid_variables(&[(CONCURRENCY, value)]), [CONCURRENCY], "{value}");
        }
    }

    #[test]
    fn dry_run_only_is_true_or_false_and_nothing_else() {
        const DRY_RUN_ONLY: &str = "DRY_RUN_ONLY";
        for (value, expected) in [("", false), ("false", false), ("true", true)] {
            assert_eq!(read(&[(DRY_RUN_ONLY, value)]).unwrap().rules.dry_run_only, expected, "{value}");
        }
        for value in ["True", "TRUE", "1", "yes", "on", " true", "ture"] {
            assert_eq!(invalid_variables(&[(DRY_RUN_ONLY, value)]), [DRY_RUN_ONLY], "{value}");
        }
    }

    #[test]
    fn runbook_url_is_an_address_without_an_anchor() {
        const RUNBOOK_URL: &str = "RUNBOOK_URL";
        for (value, section) in [
            ("", "docs/runbook.md#nopermission"),
            ("https://git.example.com/a?b=c", "https://git.example.com/a?b=c#nopermission"),
        ] {
            let runbook = read(&[(RUNBOOK_URL, value)]).unwrap().runbook_url;
            assert_eq!(runbook.section("nopermission"), section);
        }
        for value in ["https://a/#b", "two words", "ü", &"x".repeat(513)] {
            assert_eq!(invalid_variables(&[(RUNBOOK_URL, value)]), [RUNBOOK_URL], "{value}");
        }
    }

    #[test]
    fn bus_name_is_checked() {
        assert_eq!(invalid_variables(&[("COMPLETION_BUS_NAME", "bad bus")]), ["COMPLETION_BUS_NAME"]);
    }

    const SECRET: (&str, &str) = (
        "ALIBABA_CREDENTIALS_SECRET_ARN",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:keys-AbCdEf",
    );
    const ROLE: (&str, &str) = ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1234:role/detach");
    const PROVIDER: (&str, &str) = ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1234:oidc-provider/aws");
    const AUDIENCE: (&str, &str) = ("ALIBABA_OIDC_AUDIENCE", "privatelink-detach");
    const NO_ACCESS_KEY: [(&str, &str); 2] =
        [("ALIBABA_CLOUD_ACCESS_KEY_ID", ""), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "")];

    fn without_access_key<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        [&NO_ACCESS_KEY[..], changes].concat()
    }

    #[test]
    fn each_credential_source_can_be_selected() {
        let selected = |changes: &[(&str, &str)]| read(changes).unwrap().credentials;
        let access_key = Credentials::new("LTAIid".into(), "s3cret".into(), Some("t0ken".into()));
        assert_eq!(
            selected(&[("ALIBABA_CLOUD_SECURITY_TOKEN", "t0ken")]),
            CredentialsConfig::Environment(access_key)
        );
        assert_eq!(
            selected(&without_access_key(&[SECRET])),
            CredentialsConfig::SecretsManager { secret_arn: SECRET.1.to_owned() }
        );
        let usual = OidcConfig {
            role_arn: ROLE.1.to_owned(),
            oidc_provider_arn: PROVIDER.1.to_owned(),
            role_session_name: "privatelink-detach".to_owned(),
            audience: "privatelink-detach".to_owned(),
            sts_url: BaseUrl::sts(),
        };
        assert_eq!(
            selected(&without_access_key(&[ROLE, PROVIDER, AUDIENCE])),
            CredentialsConfig::Oidc(usual.clone())
        );
        let sts_url = BaseUrl {
            scheme: http::uri::Scheme::HTTP,
            authority: http::uri::Authority::from_static("127.0.0.1:4010"),
        };
        let named = [
            ROLE,
            PROVIDER,
            AUDIENCE,
            ("ALIBABA_CLOUD_ROLE_SESSION_NAME", "a.b@c-d_e"),
            ("ALIBABA_STS_ENDPOINT_URL", "http://127.0.0.1:4010"),
        ];
        assert_eq!(
            selected(&without_access_key(&named)),
            CredentialsConfig::Oidc(OidcConfig {
                role_session_name: "a.b@c-d_e".to_owned(),
                sts_url,
                ..usual
            })
        );
    }

    #[test]
    fn two_credential_sources_are_an_error_that_names_both() {
        let message = |changes: &[(&str, &str)]| {
            let errors = read(changes).unwrap_err();
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let all = [
            (
                vec![SECRET],
                "ALIBABA_CREDENTIALS_SECRET_ARN is set together with ALIBABA_CLOUD_ACCESS_KEY_ID: ",
            ),
            (
                vec![ROLE, PROVIDER, AUDIENCE],
                "ALIBABA_CLOUD_ROLE_ARN is set together with ALIBABA_CLOUD_ACCESS_KEY_ID: ",
            ),
            (
                without_access_key(&[SECRET, ("ALIBABA_OIDC_AUDIENCE", "a")]),
                "ALIBABA_OIDC_AUDIENCE is set together with ALIBABA_CREDENTIALS_SECRET_ARN: ",
            ),
            (
                without_access_key(&[SECRET, ("ALIBABA_CLOUD_SECURITY_TOKEN", "t")]),
                "ALIBABA_CREDENTIALS_SECRET_ARN is set together with ALIBABA_CLOUD_SECURITY_TOKEN: ",
            ),
        ];
        for (changes, expected) in all {
            let text = message(&changes);
            assert!(text.lines().any(|line| line.starts_with(expected)), "{text}");
        }
        let text = message(&[SECRET, ROLE, PROVIDER, AUDIENCE]);
        assert_eq!(text.matches("is set together with ALIBABA_CLOUD_ACCESS_KEY_ID").count(), 2, "{text}");
    }

    #[test]
    fn error_without_a_credential_source_names_all_three() {
        let errors = read(&NO_ACCESS_KEY).unwrap_err();
        assert_eq!(errors.len(), 1);
        let message = errors[0].to_string();
        for variable in
            ["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CREDENTIALS_SECRET_ARN", "ALIBABA_CLOUD_ROLE_ARN"]
        {
            assert!(message.contains(variable), "{message}");
        }
    }

    #[test]
    fn incomplete_or_invalid_source_is_an_error() {
        assert_eq!(
            invalid_variables(&without_access_key(&[("ALIBABA_CREDENTIALS_SECRET_ARN", "keys")])),
            [SECRET.0]
        );
        assert_eq!(invalid_variables(&without_access_key(&[ROLE])), [PROVIDER.0, AUDIENCE.0]);
        let sts = ("ALIBABA_STS_ENDPOINT_URL", "https://sts.eu-central-1.aliyuncs.com");
        assert_eq!(invalid_variables(&without_access_key(&[sts])), [ROLE.0, PROVIDER.0, AUDIENCE.0]);
        for (variable, values) in [
            (
                ROLE.0,
                vec![
                    "detach",
                    "acs:ram::1234:user/u",
                    "acs:ram::1234:role/",
                    "acs:ram::x:role/r",
                    "acs:ram:::role/r",
                ],
            ),
            (
                PROVIDER.0,
                vec!["acs:ram::1234:role/r", "acs:ram::1234:oidc-provider", "arn:aws:iam::1:oidc-provider/p"],
            ),
            (AUDIENCE.0, vec!["two words", "ü"]),
            ("ALIBABA_CLOUD_ROLE_SESSION_NAME", vec!["a", "a b", "a/b"]),
            ("ALIBABA_STS_ENDPOINT_URL", vec!["http://sts.aliyuncs.com", "sts.aliyuncs.com"]),
        ] {
            for value in values {
                let changes = without_access_key(&[(variable, value), ROLE, PROVIDER, AUDIENCE]);
                assert_eq!(invalid_variables(&changes), [variable], "{value}");
            }
        }
    }

    #[test]
    fn plain_http_is_accepted_for_loopback_only() {
        for url in
            ["http://127.0.0.1:80", "http://localhost:8080/", "http://[::1]:1", "https://gateway.internal"]
        {
            assert_eq!(invalid_variables(&[("PRIVATELINK_ENDPOINT_URL", url)]), Vec::<&str>::new(), "{url}");
        }
        for url in [
            "http://10.0.0.1",
            "http://localhost.evil.com",
            "ftp://localhost",
            "https://a/path",
            "https://u:p@a",
            "https://a:99999",
            "https://a:",
            "not a url",
            "/",
        ] {
            assert_eq!(
                invalid_variables(&[("PRIVATELINK_ENDPOINT_URL", url)]),
                ["PRIVATELINK_ENDPOINT_URL"],
                "{url}"
            );
        }
    }
}
