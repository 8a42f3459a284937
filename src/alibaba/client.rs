//! One call to PrivateLink: signed, sent once, and its response or error read.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::codes::ErrorKind;
use super::credentials::{CredentialError, CredentialProblem, Credentials, CredentialsSource};
use super::error::{CallError, ErrorCode};
use super::privatelink::{self, Request};
use super::response::CallResult;
use super::service_clock::ServiceClock;
use super::service_url::ServiceUrl;
use super::signed_request::{Redaction, signed_request};
use super::signing::Unsigned;
use crate::clock::Clock;
use crate::random::Random;
use crate::request::RegionId;
use crate::transport::{SendError, Transport};

/// Time for the first read of the credentials, at start: Lambda allows ten seconds for the whole initialization.
const PREPARE_TIME_MAX: Duration = Duration::from_secs(7);

/// The share of a call's time that its credentials may take; the call itself gets the rest.
const CREDENTIALS_TIME_SHARE: f64 = 0.75;

/// Signs and sends calls. A process has one, so that connections are reused.
#[derive(Debug)]
pub struct Client<T> {
    transport: T,
    credentials: CredentialsSource<T>,
    service_url: ServiceUrl,
    service_clock: Rc<ServiceClock>,
    nonces: Random,
}

impl<T: Transport> Client<T> {
    /// A client that shares the service clock of its credentials. `nonces` must be a different source in every process.
    #[must_use]
    pub fn new(
        transport: T,
        credentials: CredentialsSource<T>,
        service_url: ServiceUrl,
        nonces: impl Into<Random>,
    ) -> Self {
        let nonces = nonces.into();
        let service_clock = credentials.service_clock();
        Self { transport, credentials, service_url, service_clock, nonces }
    }

    /// Reads the credentials before the first call needs them. After an error the client is usable: calls read them
    /// again.
    pub async fn prepare(&self, clock: &Clock) -> Result<(), Rc<CredentialError>> {
        self.credentials(clock).await.map(drop)
    }

    /// The credentials that sign the next call, for calls to other services.
    pub async fn credentials(&self, clock: &Clock) -> Result<Rc<Credentials>, Rc<CredentialError>> {
        self.credentials_by(clock.now() + PREPARE_TIME_MAX, clock).await
    }

    /// Whether there are credentials that have not expired and that the last response did not refuse.
    #[must_use]
    pub fn has_usable_credentials(&self, clock: &Clock) -> bool {
        self.credentials.unrefused(clock.wall()).is_some()
    }

    /// Opens a connection for a region's calls before the first one needs it. The response to `HEAD` does not matter:
    /// each leaves the connection open. If this fails, the first call opens one.
    pub async fn connect(&self, region: &RegionId, timeout: Duration) {
        let (scheme, host) = self.service_url.parts(privatelink::PRODUCT, region);
        let request = http::Request::builder().method("HEAD").uri(format!("{scheme}://{host}/"));
        if let Ok(request) = request.body(Bytes::new()) {
            let _ = self.transport.send(request, timeout).await;
        }
    }

    /// What an operator must fix, after a call that failed for its credentials; `None` if the next call may succeed.
    #[must_use]
    pub fn credential_problem(&self) -> Option<CredentialProblem> {
        self.credentials.problem()
    }

    /// The time until a read may succeed, after a read that failed because of its credentials; `None` if there will be
    /// no other credentials.
    #[must_use]
    pub fn credential_renewal(&self, clock: &Clock) -> Option<Duration> {
        self.credentials.renewal(clock.wall())
    }

    /// Alibaba Cloud's clock, as its responses show it.
    #[must_use]
    pub fn service_clock(&self) -> &ServiceClock {
        &self.service_clock
    }

    /// Makes one call, once. It ends within `timeout`, including the time for its credentials.
    pub async fn call(&self, request: &Request<'_>, clock: &Clock, timeout: Duration) -> CallResult {
        let until = clock.now() + timeout;
        if request.action.write().is_none() {
            self.refresh_credentials(clock, timeout).await;
        }
        self.send(request, clock, clock.left(until)).await
    }

