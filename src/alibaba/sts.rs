//! Alibaba Cloud's STS: a role session in exchange for an OIDC token.
//!
//! Pure: it builds the request and parses the response. The request is unsigned, because there are no credentials yet.
//! As in Alibaba Cloud's Go SDK, the query contains no secrets and the form body contains the rest.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::access_key::Credentials;
use super::percent_encoding::encoded_pairs;
use super::service_url::BaseUrl;
use crate::clock::calendar;
use crate::json::{Object, bytes_without_byte_order_mark};

/// The API operation.
pub const ACTION: &str = "AssumeRoleWithOIDC";

/// The version of the STS API.
pub const VERSION: &str = "2015-04-01";

/// The requested session duration: Alibaba Cloud's default, which every role allows.
pub const SESSION_LIFETIME: Duration = Duration::from_hours(1);

/// Maximum length of a session policy, in characters.
pub const POLICY_LENGTH_MAX: usize = 2048;

/// The parameters of the call. No `Debug`, because the token is a secret.
#[derive(Clone, Copy)]
pub struct AssumeRoleWithOidc<'a> {
    pub role_arn: &'a str,
    /// The OIDC provider in RAM that stands for the token's issuer.
    pub oidc_provider_arn: &'a str,
    pub oidc_token: &'a str,
    /// The session's name in Alibaba Cloud's audit log.
    pub role_session_name: &'a str,
    /// Limits the session to a part of the role's permissions.
    pub policy: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSession {
    pub credentials: Credentials,
    /// By Alibaba Cloud's clock.
    pub expiration: OffsetDateTime,
}

/// The request, complete and ready to send.
#[must_use]
#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "the parts of the URL are parsed or encoded"
)]
pub fn request(url: &BaseUrl, call: &AssumeRoleWithOidc<'_>, at: SystemTime) -> http::Request<Bytes> {
    let timestamp = calendar::text(at, calendar::SECONDS);
    let query = encoded_pairs(&[
        ("Action", ACTION),
        ("Format", "JSON"),
        ("Timestamp", &timestamp),
        ("Version", VERSION),
    ]);
    let duration = SESSION_LIFETIME.as_secs().to_string();
    let form = encoded_pairs(&[
        ("DurationSeconds", &duration),
        ("OIDCProviderArn", call.oidc_provider_arn),
        ("OIDCToken", call.oidc_token),
        ("Policy", call.policy),
        ("RoleArn", call.role_arn),
        ("RoleSessionName", call.role_session_name),
    ]);
    http::Request::post(format!("{}://{}/?{query}", url.scheme, url.authority))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.into())
        .expect("scheme and authority are parsed, and the query is percent-encoded")
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResponse {
    credentials: Object<ResponseCredentials>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResponseCredentials {
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: String,
}

/// The session in the body of a 200; `None` if a part of it is missing or invalid.
#[must_use]
pub fn read(body: &[u8]) -> Option<RoleSession> {
    let Object(AssumeRoleResponse { credentials: Object(credentials) }) =
        serde_json::from_slice(bytes_without_byte_order_mark(body)).ok()?;
    let expiration = OffsetDateTime::parse(&credentials.expiration, &Rfc3339).ok()?;
    let token = Some(credentials.security_token);
    let credentials = Credentials::new(credentials.access_key_id, credentials.access_key_secret, token);
    Some(RoleSession { credentials, expiration })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use percent_encoding::percent_decode_str;
    use serde_json::Value;
    use time::macros::datetime;

    use super::*;

    type Parameters = BTreeMap<String, String>;

    /// A query or a form as the server reads it.
    fn decoded(pairs: &str) -> Parameters {
        let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
        let pairs = pairs.split('&').map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(name, value)| (decode(name), decode(value))).collect()
    }

    /// The file contains calls that Alibaba Cloud's SDKs made, with their inputs.
    #[test]
    fn request_has_the_parameters_of_the_official_sdks_and_the_form_of_the_go_sdk() {
        let recorded = include_str!("../../tests/vectors/assume-role-with-oidc.json");
        let recorded: Value = serde_json::from_str(recorded).unwrap();
        let inputs = &recorded["inputs"];
        let input = |name: &str| inputs[name].as_str().unwrap();
        assert_eq!(inputs["duration_seconds"].as_u64(), Some(SESSION_LIFETIME.as_secs()));
        let call = AssumeRoleWithOidc {
            role_arn: input("role_arn"),
            oidc_provider_arn: input("oidc_provider_arn"),
            oidc_token: input("oidc_token"),
            role_session_name: input("role_session_name"),
            policy: input("policy"),
        };
        let recordings = recorded["recordings"].as_array().unwrap();
        assert_eq!(recordings.len(), 3);
        for recording in recordings {
            let sdk = recording["sdk"].as_str().unwrap();
            let part = |name: &str| serde_json::from_value::<Parameters>(recording[name].clone()).unwrap();
            let (theirs, their_form) = (part("query"), part("form"));
            let timestamp = OffsetDateTime::parse(&theirs["Timestamp"], &Rfc3339).unwrap();
            let request = request(&BaseUrl::sts(), &call, timestamp.into());
            let ours = decoded(request.uri().query().unwrap());
            let our_form = decoded(std::str::from_utf8(request.body()).unwrap());

            if sdk == "aliyun/credentials-go" {
                let method = recording["method"].as_str();
                let content_type = recording["content_type"].as_str().map(str::as_bytes);
                assert_eq!(Some(request.method().as_str()), method);
                assert_eq!(
                    request.headers().get(CONTENT_TYPE).map(http::HeaderValue::as_bytes),
                    content_type
                );
                assert_eq!((&ours, &our_form), (&theirs, &their_form));
            }
            let all = |query: &Parameters, form: &Parameters| {
                let mut all: Parameters = query.clone().into_iter().chain(form.clone()).collect();
                // One SDK writes the format in lowercase and adds a nonce that no signature covers.
                all.remove("SignatureNonce");
                all.entry("Format".to_owned()).and_modify(|format| format.make_ascii_uppercase());
                all
            };
            assert_eq!(all(&ours, &our_form), all(&theirs, &their_form), "{sdk}");
            assert!(!request.uri().to_string().contains(call.oidc_token.split('.').next().unwrap()));
        }
    }

    #[test]
    fn incomplete_session_is_rejected() {
        let body = r#"{"RequestId":"R","OIDCTokenInfo":{},"AssumedRoleUser":{"Arn":"a"},"Credentials":{
            "AccessKeyId":"STS.id","AccessKeySecret":"s3cret","SecurityToken":"t0ken","Expiration":"2026-11-22T07:00:12Z"}}"#;
        let credentials = Credentials::new("STS.id".into(), "s3cret".into(), Some("t0ken".into()));
        let expiration = datetime!(2026-11-22 07:00:12 UTC);
        assert_eq!(
            read(format!("\u{feff}{body}").as_bytes()),
            read(body.as_bytes()),
            "a byte order mark is skipped"
        );
        assert_eq!(read(body.as_bytes()), Some(RoleSession { credentials, expiration }));
        for part in
            ["Credentials", "AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration", "2026-11-22T"]
        {
            assert_eq!(read(body.replace(part, "Other").as_bytes()), None, "{part}");
        }
        assert_eq!(read(b""), None);
    }
}
