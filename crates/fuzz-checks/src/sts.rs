//! A response of Alibaba Cloud's STS to the exchange of a token for a session: status, headers and body.

use std::collections::BTreeSet;

use privatelink_detach::alibaba::codes::Code;
use privatelink_detach::alibaba::credentials::{
    CredentialsConfig, CredentialsSource, OidcConfig, Permissions,
};
use privatelink_detach::alibaba::sts;
use privatelink_detach::transport::BaseUrl;
use serde_json::Value;

use crate::alibaba::Canned;
use crate::aws::{Aws, WEB_IDENTITY_TOKEN};
use crate::memory::{Bound, bounded};
use crate::message::Message;
use crate::text::{assert_tame, assert_without};
use crate::virtual_time;

/// An error's body may be a tree of XML.
const MEMORY: Bound = Bound { base: 128 * 1024, per_byte: 64 };

/// Shortest piece of a token that must be redacted, from the contract.
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
    let canned = Canned::new(response);
    let config = CredentialsConfig::Oidc(config);
    let source = CredentialsSource::new(config, &Permissions::Detach, &BTreeSet::new(), &aws.config, &canned);
    let read = async |clock| source.current(&clock).await;
    let credentials = bounded(&MEMORY, input.len(), || virtual_time::run(read));
    let sent = canned.sent.borrow();
    assert!((1..=2).contains(&sent.len()), "{} requests", sent.len());
    for request in sent.iter() {
        let (uri, form) = (request.uri().to_string(), std::str::from_utf8(request.body()).expect("text"));
        assert_without(&uri, &[WEB_IDENTITY_TOKEN]);
        assert!(form.contains(&format!("OIDCToken={WEB_IDENTITY_TOKEN}")), "{form}");
    }
    match credentials {
        Ok(credentials) => {
            let session = sts::read(&body).expect("the body has a session");
            assert_eq!((status, &session.credentials), (200, &*credentials));
            assert!(credentials.can_be_sent());
            // An out-of-range number in an unused field is invalid JSON to this parser and valid to the other.
            if let Ok(value) = serde_json::from_slice::<Value>(&body) {
                let part = |name: &str| value["Credentials"][name].as_str();
                assert_eq!(part("AccessKeyId"), Some(credentials.access_key_id()));
                assert_eq!(part("AccessKeySecret"), Some(credentials.access_key_secret()));
                assert_eq!(part("SecurityToken"), credentials.security_token());
            }
        }
        Err(error) => {
            // At most 200 characters of the service's message, and a code of at most 128 in this project's sentence.
            let text = error.to_string();
            assert_tame(&text, 400);
            assert!(Code::parse(&error.code()).is_some(), "{error:?}");
            let pieces = WEB_IDENTITY_TOKEN.split('.').map(|part| &part[..TOKEN_PIECE_MIN]);
            assert_without(&text, &pieces.collect::<Vec<_>>());
            // Only an error with a code can be permanent.
            assert!(error.is_transient() || (400..500).contains(&status), "{status}: {error:?}");
        }
    }
}
