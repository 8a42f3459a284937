//! Keys in an AWS Secrets Manager secret. Whoever rotates the key changes the secret, and nothing is deployed.

use aws_sdk_secretsmanager::Client;
use serde::Deserialize;

use super::refresh::Cached;
use super::{CredentialError, Credentials, advice};
use crate::aws::AwsError;
use crate::json::Object;

/// The secret that holds the keys.
#[derive(Debug)]
pub(super) struct Secret {
    client: Client,
    arn: String,
}

/// What the secret's text must be; fields that are not named here are somebody else's.
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
        let answer = self.client.get_secret_value().secret_id(&self.arn).send().await;
        let answer = answer.map_err(|error| {
            CredentialError::from_aws("GetSecretValue", AwsError::of(&error), advice::of_secret)
        })?;
        parse(answer.secret_string()).map(Cached::lasting)
    }
}

/// The keys in a secret's text, no word of which is repeated if they are not there.
fn parse(text: Option<&str>) -> Result<Credentials, CredentialError> {
    let unusable = |problem: &str| CredentialError {
        code: "SecretUnusable".to_owned(),
        problem: format!("the secret {problem}"),
        advice: advice::SECRET_TEXT,
        is_passing: false,
    };
    let text = text.ok_or_else(|| unusable("has no text"))?;
    let Object(text): Object<Text> = serde_json::from_str(text)
        .map_err(|_| unusable("is no JSON object with the texts access_key_id and access_key_secret"))?;
    // An empty token is how a form or a template writes that there is none.
    let security_token = text.security_token.filter(|token| !token.is_empty());
    let credentials = Credentials::new(text.access_key_id, text.access_key_secret, security_token);
    if !credentials.can_be_sent() {
        return Err(unusable("has an empty key, or one with spaces, line ends or characters beyond ASCII"));
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_whatever_stands_beside_them() {
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
    fn what_is_no_key_is_told_without_a_word_of_it() {
        for (text, says) in [
            (None, "has no text"),
            (Some(""), "no JSON object"),
            (Some("s3cret"), "no JSON object"),
            (Some("\"s3cret\""), "no JSON object"),
            (Some(r#"["s3cret"]"#), "no JSON object"),
            (Some(r#"["s3cret","s3cret","s3cret"]"#), "no JSON object"),
            (Some(r#"{"access_key_id":"s3cret"}"#), "no JSON object"),
            (Some(r#"{"AccessKeyId":"s3cret","AccessKeySecret":"s3cret"}"#), "no JSON object"),
            (Some(r#"{"access_key_id":"s3cret","access_key_secret":7}"#), "no JSON object"),
            (Some(r#"{"access_key_id":"s3cret","access_key_secret":""}"#), "an empty key"),
            (Some(r#"{"access_key_id":"s3cret\n","access_key_secret":"s3cret"}"#), "line ends"),
            (Some(r#"{"access_key_id":"s3cret","access_key_secret":"s3 cret"}"#), "spaces"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.problem.contains(says), "{text:?}: {fault:?}");
            assert!(!format!("{fault:?}").contains("s3cret") && !fault.is_passing, "{fault:?}");
        }
    }
}
