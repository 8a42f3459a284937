//! An answer of Alibaba Cloud's STS to the exchange of a token for a session: status, headers and body.

use std::collections::BTreeSet;

use privatelink_detach::alibaba::credentials::{CredentialsConfig, CredentialsSource, OidcConfig};
use privatelink_detach::alibaba::error::Code;
use privatelink_detach::alibaba::service_clock::ServiceClock;
use privatelink_detach::alibaba::service_url::BaseUrl;
use privatelink_detach::alibaba::sts;
use serde_json::Value;

use crate::alibaba::Canned;
use crate::aws::{Aws, WEB_IDENTITY_TOKEN};
use crate::memory::{Bound, bounded};
use crate::message::Message;
use crate::text::{assert_tame, assert_without};
use crate::virtual_time;

/// An error's body may be a tree of XML.
const MEMORY: Bound = Bound { base: 128 * 1024, per_byte: 64 };

/// Shortest piece of a token that gives something away, the contract's.
const TOKEN_PIECE_MIN: usize = 12;

pub(crate) fn check(input: &[u8]) {
    let Some(response) = Message::read(input).and_then(Message::into_response) else { return };
    let (status, body) = (response.status().as_u16(), response.body().clone());
    let aws = Aws::with_secret("");
    let config = OidcConfig {
        role_arn: "acs:ram::1234:role/r".to_owned(),
        oidc_provider_arn: "acs:ram::1234:oidc-provider/p".to_owned(),
        role_session_name: "session".to_owned(),
        audience: "audience".to_owned(),
        sts_url: BaseUrl::sts(),
    };
    let source = CredentialsSource::new(CredentialsConfig::Oidc(config), &BTreeSet::new(), &aws.config);
    let canned = Canned::new(response);
    let reading = async |clock| source.current(&&canned, &ServiceClock::default(), &clock).await;
    let keys = bounded(&MEMORY, input.len(), || virtual_time::run(reading));
    let sent = canned.sent.borrow();
    assert!((1..=2).contains(&sent.len()), "asked {} times", sent.len());
    for request in sent.iter() {
        let (uri, form) = (request.uri().to_string(), std::str::from_utf8(request.body()).expect("text"));
        assert_without(&uri, &[WEB_IDENTITY_TOKEN]);
        assert!(form.contains(&format!("OIDCToken={WEB_IDENTITY_TOKEN}")), "{form}");
    }
    match keys {
        Ok(keys) => {
            let session = sts::read(&body).expect("a session that was read");
            assert_eq!((status, &session.credentials), (200, &*keys));
            assert!(keys.can_be_sent());
            // A number beyond all bounds in a field that nobody reads is no JSON to this reader, and passes the other.
            if let Ok(value) = serde_json::from_slice::<Value>(&body) {
                let part = |name: &str| value["Credentials"][name].as_str();
                assert_eq!(part("AccessKeyId"), Some(keys.access_key_id()));
                assert_eq!(part("AccessKeySecret"), Some(keys.access_key_secret()));
                assert_eq!(part("SecurityToken"), keys.security_token());
            }
        }
        Err(fault) => {
            // The sentence around AWS's and Alibaba's own 200 characters is ours, and has a code of 128 at most in it.
            assert_tame(&fault.problem, 400);
            assert!(Code::parse(&fault.code).is_some(), "{fault:?}");
            let pieces = WEB_IDENTITY_TOKEN.split('.').map(|part| &part[..TOKEN_PIECE_MIN]);
            assert_without(&fault.problem, &pieces.collect::<Vec<_>>());
            // Only a code says that something must be changed.
            assert!(fault.is_passing || (400..500).contains(&status), "{status}: {fault:?}");
        }
    }
}
