//! A model of STS, limited to web identity tokens (`GetWebIdentityToken`): the issuer, and the keys that it
//! publishes for verification.
//!
//! No clock, no I/O. Tests can create every token that a receiver must reject: the public fields are settings that
//! apply from the next token on.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::error::{KeyRejected, Unspecified};
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::faults::Faults;
use crate::wire::{ACCOUNT, REGION};

/// The id of the key, in AWS's format.
const KEY_ID: &str = "RSA_0";

/// The claim that contains AWS's additions to the standard claims.
const AWS_CLAIM: &str = "https://sts.amazonaws.com/";

/// The token issuer of one account, and the role that calls it.
#[derive(Clone, Debug)]
pub struct WebIdentity {
    /// The claim `iss`: the issuer URL that AWS assigns when outbound federation is enabled.
    pub issuer: String,
    /// The claim `sub`: the ARN of the calling role.
    pub subject: String,
    /// The reason for which every call is refused; `None` if calls are accepted.
    pub denial: Option<Denial>,
    /// The key that signs the tokens.
    pub signed_with: SigningKey,
    /// The offset of the issuer's clock from the services' clock. If it is negative, tokens can be expired when
    /// issued; if it is positive, tokens are issued in the future.
    pub clock_ahead: Duration,
    published: Arc<KeyPair>,
    unpublished: Arc<KeyPair>,
    tokens_issued: u64,
    faults: Faults,
}

/// Why STS refuses to issue a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The account has not enabled outbound federation, the default of every account.
    FederationDisabled,
    /// No policy allows the call to the role.
    NotAllowed,
    /// The token would expire after the caller's own session.
    SessionEndsSooner,
}

/// The key that signs tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// The key in [`WebIdentity::jwks`].
    Published,
    /// A key that is not published. Its tokens have the published key's id, so that only the signature differs.
    Unpublished,
}

/// An issued token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The signed token in compact form.
    pub jwt: String,
    /// The claim `jti`.
    pub id: String,
    /// The claim `exp`.
    pub expires_at: OffsetDateTime,
}

impl WebIdentity {
    /// An account with outbound federation enabled, and a role that may request tokens.
    ///
    /// Fails only if the test keys are invalid.
    pub fn new() -> Result<Self, KeyRejected> {
        Ok(Self {
            issuer: "https://00000000-0000-4000-8000-000000000000.tokens.sts.global.api.aws".to_owned(),
            subject: format!("arn:aws:iam::{ACCOUNT}:role/worker"),
            denial: None,
            signed_with: SigningKey::Published,
            clock_ahead: Duration::ZERO,
            published: Arc::new(KeyPair::from_pkcs8(include_bytes!("../keys/shown.der"))?),
            unpublished: Arc::new(KeyPair::from_pkcs8(include_bytes!("../keys/hidden.der"))?),
            tokens_issued: 0,
            faults: Faults::default(),
        })
    }

    /// The key set that AWS publishes under the issuer's URL.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let key = PublicKeyComponents::<Vec<u8>>::from(self.published.public());
        json!({ "keys": [{
            "kty": "RSA",
            "kid": KEY_ID,
            "alg": "RS256",
            "use": "sig",
            "n": URL_SAFE_NO_PAD.encode(key.n),
            "e": URL_SAFE_NO_PAD.encode(key.e),
        }] })
    }

    /// Signs a token for one or more audiences. Does not check [`Self::denial`].
    ///
    /// Fails only if the test keys are invalid.
    pub fn issue(
        &mut self,
        audiences: &[String],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Token, Unspecified> {
        let issued_at = OffsetDateTime::from(now).saturating_add(self.clock_ahead);
        let expires_at = issued_at.saturating_add(lifetime);
        let id = format!("00000000-0000-4000-8000-{:012x}", self.tokens_issued + 1);
        let header = json!({ "alg": "RS256", "kid": KEY_ID, "typ": "JWT" });
        let claims = json!({
            "iss": self.issuer,
            "sub": self.subject,
            "aud": if let [audience] = audiences { json!(audience) } else { json!(audiences) },
            "iat": issued_at.unix_timestamp(),
            "exp": expires_at.unix_timestamp(),
            "jti": id,
            AWS_CLAIM: {
                "aws_account": ACCOUNT,
                "source_region": REGION,
                "principal_id": self.subject,
            },
        });
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let key = match self.signed_with {
            SigningKey::Published => &self.published,
            SigningKey::Unpublished => &self.unpublished,
        };
        let mut signature = vec![0; key.public().modulus_len()];
        // PKCS #1 v1.5 padding is deterministic: the same claims always produce the same token.
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)?;
        self.tokens_issued += 1;
        Ok(Token { jwt: format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)), id, expires_at })
    }

    /// The faults to inject into the next calls. The code that serves this model applies them, not its methods.
    pub fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }
}

