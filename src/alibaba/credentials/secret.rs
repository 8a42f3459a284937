//! Credentials in an AWS Secrets Manager secret. A rotation changes the secret and needs no deployment.

use aws_sdk_secretsmanager::Client;
use serde::Deserialize;

use super::advice;
use super::error::{CredentialError, UnusableSecret};
use super::refresh::Cached;
use crate::alibaba::access_key::Credentials;
use crate::aws::LazyClient;
use crate::json::{Object, without_byte_order_mark};

#[derive(Debug)]
pub(super) struct Secret {
    client: LazyClient<Client>,
    arn: String,
}

/// The secret's text. It may contain other fields.
#[derive(Deserialize)]
struct Text {
    access_key_id: String,
    access_key_secret: String,
    security_token: Option<String>,
}

impl Secret {
    pub(super) fn new(client: LazyClient<Client>, arn: String) -> Self {
        Self { client, arn }
    }

    /// Reads the secret's current version.
    pub(super) async fn read(&self) -> Result<Cached, CredentialError> {
        let response = self.client.get_secret_value().secret_id(&self.arn).send().await;
        let response = response
            .map_err(|error| CredentialError::Aws { call: advice::GET_SECRET_VALUE, error: error.into() })?;
        Ok(Cached::permanent(parse(response.secret_string())?))
    }
}

/// The credentials in a secret's text. An error does not quote the text.
fn parse(text: Option<&str>) -> Result<Credentials, UnusableSecret> {
    let text = text.ok_or(UnusableSecret::NoText)?;
    let object = serde_json::from_str(without_byte_order_mark(text));
    let Object(text): Object<Text> = object.map_err(|_| UnusableSecret::WrongFormat)?;
    // Forms and templates write an empty token where there is none.
    let security_token = text.security_token.filter(|token| !token.is_empty());
    let credentials = Credentials::new(text.access_key_id, text.access_key_secret, security_token);
    if !credentials.can_be_sent() {
        return Err(UnusableSecret::UnsendableValue);
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_fields_of_the_secret_are_ignored() {
        let read = |text: &str| parse(Some(text)).unwrap();
        let plain = r#"{"access_key_id":"LTAIid","access_key_secret":"s3cret"}"#;
        assert_eq!(read(plain), Credentials::new("LTAIid".into(), "s3cret".into(), None));
        assert_eq!(read(&format!("\u{feff}{plain}")), read(plain), "a byte order mark is skipped");
        let session = r#"{"access_key_id":"STS.id","access_key_secret":"s3cret","security_token":"t0ken","owner":["a"],"n":1}"#;
        let token = Some("t0ken".to_owned());
        assert_eq!(read(session), Credentials::new("STS.id".into(), "s3cret".into(), token));
        for none in ["null", "\"\""] {
            let text = plain.replace('}', &format!(",\"security_token\":{none}}}"));
            assert_eq!(read(&text).security_token(), None, "{none}");
        }
    }

    #[test]
    fn error_does_not_quote_the_secret() {
        for (text, problem) in [
            (None, UnusableSecret::NoText),
            (Some(""), UnusableSecret::WrongFormat),
            (Some("s3cret"), UnusableSecret::WrongFormat),
            (Some("\"s3cret\""), UnusableSecret::WrongFormat),
            (Some(r#"["s3cret"]"#), UnusableSecret::WrongFormat),
            (Some(r#"["s3cret","s3cret","s3cret"]"#), UnusableSecret::WrongFormat),
            (Some(r#"{"access_key_id":"s3cret"}"#), UnusableSecret::WrongFormat),
            (Some(r#"{"AccessKeyId":"s3cret","AccessKeySecret":"s3cret"}"#), UnusableSecret::WrongFormat),
            (Some(r#"{"access_key_id":"s3cret","access_key_secret":7}"#), UnusableSecret::WrongFormat),
            (Some(r#"{"access_key_id":"s3cret","access_key_secret":""}"#), UnusableSecret::UnsendableValue),
            (
                Some(r#"{"access_key_id":"s3cret\n","access_key_secret":"s3cret"}"#),
                UnusableSecret::UnsendableValue,
            ),
            (
                Some(r#"{"access_key_id":"s3cret","access_key_secret":"s3 cret"}"#),
                UnusableSecret::UnsendableValue,
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, problem, "{text:?}");
            assert!(!format!("{error:?} {error}").contains("s3cret"), "{error:?}");
        }
    }
}
