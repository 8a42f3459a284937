//! The sessions that STS hands out, and what their policies permit.

use std::time::SystemTime;

use serde_json::json;

use super::{Cloud, Errand};
use crate::{
    action::Action,
    answer::{Outcome, Refusal},
    ids::{OidcProviderArn, RegionId, RoleArn},
    seed::{self, AccessKey, OidcProvider, Role, SeedError},
    sts::{Granted, Verdict},
};

impl Cloud {
    /// Puts an OIDC provider there, or in the place of the one with its ARN.
    pub fn set_oidc_provider(&mut self, provider: OidcProvider) -> Result<(), SeedError> {
        let mut sts = self.sts.clone();
        sts.providers.insert(provider.arn.clone(), provider);
        seed::check_federation(sts.providers.values(), sts.roles.values())?;
        self.sts = sts;
        Ok(())
    }

    /// Puts a role there, or in the place of the one with its ARN. The sessions that it has stay as they are.
    pub fn set_role(&mut self, role: Role) -> Result<(), SeedError> {
        let mut sts = self.sts.clone();
        sts.roles.insert(role.arn.clone(), role);
        seed::check_federation(sts.providers.values(), sts.roles.values())?;
        self.sts = sts;
        Ok(())
    }

    /// The provider of this ARN.
    #[must_use]
    pub fn oidc_provider(&self, arn: impl Into<OidcProviderArn>) -> Option<&OidcProvider> {
        self.sts.providers.get(&arn.into())
    }

    /// The role of this ARN.
    #[must_use]
    pub fn role(&self, arn: impl Into<RoleArn>) -> Option<&Role> {
        self.sts.roles.get(&arn.into())
    }

    /// The sessions that were handed out, ended ones included, in the order of their keys' ids. At least the
    /// [`crate::SESSIONS_KEPT`] that end last are there.
    pub fn sessions(&self) -> impl Iterator<Item = &AccessKey> {
        self.gate.keys.values().filter(|key| key.session.is_some())
    }

    /// Ends every session that was handed out so far: the next call with one is refused as expired.
    pub fn expire_sessions(&mut self, now: SystemTime) {
        let now = self.server_time(now);
        for key in self.gate.keys.values_mut().filter(|key| key.session.is_some()) {
            let end = key.security_token_expires_at.map_or(now, |end| end.min(now));
            key.security_token_expires_at = Some(end);
        }
    }

    /// Gives a role's session for a token.
    pub(super) fn assume_role(&mut self, errand: Errand<'_>) -> Outcome {
        let Errand { call, request_id, now, .. } = errand;
        let now = self.server_time(now);
        let Granted { key, fields } = self.sts.assume_role(call, &self.settings, request_id, now)?;
        self.gate.add_session(key);
        Ok(fields)
    }

    /// Whether RAM lets the key do this. Without a region, all regions are meant.
    pub(super) fn permit(&self, errand: Errand<'_>, region: Option<&RegionId>) -> Result<(), Refusal> {
        let Errand { action, key, .. } = errand;
        if key.denied_actions.contains(&action) {
            return Err(self.denied(action, key, "ImplicitDeny", "AccountLevelIdentityBasedPolicy"));
        }
        let session = key.session.as_ref();
        let Some((session, policy)) = session.and_then(|session| Some((session, session.policy.as_ref()?)))
        else {
            return Ok(());
        };
        let name = format!("privatelink:{action}");
        for resource in resources(errand, region, session.role_arn.account()) {
            let kind = match policy.verdict(&name, &resource) {
                Verdict::Allowed => continue,
                Verdict::Denied => "ExplicitDeny",
                Verdict::NotAllowed => "ImplicitDeny",
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
        let mut refusal = Refusal::from(self.settings.denial_code.code());
        refusal.access_denied_detail = Some(json!({
            "AuthAction": format!("privatelink:{action}"),
            "AuthPrincipalDisplayName": name,
            "AuthPrincipalType": principal,
            "NoPermissionType": kind,
            "PolicyType": policy,
            "EncodedDiagnosticMessage": "simulated",
        }));
        refusal
    }
}

/// What a call is about, as RAM names it. A policy has to allow all of it.
fn resources(errand: Errand<'_>, region: Option<&RegionId>, account: &str) -> Vec<String> {
    let Errand { action, call, .. } = errand;
    let region = region.map_or("*", RegionId::as_str);
    let named = |parameter| call.get(parameter).unwrap_or("*");
    let endpoint = format!("acs:privatelink:{region}:{account}:vpcendpoint/{}", named("EndpointId"));
    match action {
        Action::AttachSecurityGroupToVpcEndpoint | Action::DetachSecurityGroupFromVpcEndpoint => {
            let group = format!("acs:ecs:{region}:{account}:securitygroup/{}", named("SecurityGroupId"));
            vec![endpoint, group]
        }
        Action::AssumeRoleWithOIDC
        | Action::DescribeRegions
        | Action::GetVpcEndpointAttribute
        | Action::ListVpcEndpointSecurityGroups
        | Action::ListVpcEndpoints => vec![endpoint],
    }
}