    /// Reads the credentials if that is due: the first part of [`Self::call`], for a read. It leaves a quarter of
    /// `timeout` to the second part, [`Self::send`].
    ///
    /// A write depends on the read just before it, so it uses that read's credentials and waits for no others.
    pub async fn refresh_credentials(&self, clock: &Clock, timeout: Duration) {
        let until = clock.now() + timeout.mul_f64(CREDENTIALS_TIME_SHARE);
        // Without credentials, the call is not sent and says so.
        let _ = self.credentials_by(until, clock).await;
    }

    /// Makes one call, once, within `timeout`. It waits for no credentials: without any, nothing is sent.
    pub async fn send(&self, request: &Request<'_>, clock: &Clock, timeout: Duration) -> CallResult {
        let action = request.action;
        let credentials = match action.write() {
            Some(_) => self.credentials.unrefused(clock.wall()),
            None => self.credentials.cached(clock.wall()).ok(),
        };
        let Some(credentials) = credentials else {
            return CallError::not_sent(action).into();
        };
        let now = clock.wall();
        let signed = self.signed(request, &credentials, now);
        let redaction = Redaction::of(&signed, &credentials);
        let response = match self.transport.send(signed, timeout).await {
            Ok(response) => response,
            Err(SendError { why, cause }) => {
                return CallError { cause, ..CallError::no_response(action, why) }.into();
            }
        };
        let status = response.status().as_u16();
        let redact = |text: &str| redaction.redact(text);
        let result = CallResult::read(request, status, response.headers(), response.body(), redact);
        if !matches!(&result.result, Err(CallError { code: ErrorCode::NoResponse(_), .. })) {
            self.service_clock.compare(now, clock.wall(), response.headers());
        }
        match &result.result {
            Ok(_) if status == 200 => self.credentials.mark_accepted(&credentials),
            Err(error) if error.kind == ErrorKind::Clock => {
                self.service_clock.correct(now, response.headers());
            }
            Err(error) if matches!(error.kind, ErrorKind::Credentials | ErrorKind::CredentialsExpired) => {
                self.credentials.mark_refused(&credentials, clock.wall());
            }
            Ok(_) | Err(_) => {}
        }
        result
    }

    fn signed(
        &self,
        request: &Request<'_>,
        credentials: &Credentials,
        now: SystemTime,
    ) -> http::Request<Bytes> {
        let (scheme, host) = self.service_url.parts(privatelink::PRODUCT, request.region_id);
        let parameters: Vec<_> = request.parameters.iter().map(|(name, value)| (&**name, *value)).collect();
        let unsigned = Unsigned {
            host: &host,
            action: request.action.name(),
            version: privatelink::VERSION,
            parameters: &parameters,
            signed_at: self.service_clock.at(now),
            nonce: &self.nonces.nonce(),
        };
        signed_request(scheme, &unsigned, credentials)
    }

