//! The profiles of the official CLI's file: text in, the source of a profile out. Pure.
//!
//! Messages name the file, the profile and the field, and never the value of a secret field. Other profiles of the file
//! may be of any form.

mod fields;
mod mode;

use std::time::{Duration, SystemTime};

use http::uri::{Authority, Scheme};
use serde_json::Value;

use super::choice::OidcRole;
use super::{FILE, Unusable};
use crate::alibaba::credentials::Credentials;
use crate::alibaba::sts::{
    ROLE_SESSION_NAME_DEFAULT, ROLE_SESSION_NAME_RULE, SESSION_LIFETIME, is_role_session_name,
};
use crate::clock::calendar;
use crate::json::{bytes_without_byte_order_mark, shown};
use crate::request::RegionId;
use crate::transport::BaseUrl;

use fields::Fields;
use mode::Mode;

/// The most profiles in a chain of roles, the first with its own credentials included. Every role costs a call at each
/// renewal; a longer chain is a mistake in the file.
const CHAIN_LENGTH_MAX: usize = 5;

/// The lengths of a session that STS issues: 15 minutes to the largest maximum that a role can have.
const EXPIRED_SECONDS: std::ops::RangeInclusive<u64> = 900..=43_200;

/// A profile that can be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) source: Source,
    /// Mode and role, as messages name them.
    pub(super) description: String,
    /// The same for the same identity. No message shows it.
    pub(super) identity: String,
    pub(super) region_id: Option<RegionId>,
    /// The address of STS, if the profile names one.
    pub(super) sts_url: Option<BaseUrl>,
}

/// Where the credentials of a profile come from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The profile itself.
    Fixed(Credentials),
    /// The profile itself; the official CLI renews them.
    Session { credentials: Credentials, ends_at: SystemTime },
    /// STS, for a token in a file.
    Oidc { role: OidcRole, sts_url: Option<BaseUrl> },
    /// STS, for other credentials.
    Role(Box<AssumedRole>),
}

/// A role that other credentials assume.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AssumedRole {
    pub(super) assumed_with: Source,
    pub(super) role_arn: String,
    pub(super) session_name: String,
    pub(super) duration: Duration,
    pub(super) external_id: Option<String>,
    pub(super) sts_url: Option<BaseUrl>,
}

/// A profile, as messages name it.
pub(super) fn label(name: &str) -> String {
    format!("profile `{}` in {FILE}", shown(name))
}

/// The profile of this name, or the current one, in the text of the file.
pub(super) fn read(text: &[u8], name: Option<&str>, now: SystemTime) -> Result<Profile, Unusable> {
    let file = serde_json::from_slice::<Value>(bytes_without_byte_order_mark(text)).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let problem = format!("{FILE} is not valid JSON at line {line}, column {column}");
        Unusable::new(problem, "correct it, or create it again with `aliyun configure`")
    })?;
    let profiles = Profiles { file: &file, now };
    let name = match name {
        Some(name) => name,
        None => profiles.current()?,
    };
    profiles.profile(name, &mut Vec::new())
}

struct Profiles<'a> {
    file: &'a Value,
    now: SystemTime,
}

impl<'a> Profiles<'a> {
    fn current(&self) -> Result<&'a str, Unusable> {
        let current = self.file["current"].as_str().filter(|name| !name.is_empty());
        current.ok_or_else(|| {
            Unusable::new(
                format!("{FILE} has no `current` profile"),
                "name one with --profile, or choose one with `aliyun configure switch`",
            )
        })
    }

    /// The fields of the first profile of this name.
    fn find(&self, name: &str) -> Result<Fields<'a>, Unusable> {
        let profiles = self.file["profiles"].as_array().map(Vec::as_slice).unwrap_or_default();
        let found = profiles.iter().find(|profile| profile["name"] == name);
        let fields = found.map(|profile| Fields { profile: name.to_owned(), fields: profile });
        fields.ok_or_else(|| {
            let advice = "correct the name, or create the profile with `aliyun configure`";
            Unusable::new(format!("there is no {}", label(name)), advice)
        })
    }

    /// A profile, and those on which its credentials depend. `chain` has the profiles that depend on it.
    fn profile(&self, name: &str, chain: &mut Vec<String>) -> Result<Profile, Unusable> {
        let fields = self.find(name)?;
        if chain.iter().any(|earlier| earlier == name) {
            return Err(fields.problem("is its own source_profile", "correct source_profile"));
        }
        chain.push(name.to_owned());
        if chain.len() > CHAIN_LENGTH_MAX {
            let problem = format!("is at the end of a chain of more than {CHAIN_LENGTH_MAX} profiles");
            return Err(fields.problem(&problem, "use a source_profile with fewer roles"));
        }
        let mode = Mode::of(&fields)?;
        let sts_url = sts_url(&fields)?;
        let source = match mode {
            Mode::Ak => Source::Fixed(fields.credentials(None)?),
            Mode::StsToken => Source::Fixed(fields.credentials(Some(fields.required("sts_token")?))?),
            Mode::CloudSso | Mode::OAuth => self.session(&fields, mode)?,
            Mode::Oidc => Source::Oidc { role: oidc_role(&fields)?, sts_url: sts_url.clone() },
            Mode::RamRoleArn => {
                let credentials = fields.credentials(fields.word("sts_token")?)?;
                role(&fields, Source::Fixed(credentials), sts_url.clone())?
            }
            Mode::ChainableRamRoleArn => {
                let source = self.profile(&fields.required("source_profile")?, chain)?.source;
                role(&fields, source, sts_url.clone())?
            }
        };
        let role_arn = match &source {
            Source::Oidc { role, .. } => Some(&role.role_arn),
            Source::Role(role) => Some(&role.role_arn),
            Source::Fixed(_) | Source::Session { .. } => None,
        };
        let description = role_arn.map_or(mode.name().to_owned(), |arn| format!("{} {arn}", mode.name()));
        let identity = match role_arn {
            Some(arn) => arn.clone(),
            None => own_identity(&fields, mode)?,
        };
        let region_id = fields.parsed("region_id", RegionId::parse, RegionId::RULE)?;
        Ok(Profile { name: name.to_owned(), source, description, identity, region_id, sts_url })
    }

    /// The session that the official CLI keeps in the profile, until it ends.
    fn session(&self, fields: &Fields<'_>, mode: Mode) -> Result<Source, Unusable> {
        let seconds = fields.number("sts_expiration")?.unwrap_or_default();
        let ends_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let problem = match ends_at {
            None | Some(SystemTime::UNIX_EPOCH) => "has no session".to_owned(),
            Some(ends_at) if ends_at > self.now => {
                let credentials = fields.credentials(Some(fields.required("sts_token")?))?;
                return Ok(Source::Session { credentials, ends_at });
            }
            Some(ends_at) => {
                format!("has a session that ended at {}", calendar::text(ends_at, calendar::SECONDS))
            }
        };
        let name = shown(&fields.profile);
        let advice = format!(
            "renew it with any call of the official CLI, such as `aliyun sts GetCallerIdentity --profile {name}`; if that \
             fails, sign in with `aliyun configure --mode {} --profile {name}`",
            mode.name()
        );
        Err(fields.problem(&problem, &advice))
    }
}

