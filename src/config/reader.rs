//! Reads variables one by one and gathers everything that is wrong with them.

use std::collections::BTreeSet;

use super::ConfigFault;
use crate::request::{EndpointId, RegionId, Rules, SecurityGroupId};

/// An environment, and the faults found in it so far.
pub(super) struct Reader<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<ConfigFault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { environment, faults: Vec::new() }
    }

    /// What was read, if nothing is wrong with it.
    pub(super) fn finish<T>(self, config: T) -> Result<T, Vec<ConfigFault>> {
        if self.faults.is_empty() { Ok(config) } else { Err(self.faults) }
    }

    pub(super) fn fault(&mut self, variable: &'static str, problem: impl Into<String>) {
        self.faults.push(ConfigFault { variable, problem: problem.into() });
    }

    /// The value; an empty one is what a template's empty parameter becomes, and counts as none.
    pub(super) fn optional(&self, variable: &str) -> Option<String> {
        (self.environment)(variable).filter(|value| !value.is_empty())
    }

    pub(super) fn required(&mut self, variable: &'static str) -> Option<String> {
        let value = self.optional(variable);
        if value.is_none() {
            self.fault(variable, "is not set");
        }
        value
    }

    pub(super) fn queue_url(&mut self, variable: &'static str) -> String {
        let Some(url) = self.required(variable) else {
            return String::new();
        };
        let is_http =
            matches!(url.parse::<http::Uri>(), Ok(uri) if matches!(uri.scheme_str(), Some("https" | "http")));
        if !is_http {
            self.fault(variable, "must be the URL of an SQS queue");
        }
        url
    }

    /// What is allowed here: the same three variables in both functions.
    pub(super) fn rules(&mut self) -> Rules {
        Rules {
            allowed_regions: self.list("ALLOWED_REGIONS", RegionId::parse, RegionId::RULE),
            protected_security_groups: self.list(
                "PROTECTED_SECURITY_GROUPS",
                SecurityGroupId::parse,
                SecurityGroupId::RULE,
            ),
            protected_endpoints: self.list("PROTECTED_ENDPOINTS", EndpointId::parse, EndpointId::RULE),
        }
    }

    fn list<T: Ord>(
        &mut self,
        variable: &'static str,
        parse: fn(&str) -> Option<T>,
        rule: &str,
    ) -> BTreeSet<T> {
        let value = self.optional(variable).unwrap_or_default();
        let entries = value.split(',').map(str::trim).enumerate().filter(|(_, entry)| !entry.is_empty());
        let mut list = BTreeSet::new();
        let is_given = !value.is_empty();
        for (index, entry) in entries {
            match parse(entry) {
                Some(id) => drop(list.insert(id)),
                None => self.fault(variable, format!("has an entry, number {}, that {rule}", index + 1)),
            }
        }
        if is_given && value.split(',').all(|entry| entry.trim().is_empty()) {
            self.fault(variable, "is set, but has no entry");
        }
        list
    }
}
