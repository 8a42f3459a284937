//! The environment of the functions, `NAME=value` on each line.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{CredentialsConfig, CredentialsSource};
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::config::{
    ConfigError, IntakeConfig, SweeperConfig, WorkerConfig, check_lambda, log_level,
};
use privatelink_detach::request::{DEADLINE_SECONDS, RegionId};
use privatelink_detach::transport::BaseUrl;

use crate::alibaba::Canned;
use crate::fault;
use crate::memory::{Bound, bounded};
use crate::text::assert_tame;
use crate::virtual_time;

/// A list of ids is a tree, and an invalid entry is reported by its number.
const MEMORY: Bound = Bound { base: 16 * 1024, per_byte: 64 };

/// Appended to every value before a second read. No error text contains it.
const MARK: &str = "~s3cret~";

pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let variables: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let environment = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    match bounded(&MEMORY, input.len(), || WorkerConfig::read(environment)) {
        Ok(config) => check_worker(&config),
        Err(errors) => check_errors(&errors),
    }
    match bounded(&MEMORY, input.len(), || IntakeConfig::read(environment)) {
        Ok(config) => {
            check_queue(&config.request_queue_url);
            assert!(config.request_queue_url.strip_suffix(".fifo").is_some());
            assert!(config.webhook_secrets_arn.is_none_or(|arn| arn.starts_with("arn:")));
        }
        Err(errors) => check_errors(&errors),
    }
    match bounded(&MEMORY, input.len(), || SweeperConfig::read(environment)) {
        Ok(config) => {
            check_queue(&config.request_queue_url);
            assert!(config.request_queue_url.strip_suffix(".fifo").is_some());
            assert!(!config.bus_name.is_empty() && config.bus_name.is_ascii());
            // Only the exact word lets a sweep request detaches.
            assert_eq!(config.is_apply_allowed, variables.get("SWEEP_APPLY_ALLOWED") == Some(&"true"));
            check_credentials(&config.credentials);
        }
        Err(errors) => check_errors(&errors),
    }
    check_errors(&check_lambda(environment));
    check_errors(log_level(environment).err().as_slice());

    // A value may be a misplaced secret, so no error text may contain it.
    let marked = |name: &str| environment(name).map(|value| value + MARK);
    let errors = [
        WorkerConfig::read(marked).err(),
        IntakeConfig::read(marked).err(),
        SweeperConfig::read(marked).err(),
    ];
    for error in errors.into_iter().flatten().flatten().chain(log_level(marked).err()) {
        assert!(!error.to_string().contains(MARK), "{error:?}");
    }
}

fn check_worker(config: &WorkerConfig) {
    check_queue(&config.request_queue_url);
    check_queue(&config.dead_letter_queue_url);
    assert!(DEADLINE_SECONDS.contains(&config.deadline.as_secs()));
    assert!(config.concurrency.get() <= WorkerConfig::CONCURRENCY_MAX);
    assert!(!config.bus_name.is_empty() && config.bus_name.is_ascii());
    check_credentials(&config.credentials);
    if let ServiceUrl::Fixed(url) = &config.service_url {
        check_url(url);
    }
    // The address of the calls.
    let region = config.rules.allowed_regions.first().cloned().or_else(|| RegionId::parse("eu-west-1"));
    let region = region.expect("a region");
    let canned = Canned::new(http::Response::default());
    let source = CredentialsSource::Fixed(Rc::new(fault::keys()));
    let client = Client::new(&canned, source, config.service_url.clone(), 7);
    virtual_time::run(async |_| client.connect(&region, Duration::from_secs(1)).await);
    let sent = canned.sent.borrow();
    let uri = sent.first().expect("a request").uri();
    match &config.service_url {
        ServiceUrl::Regional => {
            assert_eq!(uri.to_string(), format!("https://privatelink.{region}.aliyuncs.com/"));
        }
        ServiceUrl::Fixed(url) => {
            assert_eq!((uri.scheme(), uri.authority()), (Some(&url.scheme), Some(&url.authority)));
        }
    }
}

fn check_credentials(config: &CredentialsConfig) {
    match config {
        CredentialsConfig::Environment(credentials) => assert!(credentials.can_be_sent()),
        CredentialsConfig::SecretsManager { secret_arn } => assert!(secret_arn.starts_with("arn:")),
        CredentialsConfig::Oidc(config) => {
            let words =
                [&config.role_arn, &config.oidc_provider_arn, &config.role_session_name, &config.audience];
            assert!(words.iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic())));
            check_url(&config.sts_url);
        }
    }
}

fn check_queue(url: &str) {
    let uri: http::Uri = url.parse().expect("a URL");
    assert!(matches!(uri.scheme_str(), Some("https" | "http")), "{url:?}");
}

/// Calls to the internet use HTTPS, and the address contains no password.
fn check_url(url: &BaseUrl) {
    let is_safe = url.scheme.as_str() == "https" || url.scheme.as_str() == "http" && url.is_loopback();
    assert!(is_safe && !url.authority.as_str().contains('@'), "{url:?}");
}

/// Every error has a variable and a short text.
fn check_errors(errors: &[ConfigError]) {
    for error in errors {
        let is_name = error.variable.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        assert!(is_name && !error.problem.is_empty(), "{error:?}");
        assert_tame(&error.problem, 300);
    }
}
