//! One call to PrivateLink: built, signed, sent once, read, and every failure named.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::credentials::{CredentialError, CredentialProblem, Credentials, CredentialsSource};
use super::error::{Fault, Kind, Unanswered};
use super::privatelink::{self, Action, Answer, Call, Target};
use super::service_clock::ServiceClock;
use super::service_url::ServiceUrl;
use super::signing::{self, Unsigned};
use super::transport::Transport;
use crate::clock::Clock;
use crate::request::RegionId;

/// Time for the keys before anybody waits for them, at start: Lambda allows ten seconds for all of it.
const PREPARE_TIME_MAX: Duration = Duration::from_secs(7);

/// The part of a call's time that getting the keys for it may take; what is left is for the call itself.
const CREDENTIALS_TIME_SHARE: f64 = 0.75;

/// Headers that no signature covers. The product's documentation contradicts itself about the format of an answer to
/// whoever asks for none, and gateways may refuse a POST of no stated length; Alibaba's own SDKs send both.
const UNSIGNED: [(&str, &str); 2] = [("accept", "application/json"), ("content-length", "0")];

/// What one call saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Alibaba's id of the call, for its support; absent if there was no readable answer.
    pub api_request_id: Option<String>,
    /// The answer, or what was wrong.
    pub result: Result<Answer, Fault>,
}

/// Signs and sends. One for the life of the process, so that connections are reused.
#[derive(Debug)]
pub struct Client<T> {
    transport: T,
    credentials: CredentialsSource,
    service_url: ServiceUrl,
    service_clock: ServiceClock,
    nonces: RefCell<fastrand::Rng>,
}

impl<T: Transport> Client<T> {
    /// A client; `seed` makes its nonces, and must differ from process to process.
    #[must_use]
    pub fn new(transport: T, credentials: CredentialsSource, service_url: ServiceUrl, seed: u64) -> Self {
        let nonces = RefCell::new(fastrand::Rng::with_seed(seed));
        Self { transport, credentials, service_url, service_clock: ServiceClock::default(), nonces }
    }

    /// Gets the keys before anybody waits for them. Without them, too, the client can be used: it asks again.
    pub async fn prepare(&self, clock: &Clock) -> Result<(), CredentialError> {
        self.credentials_by(clock.now() + PREPARE_TIME_MAX, clock).await.map(drop)
    }

    /// Opens a connection to where this region's calls go, before anybody waits for one. `HEAD` asks for nothing, and whatever
    /// is answered leaves the connection open; without it the first call opens one.
    pub async fn connect(&self, region: &RegionId, timeout: Duration) {
        let (scheme, host) = self.service_url.parts(region);
        let request = http::Request::builder().method("HEAD").uri(format!("{scheme}://{host}/"));
        if let Ok(request) = request.body(Bytes::new()) {
            let _ = self.transport.send(request, timeout).await;
        }
    }

    /// What keeps the client from signing, after a call that failed for it; `None` if the next may succeed.
    #[must_use]
    pub fn credential_problem(&self) -> Option<CredentialProblem> {
        self.credentials.problem()
    }

    /// Makes one call, once. It ends after `timeout` at the latest, getting the keys for it included.
    pub async fn call(&self, target: &Target, call: &Call, clock: &Clock, timeout: Duration) -> Seen {
        let action = call.action();
        let unanswered = |why| Seen { api_request_id: None, result: Err(Fault::unanswered(action, why)) };
        let until = clock.now() + timeout;
        let credentials = match action {
            // It stands on the look just before it, so it takes that look's keys and waits for no others.
            Action::Detach => self.credentials.holding(clock),
            Action::ListSecurityGroups | Action::ListEndpoints => {
                let until = clock.now() + timeout.mul_f64(CREDENTIALS_TIME_SHARE);
                self.credentials_by(until, clock).await.ok()
            }
        };
        let Some(credentials) = credentials else {
            return Seen { api_request_id: None, result: Err(Fault::unsent(action)) };
        };
        let now = clock.wall();
        let (scheme, host) = self.service_url.parts(&target.region_id);
        let nonce = {
            let mut nonces = self.nonces.borrow_mut();
            format!("{:032x}", nonces.u128(..))
        };
        let unsigned = Unsigned {
            host: &host,
            action: action.name(),
            version: privatelink::VERSION,
            parameters: &call.parameters(target),
            signed_at: self.service_clock.at(now),
            nonce: &nonce,
        };
        let signed = signing::sign(&unsigned, &credentials);
        let mut request =
            http::Request::builder().method("POST").uri(format!("{scheme}://{host}/?{}", signed.query));
        for (name, value) in
            signed.headers.iter().map(|(name, value)| (*name, value.as_str())).chain(UNSIGNED)
        {
            request = request.header(name, value);
        }
        // Only keys with characters that no header can hold end here; the configuration refuses them at start.
        let Ok(request) = request.body(Bytes::new()) else {
            return unanswered(Unanswered::ConnectionLost);
        };

        let response = match self.transport.send(request, clock.left(until)).await {
            Ok(response) => response,
            Err(why) => return unanswered(why),
        };
        let status = response.status().as_u16();
        if status == 200 {
            let Some((answer, request_id)) = privatelink::read(action, response.body()) else {
                return unanswered(Unanswered::UnreadableAnswer);
            };
            self.credentials.accepted(&credentials);
            return Seen { api_request_id: Some(request_id), result: Ok(answer) };
        }
        let retry_after = privatelink::retry_after(response.headers());
        let redact = |message: &str| credentials.redact(message);
        let (fault, api_request_id) = Fault::answered(action, status, response.body(), retry_after, redact);
        match fault.kind {
            Kind::Clock => self.service_clock.correct(now, response.headers()),
            Kind::Credentials | Kind::CredentialsExpired => self.credentials.refused(&credentials, clock),
            _ => {}
        }
        Seen { api_request_id, result: Err(fault) }
    }

