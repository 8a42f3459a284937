//! The checks, from the credentials to the permissions. Each needs the one before it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::report::{Check, Report};
use crate::alibaba::codes::ErrorKind;
use crate::alibaba::error::{CallError, ErrorCode};
use crate::alibaba::privatelink::{EndpointFilter, Read};
use crate::alibaba::records::Endpoint;
use crate::alibaba::response::Response;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::scope::listed;
use crate::cli::session::Session;
use crate::request::{EndpointId, RegionId, SecurityGroupId};
use crate::telemetry;

/// Timeout of one call to PrivateLink, that of the other commands.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Alibaba Cloud rejects signatures of a clock that differs by more. This program corrects the difference, but other programs
/// do not.
const CLOCK_DIFFERENCE_MAX: time::Duration = time::Duration::minutes(15);

/// For a call without a response.
const NETWORK: &str =
    "check the network, the DNS server, the proxy variables and --endpoint-url; then run `doctor` again";

pub(super) struct Checks<'a> {
    pub(super) session: &'a Session,
    pub(super) report: &'a mut Report,
}

impl Checks<'_> {
    /// Makes every check. `region` is the one that the command names.
    pub(super) async fn run(mut self, region: Option<&RegionId>) {
        self.report.ok(Check::Credentials, &self.session.source);
        let are_refused = self.account().await;
        match region.or(self.session.region_default.as_ref()) {
            _ if are_refused => self.report.rest_not_checked("it needs valid credentials"),
            None => self
                .report
                .rest_not_checked("no region: name one with --region, or set region_id in the profile"),
            Some(region) => self.region(region).await,
        }
        self.attach();
    }

    /// The permission to attach is needed only where replacements of last groups are configured.
    fn attach(&mut self) {
        let replacements = &self.session.config.rules.replacements;
        if !replacements.is_empty() {
            let groups: BTreeSet<_> = replacements.iter().map(|(_, id)| id.as_str()).collect();
            let detail = format!(
                "the check needs an endpoint with one group; REPLACEMENT_SECURITY_GROUPS names {}",
                listed(groups)
            );
            let advice = "run `detach --dry-run` on such an endpoint, which changes nothing";
            self.report.not_checked(Check::AttachSecurityGroupToVpcEndpoint, detail, Some(advice));
        }
    }

    /// Checks the account, and the clock, whose time the response of STS shows. Returns whether the credentials are rejected.
    async fn account(&mut self) -> bool {
        match self.session.account().await {
            Ok(identity) => {
                self.report.ok(Check::Account, format!("{} ({})", identity.account_id, identity.arn));
                self.clock();
                false
            }
            Err(Failure::Unusable(unusable)) => {
                self.report.failed(Check::Account, Exit::Credentials, unusable.problem, unusable.advice);
                self.clock();
                true
            }
            Err(failure) => {
                let advice = "check the connection to STS, the proxy variables and --sts-endpoint-url";
                self.report.failed(Check::Account, Exit::Refused, failure.to_string(), advice);
                self.report.not_checked(Check::Clock, "it needs a response from STS", None);
                false
            }
        }
    }

    /// The difference of this machine's clock and Alibaba Cloud's.
    fn clock(&mut self) {
        let clock = self.session.services.service_clock();
        let ahead = clock.ignored().unwrap_or_else(|| clock.ahead());
        let difference = humantime::format_duration(Duration::from_secs(ahead.unsigned_abs().as_secs()));
        let detail = match ahead.whole_seconds() {
            0 => "this machine's clock agrees with Alibaba Cloud's".to_owned(),
            1.. => format!("this machine's clock is {difference} behind Alibaba Cloud's"),
            _ => format!("this machine's clock is {difference} ahead of Alibaba Cloud's"),
        };
        if ahead.abs() >= CLOCK_DIFFERENCE_MAX {
            let advice =
                "set this machine's clock; until then this program signs its calls with Alibaba Cloud's time";
            self.report.failed(Check::Clock, Exit::Refused, detail, advice);
        } else {
            self.report.ok(Check::Clock, detail);
        }
    }

    async fn region(&mut self, region: &RegionId) {
        let read = Read::Endpoints { filter: EndpointFilter::default(), next_token: None };
        let endpoints = self.call(region, &read).await;
        let responds = format!("PrivateLink in {region} responds");
        let endpoints = match endpoints {
            Err(error) if matches!(error.code, ErrorCode::NoResponse(_)) => {
                let detail = format!("PrivateLink in {region}: {}", described(&error));
                self.report.failed(Check::Connection, Exit::Refused, detail, NETWORK);
                self.report.rest_not_checked("it needs a connection to PrivateLink");
                return;
            }
            Err(error) => {
                if error.kind == ErrorKind::NoCredentials {
                    self.report.not_checked(Check::Connection, "no call was made", None);
                } else {
                    self.report.ok(Check::Connection, responds);
                }
                self.failed(Check::ListVpcEndpoints, &error);
                self.report.rest_not_checked("it needs the id of an endpoint");
                return;
            }
            Ok(Response::Endpoints(page)) => page.items,
            Ok(_) => Vec::new(),
        };
        self.report.ok(Check::Connection, responds);
        self.report.ok(Check::ListVpcEndpoints, format!("endpoints of {region} can be listed"));
        let group = self.groups(region, endpoints.first()).await;
        self.existence(region, group).await;
        let advice = "run `detach --dry-run` on one endpoint, which changes nothing";
        self.report.not_checked(
            Check::DetachSecurityGroupFromVpcEndpoint,
            "the check needs an endpoint and a group",
            Some(advice),
        );
    }

    /// Checks whether groups can be listed. Returns one of them.
    async fn groups(&mut self, region: &RegionId, endpoint: Option<&Endpoint>) -> Option<SecurityGroupId> {
        let check = Check::ListVpcEndpointSecurityGroups;
        let endpoint_id = endpoint.and_then(|endpoint| EndpointId::parse(&endpoint.id));
        let Some(endpoint_id) = endpoint_id else {
            self.report.not_checked(check, format!("there is no endpoint in {region}"), None);
            return None;
        };
        let read = Read::SecurityGroups { endpoint_id: endpoint_id.clone(), next_token: None };
        match self.call(region, &read).await {
            Ok(response) => {
                self.report.ok(check, format!("the security groups of {endpoint_id} can be listed"));
                let Response::SecurityGroups(page) = response else { return None };
                page.items.first().and_then(|group| SecurityGroupId::parse(&group.id))
            }
            Err(error) => {
                self.failed(check, &error);
                None
            }
        }
    }

    /// Checks whether ECS responds to the check of a group's existence. Optional.
    async fn existence(&mut self, region: &RegionId, group: Option<SecurityGroupId>) {
        let check = Check::DescribeSecurityGroups;
        let Some(group) = group else {
            self.report.not_checked(check, "it needs the id of a security group", None);
            return;
        };
        let Ok(credentials) = self.session.credentials().await else {
            self.report.not_checked(check, "it needs credentials", None);
            return;
        };
        let groups = [group];
        match self.session.services.security_groups(region, &groups, &credentials, &self.session.clock).await
        {
            Ok(_) => self.report.ok(check, "ECS can confirm that a security group exists"),
            Err(error) => {
                let advice = "optional: without the permission ecs:DescribeSecurityGroups, `find` cannot check that a group exists";
                self.report.not_checked(check, telemetry::cause(&error), Some(advice));
            }
        }
    }

    /// One call, and once more if its response has corrected the clock.
    async fn call(&self, region: &RegionId, read: &Read) -> Result<Response, CallError> {
        let (client, clock) = (self.session.cloud.client(), &self.session.clock);
        let request = read.request(region);
        match client.call(&request, clock, CALL_TIMEOUT).await.result {
            Err(error) if error.kind == ErrorKind::Clock => {
                client.call(&request, clock, CALL_TIMEOUT).await.result
            }
            result => result,
        }
    }

    /// A call to PrivateLink that was refused.
    fn failed(&mut self, check: Check, error: &CallError) {
        let (exit, advice) = match error.kind {
            ErrorKind::Credentials | ErrorKind::CredentialsExpired | ErrorKind::NoCredentials => {
                (Exit::Credentials, "replace the credentials".to_owned())
            }
            ErrorKind::Denied => {
                (Exit::Refused, format!("grant privatelink:{} to the RAM user or role", error.action.name()))
            }
            ErrorKind::Throttled | ErrorKind::Transient | ErrorKind::NoResponse => {
                (Exit::Refused, "run `doctor` again".to_owned())
            }
            _ => (Exit::Refused, "check the region, and correct what the message names".to_owned()),
        };
        self.report.failed(check, exit, described(error), advice);
    }
}

/// What happened, with Alibaba's message or the cause of a lost connection.
fn described(error: &CallError) -> String {
    let message = error.message.clone().or_else(|| error.cause.as_ref().map(ToString::to_string));
    message.map_or_else(|| error.to_string(), |message| format!("{error}: {message}"))
}
