//! Ids, each with its own type so that they cannot be confused.
//!
//! The types do not validate: a request may contain any id, and gets an error response if it is unknown. The ids of
//! a seed are checked when it is parsed.

use std::{borrow::Borrow, fmt};

use serde::{Deserialize, Serialize};

/// The maximum length of a name in RAM: that of an OIDC provider.
const RAM_NAME_MAX: usize = 128;

macro_rules! id {
    ($(#[doc = $doc:literal] $name:ident)+) => {$(
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id as a string.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl From<&$name> for $name {
            fn from(id: &$name) -> Self {
                id.clone()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    )+};
}

id! {
    /// A region, such as `eu-west-1`.
    RegionId
    /// A VPC endpoint, such as `ep-hp33b2e43fays7s8abcd`.
    EndpointId
    /// A security group, such as `sg-hp3c8qj1tyct90ejabcd`.
    SecurityGroupId
    /// An access key id.
    AccessKeyId
    /// An OIDC provider in RAM, such as `acs:ram::1234567890123456:oidc-provider/aws`.
    OidcProviderArn
    /// A role in RAM, such as `acs:ram::1234567890123456:role/detach`.
    RoleArn
    /// A caller in RAM: an account `acs:ram::1234567890123456:root`, a user `…:user/operator` or a role.
    PrincipalArn
}

impl OidcProviderArn {
    pub(crate) fn is_well_formed(&self) -> bool {
        ram_name(self.as_str(), "oidc-provider").is_some()
    }

    pub(crate) fn account(&self) -> &str {
        ram_name(self.as_str(), "oidc-provider").map_or("", |(account, _)| account)
    }
}

impl RoleArn {
    pub(crate) fn is_well_formed(&self) -> bool {
        ram_name(self.as_str(), "role").is_some()
    }

    /// The account of the role.
    pub(crate) fn account(&self) -> &str {
        ram_name(self.as_str(), "role").map_or("", |(account, _)| account)
    }

    /// The role's name, without the account.
    pub(crate) fn name(&self) -> &str {
        ram_name(self.as_str(), "role").map_or("", |(_, name)| name)
    }
}

impl PrincipalArn {
    pub(crate) fn is_well_formed(&self) -> bool {
        self.is_account() || self.is_user() || ram_name(self.as_str(), "role").is_some()
    }

    pub(crate) fn is_account(&self) -> bool {
        ram_account(self.as_str()).is_some_and(|(_, rest)| rest == "root")
    }

    pub(crate) fn is_user(&self) -> bool {
        ram_name(self.as_str(), "user").is_some()
    }

    pub(crate) fn account(&self) -> &str {
        ram_account(self.as_str()).map_or("", |(account, _)| account)
    }
}

impl From<&RoleArn> for PrincipalArn {
    fn from(role: &RoleArn) -> Self {
        Self(role.0.clone())
    }
}

/// Splits `acs:ram::<account>:<kind>/<name>` into account and name.
fn ram_name<'a>(arn: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let (account, rest) = ram_account(arn)?;
    let name = rest.strip_prefix(kind)?.strip_prefix('/')?;
    let is_name = !name.is_empty()
        && name.len() <= RAM_NAME_MAX
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    is_name.then_some((account, name))
}

/// Splits `acs:ram::<account>:<rest>` into account and rest.
fn ram_account(arn: &str) -> Option<(&str, &str)> {
    let (account, rest) = arn.strip_prefix("acs:ram::")?.split_once(':')?;
    let is_account = !account.is_empty() && account.bytes().all(|b| b.is_ascii_digit());
    is_account.then_some((account, rest))
}
