//! The JSON forms of the parts of a fault that serde does not derive: call selection, status, headers and location.

use serde::{Deserialize, Serialize};

use super::Calls;

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"every\", the number of a call, or {\"next\": a number of calls}")]
pub(super) enum CallsJson {
    Nth(u64),
    Keyword(Keyword),
    Next(Next),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Keyword {
    Every,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Next {
    next: u64,
}

impl From<CallsJson> for Calls {
    fn from(json: CallsJson) -> Self {
        match json {
            CallsJson::Nth(number) => Self::Nth(number),
            CallsJson::Keyword(Keyword::Every) => Self::Every,
            CallsJson::Next(Next { next }) => Self::Next(next),
        }
    }
}

impl From<Calls> for CallsJson {
    fn from(calls: Calls) -> Self {
        match calls {
            Calls::Every => Self::Keyword(Keyword::Every),
            Calls::Nth(number) => Self::Nth(number),
            Calls::Next(next) => Self::Next(Next { next }),
        }
    }
}

/// A status as a number.
pub(super) mod status {
    use http::StatusCode;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn serialize<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(status.as_u16())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StatusCode, D::Error> {
        let number = u16::deserialize(deserializer)?;
        // A 1xx status does not end a call: another response follows it.
        if !(200..=599).contains(&number) {
            return Err(D::Error::custom(format_args!("{number} is not an HTTP status from 200 to 599")));
        }
        StatusCode::from_u16(number).map_err(D::Error::custom)
    }

    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Serializer, StatusCode};

        #[derive(Deserialize)]
        struct Status(#[serde(with = "super")] StatusCode);

        #[expect(
            clippy::ref_option,
            clippy::trivially_copy_pass_by_ref,
            reason = "serde passes a reference to the field"
        )]
        pub(crate) fn serialize<S: Serializer>(
            status: &Option<StatusCode>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match status {
                Some(status) => super::serialize(status, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<StatusCode>, D::Error> {
            Ok(Option::<Status>::deserialize(deserializer)?.map(|Status(status)| status))
        }
    }
}

/// Headers as an object of strings.
pub(super) mod headers {
    use std::collections::BTreeMap;

    use http::{HeaderMap, HeaderName, HeaderValue};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(headers: &HeaderMap, serializer: S) -> Result<S::Ok, S::Error> {
        let headers =
            headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
        serializer.collect_map(headers)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderMap, D::Error> {
        BTreeMap::<String, String>::deserialize(deserializer)?
            .into_iter()
            .map(|(name, value)| {
                let invalid =
                    || D::Error::custom(format_args!("{name:?}: {value:?} is not a valid HTTP header"));
                let header = HeaderName::try_from(&name).map_err(|_| invalid())?;
                let content = HeaderValue::try_from(&value).map_err(|_| invalid())?;
                Ok((header, content))
            })
            .collect()
    }
}

/// A location as a string.
pub(super) mod location {
    use http::HeaderValue;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(location: &HeaderValue, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(location.as_bytes()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderValue, D::Error> {
        let text = String::deserialize(deserializer)?;
        HeaderValue::try_from(&text)
            .map_err(|_| D::Error::custom(format_args!("{text:?} is not a valid header value")))
    }
}
