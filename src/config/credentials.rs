//! The variables of the three credential sources, of which exactly one must be configured.

use super::reader::Reader;
use crate::alibaba::credentials::{Credentials, CredentialsConfig, OidcConfig, is_one_word};
use crate::alibaba::sts::{self, ROLE_SESSION_NAME_RULE, is_ram_arn, is_role_session_name};
use crate::transport::BaseUrl;

/// Credentials in the environment.
const ENVIRONMENT: [&str; 3] =
    ["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"];

/// Credentials in a secret.
const SECRET_ARN: &str = "ALIBABA_CREDENTIALS_SECRET_ARN";

/// OIDC federation: a role session without stored credentials.
const OIDC: [&str; 5] = [
    "ALIBABA_CLOUD_ROLE_ARN",
    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
    "ALIBABA_CLOUD_ROLE_SESSION_NAME",
    "ALIBABA_OIDC_AUDIENCE",
    "ALIBABA_STS_ENDPOINT_URL",
];

impl Reader<'_> {
    /// The configured source. Every variable belongs to one source, so a variable that is set selects it.
    pub(super) fn credentials(&mut self) -> CredentialsConfig {
        let is_set = |reader: &Self, variables: &[&'static str]| {
            variables.iter().copied().find(|variable| reader.optional(variable).is_some())
        };
        let environment = is_set(self, &ENVIRONMENT);
        let secret = is_set(self, &[SECRET_ARN]);
        let oidc = is_set(self, &OIDC);
        let mut sources = [environment, secret, oidc].into_iter().flatten();
        match (sources.next(), sources.next(), sources.next()) {
            (None, ..) => self.report(
                ENVIRONMENT[0],
                format!(
                    "is not set, and neither is {SECRET_ARN} nor {}: set the variables of one source of credentials",
                    OIDC[0]
                ),
            ),
            (Some(first), Some(second), third) => {
                for other in [Some(second), third].into_iter().flatten() {
                    self.report(
                        other,
                        format!("is set together with {first}: set the variables of one source of credentials only"),
                    );
                }
            }
            (Some(_), None, _) => {}
        }
        if environment.is_none() && secret.is_some() {
            return CredentialsConfig::SecretsManager {
                secret_arn: self.secret_arn(SECRET_ARN).unwrap_or_default(),
            };
        }
        if environment.is_none() && oidc.is_some() {
            return CredentialsConfig::Oidc(self.oidc());
        }
        CredentialsConfig::Environment(self.access_key(environment.is_some()))
    }

    fn access_key(&mut self, is_required: bool) -> Credentials {
        let [id, secret, token] = ENVIRONMENT;
        let access_key_id = self.word(id, is_required);
        let access_key_secret = self.word(secret, is_required);
        Credentials::new(access_key_id, access_key_secret, self.optional_word(token))
    }

    fn oidc(&mut self) -> OidcConfig {
        let [role, provider, session_name, audience, sts_url] = OIDC;
        OidcConfig {
            role_arn: self.ram_arn(role, "role"),
            oidc_provider_arn: self.ram_arn(provider, "oidc-provider"),
            role_session_name: self.role_session_name(session_name),
            audience: self.word(audience, true),
            sts_url: self.base_url(sts_url).unwrap_or_else(BaseUrl::sts),
        }
    }

    fn ram_arn(&mut self, variable: &'static str, kind: &str) -> String {
        let arn = self.word(variable, true);
        if !arn.is_empty() && !is_ram_arn(&arn, kind) {
            self.report(variable, format!("must be an ARN like acs:ram::1234567890123456:{kind}/name"));
        }
        arn
    }

    fn role_session_name(&mut self, variable: &'static str) -> String {
        let name = self.optional(variable).unwrap_or_else(|| sts::ROLE_SESSION_NAME_DEFAULT.to_owned());
        if !is_role_session_name(&name) {
            self.report(variable, format!("must {ROLE_SESSION_NAME_RULE}"));
        }
        name
    }

    /// A value for a header or a form.
    fn word(&mut self, variable: &'static str, is_required: bool) -> String {
        if is_required {
            self.required(variable);
        }
        self.optional_word(variable).unwrap_or_default()
    }

    fn optional_word(&mut self, variable: &'static str) -> Option<String> {
        let word = self.optional(variable)?;
        if !is_one_word(&word) {
            self.report(variable, "must not have spaces, line ends or characters beyond ASCII");
        }
        Some(word)
    }
}
