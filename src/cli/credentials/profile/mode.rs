//! The modes of a profile: those that this program can use, and what to do about the others.

use super::fields::Fields;
use crate::cli::credentials::Unusable;
use crate::json::shown;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Ak,
    StsToken,
    RamRoleArn,
    ChainableRamRoleArn,
    Oidc,
    CloudSso,
    OAuth,
}

/// What works in place of a mode that is not supported.
const ENVIRONMENT: &str =
    "ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and ALIBABA_CLOUD_SECURITY_TOKEN";

impl Mode {
    const ALL: [Self; 7] = [
        Self::Ak,
        Self::StsToken,
        Self::RamRoleArn,
        Self::ChainableRamRoleArn,
        Self::Oidc,
        Self::CloudSso,
        Self::OAuth,
    ];

    /// As the official CLI writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ak => "AK",
            Self::StsToken => "StsToken",
            Self::RamRoleArn => "RamRoleArn",
            Self::ChainableRamRoleArn => "ChainableRamRoleArn",
            Self::Oidc => "OIDC",
            Self::CloudSso => "CloudSSO",
            Self::OAuth => "OAuth",
        }
    }

    /// The mode of a profile, in any letter case.
    pub(super) fn of(fields: &Fields<'_>) -> Result<Self, Unusable> {
        let name = fields.required("mode")?;
        if let Some(mode) = Self::ALL.into_iter().find(|mode| mode.name().eq_ignore_ascii_case(&name)) {
            return Ok(mode);
        }
        let problem = format!("has the mode {}, which this program does not support", shown(&name));
        Err(fields.problem(&problem, &advice(&name.to_ascii_lowercase())))
    }
}

/// What to do about a mode that is not supported.
fn advice(mode: &str) -> String {
    match mode {
        "credentialsuri" => {
            format!("call its credentials_uri, and set {ENVIRONMENT} from the response")
        }
        "external" => format!("run its process_command, and set {ENVIRONMENT} from the output"),
        "ecsramrole" => {
            format!("set {ENVIRONMENT} from the instance's metadata service, or use a profile of mode OIDC")
        }
        "rsakeypair" => "the mode is deprecated: use a profile of mode RamRoleArn".to_owned(),
        "ramrolearnwithrolename" => {
            "the mode is deprecated: use a profile of mode ChainableRamRoleArn".to_owned()
        }
        _ => {
            let names = Mode::ALL.map(Mode::name).join(", ");
            format!("use a profile of one of these modes: {names}; or set {ENVIRONMENT}")
        }
    }
}
