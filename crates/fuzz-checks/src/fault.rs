//! The body of an error of Alibaba Cloud: JSON, XML, or a proxy's page.

use std::time::Duration;

use privatelink_detach::alibaba::credentials::Credentials;
use privatelink_detach::alibaba::error::{Code, Fault, Kind};
use privatelink_detach::alibaba::privatelink::Action;

use crate::memory::{Bound, bounded};
use crate::text::{assert_tame, assert_without};

/// What the keys are, in this check and in that of the answers.
pub(crate) const KEYS: [&str; 3] = ["LTAI5tNobody", "s3cr3tOfNob0dy", "t0k3n/Of+Nobody=="];

/// The statuses that the body is read with. 302 is no error, whatever the body says.
const STATUSES: [u16; 8] = [302, 400, 403, 404, 429, 499, 500, 503];

/// The largest hint that is honoured, the contract's.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(2);

/// A tree of XML has a few words for each tag, and a body that is read is at most 16 KiB.
const MEMORY: Bound = Bound { base: 32 * 1024, per_byte: 64 };

pub(crate) fn keys() -> Credentials {
    let [id, secret, token] = KEYS.map(str::to_owned);
    Credentials::new(id, secret, Some(token))
}

pub(crate) fn check(input: &[u8]) {
    let keys = keys();
    let mut names = Vec::new();
    for status in STATUSES {
        let (fault, api_request_id) = bounded(&MEMORY, input.len(), || {
            Fault::answered(Action::Detach, status, input, None, |message| keys.redact(message))
        });
        check_fault(&fault, status, input);
        check_api_request_id(api_request_id.as_deref());
        if fault.is_coded {
            names.push((fault.name, fault.message));
        } else {
            assert_eq!(fault.name, format!("Http{status}"));
        }
    }
    let (first, others) = (names.first(), names.get(1..).unwrap_or_default());
    assert!(
        first.is_none() || names.len() == STATUSES.len() - 1,
        "an error has a code whatever its status: {names:?}"
    );
    assert!(others.iter().all(|other| Some(other) == first), "and the same one: {names:?}");
}

/// What holds for the fault of every answer that is not the one that was asked for.
pub(crate) fn check_fault(fault: &Fault, status: u16, body: &[u8]) {
    let is = |name: &str| fault.is_coded && fault.name == name;
    let family = |name: &str| fault.is_coded && fault.name.starts_with(name);
    assert!(Code::parse(&fault.name).is_some(), "{fault:?}");
    assert_without(&fault.name, &KEYS);
    assert!(fault.retry_after.is_none_or(|wait| !wait.is_zero() && wait <= RETRY_AFTER_MAX), "{fault:?}");
    if fault.is_coded {
        assert!((400..600).contains(&status), "{status} is no error: {fault:?}");
        assert!(body.len() <= 16 * 1024, "a body of {} bytes was read for a code", body.len());
        assert!(status < 500 || fault.keeps_token, "{fault:?}");
    } else {
        let expected = if status == 429 { Kind::Throttled } else { Kind::Unanswered };
        assert_eq!((fault.kind, &fault.message, fault.keeps_token), (expected, &None, true), "{fault:?}");
    }
    // Each of these ends a request, or is told to somebody as the truth about it.
    assert_eq!(fault.kind == Kind::EndpointNotFound, is("EndpointNotFound"), "{fault:?}");
    assert_eq!(fault.kind == Kind::SecurityGroupNotFound, is("SecurityGroupNotFound"), "{fault:?}");
    assert_eq!(fault.kind == Kind::DryRunPassed, is("DryRunOperation"), "{fault:?}");
    match fault.kind {
        Kind::Denied => assert!(is("NoPermission") || family("Forbidden."), "{fault:?}"),
        Kind::Refused => assert!(fault.is_coded && status < 500 && status != 429, "{fault:?}"),
        Kind::Credentials => {
            assert!(fault.is_coded && !family("Throttling"), "{fault:?}");
        }
        Kind::NoCredentials => panic!("the call was sent: {fault:?}"),
        _ => {}
    }
    if let Some(message) = &fault.message {
        assert_tame(message, 200);
        assert_without(message, &KEYS);
    }
}

/// What holds for Alibaba's id of any call.
pub(crate) fn check_api_request_id(id: Option<&str>) {
    assert!(id.is_none_or(|id| (1..=128).contains(&id.len())), "{id:?}");
}
