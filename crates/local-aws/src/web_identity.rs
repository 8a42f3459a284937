//! A model of STS as far as it vouches for its own account's roles: the issuer of web identity tokens
//! (`GetWebIdentityToken`) and the keys it shows to those who check them.
//!
//! No clock, no I/O. Everything that a receiver must refuse can be made here: what is public is a setting, and holds
//! from the next token on.

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

/// The id of the key, as AWS names its own.
const KEY_ID: &str = "RSA_0";

/// The claim that holds what AWS adds to the standard ones.
const AWS_CLAIM: &str = "https://sts.amazonaws.com/";

/// The issuer of one account and the role that calls it.
#[derive(Clone, Debug)]
pub struct WebIdentity {
    /// The claim `iss`: the URL that AWS gives an account whose federation it enables.
    pub issuer: String,
    /// The claim `sub`: the ARN of the role that calls.
    pub subject: String,
    /// Why every call is refused, if it is.
    pub denial: Option<Denial>,
    /// What tokens are signed with.
    pub signed_with: SigningKey,
    /// How far the issuer's clock is ahead of the services'. Less than nothing makes tokens that have expired when they
    /// come, more than nothing such as are issued in the future.
    pub clock_ahead: Duration,
    shown: Arc<KeyPair>,
    hidden: Arc<KeyPair>,
    tokens_issued: u64,
    faults: Faults,
}

/// Why STS refuses whoever asks for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The account has not enabled outbound federation, which is how every account begins.
    FederationDisabled,
    /// No policy allows the role to ask.
    NotAllowed,
    /// The token would outlive the caller's own session.
    SessionEndsSooner,
}

/// One of the two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// The one in [`WebIdentity::jwks`].
    Shown,
    /// One that nobody is shown. Its tokens name the other's id, so that nothing but the signature gives them away.
    Hidden,
}

/// A token and what its caller is told of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The signed token in its compact form.
    pub jwt: String,
    /// The claim `jti`.
    pub id: String,
    /// The claim `exp`.
    pub expires_at: OffsetDateTime,
}

impl WebIdentity {
    /// An account that has enabled the federation, with a role that may ask for tokens.
    ///
    /// Fails only if the test keys are broken.
    pub fn new() -> Result<Self, KeyRejected> {
        Ok(Self {
            issuer: "https://00000000-0000-4000-8000-000000000000.tokens.sts.global.api.aws".to_owned(),
            subject: format!("arn:aws:iam::{ACCOUNT}:role/worker"),
            denial: None,
            signed_with: SigningKey::Shown,
            clock_ahead: Duration::ZERO,
            shown: Arc::new(KeyPair::from_pkcs8(include_bytes!("../keys/shown.der"))?),
            hidden: Arc::new(KeyPair::from_pkcs8(include_bytes!("../keys/hidden.der"))?),
            tokens_issued: 0,
            faults: Faults::default(),
        })
    }

    /// What AWS publishes under the issuer's URL for those who check signatures.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let key = PublicKeyComponents::<Vec<u8>>::from(self.shown.public());
        json!({ "keys": [{
            "kty": "RSA",
            "kid": KEY_ID,
            "alg": "RS256",
            "use": "sig",
            "n": URL_SAFE_NO_PAD.encode(key.n),
            "e": URL_SAFE_NO_PAD.encode(key.e),
        }] })
    }

    /// Signs a token for one audience or more. Whether it may be had at all is not looked at here.
    ///
    /// Fails only if the test keys are broken.
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
            SigningKey::Shown => &self.shown,
            SigningKey::Hidden => &self.hidden,
        };
        let mut signature = vec![0; key.public().modulus_len()];
        // This padding has nothing random in it: the same claims always give the same token.
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)?;
        self.tokens_issued += 1;
        Ok(Token { jwt: format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)), id, expires_at })
    }

    /// The faults that coming calls will suffer. The calls of this model do not look at them: whoever serves it does.
    pub fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }
}

/// Without the token itself, which is long and, outside of tests, secret.
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

    /// A token's header and claims.
    fn opened(token: &Token) -> (Value, Value) {
        let parts: Vec<_> = token.jwt.split('.').collect();
        let [header, claims, _] = parts[..] else { panic!("{}", token.jwt) };
        (decoded(header), decoded(claims))
    }

    fn is_signed_by_the_shown_key(sts: &WebIdentity, token: &Token) -> bool {
        let jwks = sts.jwks();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(jwks["keys"][0][name].as_str().unwrap()).unwrap();
        let (signed, signature) = token.jwt.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        RsaPublicKeyComponents { n: part("n"), e: part("e") }
            .verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
            .is_ok()
    }

    #[test]
    fn token_says_who_asked_for_whom_and_until_when() {
        let mut sts = WebIdentity::new().unwrap();

        let token = issue(&mut sts);

        let (header, claims) = opened(&token);
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
        assert!(is_signed_by_the_shown_key(&sts, &token));
    }

    #[test]
    fn several_audiences_are_a_list_and_every_token_has_its_own_id() {
        let mut sts = WebIdentity::new().unwrap();
        let audiences = ["a".to_owned(), "b".to_owned()];

        let [first, second] = [(), ()].map(|()| sts.issue(&audiences, FIVE_MINUTES, now()).unwrap());

        assert_eq!(opened(&first).1["aud"], json!(["a", "b"]));
        assert_eq!(opened(&second).1["jti"], "00000000-0000-4000-8000-000000000002");
        assert_ne!(first.id, second.id);
    }

    #[test]
    fn hidden_key_gives_itself_away_by_the_signature_alone() {
        let shown = WebIdentity::new().unwrap();
        let mut hidden = WebIdentity { signed_with: SigningKey::Hidden, ..shown.clone() };

        let token = issue(&mut hidden);

        assert_eq!(hidden.jwks(), shown.jwks());
        assert_eq!(opened(&token), opened(&issue(&mut shown.clone())));
        assert!(!is_signed_by_the_shown_key(&hidden, &token));
    }

    #[test]
    fn setting_changes_its_claims_and_the_signature_stays_good() {
        let usual = WebIdentity::new().unwrap();
        let (_, expected) = opened(&issue(&mut usual.clone()));
        for (mut sts, claims) in [
            (
                WebIdentity { issuer: "https://else.where".to_owned(), ..usual.clone() },
                json!({ "iss": "https://else.where" }),
            ),
            (
                WebIdentity { clock_ahead: Duration::hours(-1), ..usual.clone() },
                json!({ "iat": 1_699_996_400, "exp": 1_699_996_700 }),
            ),
            (
                WebIdentity { clock_ahead: Duration::hours(1), ..usual.clone() },
                json!({ "iat": 1_700_003_600, "exp": 1_700_003_900 }),
            ),
            (
                WebIdentity { subject: "role/other".to_owned(), ..usual.clone() },
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
            assert_eq!(opened(&token).1, Value::Object(expected));
            assert!(is_signed_by_the_shown_key(&sts, &token));
        }
    }
}
