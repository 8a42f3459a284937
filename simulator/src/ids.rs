//! The ids that travel through the simulator, each its own type so that none can stand in for another.
//!
//! Nothing here checks a pattern: a request may name anything, and is answered with a code. A seed is checked where it
//! is read.

use std::{borrow::Borrow, fmt};

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[doc = $doc:literal] $name:ident)+) => {$(
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id as it travels.
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
    /// An access key's public half.
    AccessKeyId
}
