//! The body of an error of Alibaba Cloud: JSON, XML, or a proxy's page.

use std::time::Duration;

use privatelink_detach::alibaba::codes::{Code, ErrorKind};
use privatelink_detach::alibaba::credentials::Credentials;
use privatelink_detach::alibaba::error::{CallError, ErrorCode};
use privatelink_detach::alibaba::privatelink::Action;
use privatelink_detach::transport::NoResponse;

use crate::memory::{Bound, bounded};
use crate::text::{assert_tame, assert_without};

/// The credentials in this check and in that of the responses.
pub(crate) const KEYS: [&str; 3] = ["LTAI5tNobody", "s3cr3tOfNob0dy", "t0k3n/Of+Nobody=="];

/// The statuses with which the body is parsed. 302 is not an error of the service, even with an error's body.
const STATUSES: [u16; 8] = [302, 400, 403, 404, 429, 499, 500, 503];

/// The longest requested delay that is honored, from the contract.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(2);

/// An XML tree takes a few words for each tag, and at most 16 KiB of a body are parsed.
const MEMORY: Bound = Bound { base: 32 * 1024, per_byte: 64 };

pub(crate) fn keys() -> Credentials {
    let [id, secret, token] = KEYS.map(str::to_owned);
    Credentials::new(id, secret, Some(token))
}

pub(crate) fn check(input: &[u8]) {
    let credentials = keys();
    let mut coded = Vec::new();
    for status in STATUSES {
        let (error, api_request_id) = bounded(&MEMORY, input.len(), || {
            CallError::read(Action::Detach, status, input, None, |message| credentials.redact(message), None)
        });
        check_error(&error, status, input);
        check_api_request_id(api_request_id.as_deref());
        match error.code {
            ErrorCode::Alibaba(code) => coded.push((code, error.message)),
            other => assert_eq!(other, ErrorCode::NoResponse(NoResponse::Status(status))),
        }
    }
    let (first, others) = (coded.first(), coded.get(1..).unwrap_or_default());
    assert!(
        first.is_none() || coded.len() == STATUSES.len() - 1,
        "the code of an error depends on its status: {coded:?}"
    );
    assert!(
        others.iter().all(|other| Some(other) == first),
        "the code or message of an error depends on its status: {coded:?}"
    );
}

/// Checks the error of any response that is not a success.
pub(crate) fn check_error(error: &CallError, status: u16, body: &[u8]) {
    let code = match &error.code {
        ErrorCode::Alibaba(code) => Some(code.as_str()),
        ErrorCode::NoResponse(_) | ErrorCode::NoCredentials => None,
    };
    let is = |name: &str| code == Some(name);
    let family = |name: &str| code.is_some_and(|code| code.starts_with(name));
    assert!(Code::parse(&error.code.name()).is_some(), "{error:?}");
    assert_without(&error.code.name(), &KEYS);
    assert!(error.retry_after.is_none_or(|wait| !wait.is_zero() && wait <= RETRY_AFTER_MAX), "{error:?}");
    if code.is_some() {
        assert!((400..600).contains(&status), "{status} is not an error of the service: {error:?}");
        assert!(body.len() <= 16 * 1024, "a body of {} bytes was parsed for a code", body.len());
        assert!(status < 500 || error.keeps_token, "{error:?}");
    } else {
        let expected = if status == 429 { ErrorKind::Throttled } else { ErrorKind::NoResponse };
        assert_eq!((error.kind, &error.message, error.keeps_token), (expected, &None, true), "{error:?}");
    }
    // Each of these ends a request, or is reported as its result.
    assert_eq!(error.kind == ErrorKind::EndpointNotFound, is("EndpointNotFound"), "{error:?}");
    assert_eq!(error.kind == ErrorKind::SecurityGroupNotFound, is("SecurityGroupNotFound"), "{error:?}");
    assert_eq!(error.kind == ErrorKind::DryRunOperation, is("DryRunOperation"), "{error:?}");
    match error.kind {
        ErrorKind::Denied => {
            assert!(is("NoPermission") || family("Forbidden.") || status == 403, "{error:?}");
        }
        ErrorKind::Refused | ErrorKind::Unlisted => {
            assert!(code.is_some() && status < 500 && status != 429, "{error:?}");
        }
        ErrorKind::Credentials => {
            assert!(code.is_some() && !family("Throttling"), "{error:?}");
        }
        ErrorKind::NoCredentials => panic!("the call had credentials: {error:?}"),
        _ => {}
    }
    if let Some(message) = &error.message {
        assert_tame(message, 200);
        assert_without(message, &KEYS);
    }
}

/// Checks Alibaba Cloud's request id of any call.
pub(crate) fn check_api_request_id(id: Option<&str>) {
    assert!(id.is_none_or(|id| (1..=128).contains(&id.len())), "{id:?}");
}
