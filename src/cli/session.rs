//! What a command needs to call Alibaba Cloud: credentials, addresses, rules and a clock.

use std::rc::Rc;

use super::arguments::Connection;
use super::credentials::{self, Found, Unusable};
use super::failure::Failure;
use crate::alibaba::client::Client;
use crate::alibaba::credentials::Credentials;
use crate::alibaba::services::{ServiceError, Services};
use crate::alibaba::sts::CallerIdentity;
use crate::clock::Clock;
use crate::config::{self, CliConfig};
use crate::drive::cloud::Cloud;
use crate::random::Random;
use crate::request::RegionId;
use crate::telemetry;
use crate::transport::Https;

/// One run of the program.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) config: CliConfig,
    pub(super) cloud: Cloud<Https>,
    /// STS and ECS.
    pub(super) services: Services<Https>,
    pub(super) clock: Clock,
    /// Where the credentials come from, as messages name it.
    pub(super) source: String,
    /// The region of the profile, for a command that names none.
    pub(super) region_default: Option<RegionId>,
}

impl Session {
    /// Reads configuration and credentials; a role is assumed at once, so that a command does not begin without its session.
    pub(super) async fn open(connection: &Connection) -> Result<Self, Failure> {
        let (url, sts_url) = (connection.endpoint_url.as_deref(), connection.sts_endpoint_url.as_deref());
        let config = CliConfig::read(config::environment, url, sts_url).map_err(Failure::Environment)?;
        let transport = Https::new(config.has_loopback())?.for_sweeps();
        let clock = Clock::start();
        let profile = connection.profile.as_deref();
        let sts_url = config.sts_url.as_ref();
        let Found { source, name, region_id, sts_url } =
            credentials::find(profile, &config::environment, sts_url, &transport, clock.wall())?;
        let services = Services::new(transport.clone(), sts_url, config.ecs_url.clone(), Random::System);
        let client = Client::new(transport, source, config.service_url.clone(), Random::System);
        let cloud = Cloud::new(client, Random::System);
        let session = Self { config, cloud, services, clock, source: name, region_default: region_id };
        session.credentials().await?;
        Ok(session)
    }

    /// The credentials that sign the next call, renewed if they are about to expire.
    pub(super) async fn credentials(&self) -> Result<Rc<Credentials>, Failure> {
        let credentials = self.cloud.client().credentials(&self.clock).await;
        credentials.map_err(|error| Unusable::from(&*error).into())
    }

    /// The account and the identity of the credentials. The call needs no permission.
    pub(super) async fn account(&self) -> Result<CallerIdentity, Failure> {
        let credentials = self.credentials().await?;
        let account = self.services.caller_identity(&credentials, &self.clock).await;
        account.map_err(|error| {
            let cause = telemetry::cause(&error);
            if error.is_credentials() {
                let problem = format!("Alibaba Cloud rejects the credentials from {}: {cause}", self.source);
                Unusable { problem, advice: refused_advice(&error).to_owned() }.into()
            } else {
                Failure::Call(format!("the account of the credentials could not be read: {cause}"))
            }
        })
    }

    /// The regions that a command names, or the profile's.
    pub(super) fn regions(&self, named: &[RegionId]) -> Result<Vec<RegionId>, Failure> {
        match (named, &self.region_default) {
            ([], None) => Err(Failure::Usage(
                "no region: name one with --region, or set region_id in the profile".to_owned(),
            )),
            ([], Some(region)) => Ok(vec![region.clone()]),
            (named, _) => Ok(named.to_vec()),
        }
    }
}

/// What to do about credentials that Alibaba Cloud rejects.
fn refused_advice(error: &ServiceError) -> &'static str {
    let code = error.code();
    if code.starts_with("InvalidAccessKeyId") {
        "correct the AccessKey ID, or enable the AccessKey in RAM"
    } else if code.starts_with("InvalidSecurityToken") || code.starts_with("MissingSecurityToken") {
        "the session has expired, or its token belongs to another AccessKey: replace the AccessKey ID, the secret and the token"
    } else {
        "correct the AccessKey secret, which does not match the AccessKey ID"
    }
}
