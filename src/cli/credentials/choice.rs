//! Which source of credentials is used: the first that is present. Pure.
//!
//! The order: the profile that `--profile` names, an `AccessKey` in the environment, a role for a token file in the
//! environment, the profile of `ALIBABA_CLOUD_PROFILE`, the file's current profile. A source that is present but incomplete
//! is an error: the next one may be of another account.

use std::path::PathBuf;

use super::{FILE, Unusable};
use crate::alibaba::credentials::{Credentials, is_one_word};
use crate::alibaba::sts::{
    ROLE_SESSION_NAME_DEFAULT, ROLE_SESSION_NAME_RULE, is_ram_arn, is_role_session_name,
};

const ACCESS_KEY_ID: &str = "ALIBABA_CLOUD_ACCESS_KEY_ID";
const ACCESS_KEY_SECRET: &str = "ALIBABA_CLOUD_ACCESS_KEY_SECRET";
const SECURITY_TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";

const TOKEN_FILE: &str = "ALIBABA_CLOUD_OIDC_TOKEN_FILE";
const ROLE_ARN: &str = "ALIBABA_CLOUD_ROLE_ARN";
const OIDC_PROVIDER_ARN: &str = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN";
const ROLE_SESSION_NAME: &str = "ALIBABA_CLOUD_ROLE_SESSION_NAME";

const PROFILE: &str = "ALIBABA_CLOUD_PROFILE";
const IGNORE_PROFILE: &str = "ALIBABA_CLOUD_IGNORE_PROFILE";

/// The `AccessKey` in the environment, as messages name it.
pub(super) const ACCESS_KEY_SOURCE: &str =
    "the environment variables ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET";

/// The role in the environment, as messages name it.
pub(super) const OIDC_SOURCE: &str =
    "the environment variables ALIBABA_CLOUD_OIDC_TOKEN_FILE and ALIBABA_CLOUD_ROLE_ARN";

/// The first source that is present.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// In the environment.
    AccessKey(Credentials),
    /// In the environment.
    Oidc(OidcRole),
    /// Of the official CLI's file: the one with this name, or the current one.
    Profile(Option<String>),
}

/// A role whose sessions STS issues for a token in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OidcRole {
    pub(super) role_arn: String,
    pub(super) oidc_provider_arn: String,
    pub(super) token_file: PathBuf,
    pub(super) session_name: String,
}

