//! Calls to STS and ECS: signed, sent once, and their response or error read. PrivateLink has a
//! [client](super::client) of its own.
//!
//! A call is repeated once, with the service's time, if the service rejects ours. No other error is retried here.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use thiserror::Error;

use super::access_key::Credentials;
use super::codes::{Code, ErrorKind};
use super::ecs;
use super::error::{Coded, clause};
use super::pages::{Pages, Turn};
use super::service_clock::ServiceClock;
use super::service_url::ServiceUrl;
use super::signed_request::{Redaction, signed_request};
use super::signing::Unsigned;
use super::sts::{self, AssumeRole, CallerIdentity, RoleSession};
use crate::clock::Clock;
use crate::random::Random;
use crate::request::{RegionId, SecurityGroupId};
use crate::transport::BaseUrl;
use crate::transport::NoResponse;
use crate::transport::{SendError, Transport};

/// Timeout of one call, connection included: the default of Alibaba Cloud's SDKs for a response. Both services respond
/// within a second.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// STS and ECS.
///
/// The credentials of every call must be ones that [can be sent](Credentials::can_be_sent).
#[derive(Debug)]
pub struct Services<T> {
    transport: T,
    sts_url: BaseUrl,
    ecs_url: ServiceUrl,
    service_clock: Rc<ServiceClock>,
    nonces: Random,
}

/// One signed operation.
struct Operation<'a> {
    scheme: &'a str,
    host: String,
    action: &'static str,
    version: &'static str,
    parameters: &'a [(&'static str, Cow<'a, str>)],
}

impl<T: Transport> Services<T> {
    /// `nonces` must be a different source in every process.
    #[must_use]
    pub fn new(transport: T, sts_url: BaseUrl, ecs_url: ServiceUrl, nonces: impl Into<Random>) -> Self {
        let nonces = nonces.into();
        Self { transport, sts_url, ecs_url, service_clock: Rc::default(), nonces }
    }

    /// The same services with a clock that other calls correct, too.
    #[must_use]
    pub fn sharing(self, service_clock: Rc<ServiceClock>) -> Self {
        Self { service_clock, ..self }
    }

    /// Alibaba Cloud's clock, as the responses show it.
    #[must_use]
    pub fn service_clock(&self) -> &Rc<ServiceClock> {
        &self.service_clock
    }

    /// Whose credentials these are. The call needs no permission.
    pub async fn caller_identity(
        &self,
        credentials: &Credentials,
        clock: &Clock,
    ) -> Result<CallerIdentity, ServiceError> {
        let operation = self.sts(sts::GET_CALLER_IDENTITY, &[]);
        self.call(&operation, sts::read_caller_identity, credentials, clock).await
    }

    /// A session of another role.
    pub async fn assume_role(
        &self,
        call: &AssumeRole<'_>,
        credentials: &Credentials,
        clock: &Clock,
    ) -> Result<RoleSession, ServiceError> {
        let parameters = call.parameters();
        let operation = self.sts(sts::ASSUME_ROLE, &parameters);
        let read = |body: &[u8]| sts::read(body).filter(|session| session.credentials.can_be_sent());
        self.call(&operation, read, credentials, clock).await
    }

    /// The ids of those of these groups that exist in a region, as ECS spells them. The list is complete: one that is not
    /// is an error.
    pub async fn security_groups(
        &self,
        region: &RegionId,
        ids: &[SecurityGroupId],
        credentials: &Credentials,
        clock: &Clock,
    ) -> Result<Vec<String>, ServiceError> {
        let mut existing = Vec::new();
        for ids in ids.chunks(ecs::IDS_MAX) {
            existing.extend(self.some_security_groups(region, ids, credentials, clock).await?);
        }
        Ok(existing)
    }

    /// The existing ones of as many groups as one call can name.
    async fn some_security_groups(
        &self,
        region: &RegionId,
        ids: &[SecurityGroupId],
        credentials: &Credentials,
        clock: &Clock,
    ) -> Result<Vec<String>, ServiceError> {
        let mut pages = Pages::within(ecs::BOUNDS);
        let mut next_token: Option<String> = None;
        loop {
            let parameters = ecs::parameters(region, ids, next_token.as_deref());
            let (scheme, host) = self.ecs_url.parts(ecs::PRODUCT, region);
            let (action, version) = (ecs::DESCRIBE_SECURITY_GROUPS, ecs::VERSION);
            let operation = Operation { scheme, host, action, version, parameters: &parameters };
            let read = |body: &[u8]| ecs::read(region, next_token.as_deref(), body);
            let page = self.call(&operation, read, credentials, clock).await?;
            match pages.add(page) {
                Turn::More(token) => next_token = Some(token),
                Turn::Complete(list) => return Ok(list.items.into_iter().map(|group| group.0).collect()),
                Turn::Broken => return Err(ServiceError::Unreadable { action }),
            }
        }
    }

