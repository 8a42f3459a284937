//! The calls to STS and ECS, over HTTP, against the simulator: it verifies each signature, each session and each role.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;
use std::time::Duration;

use privatelink_detach::alibaba::credentials::Credentials;
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::alibaba::services::{ServiceError, Services};
use privatelink_detach::alibaba::sts::{AssumeRole, RoleSession};
use privatelink_detach::clock::Clock;
use privatelink_detach::random::Random;
use privatelink_detach::request::{RegionId, SecurityGroupId};
use privatelink_detach::transport::BaseUrl;
use privatelink_detach::transport::Https;
use privatelink_simulator::{AccessKey, Action, Cloud, Effect, Endpoint, Fault, OWNER, Role, Seed, Server};

const READER: &str = "acs:ram::6543210987654321:role/reader";
const AUDITOR: &str = "acs:ram::6543210987654321:role/auditor";

/// The simulator, with the services at its address.
struct Local {
    server: Server,
    services: Services<Https>,
}

impl Local {
    async fn start() -> Self {
        let reader = Role { external_id: Some("e/1".to_owned()), ..Role::trusting(READER, [OWNER]) };
        let seed = Seed {
            roles: vec![reader, Role::trusting(AUDITOR, [READER])],
            endpoints: vec![Endpoint::new("eu-west-1", "ep-a", ["sg-a", "sg-b", "sg-c"])],
            ..Seed::default()
        };
        let server = Server::start(Cloud::new(seed).unwrap(), (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let parts = server.url().parse::<http::Uri>().unwrap().into_parts();
        let url = BaseUrl { scheme: parts.scheme.unwrap(), authority: parts.authority.unwrap() };
        let (https, ecs_url) = (Https::new(true).unwrap(), ServiceUrl::Fixed(url.clone()));
        Self { server, services: Services::new(https, url, ecs_url, Random::System) }
    }

    async fn account_id(&self, credentials: &Credentials) -> Result<String, ServiceError> {
        let identity = self.services.caller_identity(credentials, &Clock::start()).await?;
        Ok(identity.account_id)
    }

    async fn assume(
        &self,
        role_arn: &str,
        external_id: Option<&str>,
        credentials: &Credentials,
    ) -> Result<RoleSession, ServiceError> {
        let policy = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
        let call = AssumeRole {
            role_arn,
            role_session_name: "me@laptop",
            duration: Duration::from_mins(15),
            external_id,
            policy: Some(policy),
        };
        self.services.assume_role(&call, credentials, &Clock::start()).await
    }

    /// Those of `sg-a`, `sg-b` and `sg-none` that exist in a region.
    async fn groups(&self, region: &str) -> Result<Vec<String>, ServiceError> {
        let ids = ["sg-a", "sg-b", "sg-none"].map(|id| SecurityGroupId::parse(id).unwrap());
        let region = RegionId::parse(region).unwrap();
        self.services.security_groups(&region, &ids, &operator(), &Clock::start()).await
    }
}

fn operator() -> Credentials {
    let key = AccessKey::default();
    Credentials::new(key.access_key_id.to_string(), key.access_key_secret, None)
}

#[tokio::test]
async fn sessions_of_chained_roles_have_their_own_account() {
    let local = Local::start().await;
    assert_eq!(local.account_id(&operator()).await.unwrap(), "1234567890123456");
    let reader = local.assume(READER, Some("e/1"), &operator()).await.unwrap().credentials;
    assert_eq!(local.account_id(&reader).await.unwrap(), "6543210987654321");
    let auditor = local.assume(AUDITOR, None, &reader).await.unwrap().credentials;
    let identity = local.services.caller_identity(&auditor, &Clock::start()).await.unwrap();
    assert_eq!(identity.arn, "acs:ram::6543210987654321:assumed-role/auditor/me@laptop");
    assert_eq!(identity.identity_type, "AssumedRoleUser");
    assert_eq!(local.server.cloud().counts().signatures_rejected, 0);
}

#[tokio::test]
async fn role_that_does_not_trust_the_caller_is_denied() {
    let local = Local::start().await;
    for (role, external_id) in [(READER, None), (READER, Some("e/2")), (AUDITOR, None)] {
        let error = local.assume(role, external_id, &operator()).await.unwrap_err();
        assert!(error.is_denied() && !error.is_credentials(), "{error}");
    }
    let error = local.assume("acs:ram::1:role/none", None, &operator()).await.unwrap_err();
    assert_eq!((&*error.code(), error.is_denied()), ("EntityNotExist.Role", false));
}

#[tokio::test]
async fn existing_groups_are_found_on_every_page() {
    let local = Local::start().await;
    assert_eq!(local.groups("eu-west-1").await.unwrap(), ["sg-a", "sg-b"]);
    assert_eq!(local.groups("us-east-1").await.unwrap(), [""; 0]);
    local.server.cloud().change_settings(|settings| settings.page_size_max = 1);
    assert_eq!(local.groups("eu-west-1").await.unwrap(), ["sg-a", "sg-b"]);
    assert_eq!(local.server.cloud().counts().of(Action::DescribeSecurityGroups), 4);
    assert_eq!(local.server.cloud().counts().signatures_rejected, 0);
}

#[tokio::test]
async fn list_that_is_not_complete_or_not_allowed_is_an_error() {
    let local = Local::start().await;
    let action = Action::DescribeSecurityGroups;
    for effect in [
        Effect::OverstatedTotal { by: 1 },
        Effect::RepeatedItem,
        Effect::RepeatNextToken,
        Effect::Unsuccessful,
    ] {
        local.server.cloud().inject(Fault::on(action, effect.clone()));
        let error = local.groups("eu-west-1").await.unwrap_err();
        assert_eq!(error, ServiceError::Unreadable { action: action.name() }, "{effect:?}");
        local.server.cloud().clear_faults();
    }
    let denied = AccessKey { denied_actions: [action].into(), ..AccessKey::default() };
    local.server.cloud().set_access_key(denied);
    assert!(local.groups("eu-west-1").await.unwrap_err().is_denied());
}

#[tokio::test]
async fn wrong_clock_costs_one_more_call() {
    let local = Local::start().await;
    local.server.cloud().change_settings(|settings| settings.clock_offset_ms = 3_600_000);
    assert!(local.account_id(&operator()).await.is_ok());
    assert!(local.account_id(&operator()).await.is_ok());
    assert_eq!(local.server.cloud().counts().of(Action::GetCallerIdentity), 3);
    let ahead = local.services.service_clock().ahead().whole_minutes();
    assert!((59..=60).contains(&ahead), "{ahead}");
}

#[tokio::test]
async fn wrong_credentials_are_recognized() {
    let local = Local::start().await;
    let key = AccessKey::default().access_key_id.to_string();
    for credentials in [
        Credentials::new(key, "wrong".to_owned(), None),
        Credentials::new("LTAIunknown".to_owned(), "wrong".to_owned(), None),
    ] {
        let error = local.account_id(&credentials).await.unwrap_err();
        assert!(error.is_credentials() && !error.is_denied() && !error.is_transient(), "{error}");
    }
    local.server.cloud().inject(Fault::on(Action::GetCallerIdentity, Effect::Reset));
    let error = local.account_id(&operator()).await.unwrap_err();
    assert!(error.is_transient() && error.code() == "ConnectionLost", "{error}");
}
