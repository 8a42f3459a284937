//! The sessions that STS issues, and the permissions of their policies.

use std::time::SystemTime;

use http::StatusCode;
use serde_json::{Value, json};

use super::{CallContext, Cloud};
use crate::{
    action::{Action, Product},
    codes,
    ids::{OidcProviderArn, RegionId, RoleArn},
    response::{Outcome, Refusal},
    seed::{self, AccessKey, OidcProvider, Role, SeedError},
    sts::{Decision, IssuedSession},
};

impl Cloud {
    /// Adds an OIDC provider, or replaces the one with the same ARN.
    pub fn set_oidc_provider(&mut self, provider: OidcProvider) -> Result<(), SeedError> {
        let mut sts = self.sts.clone();
        sts.providers.insert(provider.arn.clone(), provider);
        seed::check_federation(sts.providers.values(), sts.roles.values())?;
        self.sts = sts;
        Ok(())
    }

    /// Adds a role, or replaces the one with the same ARN. The role's existing sessions do not change.
    pub fn set_role(&mut self, role: Role) -> Result<(), SeedError> {
        let mut sts = self.sts.clone();
        sts.roles.insert(role.arn.clone(), role);
        seed::check_federation(sts.providers.values(), sts.roles.values())?;
        self.sts = sts;
        Ok(())
    }

    #[must_use]
    pub fn oidc_provider(&self, arn: impl Into<OidcProviderArn>) -> Option<&OidcProvider> {
        self.sts.providers.get(&arn.into())
    }

    #[must_use]
    pub fn role(&self, arn: impl Into<RoleArn>) -> Option<&Role> {
        self.sts.roles.get(&arn.into())
    }

    /// The issued sessions, ended ones included, sorted by access key id. If more than [`crate::SESSIONS_MAX`] were
    /// issued, those that expire first were removed.
    pub fn sessions(&self) -> impl Iterator<Item = &AccessKey> {
        self.authenticator.access_keys.values().filter(|key| key.session.is_some())
    }

    /// Ends every session issued so far: the next call with one is refused as expired.
    pub fn expire_sessions(&mut self, now: SystemTime) {
        let now = self.server_time(now);
        for key in self.authenticator.access_keys.values_mut().filter(|key| key.session.is_some()) {
            let end = key.security_token_expires_at.map_or(now, |end| end.min(now));
            key.security_token_expires_at = Some(end);
        }
    }

    /// Issues credentials of a role's session in exchange for a token.
    pub(super) fn exchange_token(&mut self, context: CallContext<'_>) -> Outcome {
        let CallContext { call, request_id, now, .. } = context;
        let now = self.server_time(now);
        let issued = self.sts.exchange_token(call, &self.settings, request_id, now)?;
        Ok(self.add_session(issued))
    }

    /// Issues credentials of a role's session in exchange for the caller's own.
    pub(super) fn assume_role(&mut self, context: CallContext<'_>) -> Outcome {
        let CallContext { call, key, request_id, now, .. } = context;
        self.check_permissions(context, None)?;
        let now = self.server_time(now);
        let issued = self.sts.assume_role(call, key, &self.settings, request_id, now)?;
        Ok(self.add_session(issued))
    }

    fn add_session(&mut self, issued: IssuedSession) -> Value {
        self.authenticator.add_session(issued.key);
        issued.fields
    }

    /// Checks that RAM allows the call to the key. `None` as region means all regions.
    pub(super) fn check_permissions(
        &self,
        context: CallContext<'_>,
        region: Option<&RegionId>,
    ) -> Result<(), Refusal> {
        let CallContext { action, key, .. } = context;
        if key.denied_actions.contains(&action) {
            return Err(self.denied(action, key, "ImplicitDeny", "AccountLevelIdentityBasedPolicy"));
        }
        let Some(policy) = key.session.as_ref().and_then(|session| session.policy.as_ref()) else {
            return Ok(());
        };
        let name = ram_name(action);
        for resource in resources(context, region, key.principal().account()) {
            let kind = match policy.decide(&name, &resource) {
                Decision::Allowed => continue,
                Decision::ExplicitDeny => "ExplicitDeny",
                Decision::ImplicitDeny => "ImplicitDeny",
            };
            return Err(self.denied(action, key, kind, "SessionPolicy"));
        }
        Ok(())
    }

    fn denied(&self, action: Action, key: &AccessKey, kind: &str, policy: &str) -> Refusal {
        let (principal, name) = match &key.session {
            None => ("SubUser", key.access_key_id.to_string()),
            Some(session) => {
                ("AssumedRoleUser", format!("{}:{}", session.role_arn.name(), session.session_name))
            }
        };
        let mut refusal = match action.product() {
            Product::Ecs => codes::FORBIDDEN_RAM.into(),
            Product::PrivateLink => self.settings.denial_code.code().into(),
            Product::Sts => Refusal { status: StatusCode::FORBIDDEN, ..codes::NO_PERMISSION.into() },
        };
        refusal.access_denied_detail = Some(json!({
            "AuthAction": ram_name(action),
            "AuthPrincipalDisplayName": name,
            "AuthPrincipalType": principal,
            "NoPermissionType": kind,
            "PolicyType": policy,
            "EncodedDiagnosticMessage": "simulated",
        }));
        refusal
    }
}

/// The action, as a RAM policy names it.
fn ram_name(action: Action) -> String {
    format!("{}:{action}", action.product().ram_name())
}

/// The resources of a call, as RAM names them. A policy must allow all of them.
fn resources(context: CallContext<'_>, region: Option<&RegionId>, account: &str) -> Vec<String> {
    let CallContext { action, call, .. } = context;
    let region = region.map_or("*", RegionId::as_str);
    let named = |parameter| call.get(parameter).unwrap_or("*");
    let endpoint = format!("acs:privatelink:{region}:{account}:vpcendpoint/{}", named("EndpointId"));
    match action {
        Action::AttachSecurityGroupToVpcEndpoint | Action::DetachSecurityGroupFromVpcEndpoint => {
            let group = format!("acs:ecs:{region}:{account}:securitygroup/{}", named("SecurityGroupId"));
            vec![endpoint, group]
        }
        Action::AssumeRole => vec![named("RoleArn").to_owned()],
        Action::DescribeSecurityGroups => vec![format!("acs:ecs:{region}:{account}:securitygroup/*")],
        Action::AssumeRoleWithOIDC
        | Action::DescribeRegions
        | Action::GetCallerIdentity
        | Action::GetVpcEndpointAttribute
        | Action::ListVpcEndpointSecurityGroups
        | Action::ListVpcEndpoints => vec![endpoint],
    }
}