    /// The credentials, or why there are none, after a read if one is due and ends by `until`.
    async fn credentials_by(
        &self,
        until: Instant,
        clock: &Clock,
    ) -> Result<Rc<Credentials>, Rc<CredentialError>> {
        match clock.by(until, self.credentials.current(clock)).await {
            Some(current) => current,
            None => self.credentials.cached(clock.wall()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::SystemTime;

    use super::*;
    use crate::alibaba::privatelink::{Call, Target};
    use crate::alibaba::signed_request::{NONCE, header, signature};
    use crate::request::{EndpointId, RegionId, SecurityGroupId};

    /// Returns the same response to every request, and records the requests.
    struct Canned {
        response: Result<http::Response<Bytes>, SendError>,
        sent: RefCell<Vec<http::Request<Bytes>>>,
    }

    impl Transport for &Canned {
        async fn send(
            &self,
            request: http::Request<Bytes>,
            _: Duration,
        ) -> Result<http::Response<Bytes>, SendError> {
            self.sent.borrow_mut().push(request);
            self.response.clone()
        }
    }

    fn canned(status: u16, headers: &[(&'static str, &str)], body: &str) -> Canned {
        let mut response = http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        Canned { response: Ok(response.body(body.to_owned().into()).unwrap()), sent: RefCell::default() }
    }

    async fn list_endpoints(canned: &Canned, url: ServiceUrl, times: usize) -> Vec<CallResult> {
        let credentials = Credentials::new("LTAIid".into(), "s3cret".into(), Some("t0ken".into()));
        let client = Client::new(canned, CredentialsSource::Fixed(Rc::new(credentials)), url, 7);
        let target = Target {
            region_id: RegionId::parse("eu-west-1").unwrap(),
            endpoint_id: EndpointId::parse("ep-a").unwrap(),
            security_group_id: SecurityGroupId::parse("sg-a").unwrap(),
        };
        let clock = Clock::starting_at(SystemTime::UNIX_EPOCH);
        let mut seen = Vec::new();
        for _ in 0..times {
            let call = Call::ListEndpoints { next_token: None };
            seen.push(client.call(&call.request(&target), &clock, Duration::from_secs(1)).await);
        }
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn every_request_goes_to_the_region_with_its_own_nonce() {
        let canned =
            canned(200, &[], r#"{"RequestId":"8D778FF9-7640-4C13-BCD6-9265CA9A2F81","Endpoints":[]}"#);
        let seen = list_endpoints(&canned, ServiceUrl::Regional, 2).await;
        assert_eq!(seen[0].api_request_id.as_deref(), Some("8D778FF9-7640-4C13-BCD6-9265CA9A2F81"));
        let sent = canned.sent.borrow();
        assert_eq!(
            sent[0].uri(),
            "https://privatelink.eu-west-1.aliyuncs.com/?EndpointId=ep-a&MaxResults=50&RegionId=eu-west-1"
        );
        assert_ne!(sent[0].headers()["x-acs-signature-nonce"], sent[1].headers()["x-acs-signature-nonce"]);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_clock_is_corrected_by_the_date_of_the_response() {
        let date = [("date", "Thu, 01 Jan 1970 02:00:00 GMT")];
        let canned = canned(400, &date, r#"{"Code":"InvalidTimeStamp.Expired"}"#);
        list_endpoints(&canned, ServiceUrl::Regional, 2).await;
        let sent = canned.sent.borrow();
        assert_eq!(sent[0].headers()["x-acs-date"], "1970-01-01T00:00:00Z");
        assert_eq!(sent[1].headers()["x-acs-date"], "1970-01-01T02:00:00Z");
    }

    #[tokio::test(start_paused = true)]
    async fn implausible_date_is_ignored() {
        for date in ["Fri, 31 Dec 9999 23:59:59 GMT", "Sun, 04 Jan 1970 00:00:00 GMT", "soon"] {
            let canned = canned(400, &[("date", date)], r#"{"Code":"InvalidTimeStamp.Expired"}"#);
            list_endpoints(&canned, ServiceUrl::Regional, 2).await;
            assert_eq!(canned.sent.borrow()[1].headers()["x-acs-date"], "1970-01-01T00:00:00Z", "{date}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn signature_and_nonce_are_redacted_from_messages() {
        // Signed with the same nonce and time, so that the message can quote both of the call.
        let first = canned(200, &[], r#"{"RequestId":"R","Endpoints":[]}"#);
        list_endpoints(&first, ServiceUrl::Regional, 1).await;
        let sent = first.sent.borrow()[0].clone();
        let (signature, nonce) = (signature(&sent), header(&sent, NONCE));
        assert_eq!((signature.len(), nonce.len()), (64, 32));
        let body = format!(r#"{{"Code":"SignatureDoesNotMatch","Message":"not {signature} for {nonce}"}}"#);
        let seen = list_endpoints(&canned(400, &[], &body), ServiceUrl::Regional, 1).await;
        let error = seen[0].result.as_ref().unwrap_err();
        assert_eq!(error.message.as_deref(), Some("not [redacted] for [redacted]"));
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_are_redacted_from_messages() {
        let body = r#"{"Code":"SignatureDoesNotMatch","Message":"server string: s3cret t0ken LTAIid"}"#;
        let seen = list_endpoints(&canned(400, &[], body), ServiceUrl::Regional, 1).await;
        let message = seen[0].result.as_ref().unwrap_err().message.clone().unwrap();
        assert_eq!(message, "server string: [redacted] [redacted] [redacted]");
    }
}
