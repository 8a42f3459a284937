//! The exchange of an OIDC token for a role session of Alibaba Cloud's STS. Where the token comes from does not matter here.
//!
//! Neither token nor session is stored, and neither may appear in a URL, a log line or an error.

use std::rc::Rc;
use std::time::Duration;

use http::header::DATE;

use super::error::CredentialError;
use super::refresh::Cached;
use crate::alibaba::access_key::{REDACTED, redact};
use crate::alibaba::codes::ErrorKind;
use crate::alibaba::error::Coded;
use crate::alibaba::service_clock::{self, ServiceClock};
use crate::alibaba::sts::{self, AssumeRoleWithOidc, SESSION_LIFETIME};
use crate::clock::Clock;
use crate::clock::calendar;
use crate::transport::BaseUrl;
use crate::transport::NoResponse;
use crate::transport::Transport;

/// Timeout of one request to Alibaba Cloud's STS. Together with AWS's time for the token it fits into the share of a
/// call's time that its credentials may take; a second request, after a clock correction, gets the rest of that share.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(4);

/// Shortest usable session: the service states times in whole seconds.
const SESSION_LIFETIME_MIN: Duration = Duration::from_secs(1);

/// Shortest piece of a token that is redacted from messages; a shorter piece reveals nothing.
const TOKEN_PIECE_MIN: usize = 12;

/// Exchanges tokens for sessions at one address of Alibaba Cloud's STS.
#[derive(Debug)]
pub struct TokenExchange<T> {
    transport: T,
    sts_url: BaseUrl,
    service_clock: Rc<ServiceClock>,
}

impl<T> TokenExchange<T> {
    /// The exchange corrects `service_clock` when the STS rejects a timestamp.
    #[must_use]
    pub fn new(transport: T, sts_url: BaseUrl, service_clock: Rc<ServiceClock>) -> Self {
        Self { transport, sts_url, service_clock }
    }

    /// Alibaba Cloud's clock.
    pub(super) fn service_clock(&self) -> &Rc<ServiceClock> {
        &self.service_clock
    }
}

impl<T: Transport> TokenExchange<T> {
    /// The role session for a token, requested again if the first response has corrected the clock.
    pub async fn session(
        &self,
        call: &AssumeRoleWithOidc<'_>,
        clock: &Clock,
    ) -> Result<Cached, CredentialError> {
        match self.assume_role(call, clock).await {
            Err(CredentialError::Rejected { kind: ErrorKind::Clock, .. }) => {
                self.assume_role(call, clock).await
            }
            session => session,
        }
    }

    async fn assume_role(
        &self,
        call: &AssumeRoleWithOidc<'_>,
        clock: &Clock,
    ) -> Result<Cached, CredentialError> {
        let began = clock.wall();
        let request = sts::request(&self.sts_url, call, self.service_clock.at(began));
        let response =
            self.transport.send(request, EXCHANGE_TIMEOUT).await.map_err(CredentialError::NoResponse)?;
        let status = response.status().as_u16();
        if status == 200 {
            // The remaining lifetime is measured by the service's clock: the function's may be wrong.
            let date = service_clock::date(response.headers(), &DATE)
                .unwrap_or_else(|| calendar::utc(self.service_clock.at(clock.wall())));
            let session = sts::read(response.body()).and_then(|session| {
                let lifetime = Duration::try_from(session.expiration - date).ok()?.min(SESSION_LIFETIME);
                let is_usable = session.credentials.can_be_sent() && lifetime >= SESSION_LIFETIME_MIN;
                is_usable.then(|| Cached::session(session.credentials, began, lifetime))
            });
            return session.ok_or(CredentialError::NoContent { call: sts::ACTION });
        }
        let redact = |text: &str| without_token(text, call.oidc_token);
        let (coded, _) = Coded::read(status, response.body(), redact, redact);
        let Some(Coded { code, kind, message }) = coded else {
            return Err(CredentialError::NoResponse(NoResponse::Status(status).into()));
        };
        if kind == ErrorKind::Clock {
            self.service_clock.correct(began, response.headers());
        }
        Err(CredentialError::Rejected { code, kind, message })
    }
}

