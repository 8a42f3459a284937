//! One call to PrivateLink: built, signed, sent once, read, and every failure named.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::credentials::CredentialsSource;
use super::error::{Fault, Kind, Unanswered};
use super::privatelink::{self, Answer, Call, Target};
use super::service_clock::ServiceClock;
use super::service_url::ServiceUrl;
use super::signing::{self, Unsigned};
use super::transport::Transport;

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

    /// Makes one call, once. `now` is signed; the call ends after `timeout` at the latest.
    pub async fn call(&self, target: &Target, call: &Call, now: SystemTime, timeout: Duration) -> Seen {
        let action = call.action();
        let unanswered = |why| Seen { api_request_id: None, result: Err(Fault::unanswered(action, why)) };
        let credentials = self.credentials.current();
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
        for (name, value) in &signed.headers {
            request = request.header(*name, value.as_str());
        }
        // Only keys with characters that no header can hold end here; the configuration refuses them at start.
        let Ok(request) = request.body(Bytes::new()) else {
            return unanswered(Unanswered::ConnectionLost);
        };

        let response = match self.transport.send(request, timeout).await {
            Ok(response) => response,
            Err(why) => return unanswered(why),
        };
        let status = response.status().as_u16();
        if status == 200 {
            return match privatelink::read(action, response.body()) {
                Some((answer, request_id)) => Seen { api_request_id: Some(request_id), result: Ok(answer) },
                None => unanswered(Unanswered::UnreadableAnswer),
            };
        }
        let retry_after = privatelink::retry_after(response.headers());
        let redact = |message: &str| credentials.redact(message);
        let (fault, api_request_id) = Fault::answered(action, status, response.body(), retry_after, redact);
        if fault.kind == Kind::Clock {
            self.service_clock.correct(now, response.headers());
        }
        Seen { api_request_id, result: Err(fault) }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::alibaba::credentials::Credentials;
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
        let mut seen = Vec::new();
        for _ in 0..times {
            let call = Call::ListEndpoints { next_token: None };
            seen.push(client.call(&target, &call, SystemTime::UNIX_EPOCH, Duration::from_secs(1)).await);
        }
        seen
    }

    #[tokio::test]
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

    #[tokio::test]
    async fn a_wrong_clock_is_corrected_by_the_answers_date() {
        let date = [("date", "Thu, 01 Jan 1970 02:00:00 GMT")];
        let canned = canned(400, &date, r#"{"Code":"InvalidTimeStamp.Expired"}"#);
        look(&canned, ServiceUrl::Regional, 2).await;
        let sent = canned.sent.borrow();
        assert_eq!(sent[0].headers()["x-acs-date"], "1970-01-01T00:00:00Z");
        assert_eq!(sent[1].headers()["x-acs-date"], "1970-01-01T02:00:00Z");
    }

    #[tokio::test]
    async fn a_date_that_is_nobodys_clock_is_not_believed() {
        for date in ["Fri, 31 Dec 9999 23:59:59 GMT", "Sun, 04 Jan 1970 00:00:00 GMT", "soon"] {
            let canned = canned(400, &[("date", date)], r#"{"Code":"InvalidTimeStamp.Expired"}"#);
            look(&canned, ServiceUrl::Regional, 2).await;
            assert_eq!(canned.sent.borrow()[1].headers()["x-acs-date"], "1970-01-01T00:00:00Z", "{date}");
        }
    }

    #[tokio::test]
    async fn a_message_that_quotes_our_keys_comes_without_them() {
        let body = r#"{"Code":"SignatureDoesNotMatch","Message":"server string: s3cret t0ken LTAIid"}"#;
        let seen = look(&canned(400, &[], body), ServiceUrl::Regional, 1).await;
        let message = seen[0].result.as_ref().unwrap_err().message.clone().unwrap();
        assert_eq!(message, "server string: [redacted] [redacted] [redacted]");
    }
}
