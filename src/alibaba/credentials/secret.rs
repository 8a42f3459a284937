//! Credentials in an AWS Secrets Manager secret. A rotation changes the secret and needs no deployment.

use aws_sdk_secretsmanager::Client;
use serde::Deserialize;

use super::advice;
use super::error::CredentialError;
use super::refresh::Cached;
use crate::alibaba::access_key::Credentials;
use crate::aws::AwsError;
use crate::json::Object;

#[derive(Debug)]
pub(super) struct Secret {
    client: Client,
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
    pub(super) fn new(client: Client, arn: String) -> Self {
        Self { client, arn }
    }

    /// Reads the secret's current version.
    pub(super) async fn read(&self) -> Result<Cached, CredentialError> {
        let response = self.client.get_secret_value().secret_id(&self.arn).send().await;
        let response = response
            .map_err(|error| CredentialError::from_aws(advice::GET_SECRET_VALUE, AwsError::of(&error)))?;
        parse(response.secret_string()).map(Cached::permanent)
    }
}

/// The credentials in a secret's text. An error does not quote the text.
fn parse(text: Option<&str>) -> Result<Credentials, CredentialError> {
    let unusable = |problem: &str| CredentialError {
        code: "SecretUnusable".to_owned(),
        problem: format!("the secret {problem}"),
        advice: advice::SECRET_TEXT,
        is_transient: false,
    };
    let text = text.ok_or_else(|| unusable("has no text"))?;
    let Object(text): Object<Text> = serde_json::from_str(text)
        .map_err(|_| unusable("is not a JSON object with the strings access_key_id and access_key_secret"))?;
    // Forms and templates write an empty token where there is none.
    let security_token = text.security_token.filter(|token| !token.is_empty());
    let credentials = Credentials::new(text.access_key_id, text.access_key_secret, security_token);
    if !credentials.can_be_sent() {
        return Err(unusable(
            "has a value that is empty or has spaces, line ends or characters beyond ASCII",
        ));
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
            (None, "has no text"),
            (Some(""), "not a JSON object"),
            (Some("s3cret"), "not a JSON object"),
            (Some("\"s3cret\""), "not a JSON object"),
            (Some(r#"["s3cret"]"#), "not a JSON object"),
            (Some(r#"["s3cret","s3cret","s3cret"]"#), "not a JSON object"),
            (Some(r#"{"access_key_id":"s3cret"}"#), "not a JSON object"),
            (Some(r#"{"AccessKeyId":"s3cret","AccessKeySecret":"s3cret"}"#), "not a JSON object"),
            (Some(r#"{"access_key_id":"s3cret","access_key_secret":7}"#), "not a JSON object"),
            (Some(r#"{"access_key_id":"s3cret","access_key_secret":""}"#), "empty"),
            (Some(r#"{"access_key_id":"s3cret\n","access_key_secret":"s3cret"}"#), "line ends"),
            (Some(r#"{"access_key_id":"s3cret","access_key_secret":"s3 cret"}"#), "spaces"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.problem.contains(problem), "{text:?}: {error:?}");
            assert!(!format!("{error:?}").contains("s3cret") && !error.is_transient, "{error:?}");
        }
    }
}
