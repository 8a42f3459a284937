//! Reads environment variables and collects all errors in them.

use std::collections::BTreeSet;

use http::uri::{Authority, Scheme};

use super::error::ConfigError;
use crate::alibaba::service_url::ServiceUrl;
use crate::chat::texts::{Language, LanguageSetting};
use crate::completion::reason::RunbookUrl;
use crate::loopback::is_loopback;
use crate::request::{EndpointId, RegionId, Replacements, Rules, SecurityGroupId, VpcId};
use crate::transport::BaseUrl;

/// Default of `COMPLETION_BUS_NAME`: the bus that exists in every account.
const BUS_NAME_DEFAULT: &str = "default";

pub(super) struct Reader<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    errors: Vec<ConfigError>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { environment, errors: Vec::new() }
    }

    /// The configuration, or all errors in it.
    pub(super) fn finish<T>(self, config: T) -> Result<T, Vec<ConfigError>> {
        if self.errors.is_empty() { Ok(config) } else { Err(self.errors) }
    }

    /// Adds an error. `problem` completes the sentence "the variable …".
    pub(super) fn report(&mut self, variable: &'static str, problem: impl Into<String>) {
        self.errors.push(ConfigError { variable, problem: problem.into() });
    }

    /// The value. An empty one counts as not set: it comes from an empty template parameter.
    pub(super) fn optional(&self, variable: &str) -> Option<String> {
        (self.environment)(variable).filter(|value| !value.is_empty())
    }

    pub(super) fn required(&mut self, variable: &'static str) -> Option<String> {
        let value = self.optional(variable);
        if value.is_none() {
            self.report(variable, "is not set");
        }
        value
    }

    pub(super) fn queue_url(&mut self, variable: &'static str) -> String {
        let Some(url) = self.required(variable) else {
            return String::new();
        };
        let is_queue = url.parse::<http::Uri>().is_ok_and(|uri| {
            let is_allowed = match uri.scheme_str() {
                Some("https") => true,
                Some("http") => uri.host().is_some_and(is_loopback),
                _ => false,
            };
            is_allowed && !uri.path().trim_matches('/').is_empty()
        });
        if !is_queue {
            self.report(
                variable,
                "must be the URL of an SQS queue: https (http only for a loopback address), with the queue's name at its end",
            );
        }
        url
    }

    pub(super) fn fifo_queue_url(&mut self, variable: &'static str) -> String {
        let url = self.queue_url(variable);
        if !url.is_empty() && url.strip_suffix(".fifo").is_none() {
            self.report(
                variable,
                "must be a FIFO queue: a standard queue would accept the same webhook or event twice",
            );
        }
        url
    }

    /// The URL of a queue other than that of `source`: a copy there would be processed like the message itself.
    pub(super) fn dead_letter_queue_url(&mut self, variable: &'static str, source: &str) -> String {
        let url = self.queue_url(variable);
        let is_same = self.optional(source).is_some_and(|source| is_same_queue(&source, &url));
        if is_same {
            self.report(variable, format!("must be another queue than {source}"));
        }
        url
    }

    /// The name or ARN of an event bus.
    pub(super) fn bus_name(&mut self, variable: &'static str) -> String {
        let Some(name) = self.optional(variable) else { return BUS_NAME_DEFAULT.to_owned() };
        let is_name =
            name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/' | b':'));
        if !is_name {
            self.report(variable, "must be the name or ARN of an event bus");
        }
        name
    }

    /// A switch: `true` or `false`, and off if the variable is not set. Any other value is an error: a mistyped `true`
    /// must not lead to real detaches. After an error the value is `cautious`, with which no detach is made.
    pub(super) fn switch(&mut self, variable: &'static str, cautious: bool) -> bool {
        match self.optional(variable).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                self.report(variable, "must be true or false");
                cautious
            }
        }
    }

    pub(super) fn runbook_url(&mut self, variable: &'static str) -> RunbookUrl {
        let Some(text) = self.optional(variable) else { return RunbookUrl::default() };
        RunbookUrl::parse(&text).unwrap_or_else(|| {
            self.report(variable, RunbookUrl::RULE);
            RunbookUrl::default()
        })
    }

    /// The address of a service with an endpoint in every region.
    pub(super) fn service_url(&mut self, variable: &'static str) -> ServiceUrl {
        self.base_url(variable).map_or(ServiceUrl::Regional, ServiceUrl::Fixed)
    }

    /// The address of a service, if the variable is set.
    pub(super) fn base_url(&mut self, variable: &'static str) -> Option<BaseUrl> {
        self.address(variable).map(|(scheme, authority)| BaseUrl { scheme, authority })
    }

    /// The parts of an address, if the variable is set: https, or http on loopback, and no path.
    pub(super) fn address(&mut self, variable: &'static str) -> Option<(Scheme, Authority)> {
        let url = self.optional(variable)?;
        let parts = url.parse::<http::Uri>().ok().map(http::Uri::into_parts);
        let parts = parts.and_then(|parts| Some((parts.scheme?, parts.authority?, parts.path_and_query)));
        let Some((scheme, authority, path)) = parts else {
            self.report(variable, "must be a URL");
            return None;
        };
        let has_bad_port = authority.port_u16().is_none() && authority.as_str() != authority.host();
        if path.is_some_and(|path| path != "/") || authority.as_str().contains('@') {
            self.report(variable, "must have no path, query, user or password");
        }
        if has_bad_port && !authority.as_str().contains('@') {
            self.report(variable, "must have a port from 1 to 65535, or none");
        }
        let (is_https, is_http) = (scheme.as_str() == "https", scheme.as_str() == "http");
        if !(is_https || is_http && is_loopback(authority.host())) {
            self.report(variable, "must start with https (http only for a loopback address)");
        }
        Some((scheme, authority))
    }

    /// The ARN of a secret, if the variable is set.
    pub(super) fn secret_arn(&mut self, variable: &'static str) -> Option<String> {
        let arn = self.optional(variable)?;
        let is_arn = arn.bytes().all(|b| b.is_ascii_graphic())
            && matches!(arn.splitn(7, ':').collect::<Vec<_>>()[..],
                ["arn", _, "secretsmanager", region, _, "secret", name] if !region.is_empty() && !name.is_empty());
        if !is_arn {
            self.report(variable, "must be the ARN of a Secrets Manager secret");
        }
        Some(arn)
    }

    /// The ARN of a secret that the program cannot work without.
    pub(super) fn required_secret_arn(&mut self, variable: &'static str) -> String {
        if self.required(variable).is_none() {
            return String::new();
        }
        self.secret_arn(variable).unwrap_or_default()
    }

    /// The language of chat messages.
    pub(super) fn chat_language(&mut self, variable: &'static str) -> LanguageSetting {
        match self.optional(variable).as_deref() {
            None | Some("AUTO") => LanguageSetting::Auto,
            Some("EN") => LanguageSetting::Always(Language::En),
            Some("ZH") => LanguageSetting::Always(Language::Zh),
            Some(_) => {
                self.report(variable, "must be AUTO, EN or ZH");
                LanguageSetting::Auto
            }
        }
    }

    /// The restrictions on requests, in the same three variables of every program.
    pub(super) fn rules(&mut self) -> Rules {
        Rules {
            allowed_regions: self.list("ALLOWED_REGIONS", RegionId::parse, RegionId::RULE),
            protected_security_groups: self.list(
                "PROTECTED_SECURITY_GROUPS",
                SecurityGroupId::parse,
                SecurityGroupId::RULE,
            ),
            protected_endpoints: self.list("PROTECTED_ENDPOINTS", EndpointId::parse, EndpointId::RULE),
            ..Rules::default()
        }
    }

    /// The groups that may be attached in place of an endpoint's last one.
    pub(super) fn replacements(&mut self, variable: &'static str) -> Replacements {
        let entry = |text: &str| {
            let (vpc_id, security_group_id) = text.split_once('=')?;
            Some((VpcId::parse(vpc_id.trim())?, SecurityGroupId::parse(security_group_id.trim())?))
        };
        let mut replacements = Replacements::default();
        let rule = "must be a VPC id, = and a security group id, such as vpc-a=sg-b";
        for (vpc_id, security_group_id) in self.list(variable, entry, rule) {
            if !replacements.insert(vpc_id, security_group_id) {
                self.report(variable, "names more than one security group for a VPC");
            }
        }
        replacements
    }

    /// The entries of a comma-separated list; empty if the variable is not set.
    pub(super) fn list<T: Ord>(
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
                None => {
                    self.report(variable, format!("has an invalid entry, number {}: it {rule}", index + 1));
                }
            }
        }
        if is_given && value.split(',').all(|entry| entry.trim().is_empty()) {
            self.report(variable, "is set but has no entries");
        }
        list
    }
}

/// Whether two URLs name the same queue: the account and the name at the end of the path. The host has several spellings
/// for one region, and an endpoint of a VPC has its own.
fn is_same_queue(one: &str, other: &str) -> bool {
    let queue = |url: &str| -> Option<(String, String)> {
        let path = url.parse::<http::Uri>().ok()?.path().trim_end_matches('/').to_owned();
        let (rest, name) = path.rsplit_once('/')?;
        let (_, account) = rest.rsplit_once('/')?;
        Some((account.to_owned(), name.to_owned()))
    };
    one == other || queue(one).is_some_and(|one| queue(other) == Some(one))
}
