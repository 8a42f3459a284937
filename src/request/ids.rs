//! The identifiers of a request, each a type of its own, valid by construction.
//!
//! Patterns and lengths are Alibaba Cloud's where it documents them; the rest is this project's contract.

use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Longest region id that is accepted, in characters. The longest existing one has 22; it becomes part of a host name,
/// whose labels have at most 63.
const REGION_ID_LENGTH_MAX: usize = 32;

/// Maximum number of characters after `ep-`, `sg-` or `vpc-`: a whole id has about 64.
const RESOURCE_ID_TAIL_MAX: usize = 61;

/// Longest client token and request id, in characters: Alibaba's limit for the one, this project's for the other.
const TOKEN_LENGTH_MAX: usize = 64;

/// Hexadecimal characters of a hash in a request id: enough that no two in a deployment are equal by chance.
const SOURCE_ID_HASH_LENGTH: usize = 16;

/// Maximum number of characters of an invalid source id that are kept beside its hash.
const SOURCE_ID_KEPT_MAX: usize = TOKEN_LENGTH_MAX - 1 - SOURCE_ID_HASH_LENGTH;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $valid:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The rule for a valid value; it completes the sentence "the field …".
            pub const RULE: &'static str = $rule;

            /// The value as this type, or `None` if it does not follow [`Self::RULE`].
            #[must_use]
            pub fn parse(value: &str) -> Option<Self> {
                let valid: fn(&str) -> bool = $valid;
                valid(value).then(|| Self(value.to_owned()))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// An Alibaba Cloud region, such as `eu-west-1`.
    ///
    /// It becomes part of a host name, so its pattern is a security boundary: two lower-case letters, then at
    /// least one group of `-` and lower-case letters or digits, and nothing else.
    RegionId,
    |value| {
        let mut parts = value.split('-');
        let country = parts.next().unwrap_or("");
        let is_country = country.len() == 2 && country.bytes().all(|b| b.is_ascii_lowercase());
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        let has_parts = value.len() > country.len();
        value.len() <= REGION_ID_LENGTH_MAX && is_country && has_parts && parts.all(is_part)
    },
    "must be a region id such as eu-west-1, at most 32 characters"
);

id!(
    /// A PrivateLink VPC endpoint, `ep-…`.
    EndpointId,
    |value| is_resource_id(value, "ep-"),
    "must be an endpoint id: ep- and 1 to 61 letters, digits, _ or -"
);

id!(
    /// A security group, `sg-…`.
    SecurityGroupId,
    |value| is_resource_id(value, "sg-"),
    "must be a security group id: sg- and 1 to 61 letters, digits, _ or -"
);

id!(
    /// A VPC, `vpc-…`.
    VpcId,
    |value| is_resource_id(value, "vpc-"),
    "must be a VPC id: vpc- and 1 to 61 letters, digits, _ or -"
);

id!(
    /// An idempotency token of Alibaba Cloud's `ClientToken` parameter.
    ClientToken,
    |value| (1..=TOKEN_LENGTH_MAX).contains(&value.len()) && value.bytes().all(|b| matches!(b, b' '..=b'~')),
    "must be 1 to 64 printable ASCII characters"
);

id!(
    /// The name of a request, in its completion event, its dead-letter copy and every log line.
    RequestId,
    |value| (1..=TOKEN_LENGTH_MAX).contains(&value.len()) && value.bytes().all(is_request_id_byte),
    "must be 1 to 64 of A-Z a-z 0-9 . _ : -"
);

impl ClientToken {
    /// The `number`th token of a random prefix: 32 hexadecimal digits, `-`, and the number.
    #[must_use]
    pub fn numbered(prefix: u128, number: u32) -> Self {
        Self(format!("{prefix:032x}-{number}"))
    }
}