/// What stays the same as long as a profile without a role belongs to the same account. A renewed session has another
/// `AccessKey`: that of `CloudSSO` is known by its account, that of OAuth is not, so it ends the run.
fn own_identity(fields: &Fields<'_>, mode: Mode) -> Result<String, Unusable> {
    let account = match mode {
        Mode::CloudSso => fields.text("cloud_sso_account_id")?,
        _ => None,
    };
    account.map_or_else(|| fields.required("access_key_id"), Ok)
}

fn role(fields: &Fields<'_>, assumed_with: Source, sts_url: Option<BaseUrl>) -> Result<Source, Unusable> {
    let seconds = fields.number("expired_seconds")?.filter(|seconds| *seconds > 0);
    let duration = seconds.map_or(SESSION_LIFETIME, Duration::from_secs);
    if !EXPIRED_SECONDS.contains(&duration.as_secs()) {
        let (min, max) = EXPIRED_SECONDS.into_inner();
        return Err(fields.problem("has an invalid `expired_seconds`", &format!("it must be {min} to {max}")));
    }
    // Whether a session may assume a role for longer is not documented.
    let duration = match assumed_with {
        Source::Oidc { .. } | Source::Role(_) | Source::Session { .. } => duration.min(SESSION_LIFETIME),
        Source::Fixed(_) => duration,
    };
    Ok(Source::Role(Box::new(AssumedRole {
        assumed_with,
        role_arn: fields.ram_arn("ram_role_arn", "role")?,
        session_name: session_name(fields, &["ram_session_name"])?,
        duration,
        external_id: fields.text("external_id")?,
        sts_url,
    })))
}

fn oidc_role(fields: &Fields<'_>) -> Result<OidcRole, Unusable> {
    Ok(OidcRole {
        role_arn: fields.ram_arn("ram_role_arn", "role")?,
        oidc_provider_arn: fields.ram_arn("oidc_provider_arn", "oidc-provider")?,
        token_file: fields.required("oidc_token_file")?.into(),
        // One of Alibaba Cloud's SDKs reads the second name.
        session_name: session_name(fields, &["ram_session_name", "role_session_name"])?,
    })
}

/// The session's name, in the first of these fields that has one.
fn session_name(fields: &Fields<'_>, names: &[&str]) -> Result<String, Unusable> {
    for field in names {
        let Some(name) = fields.text(field)? else { continue };
        if is_role_session_name(&name) {
            return Ok(name);
        }
        let problem = format!("has an invalid `{field}`");
        return Err(fields.problem(&problem, &format!("it must {ROLE_SESSION_NAME_RULE}")));
    }
    Ok(ROLE_SESSION_NAME_DEFAULT.to_owned())
}

/// The address of STS that the profile names.
fn sts_url(fields: &Fields<'_>) -> Result<Option<BaseUrl>, Unusable> {
    let host = |text: &str| {
        let host = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
        let authority = Authority::try_from(host).ok().filter(|_| !host.contains('@'))?;
        Some(BaseUrl { scheme: Scheme::HTTPS, authority })
    };
    let endpoint = fields.parsed("sts_endpoint", host, "must be a host name")?;
    let region = fields.parsed("sts_region", RegionId::parse, RegionId::RULE)?;
    Ok(endpoint.or(region.map(|region| BaseUrl::sts_in(&region))))
}

#[cfg(test)]
mod tests;
