//! Alibaba Cloud's STS: a role session in exchange for an OIDC token or for other credentials, and whose credentials are
//! used.
//!
//! Pure: it builds requests and parses responses. The exchange of a token is unsigned, because there are no credentials
//! yet; as in Alibaba Cloud's Go SDK, its query contains no secrets and its form body contains the rest. The other calls
//! are signed, so here they are parameters.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::access_key::{Credentials, is_one_word};
use super::percent_encoding::encoded_pairs;
use crate::clock::calendar;
use crate::json::{Object, bytes_without_byte_order_mark};
use crate::transport::BaseUrl;

/// The operation that exchanges an OIDC token for a role session.
pub const ACTION: &str = "AssumeRoleWithOIDC";

/// The operation that exchanges other credentials for a role session.
pub const ASSUME_ROLE: &str = "AssumeRole";

/// The operation that tells whose credentials sign it. It needs no permission.
pub const GET_CALLER_IDENTITY: &str = "GetCallerIdentity";

/// The version of the STS API.
pub const VERSION: &str = "2015-04-01";

/// The requested session duration: Alibaba Cloud's default, which every role allows.
pub const SESSION_LIFETIME: Duration = Duration::from_hours(1);

/// Maximum length of a session policy, in characters.
pub const POLICY_LENGTH_MAX: usize = 2048;

/// Longest part of an identity that is accepted, in characters. A session's ARN, the longest, has two names of RAM with at
/// most 64 characters each.
const IDENTITY_LENGTH_MAX: usize = 256;

/// Alibaba Cloud's limits on the length of a session name.
const ROLE_SESSION_NAME_LENGTH: RangeInclusive<usize> = 2..=64;

/// The name of a session for which none is configured.
pub const ROLE_SESSION_NAME_DEFAULT: &str = "privatelink-detach";

/// The rule for session names, to follow a field's name and "must".
pub const ROLE_SESSION_NAME_RULE: &str = "have 2 to 64 letters, digits, dots, @, dashes or underscores";

/// Whether RAM can have an entity of this kind with this ARN, such as `acs:ram::1234567890123456:role/name`.
#[must_use]
pub fn is_ram_arn(arn: &str, kind: &str) -> bool {
    let parts: Vec<_> = arn.splitn(5, ':').collect();
    matches!(parts[..], ["acs", "ram", "", account, resource]
        if !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit())
            && resource.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/')).is_some_and(|name| !name.is_empty()))
}

/// Whether a session can have this name.
#[must_use]
pub fn is_role_session_name(name: &str) -> bool {
    ROLE_SESSION_NAME_LENGTH.contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'@' | b'-' | b'_'))
}

/// The parameters of the exchange of a token. No `Debug`, because the token is a secret.
#[derive(Clone, Copy)]
pub struct AssumeRoleWithOidc<'a> {
    pub role_arn: &'a str,
    /// The OIDC provider in RAM that stands for the token's issuer.
    pub oidc_provider_arn: &'a str,
    pub oidc_token: &'a str,
    /// The session's name in Alibaba Cloud's audit log.
    pub role_session_name: &'a str,
    /// Limits the session to a part of the role's permissions.
    pub policy: Option<&'a str>,
}

/// The parameters of `AssumeRole`. A RAM user or another role session signs the call; an account's own `AccessKey` cannot.
#[derive(Debug, Clone, Copy)]
pub struct AssumeRole<'a> {
    pub role_arn: &'a str,
    /// The session's name in Alibaba Cloud's audit log.
    pub role_session_name: &'a str,
    /// 15 minutes to the role's maximum, in whole seconds.
    pub duration: Duration,
    /// The text that the role's trust policy requires, if it requires one.
    pub external_id: Option<&'a str>,
    /// Limits the session to a part of the role's permissions.
    pub policy: Option<&'a str>,
}

impl<'a> AssumeRole<'a> {
    /// The query parameters, unordered.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&'static str, Cow<'a, str>)> {
        let mut parameters = vec![
            ("DurationSeconds", Cow::Owned(self.duration.as_secs().to_string())),
            ("RoleArn", Cow::Borrowed(self.role_arn)),
            ("RoleSessionName", Cow::Borrowed(self.role_session_name)),
        ];
        let optional = [("ExternalId", self.external_id), ("Policy", self.policy)];
        parameters.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?.into()))));
        parameters
    }
}

