//! The variables of AWS's endpoints and of proxies. Other code reads them; here they are checked, so that a mistake in one
//! is found at start and not by the first call, after a detach.

use super::reader::Reader;

/// The variables of the AWS clients of the worker and the sweeper, besides the one for all services.
pub(super) const WORKER_ENDPOINTS: [&str; 4] = [
    "AWS_ENDPOINT_URL_EVENTBRIDGE",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL_STS",
];

/// The variables of the AWS clients of the intake and the messenger, besides the one for all services.
pub(super) const SECRET_AND_QUEUE_ENDPOINTS: [&str; 2] =
    ["AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL_SQS"];

/// The variables that select other endpoints of AWS. A value that is neither would select the usual ones.
const SWITCHES: [&str; 2] = ["AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT"];

/// The variables with the address of a proxy. `HTTP_PROXY` has no effect on calls with https, and every call uses it.
const PROXIES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// The variables with the hosts that are called without a proxy.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

impl Reader<'_> {
    /// Checks the endpoint variables for all services, those of `endpoints`, and the proxy variables.
    pub(super) fn check_network(&mut self, endpoints: &[&'static str]) {
        self.address("AWS_ENDPOINT_URL");
        for variable in endpoints {
            self.address(variable);
        }
        for variable in SWITCHES {
            let value = self.optional(variable).map(|value| value.to_ascii_lowercase());
            if !matches!(value.as_deref(), None | Some("true" | "false")) {
                self.report(variable, "must be true or false");
            }
        }
        self.check_proxies();
    }

    /// Checks the proxy variables.
    pub(super) fn check_proxies(&mut self) {
        for variable in PROXIES {
            if self.optional(variable).is_some_and(|address| !is_proxy(&address)) {
                self.report(
                    variable,
                    "must be the address of an HTTP proxy, such as http://proxy.internal:3128, without a path",
                );
            }
        }
        for variable in NO_PROXY {
            if self.optional(variable).is_some_and(|hosts| !hosts.split(',').map(str::trim).all(is_host)) {
                self.report(variable, "must be a comma-separated list of host names, addresses and networks");
            }
        }
    }
}

/// Whether both clouds' clients can use this address. They take an address without a scheme for http; a proxy with https
/// would need a certificate that AWS's clients trust, and these trust AWS's alone.
fn is_proxy(address: &str) -> bool {
    let with_scheme = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let Ok(uri) = with_scheme.parse::<http::Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    let host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
    let has_valid_port = authority.port_u16().is_some() || host == authority.host();
    uri.scheme_str() == Some("http")
        && matches!(uri.path_and_query().map(http::uri::PathAndQuery::as_str), None | Some("/"))
        && !authority.host().is_empty()
        && has_valid_port
}

/// Whether an entry of the list can match a host; an empty one, as after a comma at the end, has no effect.
fn is_host(entry: &str) -> bool {
    entry.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_*:/[]".contains(&b)) && !entry.contains("//")
}

#[cfg(test)]
mod tests {
    use super::super::{IntakeConfig, WorkerConfig};

    /// The variables with an error, of both functions, if only this variable is set.
    fn invalid(variable: &str, value: &str) -> (bool, bool) {
        let environment = |name: &str| (name == variable).then(|| value.to_owned());
        let is_reported = |errors: Vec<super::super::ConfigError>| {
            assert!(!format!("{errors:?}").contains("s3cret"), "{errors:?}");
            errors.iter().any(|error| error.variable == variable)
        };
        let worker = WorkerConfig::read(environment).err().unwrap_or_default();
        let intake = IntakeConfig::read(environment).err().unwrap_or_default();
        (is_reported(worker), is_reported(intake))
    }

    #[test]
    fn endpoint_of_aws_must_be_a_url() {
        for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_SECRETS_MANAGER"] {
            for url in
                ["sqs.eu-west-1.amazonaws.com", "http://sqs.internal", "https://u:s3cret@sqs", "127.0.0.1:1"]
            {
                assert_eq!(invalid(variable, url), (true, true), "{variable}={url}");
            }
            for url in ["https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com", "http://127.0.0.1:4566/", ""] {
                assert_eq!(invalid(variable, url), (false, false), "{variable}={url}");
            }
        }
        for variable in ["AWS_ENDPOINT_URL_EVENTBRIDGE", "AWS_ENDPOINT_URL_STS"] {
            assert_eq!(invalid(variable, "sts"), (true, false), "the intake has no such client");
        }
    }

    #[test]
    fn switch_of_aws_is_true_or_false() {
        for variable in super::SWITCHES {
            for value in ["true", "FALSE", "True", ""] {
                assert_eq!(invalid(variable, value), (false, false), "{variable}={value}");
            }
            for value in ["1", "yes", "ture", " true"] {
                assert_eq!(invalid(variable, value), (true, true), "{variable}={value}");
            }
        }
    }

    #[test]
    fn proxy_must_be_an_address_that_both_clouds_can_use() {
        for variable in super::PROXIES {
            for address in
                ["http://proxy:3128", "http://user:s3cret@proxy:3128/", "proxy.internal:3128", "10.0.0.1", ""]
            {
                assert_eq!(invalid(variable, address), (false, false), "{variable}={address}");
            }
            for address in [
                "https://s3cret:3128",
                "socks5://s3cret",
                "http://",
                "http://s3cret:99999",
                "http://p/s3cret",
                "p s3cret",
            ] {
                assert_eq!(invalid(variable, address), (true, true), "{variable}={address}");
            }
        }
    }

    #[test]
    fn list_without_a_proxy_must_be_hosts() {
        for variable in super::NO_PROXY {
            for hosts in ["*", "localhost, .internal,10.0.0.0/8,[::1],fd00::/8,*.amazonaws.com,", ""] {
                assert_eq!(invalid(variable, hosts), (false, false), "{variable}={hosts}");
            }
            for hosts in ["http://s3cret", "a;s3cret", "s3cret b", "ü"] {
                assert_eq!(invalid(variable, hosts), (true, true), "{variable}={hosts}");
            }
        }
    }
}
