//! The parameters of a call, and the checks that need neither the token nor the role's trust policy.

use std::time::{Duration, SystemTime};

use crate::{
    authentication::check_time,
    call::Call,
    codes,
    ids::{OidcProviderArn, RoleArn},
    response::Refusal,
    seed::SESSION_SECONDS_MIN,
};

use super::policy::SessionPolicy;

/// The maximum length of a session policy, in characters.
const POLICY_CHARACTERS_MAX: usize = 2048;

/// The permitted lengths of a session name.
const SESSION_NAME_CHARACTERS: std::ops::RangeInclusive<usize> = 2..=64;

/// The default session duration.
const SESSION_SECONDS: u32 = 3600;

/// The permitted lengths of an external id.
const EXTERNAL_ID_CHARACTERS: std::ops::RangeInclusive<usize> = 2..=1224;

/// The parameters of a call that issues a session.
pub(super) struct SessionParameters<'a> {
    pub(super) role: RoleArn,
    pub(super) session_name: &'a str,
    pub(super) lifetime: Duration,
    pub(super) policy: Option<SessionPolicy>,
}

impl<'a> SessionParameters<'a> {
    /// Reads and checks the parameters. `seconds_max` returns a role's maximum session duration.
    pub(super) fn read(call: &'a Call, seconds_max: impl FnOnce(&RoleArn) -> u32) -> Result<Self, Refusal> {
        let role = RoleArn::from(call.get("RoleArn").ok_or(codes::MISSING_PARAMETER_ROLE_ARN)?);
        let session_name = call.get("RoleSessionName").ok_or(codes::MISSING_PARAMETER_ROLE_SESSION_NAME)?;
        if !role.is_well_formed() {
            return Err(codes::INVALID_PARAMETER_ROLE_ARN.into());
        }
        if !is_session_name(session_name) {
            return Err(codes::INVALID_PARAMETER_ROLE_SESSION_NAME.into());
        }
        let lifetime = lifetime(call.get("DurationSeconds"), seconds_max(&role))?;
        let policy = policy(call.get("Policy"))?;
        Ok(Self { role, session_name, lifetime, policy })
    }
}

/// Reads and checks the external id of a call of `AssumeRole`.
pub(super) fn external_id(call: &Call) -> Result<Option<&str>, Refusal> {
    let is_valid = |id: &str| {
        EXTERNAL_ID_CHARACTERS.contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_=,.@:/-".contains(&b))
    };
    match call.get("ExternalId") {
        Some(id) if !is_valid(id) => Err(codes::INVALID_PARAMETER_EXTERNAL_ID.into()),
        id => Ok(id),
    }
}

/// The parameters of a call that exchanges a token.
pub(super) struct Parameters<'a> {
    pub(super) session: SessionParameters<'a>,
    pub(super) provider: OidcProviderArn,
    pub(super) token: &'a str,
}

impl<'a> Parameters<'a> {
    /// Reads and checks the parameters. `seconds_max` returns a role's maximum session duration.
    pub(super) fn read(call: &'a Call, seconds_max: impl FnOnce(&RoleArn) -> u32) -> Result<Self, Refusal> {
        let required = |name, code| call.get(name).ok_or(code);
        required("RoleArn", codes::MISSING_PARAMETER_ROLE_ARN)?;
        let provider = required("OIDCProviderArn", codes::MISSING_PARAMETER_OIDC_PROVIDER_ARN)?;
        let provider = OidcProviderArn::from(provider);
        if call.has("OIDCToken") && call.get("OIDCToken").is_none() {
            let message = "The OIDCToken can not empty.";
            return Err(Refusal::with_message(codes::OIDC_TOKEN_INVALID, message));
        }
        let token = required("OIDCToken", codes::MISSING_PARAMETER_OIDC_TOKEN)?;
        let session = SessionParameters::read(call, seconds_max)?;
        if !provider.is_well_formed() {
            let message = "Parameter OIDCProviderArn is not valid";
            return Err(Refusal::with_message(codes::AUTHENTICATION_FAIL_NO_PERMISSION, message));
        }
        Ok(Self { session, provider, token })
    }
}

/// Checks that the call has a timestamp close to the server's time.
pub(super) fn check_timestamp(call: &Call, now: SystemTime) -> Result<(), Refusal> {
    check_time(call.get("Timestamp").ok_or(codes::MISSING_PARAMETER)?, now)
}

fn is_session_name(name: &str) -> bool {
    SESSION_NAME_CHARACTERS.contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'@' | b'-' | b'_'))
}

fn lifetime(requested: Option<&str>, seconds_max: u32) -> Result<Duration, Refusal> {
    let seconds = requested.map_or(Ok(SESSION_SECONDS), str::parse);
    let seconds = seconds.ok().filter(|seconds| (SESSION_SECONDS_MIN..=seconds_max).contains(seconds));
    let seconds = seconds.ok_or(codes::INVALID_PARAMETER_DURATION_SECONDS)?;
    Ok(Duration::from_secs(seconds.into()))
}

fn policy(text: Option<&str>) -> Result<Option<SessionPolicy>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    if text.chars().count() > POLICY_CHARACTERS_MAX {
        return Err(codes::INVALID_PARAMETER_POLICY_SIZE.into());
    }
    let policy = SessionPolicy::parse(text).ok_or(codes::INVALID_PARAMETER_POLICY_GRAMMAR)?;
    Ok(Some(policy))
}
