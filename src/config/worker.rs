//! The worker's variables.

use std::rc::Rc;
use std::time::Duration;

use super::ConfigFault;
use super::reader::Reader;
use crate::alibaba::credentials::{Credentials, CredentialsSource};
use crate::alibaba::service_url::ServiceUrl;
use crate::request::{DEADLINE_SECONDS, Rules};

/// The default of `COMPLETION_BUS_NAME`: the bus that every account has.
const BUS_NAME_DEFAULT: &str = "default";

/// Sources of keys that the contract names and this version does not have. To ignore one would go on with old keys.
const NOT_YET: [&str; 6] = [
    "ALIBABA_CREDENTIALS_SECRET_ARN",
    "ALIBABA_CLOUD_ROLE_ARN",
    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
    "ALIBABA_CLOUD_ROLE_SESSION_NAME",
    "ALIBABA_OIDC_AUDIENCE",
    "ALIBABA_STS_ENDPOINT_URL",
];

/// All that the worker is told from outside.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// `DETACH_QUEUE_URL`
    pub request_queue_url: String,
    /// `DEAD_LETTER_QUEUE_URL`
    pub dead_letter_queue_url: String,
    /// `COMPLETION_BUS_NAME`
    pub bus_name: String,
    /// `DETACH_DEADLINE_SECONDS`: of a request that names none.
    pub deadline: Duration,
    /// `ALLOWED_REGIONS`, `PROTECTED_SECURITY_GROUPS`, `PROTECTED_ENDPOINTS`
    pub rules: Rules,
    /// `PRIVATELINK_ENDPOINT_URL`
    pub service_url: ServiceUrl,
    /// `ALIBABA_CLOUD_ACCESS_KEY_ID` and the two beside it.
    pub credentials: CredentialsSource,
}

impl WorkerConfig {
    /// The default of `DETACH_DEADLINE_SECONDS`.
    pub const DEADLINE_SECONDS_DEFAULT: u64 = 3_600;

    /// The worker's configuration, or everything that is wrong with it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<ConfigFault>> {
        let mut reader = Reader::new(&environment);
        let config = Self {
            request_queue_url: reader.queue_url("DETACH_QUEUE_URL"),
            dead_letter_queue_url: reader.queue_url("DEAD_LETTER_QUEUE_URL"),
            bus_name: reader.bus_name("COMPLETION_BUS_NAME"),
            deadline: reader.deadline("DETACH_DEADLINE_SECONDS"),
            rules: reader.rules(),
            service_url: reader.service_url("PRIVATELINK_ENDPOINT_URL"),
            credentials: reader.credentials(),
        };
        reader.finish(config)
    }
}

