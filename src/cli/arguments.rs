//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::alibaba::privatelink::EndpointFilter;
use crate::alibaba::records::Tag;
use crate::request::{DEADLINE_SECONDS, EndpointId, RegionId, SecurityGroupId};

/// The variables that limit what every command may do, for the help.
const VARIABLES: &str = "\
Environment variables, which apply as in a deployment (lists with commas):
  ALLOWED_REGIONS              The only regions that may be named [default: all]
  PROTECTED_SECURITY_GROUPS    Groups that are never detached
  PROTECTED_ENDPOINTS          Endpoints that are never changed
  REPLACEMENT_SECURITY_GROUPS  vpc-…=sg-…: the group that is attached before an endpoint's last one is detached";

/// Finds the Alibaba Cloud PrivateLink VPC endpoints that use a security group, detaches the group from them, and proves it.
#[derive(Debug, Parser)]
#[command(
    name = super::NAME,
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = VARIABLES
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the endpoints that use security groups, and report whether the list is complete
    Find(Find),
    /// Save the list of `find` as a plan, for review and for `apply`
    Plan(Plan),
    /// Detach the security groups that a plan lists and that are still attached, after one confirmation
    Apply(Apply),
    /// Detach one security group from one endpoint, after a confirmation, and prove it
    Detach(Detach),
    /// Check credentials, account, clock, reachability and permissions
    Doctor(Doctor),
    /// Print the completion script of a shell
    Completion { shell: Shell },
}

#[derive(Debug, Args)]
pub(super) struct Find {
    #[command(flatten)]
    pub(super) scope: Scope,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Plan {
    #[command(flatten)]
    pub(super) scope: Scope,
    /// The most detaches that `apply` may request; `apply` refuses a plan with more, and 0 allows none
    #[arg(long, value_name = "N")]
    pub(super) max_detaches: u32,
    /// The file to write; it must not exist yet
    #[arg(long = "plan-file", value_name = "FILE")]
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Apply {
    /// A file that `plan` wrote within the last 24 hours
    #[arg(value_name = "PLAN-FILE")]
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) write: Write,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Detach {
    /// A security group and an endpoint, in either order
    #[arg(value_names = ["SG", "EP"], num_args = 2, required = true, action = ArgAction::Set)]
    pub(super) ids: Vec<String>,
    /// The region of the endpoint [default: the profile's]
    #[arg(long, value_parser = region_id)]
    pub(super) region: Option<RegionId>,
    #[command(flatten)]
    pub(super) write: Write,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The region to check [default: the profile's]
    #[arg(long, value_parser = region_id)]
    pub(super) region: Option<RegionId>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    pub(super) connection: Connection,
}

/// What is read.
#[derive(Debug, Args)]
pub(super) struct Scope {
    /// Security groups, at most 10
    #[arg(value_name = "SG", required = true, num_args = 1.., value_parser = security_group_id)]
    pub(super) security_group_ids: Vec<SecurityGroupId>,
    /// A region to read; can be repeated up to 50 times [default: the profile's]
    #[arg(long = "region", value_name = "REGION", value_parser = region_id)]
    pub(super) regions: Vec<RegionId>,
    /// Read only endpoints in this VPC
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    vpc_id: Option<String>,
    /// Read only endpoints with this name
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    endpoint_name: Option<String>,
    /// Read only endpoints in this resource group
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    resource_group_id: Option<String>,
    /// Read only endpoints with this tag; can be repeated up to 20 times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<Tag>,
}

/// How a detach is carried out.
#[derive(Debug, Args)]
pub(super) struct Write {
    /// Let Alibaba Cloud check the detach without carrying it out
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask for confirmation; required without a terminal
    #[arg(long)]
    pub(super) yes: bool,
    /// How long to wait until each detach is confirmed, 30s to 11h
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = timeout)]
    pub(super) timeout: Duration,
}

#[derive(Debug, Args)]
pub(super) struct Output {
    /// The format of standard output
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    #[default]
    Table,
    Json,
}

/// Whose credentials are used, and what is called.
#[derive(Debug, Args)]
#[command(next_help_heading = "Credentials and addresses")]
pub(super) struct Connection {
    /// A profile of ~/.aliyun/config.json [default: the environment, then the current profile]
    #[arg(long, value_name = "NAME")]
    pub(super) profile: Option<String>,
    /// The address of PrivateLink: a gateway, or a simulator on loopback
    #[arg(long, value_name = "URL")]
    pub(super) endpoint_url: Option<String>,
    /// The address of STS [default: --endpoint-url if that is on loopback]
    #[arg(long, value_name = "URL")]
    pub(super) sts_endpoint_url: Option<String>,
}

impl Scope {
    /// Which endpoints of a region are read.
    pub(super) fn filter(&self) -> EndpointFilter {
        EndpointFilter {
            vpc_id: self.vpc_id.clone(),
            endpoint_name: self.endpoint_name.clone(),
            resource_group_id: self.resource_group_id.clone(),
            tags: self.tags.clone(),
        }
    }
}

fn region_id(text: &str) -> Result<RegionId, String> {
    RegionId::parse(text).ok_or_else(|| format!("it {}", RegionId::RULE))
}

fn security_group_id(text: &str) -> Result<SecurityGroupId, String> {
    SecurityGroupId::parse(text).ok_or_else(|| format!("it {}", SecurityGroupId::RULE))
}

fn tag(text: &str) -> Result<Tag, &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Tag { key: key.to_owned(), value: value.to_owned() }),
        _ => Err("it must be KEY=VALUE"),
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if DEADLINE_SECONDS.contains(&timeout.as_secs()) {
        Ok(timeout)
    } else {
        Err("it must be 30s to 11h".to_owned())
    }
}

impl Detach {
    /// The two ids, which can be given in either order.
    pub(super) fn target(&self) -> Result<(SecurityGroupId, EndpointId), &'static str> {
        let [first, second] = &self.ids[..] else {
            return Err("a security group and an endpoint are needed");
        };
        let read = |group: &str, endpoint: &str| {
            Some((SecurityGroupId::parse(group)?, EndpointId::parse(endpoint)?))
        };
        read(first, second)
            .or_else(|| read(second, first))
            .ok_or("one id must be a security group's (sg-…) and the other an endpoint's (ep-…)")
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn ids_of_a_detach_are_recognized_in_either_order() {
        let target = |ids: [&str; 2]| {
            let words = ["privatelink-detach", "detach", ids[0], ids[1]];
            let Command::Detach(detach) = Arguments::try_parse_from(words).unwrap().command else {
                unreachable!()
            };
            detach.target().map(|(group, endpoint)| format!("{group} {endpoint}"))
        };
        assert_eq!(target(["sg-a", "ep-b"]), Ok("sg-a ep-b".to_owned()));
        assert_eq!(target(["ep-b", "sg-a"]), Ok("sg-a ep-b".to_owned()));
        assert!(target(["sg-a", "sg-b"]).is_err() && target(["ep-a", "x"]).is_err());
    }
}
