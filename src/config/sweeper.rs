//! The environment variables of the sweeper.

use super::error::ConfigError;
use super::network::WORKER_ENDPOINTS;
use super::reader::Reader;
use crate::alibaba::credentials::CredentialsConfig;
use crate::alibaba::service_url::ServiceUrl;
use crate::completion::reason::RunbookUrl;
use crate::request::Rules;

/// The configuration of the sweeper, from its environment variables.
#[derive(Debug, Clone)]
pub struct SweeperConfig {
    /// `DETACH_QUEUE_URL`
    pub request_queue_url: String,
    /// `COMPLETION_BUS_NAME`
    pub bus_name: String,
    /// `ALLOWED_REGIONS`, `PROTECTED_SECURITY_GROUPS`, `PROTECTED_ENDPOINTS`, `REPLACEMENT_SECURITY_GROUPS`, `DRY_RUN_ONLY`
    pub rules: Rules,
    /// `SWEEP_APPLY_ALLOWED`: whether a sweep may request detaches. Without it, a sweep in mode `apply` only reports.
    pub is_apply_allowed: bool,
    /// `RUNBOOK_URL`: where the operators find the runbook.
    pub runbook_url: RunbookUrl,
    /// `PRIVATELINK_ENDPOINT_URL`
    pub service_url: ServiceUrl,
    /// From the same variables as the worker's.
    pub credentials: CredentialsConfig,
}

impl SweeperConfig {
    /// The sweeper's configuration, or all errors in it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(&environment);
        let config = Self {
            request_queue_url: reader.fifo_queue_url("DETACH_QUEUE_URL"),
            bus_name: reader.bus_name("COMPLETION_BUS_NAME"),
            rules: Rules {
                dry_run_only: reader.switch("DRY_RUN_ONLY", true),
                replacements: reader.replacements("REPLACEMENT_SECURITY_GROUPS"),
                ..reader.rules()
            },
            is_apply_allowed: reader.switch("SWEEP_APPLY_ALLOWED", false),
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