impl Reader<'_> {
    fn bus_name(&mut self, variable: &'static str) -> String {
        let Some(name) = self.optional(variable) else { return BUS_NAME_DEFAULT.to_owned() };
        let is_name =
            name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b':'));
        if !is_name {
            self.fault(variable, "must be the name or ARN of an event bus");
        }
        name
    }

    fn deadline(&mut self, variable: &'static str) -> Duration {
        let Some(value) = self.optional(variable) else {
            return Duration::from_secs(WorkerConfig::DEADLINE_SECONDS_DEFAULT);
        };
        let seconds = value.parse().ok().filter(|seconds| DEADLINE_SECONDS.contains(seconds));
        if seconds.is_none() {
            let (min, max) = (DEADLINE_SECONDS.start(), DEADLINE_SECONDS.end());
            self.fault(variable, format!("must be a whole number of seconds from {min} to {max}"));
        }
        Duration::from_secs(seconds.unwrap_or(WorkerConfig::DEADLINE_SECONDS_DEFAULT))
    }

    fn service_url(&mut self, variable: &'static str) -> ServiceUrl {
        self.base_url(variable).map_or(ServiceUrl::Regional, ServiceUrl::Fixed)
    }

    fn credentials(&mut self) -> CredentialsSource {
        for variable in NOT_YET {
            if self.optional(variable).is_some() {
                self.fault(variable, "is not supported by this version: the keys come from the environment");
            }
        }
        let access_key_id = self.key("ALIBABA_CLOUD_ACCESS_KEY_ID", true);
        let access_key_secret = self.key("ALIBABA_CLOUD_ACCESS_KEY_SECRET", true);
        let security_token = self.key("ALIBABA_CLOUD_SECURITY_TOKEN", false);
        let credentials = Credentials::new(
            access_key_id.unwrap_or_default(),
            access_key_secret.unwrap_or_default(),
            security_token,
        );
        CredentialsSource::Fixed(Rc::new(credentials))
    }

    fn key(&mut self, variable: &'static str, is_required: bool) -> Option<String> {
        let key = if is_required { self.required(variable) } else { self.optional(variable) }?;
        if !key.bytes().all(|b| b.is_ascii_graphic()) {
            self.fault(variable, "must have no spaces, line ends or characters beyond ASCII");
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: [(&str, &str); 4] = [
        ("DETACH_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/requests.fifo"),
        ("DEAD_LETTER_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/dead-letter.fifo"),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIid"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s3cret"),
    ];

    fn read(changes: &[(&str, &str)]) -> Result<WorkerConfig, Vec<ConfigFault>> {
        WorkerConfig::read(|name| {
            let find =
                |list: &[(&str, &str)]| list.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            find(changes).or_else(|| find(&COMPLETE))
        })
    }

    fn faults(changes: &[(&str, &str)]) -> Vec<&'static str> {
        read(changes).err().unwrap_or_default().into_iter().map(|fault| fault.variable).collect()
    }

    #[test]
    fn defaults_hold_where_nothing_must_be_set() {
        let config = read(&[("ALLOWED_REGIONS", ""), ("DETACH_DEADLINE_SECONDS", "")]).unwrap();
        assert_eq!((config.bus_name.as_str(), config.deadline), ("default", Duration::from_hours(1)));
        assert_eq!((config.rules, config.service_url), (Rules::default(), ServiceUrl::Regional));
    }

    #[test]
    fn all_faults_are_reported_together_and_without_values() {
        let faults = WorkerConfig::read(|name| match name {
            "DETACH_QUEUE_URL" | "ALIBABA_CLOUD_SECURITY_TOKEN" => {
                Some("s3cret in the wrong place".to_owned())
            }
            "DETACH_DEADLINE_SECONDS" => Some("29".to_owned()),
            "ALLOWED_REGIONS" => Some("eu-west-1, EU".to_owned()),
            "PRIVATELINK_ENDPOINT_URL" => Some("http://privatelink.internal".to_owned()),
            _ => None,
        })
        .unwrap_err();
        let variables: Vec<_> = faults.iter().map(|fault| fault.variable).collect();
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
        assert!(!format!("{faults:?}").contains("s3cret"));
    }

    #[test]
    fn a_mistyped_protected_id_stops_the_start() {
        assert_eq!(faults(&[("PROTECTED_SECURITY_GROUPS", "sg-a,sg_b")]), ["PROTECTED_SECURITY_GROUPS"]);
        assert_eq!(faults(&[("PROTECTED_ENDPOINTS", "sg-a")]), ["PROTECTED_ENDPOINTS"]);
        assert_eq!(
            faults(&[("ALLOWED_REGIONS", " , ")]),
            ["ALLOWED_REGIONS"],
            "a list without entries is no list"
        );
        let rules = read(&[("PROTECTED_SECURITY_GROUPS", " sg-a , sg-b,")]).unwrap().rules;
        assert_eq!(rules.protected_security_groups.len(), 2);
    }

    #[test]
    fn keys_from_elsewhere_are_not_ignored() {
        assert_eq!(faults(&[("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/r")]), ["ALIBABA_CLOUD_ROLE_ARN"]);
        assert_eq!(faults(&[("COMPLETION_BUS_NAME", "bad bus")]), ["COMPLETION_BUS_NAME"]);
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for url in
            ["http://127.0.0.1:80", "http://localhost:8080/", "http://[::1]:1", "https://gateway.internal"]
        {
            assert_eq!(faults(&[("PRIVATELINK_ENDPOINT_URL", url)]), Vec::<&str>::new(), "{url}");
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
            assert_eq!(faults(&[("PRIVATELINK_ENDPOINT_URL", url)]), ["PRIVATELINK_ENDPOINT_URL"], "{url}");
        }
    }
}
