//! What one command reads: the groups, the regions and the filter, checked.

use std::collections::BTreeSet;

use super::arguments;
use super::failure::Failure;
use super::session::Session;
use crate::alibaba::privatelink::{EndpointFilter, TAGS_MAX};
use crate::request::{RegionId, SecurityGroupId};
use crate::sweep::{REGIONS_MAX, SECURITY_GROUPS_MAX};
use crate::text::visible;

/// What one command reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    /// In the order of the command line, none of them twice.
    pub(super) security_group_ids: Vec<SecurityGroupId>,
    pub(super) regions: BTreeSet<RegionId>,
    pub(super) filter: EndpointFilter,
}

impl Scope {
    /// What the command line names; without a region, that of the session.
    pub(super) fn new(arguments: &arguments::Scope, session: &Session) -> Result<Self, Failure> {
        let regions = session.regions(&arguments.regions)?.into_iter().collect();
        let allowed = &session.config.rules.allowed_regions;
        let scope = Self::of(arguments, regions)?;
        match scope.regions.iter().find(|region| !allowed.is_empty() && !allowed.contains(region)) {
            Some(region) => Err(Failure::Usage(format!("region {region} is not in ALLOWED_REGIONS"))),
            None => Ok(scope),
        }
    }

    fn of(arguments: &arguments::Scope, regions: BTreeSet<RegionId>) -> Result<Self, Failure> {
        let mut security_group_ids = Vec::new();
        for id in &arguments.security_group_ids {
            if !security_group_ids.contains(id) {
                security_group_ids.push(id.clone());
            }
        }
        let mut filter = arguments.filter();
        filter.tags.sort_unstable();
        filter.tags.dedup();
        // An endpoint has at most one value for a key.
        if let Some(pair) = filter.tags.windows(2).find(|pair| pair[0].key == pair[1].key) {
            let key = &pair[0].key;
            return Err(Failure::Usage(format!(
                "--tag {key} is given with two values, but an endpoint has at most one value for a key"
            )));
        }
        for (count, max, of) in [
            (security_group_ids.len(), SECURITY_GROUPS_MAX, "security groups"),
            (regions.len(), REGIONS_MAX, "regions"),
            (filter.tags.len(), TAGS_MAX, "tags"),
        ] {
            if count > max {
                return Err(Failure::Usage(format!("{count} {of}, but one command reads at most {max}")));
            }
        }
        Ok(Self { security_group_ids, regions, filter })
    }

    /// The endpoints that are read, as a phrase: "every endpoint of eu-west-1".
    pub(super) fn endpoints(&self) -> String {
        let filter = &self.filter;
        let regions = listed(&self.regions);
        let tags = filter.tags.iter().map(|tag| format!("the tag {}={}", tag.key, tag.value));
        let parts: Vec<String> = [
            filter.vpc_id.as_ref().map(|id| format!("VPC {id}")),
            filter.endpoint_name.as_ref().map(|name| format!("the name {name}")),
            filter.resource_group_id.as_ref().map(|id| format!("resource group {id}")),
        ]
        .into_iter()
        .flatten()
        .chain(tags)
        .collect();
        if parts.is_empty() {
            format!("every endpoint of {regions}")
        } else {
            // The filter of a plan file may have been written by anyone.
            format!("the endpoints of {regions} with {}", visible(&listed(&parts)))
        }
    }

    /// Whether filters exclude endpoints of the regions.
    pub(super) fn is_filtered(&self) -> bool {
        self.filter != EndpointFilter::default()
    }
}

/// Words as a list in a sentence.
pub(super) fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let mut words: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match words.pop() {
        None => String::new(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} and {last}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::arguments::{Arguments, Command};

    fn scope(words: &[&str]) -> Result<Scope, String> {
        let words = ["privatelink-detach", "find"].iter().chain(words);
        let Command::Find(find) =
            Arguments::try_parse_from(words).map_err(|error| error.to_string())?.command
        else {
            unreachable!()
        };
        let regions = find.scope.regions.iter().cloned().collect();
        Scope::of(&find.scope, regions).map_err(|failure| failure.to_string())
    }

    #[test]
    fn repeated_groups_regions_and_tags_count_once() {
        let once = scope(&["sg-a", "sg-b", "--region", "eu-west-1", "--tag", "a=b"]);
        let twice = [
            "sg-a",
            "sg-b",
            "sg-a",
            "--region",
            "eu-west-1",
            "--region",
            "eu-west-1",
            "--tag",
            "a=b",
            "--tag",
            "a=b",
        ];
        assert_eq!(scope(&twice), once);
        let groups = (0..11).map(|number| format!("sg-{}", number % 10)).collect::<Vec<_>>();
        assert_eq!(
            scope(&groups.iter().map(String::as_str).collect::<Vec<_>>()).unwrap().security_group_ids.len(),
            10
        );
    }

    #[test]
    fn more_than_a_command_reads_is_a_usage_error() {
        let many = |flag: &'static str, count: usize, word: fn(usize) -> String| {
            let words: Vec<String> = (0..count).flat_map(|number| [flag.to_owned(), word(number)]).collect();
            let words = words.iter().map(String::as_str).filter(|word| !word.is_empty());
            scope(&words.chain(["sg-a"]).collect::<Vec<_>>())
        };
        assert!(many("", 11, |number| format!("sg-{number}")).unwrap_err().contains("12 security groups"));
        assert!(many("--region", 50, |number| format!("eu-west-{number}")).is_ok());
        assert!(
            many("--region", 51, |number| format!("eu-west-{number}")).unwrap_err().contains("51 regions")
        );
        assert!(many("--tag", 20, |number| format!("k{number}=v")).is_ok());
        assert!(many("--tag", 21, |number| format!("k{number}=v")).unwrap_err().contains("21 tags"));
        assert!(many("--tag", 2, |number| format!("k=v{number}")).unwrap_err().contains("two values"));
        assert!(scope(&["sg-a", "--vpc-id", ""]).is_err(), "an empty filter would find nothing");
    }

    #[test]
    fn scope_is_described_in_words() {
        let endpoints = |words: &[&str]| scope(words).unwrap().endpoints();
        let both = ["sg-a", "--region", "eu-west-1", "--region", "eu-central-1"];
        assert_eq!(endpoints(&both), "every endpoint of eu-central-1 and eu-west-1");
        assert_eq!(
            endpoints(&[
                "sg-a",
                "--region",
                "eu-west-1",
                "--vpc-id",
                "vpc-1",
                "--tag",
                "env=prod",
                "--endpoint-name",
                "web"
            ]),
            "the endpoints of eu-west-1 with VPC vpc-1, the name web and the tag env=prod"
        );
        assert_eq!(
            endpoints(&["sg-a", "--region", "eu-west-1", "--endpoint-name", "a\u{1b}[2J\nb\u{202e}c"]),
            "the endpoints of eu-west-1 with the name a[2Jbc"
        );
    }
}