/// A message without the token, its parts, and any truncated part.
fn without_token(message: &str, token: &str) -> String {
    let mut message = redact(message, token);
    for part in token.split('.') {
        let Some(piece) = part.get(..TOKEN_PIECE_MIN) else { continue };
        message = redact(&message, part);
        while let Some(at) = message.find(piece) {
            let is_of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            let rest = at + piece.len();
            let end = message[rest..].find(|c| !is_of_token(c)).map_or(message.len(), |length| rest + length);
            message.replace_range(at..end, REDACTED);
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::SystemTime;

    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::alibaba::access_key::Credentials;
    use crate::transport::SendError;

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ3b3JrZXIifQ.c2lnbmF0dXJlLW9mLWF3cw";

    /// How long a response takes. A session's lifetime starts before it.
    const RESPONSE_TIME: Duration = Duration::from_millis(400);

    /// Returns its responses in order, and records the requests.
    struct Canned {
        responses: RefCell<Vec<http::Response<Bytes>>>,
        sent: RefCell<Vec<http::Request<Bytes>>>,
    }

    impl Transport for &Canned {
        async fn send(
            &self,
            request: http::Request<Bytes>,
            _: Duration,
        ) -> Result<http::Response<Bytes>, SendError> {
            self.sent.borrow_mut().push(request);
            tokio::time::advance(RESPONSE_TIME).await;
            Ok(self.responses.borrow_mut().remove(0))
        }
    }

    fn canned(responses: &[(u16, &str, &str)]) -> Canned {
        let response = |(status, date, body): &(u16, &str, &str)| {
            let response = http::Response::builder().status(*status).header("date", *date);
            response.body(Bytes::from((*body).to_owned())).unwrap()
        };
        Canned { responses: RefCell::new(responses.iter().map(response).collect()), sent: RefCell::default() }
    }

    fn session(expiration: &str) -> String {
        json!({ "Credentials": {
            "AccessKeyId": "STS.id", "AccessKeySecret": "s3cret", "SecurityToken": "t0ken", "Expiration": expiration,
        }})
        .to_string()
    }

    /// A session that was requested `after` 1970-01-01T00:00:00Z.
    fn cached_since(after: Duration, lifetime: Duration) -> Cached {
        let credentials = Credentials::new("STS.id".into(), "s3cret".into(), Some("t0ken".into()));
        Cached::session(credentials, SystemTime::UNIX_EPOCH + after, lifetime)
    }

    /// Exchanges the token at 1970-01-01T00:00:00Z by the function's clock.
    async fn exchange(canned: &Canned) -> Result<Cached, CredentialError> {
        let call = AssumeRoleWithOidc {
            role_arn: "acs:ram::1234:role/r",
            oidc_provider_arn: "acs:ram::1234:oidc-provider/p",
            oidc_token: TOKEN,
            role_session_name: "session",
            policy: None,
        };
        let exchange = TokenExchange::new(canned, BaseUrl::sts(), Rc::default());
        exchange.session(&call, &Clock::starting_at(SystemTime::UNIX_EPOCH)).await
    }

    #[tokio::test(start_paused = true)]
    async fn session_lifetime_is_measured_by_the_services_clock() {
        let date = "Sun, 22 Nov 2026 07:00:00 GMT";
        for (expiration, seconds) in
            [("2026-11-22T08:00:00Z", 3600), ("2026-11-22T07:15:00Z", 900), ("2026-11-23T07:00:00Z", 3600)]
        {
            let cached = exchange(&canned(&[(200, date, &session(expiration))])).await.unwrap();
            let lifetime = Duration::from_secs(seconds);
            assert_eq!(cached, cached_since(Duration::ZERO, lifetime), "{expiration}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_clock_is_corrected_once_and_the_token_sent_again() {
        let expired = r#"{"Code":"InvalidTimeStamp.Expired"}"#;
        let date = "Thu, 01 Jan 1970 02:00:00 GMT";
        let transport = canned(&[(400, date, expired), (200, date, &session("1970-01-01T03:00:00Z"))]);
        assert!(exchange(&transport).await.is_ok());
        let times: Vec<_> = transport.sent.borrow().iter().map(|sent| sent.uri().to_string()).collect();
        assert!(times[0].contains("Timestamp=1970-01-01T00%3A00%3A00Z"), "{times:?}");
        assert!(times[1].contains("Timestamp=1970-01-01T02%3A00%3A00Z"), "{times:?}");

        // Without a date, the corrected clock measures the lifetime.
        let transport = canned(&[(400, date, expired), (200, "", &session("1970-01-01T02:30:00Z"))]);
        let cached = exchange(&transport).await.unwrap();
        let lifetime = Duration::from_mins(30).saturating_sub(2 * RESPONSE_TIME);
        assert_eq!(cached, cached_since(RESPONSE_TIME, lifetime));

        let transport = canned(&[(400, date, expired), (400, date, expired), (400, date, expired)]);
        let error = exchange(&transport).await.unwrap_err();
        assert_eq!((transport.sent.borrow().len(), error.code()), (2, "InvalidTimeStamp.Expired".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn error_does_not_quote_the_token() {
        let [header, claims, signature] = TOKEN.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
        let whole = format!("Cannot read {TOKEN}");
        let parts = format!("header {header}, claims {claims}, signature {signature}");
        let cut = format!("Cannot read {}...", &TOKEN[..TOKEN.len() - 30]);
        for message in [whole.clone(), parts, whole.replace('.', "%2E"), cut] {
            let body = json!({ "Code": "AuthenticationFail.OIDCToken.Invalid", "Message": message });
            let error = exchange(&canned(&[(401, "", &body.to_string())])).await.unwrap_err();
            for part in [header, claims, signature] {
                assert!(!format!("{error:?}").contains(&part[..TOKEN_PIECE_MIN]), "{error:?}");
            }
            assert!(error.to_string().contains("[redacted]") && !error.is_transient(), "{error:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn unusable_session_is_a_transient_error() {
        let date = "Sun, 22 Nov 2026 07:00:00 GMT";
        let (expired, expiring) = (session("2026-11-22T07:00:00Z"), session("2026-11-22T07:00:00.9Z"));
        let unsendable = session("2026-11-22T08:00:00Z").replace("t0ken", "t 0ken");
        let code = r#"{"Code":"EntityNotExist.Role"}"#;
        for (status, body, name) in [
            (200, "", "UnreadableAnswer"),
            (200, "{}", "UnreadableAnswer"),
            (200, expired.as_str(), "UnreadableAnswer"),
            (200, expiring.as_str(), "UnreadableAnswer"),
            (200, unsendable.as_str(), "UnreadableAnswer"),
            (302, code, "Http302"),
            (403, "<html>proxy</html>", "Http403"),
            (502, "", "Http502"),
            (503, r#"{"Code":"ServiceUnavailable"}"#, "ServiceUnavailable"),
            (400, r#"{"Code":"Throttling.User"}"#, "Throttling.User"),
            (400, r#"{"Code":"SignatureNonceUsed"}"#, "SignatureNonceUsed"),
        ] {
            let error = exchange(&canned(&[(status, date, body)])).await.unwrap_err();
            assert_eq!((error.code(), error.is_transient()), (name.into(), true), "{body}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
        let error = exchange(&canned(&[(404, date, code)])).await.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("EntityNotExist.Role".into(), false));
    }
}