    /// The keys, read first if that is due and done by then, or why there are none.
    async fn credentials_by(
        &self,
        until: Instant,
        clock: &Clock,
    ) -> Result<Rc<Credentials>, CredentialError> {
        let current = self.credentials.current(&self.transport, &self.service_clock, clock);
        match clock.by(until, current).await {
            Some(current) => current,
            None => self.credentials.at_hand(clock),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::request::{EndpointId, RegionId, SecurityGroupId};

    /// Answers everything alike and keeps what it was sent.
    struct Canned {
        response: Result<http::Response<Bytes>, Unanswered>,
        sent: RefCell<Vec<http::Request<Bytes>>>,
    }

    impl Transport for &Canned {
        async fn send(
            &self,
            request: http::Request<Bytes>,
            _: Duration,
        ) -> Result<http::Response<Bytes>, Unanswered> {
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

    async fn look(canned: &Canned, url: ServiceUrl, times: usize) -> Vec<Seen> {
        let keys = Credentials::new("LTAIid".into(), "s3cret".into(), Some("t0ken".into()));
        let client = Client::new(canned, CredentialsSource::Fixed(Rc::new(keys)), url, 7);
        let target = Target {
            region_id: RegionId::parse("eu-west-1").unwrap(),
            endpoint_id: EndpointId::parse("ep-a").unwrap(),
            security_group_id: SecurityGroupId::parse("sg-a").unwrap(),
        };
        let clock = Clock::starting_at(SystemTime::UNIX_EPOCH);
        let mut seen = Vec::new();
        for _ in 0..times {
            let call = Call::ListEndpoints { next_token: None };
            seen.push(client.call(&target, &call, &clock, Duration::from_secs(1)).await);
        }
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn every_send_goes_to_the_region_with_a_nonce_of_its_own() {
        let canned = canned(200, &[], r#"{"RequestId":"R","Endpoints":[]}"#);
        let seen = look(&canned, ServiceUrl::Regional, 2).await;
        assert_eq!(seen[0].api_request_id.as_deref(), Some("R"));
        let sent = canned.sent.borrow();
        assert_eq!(
            sent[0].uri(),
            "https://privatelink.eu-west-1.aliyuncs.com/?EndpointId=ep-a&MaxResults=50&RegionId=eu-west-1"
        );
        assert_ne!(sent[0].headers()["x-acs-signature-nonce"], sent[1].headers()["x-acs-signature-nonce"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_clock_is_corrected_by_the_answers_date() {
        let date = [("date", "Thu, 01 Jan 1970 02:00:00 GMT")];
        let canned = canned(400, &date, r#"{"Code":"InvalidTimeStamp.Expired"}"#);
        look(&canned, ServiceUrl::Regional, 2).await;
        let sent = canned.sent.borrow();
        assert_eq!(sent[0].headers()["x-acs-date"], "1970-01-01T00:00:00Z");
        assert_eq!(sent[1].headers()["x-acs-date"], "1970-01-01T02:00:00Z");
    }

    #[tokio::test(start_paused = true)]
    async fn a_date_that_is_nobodys_clock_is_not_believed() {
        for date in ["Fri, 31 Dec 9999 23:59:59 GMT", "Sun, 04 Jan 1970 00:00:00 GMT", "soon"] {
            let canned = canned(400, &[("date", date)], r#"{"Code":"InvalidTimeStamp.Expired"}"#);
            look(&canned, ServiceUrl::Regional, 2).await;
            assert_eq!(canned.sent.borrow()[1].headers()["x-acs-date"], "1970-01-01T00:00:00Z", "{date}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_quotes_our_keys_comes_without_them() {
        let body = r#"{"Code":"SignatureDoesNotMatch","Message":"server string: s3cret t0ken LTAIid"}"#;
        let seen = look(&canned(400, &[], body), ServiceUrl::Regional, 1).await;
        let message = seen[0].result.as_ref().unwrap_err().message.clone().unwrap();
        assert_eq!(message, "server string: [redacted] [redacted] [redacted]");
    }
}
