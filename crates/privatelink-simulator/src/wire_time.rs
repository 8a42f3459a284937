//! Times and durations in their wire formats: RFC 3339 and milliseconds in JSON, and the formats of `x-acs-date` and
//! `Date`.

use std::time::{Duration, SystemTime};

use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description,
};

/// The longest duration in a setting or a fault: longer than any test needs, and too short to overflow a time.
pub const DURATION_MAX: Duration = Duration::from_hours(7 * 24);

const ACS_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// Returns `at` plus `duration`, with the duration limited to [`DURATION_MAX`].
pub(crate) fn later(at: SystemTime, duration: Duration) -> SystemTime {
    at + duration.min(DURATION_MAX)
}

/// The absolute difference between two times.
pub(crate) fn distance(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|backwards| backwards.duration())
}

/// Parses the value of an `x-acs-date` header.
pub(crate) fn parse_acs_date(text: &str) -> Option<SystemTime> {
    PrimitiveDateTime::parse(text, ACS_DATE).ok().map(|date| date.assume_utc().into())
}

/// Formats the value of an `x-acs-date` header.
pub(crate) fn acs_date(at: SystemTime) -> String {
    OffsetDateTime::from(at).format(ACS_DATE).unwrap_or_default()
}

/// Formats the value of a `Date` header.
pub(crate) fn http_date(at: SystemTime) -> String {
    OffsetDateTime::from(at).format(HTTP_DATE).unwrap_or_default()
}

/// Serializes a duration as a whole number of milliseconds.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::DURATION_MAX;

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let duration = Duration::from_millis(u64::deserialize(deserializer)?);
        if duration > DURATION_MAX {
            return Err(D::Error::custom(format_args!(
                "{} ms is too long: the maximum is {} ms",
                duration.as_millis(),
                DURATION_MAX.as_millis()
            )));
        }
        Ok(duration)
    }

    /// Serializes an optional duration as a whole number of milliseconds.
    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Duration, Serializer};

        #[derive(Deserialize)]
        struct Millis(#[serde(with = "super")] Duration);

        #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
        pub(crate) fn serialize<S: Serializer>(
            duration: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match duration {
                Some(duration) => super::serialize(duration, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<Millis>::deserialize(deserializer)?.map(|Millis(duration)| duration))
        }
    }
}

/// Serializes a time as RFC 3339 text.
pub(crate) mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de, ser};
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};

    pub(crate) fn serialize<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        let text = OffsetDateTime::from(*at).format(&Rfc3339).map_err(ser::Error::custom)?;
        serializer.serialize_str(&text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        let date = OffsetDateTime::parse(&text, &Rfc3339)
            .map_err(|error| de::Error::custom(format_args!("{text:?} is not an RFC 3339 time: {error}")))?;
        Ok(date.into())
    }

    /// Serializes an optional time as RFC 3339 text.
    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Serializer, SystemTime};

        #[derive(Deserialize)]
        struct Timestamp(#[serde(with = "super")] SystemTime);

        #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
        pub(crate) fn serialize<S: Serializer>(
            at: &Option<SystemTime>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => super::serialize(at, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<SystemTime>, D::Error> {
            Ok(Option::<Timestamp>::deserialize(deserializer)?.map(|Timestamp(at)| at))
        }
    }
}
