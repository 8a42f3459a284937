//! JSON laid out for a reader, with its members in the order in which the text has them.
//!
//! `serde_json::Value` sorts the members of an object, and a documented order is easier to read.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The columns by which one more level is indented.
const INDENT: usize = 2;

/// The members of an object, in order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

/// The text laid out in at most `width` columns where it allows that: what fits into a line is on one line, but for the
/// outermost object or list. Text that is not JSON is returned as it is.
#[must_use]
pub fn lay_out(json: &str, width: usize) -> String {
    let mut out = String::new();
    let laid_out = serde_json::from_str::<&RawValue>(json)
        .and_then(|value| write(value, Place { column: 0, indent: 0, width, is_outermost: true }, &mut out));
    if laid_out.is_ok() { out } else { json.to_owned() }
}

/// Where a value begins.
#[derive(Clone, Copy)]
struct Place {
    column: usize,
    indent: usize,
    width: usize,
    is_outermost: bool,
}

fn write(value: &RawValue, place: Place, out: &mut String) -> Result<(), serde_json::Error> {
    let line = one_line(value)?;
    let is_empty = matches!(line.as_str(), "{}" | "[]");
    // One column is left for the comma that may follow.
    let has_room = place.column + line.chars().count() < place.width;
    let (open, close, parts) = match line.as_bytes().first() {
        Some(b'{' | b'[') if is_empty || (has_room && !place.is_outermost) => {
            out.push_str(&line);
            return Ok(());
        }
        Some(b'{') => {
            let Members(members) = serde_json::from_str(value.get())?;
            (
                '{',
                '}',
                members.into_iter().map(|(name, value)| (format!("{}: ", quoted(&name)), value)).collect(),
            )
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(value.get())?;
            ('[', ']', items.into_iter().map(|item| (String::new(), item)).collect::<Vec<_>>())
        }
        _ => {
            out.push_str(&line);
            return Ok(());
        }
    };
    out.push(open);
    let indent = place.indent + INDENT;
    for (number, (name, value)) in parts.into_iter().enumerate() {
        out.push_str(if number == 0 { "\n" } else { ",\n" });
        out.extend(std::iter::repeat_n(' ', indent));
        out.push_str(&name);
        let column = indent + name.chars().count();
        write(value, Place { column, indent, is_outermost: false, ..place }, out)?;
    }
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', place.indent));
    out.push(close);
    Ok(())
}

fn one_line(value: &RawValue) -> Result<String, serde_json::Error> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text)?;
            let members = members
                .into_iter()
                .map(|(name, value)| one_line(value).map(|value| format!("{}: {value}", quoted(&name))));
            let members: Vec<String> = members.collect::<Result<_, _>>()?;
            Ok(if members.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", members.join(", ")) })
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            let items: Vec<String> = items.into_iter().map(one_line).collect::<Result<_, _>>()?;
            Ok(format!("[{}]", items.join(", ")))
        }
        _ => Ok(text.to_owned()),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(InOrder).map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_short_values_stay_on_a_line() {
        let json = r#"{"version":"1","retries":{},"groups":["sg-b","sg-a"],"effort":{"deliveries":1,"calls":[10,20,30]},"a\"b":null}"#;
        let expected = r#"{
  "version": "1",
  "retries": {},
  "groups": ["sg-b", "sg-a"],
  "effort": {
    "deliveries": 1,
    "calls": [10, 20, 30]
  },
  "a\"b": null
}"#;
        assert_eq!(lay_out(json, 40), expected);
    }

    #[test]
    fn text_that_is_no_json_is_unchanged() {
        assert_eq!(lay_out("{oops", 40), "{oops");
    }

    #[test]
    fn white_space_of_the_text_has_no_effect() {
        assert_eq!(
            lay_out(" [ {\n\"b\" : 1 , \"a\" : \"x  y\" } ] ", 40),
            "[\n  { \"b\": 1, \"a\": \"x  y\" }\n]"
        );
    }
}
