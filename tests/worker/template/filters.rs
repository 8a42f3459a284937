//! Evaluates the filter patterns of CloudWatch Logs for JSON events, as far as template.yaml uses them.
//!
//! The grammar is that of "Filter and pattern syntax" in the user guide of CloudWatch Logs: comparisons of one property,
//! `IS TRUE`, `IS FALSE` and `IS NULL`, joined by `&&`, `||` and parentheses; `&&` binds tighter than `||`. A property
//! that is missing equals nothing. The guide does not say whether it is unequal to something, so such a result is unknown,
//! and a pattern that depends on it fails the test.

use serde_json::Value;

/// Whether a pattern matches an event.
pub(super) fn matches(pattern: &str, event: &Value) -> bool {
    let mut parser = Parser { tokens: tokens(pattern), at: 0, event };
    parser.expect("{");
    let result = parser.any();
    parser.expect("}");
    assert_eq!(parser.tokens.len(), parser.at, "text after the pattern: {pattern}");
    result.unwrap_or_else(|| panic!("depends on != with a missing property: {pattern}\n{event:#}"))
}

/// The value of a selector such as `$.detail.outcome`.
pub(super) fn selected<'a>(selector: &str, event: &'a Value) -> Option<&'a Value> {
    let path = selector.strip_prefix("$.").unwrap_or_else(|| panic!("not a selector: {selector}"));
    path.split('.').try_fold(event, |value, name| value.get(name))
}

/// The selectors of a pattern.
pub(super) fn selectors(pattern: &str) -> Vec<String> {
    tokens(pattern).into_iter().filter(|token| token.starts_with("$.")).collect()
}

/// Braces, parentheses, operators, words, and strings with their opening quote.
fn tokens(pattern: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = pattern.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => rest[1..].find('"').expect("a closed quote") + 1,
            '{' | '}' | '(' | ')' => 1,
            '&' | '|' => 2,
            '=' | '!' | '<' | '>' => {
                if rest[1..].starts_with('=') {
                    2
                } else {
                    1
                }
            }
            _ => rest.find(|c: char| c.is_whitespace() || "{}()=!<>&|\"".contains(c)).unwrap_or(rest.len()),
        };
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start_matches(|c| first == '"' && c == '"').trim_start();
    }
    tokens
}

struct Parser<'a> {
    tokens: Vec<String>,
    at: usize,
    event: &'a Value,
}

impl Parser<'_> {
    fn next(&mut self) -> String {
        self.at += 1;
        self.tokens.get(self.at - 1).expect("the pattern continues").clone()
    }

    fn expect(&mut self, token: &str) {
        assert_eq!(self.next(), token);
    }

    /// Whether this token is next; it is then consumed.
    fn skips(&mut self, token: &str) -> bool {
        let is_next = self.tokens.get(self.at).is_some_and(|next| next == token);
        self.at += usize::from(is_next);
        is_next
    }

    /// `None` is unknown.
    fn any(&mut self) -> Option<bool> {
        let mut result = self.all();
        while self.skips("||") {
            result = match (result, self.all()) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
        }
        result
    }

    fn all(&mut self) -> Option<bool> {
        let mut result = self.one();
        while self.skips("&&") {
            result = match (result, self.one()) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
        }
        result
    }

    fn one(&mut self) -> Option<bool> {
        if self.skips("(") {
            let result = self.any();
            self.expect(")");
            return result;
        }
        let value = selected(&self.next(), self.event);
        match (self.next().as_str(), &*self.next()) {
            ("IS", "TRUE") => Some(value == Some(&Value::Bool(true))),
            ("IS", "FALSE") => Some(value == Some(&Value::Bool(false))),
            ("IS", "NULL") => Some(value == Some(&Value::Null)),
            ("=", text) if text.starts_with('"') => Some(value.is_some_and(|value| equals(value, text))),
            ("!=", text) if text.starts_with('"') => value.map(|value| !equals(value, text)),
            (operator, number) => Some(value.is_some_and(|value| compares(value, operator, number))),
        }
    }
}

/// An asterisk at an end of the pattern stands for any text; elsewhere it stands for itself.
fn equals(value: &Value, quoted: &str) -> bool {
    let pattern = quoted.trim_start_matches('"');
    assert_ne!(pattern, "*", "whether it matches numbers is not documented");
    let Value::String(text) = value else { panic!("{pattern} is compared with {value}") };
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (None, None) => text == pattern,
        (None, Some(start)) => text.starts_with(start),
        (Some(end), None) => text.ends_with(end),
        (Some(_), Some(_)) => text.contains(pattern.trim_matches('*')),
    }
}

fn compares(value: &Value, operator: &str, number: &str) -> bool {
    let value = value.as_u64().unwrap_or_else(|| panic!("{number} is compared with {value}"));
    let number: u64 = number.parse().unwrap_or_else(|_| panic!("not a number: {number}"));
    match operator {
        "=" => value == number,
        ">" => value > number,
        ">=" => value >= number,
        "<" => value < number,
        "<=" => value <= number,
        other => panic!("unknown operator {other}"),
    }
}

#[test]
fn patterns_follow_the_examples_of_the_user_guide() {
    let event = serde_json::json!({
        "user": { "id": 1, "email": "John.Stiles@example.com" }, "eventType": "UpdateTrail", "none": null, "flag": true,
    });
    for (pattern, expected) in [
        (r#"{ $.eventType = "UpdateTrail" }"#, true),
        (r#"{ $.eventType = "Update*" }"#, true),
        (r#"{ $.eventType = "*Trail" }"#, true),
        (r#"{ $.eventType = "Up*Trail" }"#, false),
        (r#"{ $.eventType = "updatetrail" }"#, false),
        (r#"{ $.eventType != "UpdateTrail" }"#, false),
        (r#"{ $.missing = "UpdateTrail" }"#, false),
        (r"{ $.none IS NULL }", true),
        (r"{ $.missing IS NULL }", false),
        (r"{ $.flag IS TRUE }", true),
        (r"{ $.flag IS FALSE }", false),
        (r"{ $.user.id >= 1 }", true),
        (r"{ $.user.id > 1 }", false),
        (r#"{ ($.user.id = 1) && ($.user.email = "John.*") }"#, true),
        (r#"{ ($.user.id = 2 && $.flag IS TRUE) || $.eventType = "x" }"#, false),
        // && binds tighter than ||.
        (r#"{ $.user.id = 1 || $.flag IS FALSE && $.eventType = "x" }"#, true),
        (r#"{ ($.user.id = 1 || $.flag IS FALSE) && $.eventType = "x" }"#, false),
        // A result that is not needed may be unknown.
        (r#"{ $.user.id = 2 && $.missing != "x" }"#, false),
    ] {
        assert_eq!(matches(pattern, &event), expected, "{pattern}");
    }
}