impl RequestId {
    /// The request id derived from the id of its source: a message, a webhook, an event or an invocation.
    ///
    /// A valid id is used unchanged. Of any other, the valid characters are kept and a hash is added: two requests must not
    /// get the same name because their sources' ids are long or have other characters.
    #[must_use]
    pub fn from_source(id: &str) -> Self {
        Self::parse(id).unwrap_or_else(|| {
            let allowed = |c: char| {
                if c.is_ascii() && is_request_id_byte(c as u8) { c } else { '-' }
            };
            let kept: String = id.chars().take(SOURCE_ID_KEPT_MAX).map(allowed).collect();
            let hash =
                Sha256::digest(id).iter().take(8).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
            Self(format!("{kept}-{hash:016x}"))
        })
    }

    /// The request id of the `number`th of several requests, from 1, of one source.
    #[must_use]
    pub fn numbered(source: &str, number: usize) -> Self {
        Self::from_source(&format!("{source}.{number}"))
    }
}

fn is_request_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-')
}

fn is_resource_id(value: &str, prefix: &str) -> bool {
    value.strip_prefix(prefix).is_some_and(|tail| {
        (1..=RESOURCE_ID_TAIL_MAX).contains(&tail.len())
            && tail.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_regions_are_accepted() {
        for region in ["eu-west-1", "cn-hangzhou", "cn-shanghai-finance-1", "ap-southeast-7", "me-central-1"]
        {
            assert!(RegionId::parse(region).is_some(), "{region}");
        }
    }

    #[test]
    fn text_that_could_change_the_host_is_no_region() {
        let long = "cn-".to_owned() + &"a".repeat(300);
        let hostile = [
            "",
            "cn",
            "cn-",
            "-cn",
            "cn--a",
            "c-hangzhou",
            "cnn-hangzhou",
            "CN-hangzhou",
            "cn-Hangzhou",
            "evil.com/#",
            "127.0.0.1:80",
            "cn-hangzhou.evil.com",
            "cn-hangzhou/",
            "cn-hangzhou@evil",
            "cn-hangzhou#",
            "cn-hangzhou\n",
            " cn-hangzhou",
            "cn-hangzhou ",
            "cn_hangzhou",
            "cn-hängzhou",
            "cn-hangzhou:443",
            "cn-hangzhou%2e",
            long.as_str(),
        ];
        for region in hostile {
            assert_eq!(RegionId::parse(region), None, "{region:?}");
        }
    }

    #[test]
    fn resource_ids_keep_their_prefix_and_length() {
        let longest = "ep-".to_owned() + &"a".repeat(61);
        assert!(EndpointId::parse(&longest).is_some());
        assert!(EndpointId::parse("ep-hp33b2e43fays7s8abcd").is_some());
        for id in ["ep-", "sg-a", "ep-a b", "EP-a", "ep-ü", &(longest + "a")] {
            assert_eq!(EndpointId::parse(id), None, "{id:?}");
        }
        assert!(SecurityGroupId::parse("sg-hp3c8qj1tyct90ej_-").is_some());
        assert_eq!(SecurityGroupId::parse("ep-a"), None);
    }

    #[test]
    fn tokens_are_printable_ascii() {
        assert!(ClientToken::parse("0c593ea1 ~!").is_some());
        for token in ["", "tab\t", "ü", &"x".repeat(65)] {
            assert_eq!(ClientToken::parse(token), None, "{token:?}");
        }
    }

    #[test]
    fn every_source_id_yields_a_distinct_valid_request_id() {
        assert_eq!(RequestId::from_source("0b2f-1").as_str(), "0b2f-1");
        assert_eq!(RequestId::numbered("msg_2b", 3).as_str(), "msg_2b.3");
        let long = "x".repeat(64);
        let invalid =
            ["", "-", "a b/ü", "a b/-", &long, &format!("{long}.1"), &format!("{long}.2"), &"é".repeat(99)];
        let ids: std::collections::BTreeSet<_> = invalid.into_iter().map(RequestId::from_source).collect();
        assert_eq!(ids.len(), invalid.len(), "{ids:?}");
        assert!(ids.iter().all(|id| RequestId::parse(id.as_str()).is_some()), "{ids:?}");
        assert!(RequestId::from_source("a b/ü").as_str().starts_with("a-b---"));
    }
}