/// The first source that is present. `profile` is the one that the command line names.
pub(super) fn choose(
    profile: Option<&str>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Choice, Unusable> {
    let variables = Variables { environment };
    let is_file_ignored =
        variables.get(IGNORE_PROFILE).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    match (profile, is_file_ignored) {
        (Some(_), true) => {
            return Err(Unusable::new(
                format!("--profile names a profile of {FILE}, and {IGNORE_PROFILE} is TRUE"),
                "use only one of them",
            ));
        }
        (Some(name), false) => return Ok(Choice::Profile(Some(name.to_owned()))),
        (None, _) => {}
    }
    if let Some(credentials) = variables.access_key()? {
        return Ok(Choice::AccessKey(credentials));
    }
    if let Some(role) = variables.oidc_role()? {
        return Ok(Choice::Oidc(role));
    }
    if is_file_ignored {
        return Err(Unusable::new(
            format!("there are no credentials in the environment, and {IGNORE_PROFILE} is TRUE"),
            format!("set {ACCESS_KEY_ID} and {ACCESS_KEY_SECRET}"),
        ));
    }
    Ok(Choice::Profile(variables.get(PROFILE)))
}

struct Variables<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Variables<'_> {
    /// The value. An empty one counts as not set.
    fn get(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }

    /// A value that a header or a form can have.
    fn word(&self, name: &str) -> Result<Option<String>, Unusable> {
        let value = self.get(name);
        if value.as_deref().is_none_or(is_one_word) {
            return Ok(value);
        }
        let problem = format!("{name} contains spaces, line ends or non-ASCII characters");
        Err(Unusable::new(problem, "correct its value"))
    }

    fn access_key(&self) -> Result<Option<Credentials>, Unusable> {
        let (id, secret) = (self.word(ACCESS_KEY_ID)?, self.word(ACCESS_KEY_SECRET)?);
        let token = self.word(SECURITY_TOKEN)?;
        let missing = match (id, secret, &token) {
            (Some(id), Some(secret), _) => return Ok(Some(Credentials::new(id, secret, token))),
            (None, None, None) => return Ok(None),
            (None, None, Some(_)) => format!("{SECURITY_TOKEN} is set without {ACCESS_KEY_ID}"),
            (None, Some(_), _) => format!("{ACCESS_KEY_SECRET} is set without {ACCESS_KEY_ID}"),
            (Some(_), None, _) => format!("{ACCESS_KEY_ID} is set without {ACCESS_KEY_SECRET}"),
        };
        Err(Unusable::new(missing, "set both, or unset both to use another source"))
    }

    fn oidc_role(&self) -> Result<Option<OidcRole>, Unusable> {
        let Some(token_file) = self.get(TOKEN_FILE) else { return Ok(None) };
        let session_name =
            self.get(ROLE_SESSION_NAME).unwrap_or_else(|| ROLE_SESSION_NAME_DEFAULT.to_owned());
        if !is_role_session_name(&session_name) {
            let problem = format!("{ROLE_SESSION_NAME} is not a valid session name");
            return Err(Unusable::new(problem, format!("it must {ROLE_SESSION_NAME_RULE}")));
        }
        Ok(Some(OidcRole {
            role_arn: self.ram_arn(ROLE_ARN, "role")?,
            oidc_provider_arn: self.ram_arn(OIDC_PROVIDER_ARN, "oidc-provider")?,
            token_file: token_file.into(),
            session_name,
        }))
    }

    fn ram_arn(&self, name: &str, kind: &str) -> Result<String, Unusable> {
        let Some(arn) = self.word(name)? else {
            let problem = format!("{TOKEN_FILE} is set without {name}");
            return Err(Unusable::new(problem, "set both, or unset both to use another source"));
        };
        if is_ram_arn(&arn, kind) {
            return Ok(arn);
        }
        let problem = format!("{name} is not a RAM ARN");
        Err(Unusable::new(problem, format!("it must be like acs:ram::1234567890123456:{kind}/name")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [(&str, &str); 2] = [(ACCESS_KEY_ID, "LTAIid"), (ACCESS_KEY_SECRET, "s3cret")];
    const OIDC: [(&str, &str); 3] = [
        (TOKEN_FILE, "/run/token"),
        (ROLE_ARN, "acs:ram::1:role/r"),
        (OIDC_PROVIDER_ARN, "acs:ram::1:oidc-provider/p"),
    ];
    const NAMED: (&str, &str) = (PROFILE, "dev");
    const IGNORED: (&str, &str) = (IGNORE_PROFILE, "TRUE");

    fn chosen(profile: Option<&str>, variables: &[&[(&str, &str)]]) -> Result<Choice, Unusable> {
        let variables = variables.concat();
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
        choose(profile, &value)
    }

    fn access_key(token: Option<&str>) -> Choice {
        Choice::AccessKey(Credentials::new("LTAIid".into(), "s3cret".into(), token.map(Into::into)))
    }

    fn oidc_role(session_name: &str) -> Choice {
        Choice::Oidc(OidcRole {
            role_arn: "acs:ram::1:role/r".into(),
            oidc_provider_arn: "acs:ram::1:oidc-provider/p".into(),
            token_file: "/run/token".into(),
            session_name: session_name.into(),
        })
    }

    fn named(name: &str) -> Choice {
        Choice::Profile(Some(name.into()))
    }

    #[test]
    fn first_source_that_is_there_is_used() {
        for (profile, variables, expected) in [
            (Some("prod"), &[&KEY[..], &OIDC, &[NAMED]][..], named("prod")),
            (None, &[&KEY, &OIDC, &[NAMED]], access_key(None)),
            (None, &[&KEY, &[(SECURITY_TOKEN, "t0ken")]], access_key(Some("t0ken"))),
            (None, &[&OIDC, &[NAMED]], oidc_role("privatelink-detach")),
            (None, &[&OIDC, &[(ROLE_SESSION_NAME, "me@laptop")]], oidc_role("me@laptop")),
            (None, &[&OIDC[1..], &[NAMED]], named("dev")),
            (None, &[&[(PROFILE, "")]], Choice::Profile(None)),
            (None, &[], Choice::Profile(None)),
            (None, &[&KEY, &[IGNORED]], access_key(None)),
            (None, &[&[(IGNORE_PROFILE, "false")]], Choice::Profile(None)),
        ] {
            assert_eq!(chosen(profile, variables), Ok(expected), "{profile:?} {variables:?}");
        }
    }

    #[test]
    fn incomplete_or_invalid_source_is_an_error_that_names_the_variable() {
        for (profile, variables, name) in [
            (None, &[&KEY[..1], &OIDC, &[NAMED]][..], ACCESS_KEY_SECRET),
            (None, &[&KEY[1..]], ACCESS_KEY_ID),
            (None, &[&[(SECURITY_TOKEN, "s3cret")]], ACCESS_KEY_ID),
            (None, &[&[(ACCESS_KEY_ID, "LTAIid"), (ACCESS_KEY_SECRET, "s3cret ")]], ACCESS_KEY_SECRET),
            (None, &[&OIDC[..2], &[NAMED]], OIDC_PROVIDER_ARN),
            (None, &[&OIDC[..1], &OIDC[2..]], ROLE_ARN),
            (None, &[&OIDC[..1], &OIDC[2..], &[(ROLE_ARN, "acs:ram::s3cret:role/r")]], ROLE_ARN),
            (None, &[&OIDC, &[(ROLE_SESSION_NAME, "s3cret:x")]], ROLE_SESSION_NAME),
            (None, &[&[IGNORED], &[NAMED]], IGNORE_PROFILE),
            (Some("prod"), &[&[IGNORED]], IGNORE_PROFILE),
        ] {
            let error = chosen(profile, variables).unwrap_err();
            assert!(error.problem.contains(name) && !error.advice.is_empty(), "{variables:?}: {error}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
