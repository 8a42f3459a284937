//! The credentials of a run: found as Alibaba Cloud's official tools find them, and renewed while the program runs.
//!
//! In reading order: [`choice`] (which source comes first), [`profile`] (the profiles of the official CLI's file), both
//! pure; [`sessions`] reads files and calls STS.

mod choice;
mod profile;
mod sessions;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::SystemTime;

use thiserror::Error;

use crate::alibaba::credentials::{CredentialError, CredentialsSource, SessionError};
use crate::request::RegionId;
use crate::transport::BaseUrl;
use crate::transport::Https;

use choice::Choice;
use sessions::{Origin, Sessions};

/// The official CLI's file, as messages name it.
const FILE: &str = "~/.aliyun/config.json";

/// Why there are no credentials. It names variables, files, profiles and fields, and contains no value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{problem}; {advice}")]
pub(super) struct Unusable {
    pub(super) problem: String,
    /// What to do.
    pub(super) advice: String,
}

impl Unusable {
    fn new(problem: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { problem: problem.into(), advice: advice.into() }
    }
}

impl From<Unusable> for CredentialError {
    fn from(Unusable { problem, advice }: Unusable) -> Self {
        SessionError { code: "NoCredentials".into(), message: problem, is_transient: false, advice }.into()
    }
}

impl From<&CredentialError> for Unusable {
    fn from(error: &CredentialError) -> Self {
        match error {
            CredentialError::Session(error) => Self::new(&error.message, &error.advice),
            // The sources of this program have no other errors.
            _ => Self::new("the credentials could not be read in time", sessions::RETRY),
        }
    }
}

/// The source of this run.
pub(super) struct Found {
    pub(super) source: CredentialsSource<Https>,
    /// The name of the source in messages.
    pub(super) name: String,
    pub(super) region_id: Option<RegionId>,
    /// The address of STS.
    pub(super) sts_url: BaseUrl,
}

/// Finds the source, without a call.
///
/// `sts_url` is the address of STS that takes precedence over a profile's.
pub(super) fn find(
    profile: Option<&str>,
    environment: &dyn Fn(&str) -> Option<String>,
    sts_url: Option<&BaseUrl>,
    transport: &Https,
    now: SystemTime,
) -> Result<Found, Unusable> {
    let sessions = |origin| {
        let (transport, sts_url) = (transport.clone(), sts_url.cloned());
        let sessions = Sessions { origin, transport, sts_url, service_clock: Rc::default() };
        CredentialsSource::refreshed_by(Box::new(sessions))
    };
    let sts_url_or = |url: Option<BaseUrl>| sts_url.cloned().or(url).unwrap_or_else(BaseUrl::sts);
    match choice::choose(profile, environment)? {
        Choice::AccessKey(credentials) => Ok(Found {
            source: CredentialsSource::Fixed(Rc::new(credentials)),
            name: choice::ACCESS_KEY_SOURCE.to_owned(),
            region_id: None,
            sts_url: sts_url_or(None),
        }),
        Choice::Oidc(role) => Ok(Found {
            name: format!("{} ({})", choice::OIDC_SOURCE, role.role_arn),
            region_id: None,
            sts_url: sts_url_or(None),
            source: sessions(Origin::Environment(role)),
        }),
        Choice::Profile(name) => {
            let home = environment("HOME").filter(|home| !home.is_empty());
            let path = home.map(|home| PathBuf::from(home).join(".aliyun/config.json"));
            let found = sessions::read_profile(path.as_deref(), name.as_deref(), now)?;
            Ok(Found {
                name: format!("{} ({})", profile::label(&found.name), found.description),
                region_id: found.region_id,
                sts_url: sts_url_or(found.sts_url),
                source: sessions(Origin::Profile { path, name: found.name, identity: found.identity }),
            })
        }
    }
}
