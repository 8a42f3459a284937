//! What a call asks for, checked as far as it can be without the token.

use std::time::{Duration, SystemTime};

use crate::{
    answer::Refusal,
    call::Call,
    codes,
    gate::check_time,
    ids::{OidcProviderArn, RoleArn},
    seed::SESSION_SECONDS_MIN,
};

use super::policy::SessionPolicy;

/// The most characters of a session policy.
const POLICY_CHARACTERS_MAX: usize = 2048;

/// How long a session's name is.
const SESSION_NAME_CHARACTERS: std::ops::RangeInclusive<usize> = 2..=64;

/// The session that is asked for when nothing is said about its length.
const SESSION_SECONDS: u32 = 3600;

/// A call's parameters.
pub(super) struct Asked<'a> {
    pub(super) role: RoleArn,
    pub(super) provider: OidcProviderArn,
    pub(super) token: &'a str,
    pub(super) session_name: &'a str,
    pub(super) lifetime: Duration,
    pub(super) policy: Option<SessionPolicy>,
}

impl<'a> Asked<'a> {
    /// `seconds_max` gives the longest session of a role.
    pub(super) fn read(call: &'a Call, seconds_max: impl FnOnce(&RoleArn) -> u32) -> Result<Self, Refusal> {
        let required = |name, code| call.get(name).ok_or(code);
        let role = RoleArn::from(required("RoleArn", codes::MISSING_PARAMETER_ROLE_ARN)?);
        let provider = required("OIDCProviderArn", codes::MISSING_PARAMETER_OIDC_PROVIDER_ARN)?;
        let provider = OidcProviderArn::from(provider);
        if call.has("OIDCToken") && call.get("OIDCToken").is_none() {
            let message = "The OIDCToken can not empty.";
            return Err(Refusal::because(codes::OIDC_TOKEN_INVALID, message));
        }
        let token = required("OIDCToken", codes::MISSING_PARAMETER_OIDC_TOKEN)?;
        let session_name = required("RoleSessionName", codes::MISSING_PARAMETER_ROLE_SESSION_NAME)?;
        if !role.is_well_formed() {
            return Err(codes::INVALID_PARAMETER_ROLE_ARN.into());
        }
        if !provider.is_well_formed() {
            let message = "Parameter OIDCProviderArn is not valid";
            return Err(Refusal::because(codes::AUTHENTICATION_FAIL_NO_PERMISSION, message));
        }
        if !is_session_name(session_name) {
            return Err(codes::INVALID_PARAMETER_ROLE_SESSION_NAME.into());
        }
        let lifetime = lifetime(call.get("DurationSeconds"), seconds_max(&role))?;
        let policy = policy(call.get("Policy"))?;
        Ok(Self { role, provider, token, session_name, lifetime, policy })
    }
}

/// Whether the call says a time that is near the server's.
pub(super) fn check_timestamp(call: &Call, now: SystemTime) -> Result<(), Refusal> {
    check_time(call.get("Timestamp").ok_or(codes::MISSING_PARAMETER)?, now)
}

fn is_session_name(name: &str) -> bool {
    SESSION_NAME_CHARACTERS.contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'@' | b'-' | b'_'))
}

fn lifetime(asked: Option<&str>, seconds_max: u32) -> Result<Duration, Refusal> {
    let seconds = asked.map_or(Ok(SESSION_SECONDS), str::parse);
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