/// Omits the token itself, which is long and, outside tests, secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jwt: _, id, expires_at } = self;
        f.debug_struct("Token").field("id", id).field("expires_at", expires_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

    use super::*;

    const FIVE_MINUTES: Duration = Duration::minutes(5);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::seconds(1_700_000_000)
    }

    fn issue(sts: &mut WebIdentity) -> Token {
        sts.issue(&["alibaba".to_owned()], FIVE_MINUTES, now()).unwrap()
    }

    fn decoded(part: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    /// Decodes a token's header and claims.
    fn decode_token(token: &Token) -> (Value, Value) {
        let parts: Vec<_> = token.jwt.split('.').collect();
        let [header, claims, _] = parts[..] else { panic!("{}", token.jwt) };
        (decoded(header), decoded(claims))
    }

    fn is_signed_by_the_published_key(sts: &WebIdentity, token: &Token) -> bool {
        let jwks = sts.jwks();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(jwks["keys"][0][name].as_str().unwrap()).unwrap();
        let (signed, signature) = token.jwt.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        RsaPublicKeyComponents { n: part("n"), e: part("e") }
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
            .is_ok()
    }

    #[test]
    fn token_names_role_audience_and_expiration() {
        let mut sts = WebIdentity::new().unwrap();

        let token = issue(&mut sts);

        let (header, claims) = decode_token(&token);
        assert_eq!(header, json!({ "alg": "RS256", "kid": "RSA_0", "typ": "JWT" }));
        assert_eq!(
            claims,
            json!({
                "iss": "https://00000000-0000-4000-8000-000000000000.tokens.sts.global.api.aws",
                "sub": "arn:aws:iam::000000000000:role/worker",
                "aud": "alibaba",
                "iat": 1_700_000_000,
                "exp": 1_700_000_300,
                "jti": "00000000-0000-4000-8000-000000000001",
                "https://sts.amazonaws.com/": {
                    "aws_account": "000000000000",
                    "source_region": "us-east-1",
                    "principal_id": "arn:aws:iam::000000000000:role/worker",
                },
            })
        );
        assert_eq!(
            (token.id.as_str(), token.expires_at.unix_timestamp()),
            (claims["jti"].as_str().unwrap(), 1_700_000_300)
        );
        assert!(is_signed_by_the_published_key(&sts, &token));
    }

    #[test]
    fn token_has_a_unique_id_and_a_list_of_several_audiences() {
        let mut sts = WebIdentity::new().unwrap();
        let audiences = ["a".to_owned(), "b".to_owned()];

        let [first, second] = [(), ()].map(|()| sts.issue(&audiences, FIVE_MINUTES, now()).unwrap());

        assert_eq!(decode_token(&first).1["aud"], json!(["a", "b"]));
        assert_eq!(decode_token(&second).1["jti"], "00000000-0000-4000-8000-000000000002");
        assert_ne!(first.id, second.id);
    }

    #[test]
    fn token_of_the_unpublished_key_differs_only_in_the_signature() {
        let published = WebIdentity::new().unwrap();
        let mut unpublished = WebIdentity { signed_with: SigningKey::Unpublished, ..published.clone() };

        let token = issue(&mut unpublished);

        assert_eq!(unpublished.jwks(), published.jwks());
        assert_eq!(decode_token(&token), decode_token(&issue(&mut published.clone())));
        assert!(!is_signed_by_the_published_key(&unpublished, &token));
    }

    #[test]
    fn setting_changes_its_claims_and_keeps_the_signature_valid() {
        let default = WebIdentity::new().unwrap();
        let (_, expected) = decode_token(&issue(&mut default.clone()));
        for (mut sts, claims) in [
            (
                WebIdentity { issuer: "https://other.example".to_owned(), ..default.clone() },
                json!({ "iss": "https://other.example" }),
            ),
            (
                WebIdentity { clock_ahead: Duration::hours(-1), ..default.clone() },
                json!({ "iat": 1_699_996_400, "exp": 1_699_996_700 }),
            ),
            (
                WebIdentity { clock_ahead: Duration::hours(1), ..default.clone() },
                json!({ "iat": 1_700_003_600, "exp": 1_700_003_900 }),
            ),
            (
                WebIdentity { subject: "role/other".to_owned(), ..default.clone() },
                json!({
                    "sub": "role/other",
                    "https://sts.amazonaws.com/": {
                        "aws_account": "000000000000",
                        "source_region": "us-east-1",
                        "principal_id": "role/other",
                    },
                }),
            ),
        ] {
            let token = issue(&mut sts);

            let mut expected = expected.as_object().unwrap().clone();
            expected.extend(claims.as_object().unwrap().clone());
            assert_eq!(decode_token(&token).1, Value::Object(expected));
            assert!(is_signed_by_the_published_key(&sts, &token));
        }
    }
}
