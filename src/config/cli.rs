//! The variables and addresses of the command line program.

use super::error::ConfigError;
use super::reader::Reader;
use crate::alibaba::service_url::ServiceUrl;
use crate::completion::reason::RunbookUrl;
use crate::request::Rules;
use crate::transport::BaseUrl;

/// The option that replaces PrivateLink's address.
const ENDPOINT_URL: &str = "--endpoint-url";

/// The option that replaces STS's address.
const STS_ENDPOINT_URL: &str = "--sts-endpoint-url";

#[derive(Debug, Clone)]
pub struct CliConfig {
    /// `ALLOWED_REGIONS`, `PROTECTED_SECURITY_GROUPS`, `PROTECTED_ENDPOINTS`
    pub rules: Rules,
    /// `RUNBOOK_URL`
    pub runbook_url: RunbookUrl,
    /// `--endpoint-url`
    pub service_url: ServiceUrl,
    /// `--sts-endpoint-url`; without it the address of PrivateLink if that is on loopback. Absent, a profile chooses.
    pub sts_url: Option<BaseUrl>,
    /// The address of PrivateLink if that is on loopback; a gateway of PrivateLink is none of ECS.
    pub ecs_url: ServiceUrl,
}

impl CliConfig {
    /// The configuration from the environment and two options, or all errors in them.
    pub fn read(
        environment: impl Fn(&str) -> Option<String>,
        endpoint_url: Option<&str>,
        sts_endpoint_url: Option<&str>,
    ) -> Result<Self, Vec<ConfigError>> {
        let value = |name: &str| match name {
            ENDPOINT_URL => endpoint_url.map(str::to_owned),
            STS_ENDPOINT_URL => sts_endpoint_url.map(str::to_owned),
            variable => environment(variable),
        };
        let mut reader = Reader::new(&value);
        let service_url = reader.service_url(ENDPOINT_URL);
        let simulator = match &service_url {
            ServiceUrl::Fixed(url) if url.is_loopback() => Some(url.clone()),
            ServiceUrl::Fixed(_) | ServiceUrl::Regional => None,
        };
        let sts_url = reader.base_url(STS_ENDPOINT_URL);
        let sts_url = sts_url.or(simulator);
        let ecs_url = service_url.of_another_product();
        let config = Self {
            rules: Rules {
                replacements: reader.replacements("REPLACEMENT_SECURITY_GROUPS"),
                ..reader.rules()
            },
            runbook_url: reader.runbook_url("RUNBOOK_URL"),
            service_url,
            sts_url,
            ecs_url,
        };
        reader.check_proxies();
        reader.finish(config)
    }

    /// Whether a service has a loopback address, which is called without a proxy.
    #[must_use]
    pub fn has_loopback(&self) -> bool {
        self.service_url.is_loopback() || self.sts_url.as_ref().is_some_and(BaseUrl::is_loopback)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn sts_is_at_the_address_of_a_simulator_but_not_of_a_gateway() {
        let sts = |url: Option<&str>, sts: Option<&str>| {
            let config = CliConfig::read(|_| None, url, sts).unwrap();
            config.sts_url.map(|url| url.authority.to_string())
        };
        assert_eq!(sts(None, None), None);
        assert_eq!(sts(Some("http://127.0.0.1:4010"), None).as_deref(), Some("127.0.0.1:4010"));
        assert_eq!(sts(Some("https://gateway.internal"), None), None);
        let other = sts(Some("http://127.0.0.1:4010"), Some("http://[::1]:4011"));
        assert_eq!(other.as_deref(), Some("[::1]:4011"));
    }

    #[test]
    fn ecs_is_at_the_address_of_a_simulator_but_not_of_a_gateway() {
        let ecs = |url: Option<&str>| {
            let config = CliConfig::read(|_| None, url, Some("http://[::1]:4011")).unwrap();
            (config.ecs_url == config.service_url, config.ecs_url == ServiceUrl::Regional)
        };
        assert_eq!(ecs(None), (true, true));
        assert_eq!(ecs(Some("http://127.0.0.1:4010")), (true, false));
        assert_eq!(ecs(Some("https://gateway.internal")), (false, true));
    }

    #[test]
    fn every_error_is_reported_by_the_name_of_its_option_or_variable() {
        let environment = |name: &str| name.ends_with('S').then(|| "vpc-1".to_owned());
        let errors = CliConfig::read(environment, Some("http://gateway.internal"), Some("x")).unwrap_err();
        let names: BTreeSet<_> = errors.iter().map(|error| error.variable).collect();
        let expected = [
            "--endpoint-url",
            "--sts-endpoint-url",
            "ALLOWED_REGIONS",
            "PROTECTED_SECURITY_GROUPS",
            "PROTECTED_ENDPOINTS",
            "REPLACEMENT_SECURITY_GROUPS",
        ];
        assert_eq!(names, expected.into());
    }
}
