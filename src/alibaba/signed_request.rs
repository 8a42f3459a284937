//! A signed call as an HTTP request, and what of it no message may quote. Pure: nothing is sent here.

use bytes::Bytes;

use super::access_key::{self, Credentials};
use super::signing::{self, Unsigned};

/// Unsigned headers. The documentation contradicts itself about the format of a response to a request without `accept`,
/// and gateways may reject a POST without a length; Alibaba Cloud's SDKs send both.
const UNSIGNED: [(&str, &str); 2] = [("accept", "application/json"), ("content-length", "0")];

/// The header with the number that Alibaba Cloud accepts once.
pub(super) const NONCE: &str = "x-acs-signature-nonce";

/// The request of a call, ready to send. The credentials must be ones that
/// [can be sent](Credentials::can_be_sent).
#[expect(clippy::expect_used, reason = "every part is parsed, encoded or checked before")]
pub(super) fn signed_request(
    scheme: &str,
    unsigned: &Unsigned<'_>,
    credentials: &Credentials,
) -> http::Request<Bytes> {
    let signed = signing::sign(unsigned, credentials);
    let query = if signed.query.is_empty() { String::new() } else { format!("?{}", signed.query) };
    let uri = format!("{scheme}://{}/{query}", unsigned.host);
    let headers = signed.headers.iter().map(|(name, value)| (*name, value.as_str())).chain(UNSIGNED);
    let request = http::Request::builder().method("POST").uri(uri);
    headers
        .fold(request, |request, (name, value)| request.header(name, value))
        .body(Bytes::new())
        .expect("the URL is parsed and encoded, and every source checks that its credentials can be sent")
}

/// Removes from texts of a response what signed its request: credentials, signature and nonce.
pub(super) struct Redaction<'a> {
    credentials: &'a Credentials,
    signature: String,
    nonce: String,
}

impl<'a> Redaction<'a> {
    pub(super) fn of(request: &http::Request<Bytes>, credentials: &'a Credentials) -> Self {
        Self {
            credentials,
            signature: signature(request).to_owned(),
            nonce: header(request, NONCE).to_owned(),
        }
    }

    /// `text` without these parts.
    pub(super) fn redact(&self, text: &str) -> String {
        let text = self.credentials.redact(text);
        [&self.signature, &self.nonce].into_iter().fold(text, |text, part| access_key::redact(&text, part))
    }
}

/// The signature of a request, the last part of its `authorization`.
pub(super) fn signature(request: &http::Request<Bytes>) -> &str {
    header(request, "authorization").rsplit_once("Signature=").map_or("", |(_, signature)| signature)
}

/// A header of a request; empty if there is none.
pub(super) fn header<'a>(request: &'a http::Request<Bytes>, name: &str) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