    fn sts<'a>(
        &'a self,
        action: &'static str,
        parameters: &'a [(&'static str, Cow<'a, str>)],
    ) -> Operation<'a> {
        let BaseUrl { scheme, authority } = &self.sts_url;
        let (scheme, host) = (scheme.as_str(), authority.to_string());
        Operation { scheme, host, action, version: sts::VERSION, parameters }
    }

    /// Makes one call, and once more if its response has corrected the clock.
    async fn call<R>(
        &self,
        operation: &Operation<'_>,
        read: impl Fn(&[u8]) -> Option<R>,
        credentials: &Credentials,
        clock: &Clock,
    ) -> Result<R, ServiceError> {
        match self.call_once(operation, &read, credentials, clock).await {
            Err(error) if error.kind() == ErrorKind::Clock => {
                self.call_once(operation, &read, credentials, clock).await
            }
            result => result,
        }
    }

    async fn call_once<R>(
        &self,
        operation: &Operation<'_>,
        read: impl Fn(&[u8]) -> Option<R>,
        credentials: &Credentials,
        clock: &Clock,
    ) -> Result<R, ServiceError> {
        let action = operation.action;
        let sent = clock.wall();
        let parameters: Vec<_> = operation.parameters.iter().map(|(name, value)| (*name, &**value)).collect();
        let unsigned = Unsigned {
            host: &operation.host,
            action,
            version: operation.version,
            parameters: &parameters,
            signed_at: self.service_clock.at(sent),
            nonce: &self.nonces.nonce(),
        };
        let request = signed_request(operation.scheme, &unsigned, credentials);
        let redaction = Redaction::of(&request, credentials);
        let response = self.transport.send(request, CALL_TIMEOUT).await;
        let response = response.map_err(|error| ServiceError::NoResponse { action, error })?;
        let (status, headers) = (response.status().as_u16(), response.headers());
        if status == 200 {
            let content = read(response.body()).ok_or(ServiceError::Unreadable { action })?;
            self.service_clock.compare(sent, clock.wall(), headers);
            return Ok(content);
        }
        let redact = |text: &str| redaction.redact(text);
        let (coded, _) = Coded::read(status, response.body(), redact, redact);
        let Some(Coded { code, kind, message }) = coded else {
            return Err(ServiceError::NoResponse { action, error: NoResponse::Status(status).into() });
        };
        self.service_clock.compare(sent, clock.wall(), headers);
        if kind == ErrorKind::Clock {
            self.service_clock.correct(sent, headers);
        }
        Err(ServiceError::Coded { action, status, code, kind, message })
    }
}

/// Why a call to STS or ECS did not succeed. It contains no part of the credentials.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServiceError {
    /// There is no complete response, or one with an HTTP status that has no code.
    #[error("{action} got no readable response: {}", .error.why.name())]
    NoResponse {
        action: &'static str,
        #[source]
        error: SendError,
    },
    /// The service refuses the call or cannot carry it out.
    #[error("{action} failed with {code}{}", clause(.message.as_deref()))]
    Coded {
        action: &'static str,
        status: u16,
        code: Code,
        kind: ErrorKind,
        /// Alibaba's message, shortened and without our credentials.
        message: Option<String>,
    },
    /// A successful response whose content is missing, malformed or incomplete.
    #[error("the response to {action} has no usable content")]
    Unreadable { action: &'static str },
}

impl ServiceError {
    /// What the error means.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoResponse { error, .. } => error.why.kind(),
            Self::Coded { kind, .. } => *kind,
            Self::Unreadable { .. } => ErrorKind::NoResponse,
        }
    }

    /// Alibaba's exact code, or this project's name for an error without one.
    #[must_use]
    pub fn code(&self) -> Cow<'_, str> {
        match self {
            Self::NoResponse { error, .. } => error.why.name(),
            Self::Coded { code, .. } => Cow::Borrowed(code.as_str()),
            Self::Unreadable { .. } => NoResponse::UnreadableAnswer.name(),
        }
    }

    /// Whether RAM denies the call.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.kind() == ErrorKind::Denied
    }

    /// Whether the credentials are wrong, or their session has expired.
    #[must_use]
    pub fn is_credentials(&self) -> bool {
        matches!(self.kind(), ErrorKind::Credentials | ErrorKind::CredentialsExpired)
    }

    /// Whether the error can disappear without a change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let kind = self.kind();
        matches!(
            kind,
            ErrorKind::Transient | ErrorKind::Throttled | ErrorKind::NonceUsed | ErrorKind::NoResponse
        )
    }
}

#[cfg(test)]
mod tests;
