//! Reads profiles and token files, and calls STS: what a run's credentials need when they are first read and whenever they
//! are renewed. Files are read each time, because other programs renew what is in them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use futures_util::future::LocalBoxFuture;

use super::choice::{OIDC_SOURCE, OidcRole};
use super::profile::{self, AssumedRole, Profile, Source, label};
use super::{FILE, Unusable};
use crate::alibaba::codes::ErrorKind;
use crate::alibaba::credentials::{
    Cached, CredentialError, Credentials, SessionError, SessionSource, TokenExchange, is_one_word,
};
use crate::alibaba::service_clock::ServiceClock;
use crate::alibaba::service_url::ServiceUrl;
use crate::alibaba::services::{ServiceError, Services};
use crate::alibaba::sts::{AssumeRole, AssumeRoleWithOidc};
use crate::clock::{Clock, shifted};
use crate::random::Random;
use crate::telemetry;
use crate::transport::BaseUrl;
use crate::transport::Https;

/// Maximum size of the official CLI's file in bytes: thousands of profiles.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Maximum size of a token file in bytes, several times the length of a token that STS accepts.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// For an error that can disappear without a change.
pub(super) const RETRY: &str =
    "run the command again; if the error persists, check the connection to STS and the proxy variables";

/// The source of a run's sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    pub(super) origin: Origin,
    pub(super) transport: Https,
    /// The address of STS that takes precedence over a profile's.
    pub(super) sts_url: Option<BaseUrl>,
    pub(super) service_clock: Rc<ServiceClock>,
}

/// Where the source is described.
#[derive(Debug)]
pub(super) enum Origin {
    Environment(OidcRole),
    Profile {
        /// The official CLI's file; absent without a home directory.
        path: Option<PathBuf>,
        name: String,
        /// That of the profile when the run began: later credentials must not be those of another account.
        identity: String,
    },
}

/// A profile of the file: the one with this name, or the current one.
pub(super) fn read_profile(
    path: Option<&Path>,
    name: Option<&str>,
    now: SystemTime,
) -> Result<Profile, Unusable> {
    let advice = match name {
        Some(_) => "create it with `aliyun configure`",
        None => {
            "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or create a profile with `aliyun configure`"
        }
    };
    let Some(path) = path else {
        let problem = format!(
            "there are no credentials in the environment, and {FILE} cannot be found because HOME is not set"
        );
        return Err(Unusable::new(problem, advice));
    };
    let text = read_file(path, FILE_BYTES_MAX).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if name.is_none() => Unusable::new(
            format!("there are no credentials in the environment, and {FILE} does not exist"),
            advice,
        ),
        io::ErrorKind::NotFound => Unusable::new(format!("{FILE} does not exist"), advice),
        _ => Unusable::new(format!("{FILE} cannot be read: {error}"), "make it readable"),
    })?;
    profile::read(&text, name, now)
}

/// The content of a file with a limited size.
fn read_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {bytes_max} bytes"),
        ));
    }
    Ok(content)
}

/// The token in a file.
fn read_token(path: &Path) -> Result<String, Unusable> {
    let problem = |what: &str| format!("the token file {} {what}", path.display());
    let content = read_file(path, TOKEN_BYTES_MAX).map_err(|error| {
        Unusable::new(problem(&format!("cannot be read: {error}")), "correct its path, or make it readable")
    })?;
    let token = String::from_utf8(content).unwrap_or_default().trim().to_owned();
    if token.is_empty() || !is_one_word(&token) {
        return Err(Unusable::new(
            problem("contains no token"),
            "write a token of the identity provider to it",
        ));
    }
    Ok(token)
}

impl SessionSource for Sessions {
    fn read<'a>(&'a self, clock: &'a Clock) -> LocalBoxFuture<'a, Result<Cached, CredentialError>> {
        Box::pin(async {
            match &self.origin {
                Origin::Environment(role) => self.exchange(role, None, clock).await,
                Origin::Profile { path, name, identity } => {
                    let profile = read_profile(path.as_deref(), Some(name), clock.wall())?;
                    if profile.identity != *identity {
                        let problem = format!("{} has changed since the command began", label(name));
                        return Err(Unusable::new(problem, "run the command again").into());
                    }
                    self.of(&profile.source, clock).await
                }
            }
        })
    }

    fn name(&self) -> &'static str {
        "a profile or a token file"
    }

    fn advice(&self) -> &'static str {
        match &self.origin {
            Origin::Environment(_) => "check in RAM why the sessions of ALIBABA_CLOUD_ROLE_ARN are rejected",
            Origin::Profile { .. } => {
                "put valid credentials into the profile with `aliyun configure`, or name another one with --profile"
            }
        }
    }

    fn service_clock(&self) -> &Rc<ServiceClock> {
        &self.service_clock
    }
}

