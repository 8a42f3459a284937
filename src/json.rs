//! JSON objects in untrusted input: read as objects and nothing else, with repeated fields where they matter.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Maximum number of characters of an unknown field's name that an error repeats.
const NAME_SHOWN_MAX: usize = 64;

/// A structure that must be a JSON object. By default serde also accepts a list of the values in the order of the fields, so
/// that a list of three unrelated texts would be read as credentials.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Whole<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Whole(PhantomData))
    }
}

/// A JSON object's fields in their order, repeated ones included: a field that is given twice must be reported.
pub(crate) struct Entries(pub(crate) Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl<'de> Visitor<'de> for Whole {
            type Value = Entries;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Whole)
    }
}

/// The text after a byte order mark, which editors and shells of some systems write before JSON.
pub(crate) fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The bytes after a byte order mark in UTF-8.
pub(crate) fn bytes_without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// A field's name as an error may repeat it: shortened and escaped.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(NAME_SHOWN_MAX).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Pair {
        one: u8,
        two: Option<u8>,
    }

    #[test]
    fn object_is_read_by_field_names_and_never_by_position() {
        let read = |text| serde_json::from_str::<Object<Pair>>(text).map(|Object(pair)| (pair.one, pair.two));
        assert_eq!(read(r#"{"two":2,"more":[],"one":1}"#).unwrap(), (1, Some(2)));
        for other in ["[1,2]", "[1]", "null", "1", r#""one""#, r#"{"one":[]}"#, r#"{"two":2}"#] {
            assert!(read(other).is_err(), "{other}");
        }
    }
}