/// Whose credentials signed a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerIdentity {
    /// The number of the account.
    pub account_id: String,
    /// The account, the RAM user or the role session.
    pub arn: String,
    /// `Account`, `RAMUser` or `AssumedRoleUser`.
    pub identity_type: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSession {
    pub credentials: Credentials,
    /// By Alibaba Cloud's clock.
    pub expiration: OffsetDateTime,
}

/// The request of the exchange of a token, complete and ready to send.
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
    let mut form = vec![
        ("DurationSeconds", duration.as_str()),
        ("OIDCProviderArn", call.oidc_provider_arn),
        ("OIDCToken", call.oidc_token),
        ("RoleArn", call.role_arn),
        ("RoleSessionName", call.role_session_name),
    ];
    form.extend(call.policy.map(|policy| ("Policy", policy)));
    let form = encoded_pairs(&form);
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CallerIdentityResponse {
    account_id: String,
    arn: String,
    identity_type: String,
}

/// The identity in the body of a 200; `None` if a part of it is missing or does not look like one: the parts are shown to
/// operators.
#[must_use]
pub fn read_caller_identity(body: &[u8]) -> Option<CallerIdentity> {
    let Object(CallerIdentityResponse { account_id, arn, identity_type }) =
        serde_json::from_slice(bytes_without_byte_order_mark(body)).ok()?;
    let is_short = |text: &str| (1..=IDENTITY_LENGTH_MAX).contains(&text.len());
    let is_identity = [&account_id, &arn, &identity_type].into_iter().all(|part| is_short(part))
        && account_id.bytes().all(|b| b.is_ascii_digit())
        && arn.starts_with("acs:")
        && is_one_word(&arn)
        && identity_type.bytes().all(|b| b.is_ascii_alphabetic());
    is_identity.then_some(CallerIdentity { account_id, arn, identity_type })
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
            policy: Some(input("policy")),
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
    fn optional_parameters_are_sent_only_if_they_are_given() {
        let mut call = AssumeRole {
            role_arn: "acs:ram::1:role/reader",
            role_session_name: "me@laptop",
            duration: Duration::from_mins(15),
            external_id: None,
            policy: None,
        };
        let required = vec![
            ("DurationSeconds", "900".into()),
            ("RoleArn", "acs:ram::1:role/reader".into()),
            ("RoleSessionName", "me@laptop".into()),
        ];
        assert_eq!(call.parameters(), required);
        (call.external_id, call.policy) = (Some("e-1"), Some("{}"));
        let optional = [("ExternalId", "e-1".into()), ("Policy", "{}".into())];
        assert_eq!(call.parameters(), required.into_iter().chain(optional).collect::<Vec<_>>());
    }

    #[test]
    fn identity_is_read_only_if_every_part_looks_like_one() {
        let body = r#"{"IdentityType":"AssumedRoleUser","AccountId":"1234567890123456","RequestId":"R","PrincipalId":"3:me",
            "UserId":"3:me","Arn":"acs:ram::1234567890123456:assumed-role/reader/me@laptop","RoleId":"3"}"#;
        let identity = CallerIdentity {
            account_id: "1234567890123456".into(),
            arn: "acs:ram::1234567890123456:assumed-role/reader/me@laptop".into(),
            identity_type: "AssumedRoleUser".into(),
        };
        for text in [body.to_owned(), format!("\u{feff}{body}")] {
            assert_eq!(read_caller_identity(text.as_bytes()).as_ref(), Some(&identity));
        }
        for (part, other) in [
            ("IdentityType", "Other"),
            ("AccountId", "Other"),
            ("Arn\"", "Other\""),
            (r#""1234567890123456""#, "1234567890123456"),
            (r#""1234567890123456""#, r#""""#),
            (r#""1234567890123456""#, r#""12345 67890""#),
            (r#""AssumedRoleUser""#, "null"),
            (r#""AssumedRoleUser""#, r#"["AssumedRoleUser"]"#),
            ("AssumedRoleUser", r"Assumed\u001b[31m"),
            ("me@laptop\"", r#"me\nlaptop""#),
            ("me@laptop\"", &format!("{}\"", "x".repeat(IDENTITY_LENGTH_MAX))),
            ("\"acs:ram", "\"arn:aws"),
        ] {
            assert!(body.contains(part), "{part}");
            let changed = body.replace(part, other);
            assert_eq!(read_caller_identity(changed.as_bytes()), None, "{part} {other}");
        }
        for body in ["", "null", r#"["1","acs:ram::1:root","Account"]"#] {
            assert_eq!(read_caller_identity(body.as_bytes()), None, "{body}");
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