impl Sessions {
    /// The credentials of a source.
    fn of<'a>(
        &'a self,
        source: &'a Source,
        clock: &'a Clock,
    ) -> LocalBoxFuture<'a, Result<Cached, CredentialError>> {
        Box::pin(async move {
            match source {
                Source::Fixed(credentials) => Ok(Cached::permanent(credentials.clone())),
                Source::Session { credentials, ends_at } => {
                    let now = clock.wall();
                    let lifetime = ends_at.duration_since(now).unwrap_or_default();
                    Ok(Cached::session(credentials.clone(), now, lifetime))
                }
                Source::Oidc { role, sts_url } => self.exchange(role, sts_url.as_ref(), clock).await,
                Source::Role(role) => {
                    let assumed_with = self.of(&role.assumed_with, clock).await?;
                    self.assume(role, assumed_with.credentials(), clock).await
                }
            }
        })
    }

    /// The address of STS, with the one that a profile names.
    fn sts_url(&self, of_profile: Option<&BaseUrl>) -> BaseUrl {
        self.sts_url.as_ref().or(of_profile).cloned().unwrap_or_else(BaseUrl::sts)
    }

    async fn exchange(
        &self,
        role: &OidcRole,
        sts_url: Option<&BaseUrl>,
        clock: &Clock,
    ) -> Result<Cached, CredentialError> {
        let token = read_token(&role.token_file)?;
        let (transport, sts_url) = (self.transport.clone(), self.sts_url(sts_url));
        let exchange = TokenExchange::new(transport, sts_url, Rc::clone(&self.service_clock));
        let call = AssumeRoleWithOidc {
            role_arn: &role.role_arn,
            oidc_provider_arn: &role.oidc_provider_arn,
            oidc_token: &token,
            role_session_name: &role.session_name,
            policy: None,
        };
        exchange.session(&call, clock).await.map_err(|error| {
            let (is_transient, cause) = (error.is_transient(), telemetry::cause(&error));
            let advice = if is_transient { RETRY } else { exchange_advice(&error.code()) };
            self.failed(error.code().into_owned(), &cause, is_transient, advice)
        })
    }

    async fn assume(
        &self,
        role: &AssumedRole,
        credentials: &Credentials,
        clock: &Clock,
    ) -> Result<Cached, CredentialError> {
        let sts_url = self.sts_url(role.sts_url.as_ref());
        let services = Services::new(self.transport.clone(), sts_url, ServiceUrl::Regional, Random::System)
            .sharing(Rc::clone(&self.service_clock));
        let call = AssumeRole {
            role_arn: &role.role_arn,
            role_session_name: &role.session_name,
            duration: role.duration,
            external_id: role.external_id.as_deref(),
            policy: None,
        };
        let began = clock.wall();
        let session = services.assume_role(&call, credentials, clock).await.map_err(|error| {
            let (is_transient, cause) = (error.is_transient(), telemetry::cause(&error));
            let cause = format!("role {}: {cause}", role.role_arn);
            self.failed(error.code().into_owned(), &cause, is_transient, assume_advice(&error))
        })?;
        // The remaining lifetime is measured by the service's clock: this machine's may be wrong, even by too much for a
        // correction.
        let now = shifted(clock.wall(), self.service_clock.ahead());
        let left = SystemTime::from(session.expiration).duration_since(now).unwrap_or(role.duration);
        Ok(Cached::session(session.credentials, began, left.min(role.duration)))
    }

    fn failed(&self, code: String, cause: &str, is_transient: bool, advice: &str) -> CredentialError {
        let source = match &self.origin {
            Origin::Environment(_) => OIDC_SOURCE.to_owned(),
            Origin::Profile { name, .. } => label(name),
        };
        let message = format!("{source}: {cause}");
        SessionError { code: code.into(), message, is_transient, advice: advice.to_owned() }.into()
    }
}

/// What to do when STS issues no session for a token.
fn exchange_advice(code: &str) -> &'static str {
    match code {
        "AuthenticationFail.OIDCToken.Expired" => "write a new token to the token file",
        "EntityNotExist.Role" => "correct the role's ARN",
        _ => {
            "compare the token's issuer, audience and subject with the OIDC provider and the role's trust policy in RAM, \
             and check the ARNs of both"
        }
    }
}

/// What to do when a role cannot be assumed.
fn assume_advice(error: &ServiceError) -> &'static str {
    match error.kind() {
        ErrorKind::Credentials | ErrorKind::CredentialsExpired => {
            "correct the credentials that assume the role, or renew their session"
        }
        ErrorKind::Denied => {
            "allow the caller sts:AssumeRole on the role, and the caller in the role's trust policy, with external_id if the \
             policy requires one; an account's own AccessKey cannot assume a role"
        }
        _ if error.is_transient() => RETRY,
        _ => "check ram_role_arn, ram_session_name, expired_seconds and external_id of the profile",
    }
}

#[cfg(test)]
mod tests;
