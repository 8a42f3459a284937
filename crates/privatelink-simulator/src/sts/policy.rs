//! Session policies: documents in RAM's grammar.
//!
//! Conditions, `NotAction` and `NotResource` are not supported. A document that contains one of them is rejected,
//! because its restriction would not be enforced.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// A policy that restricts a session to a part of its role's permissions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct SessionPolicy {
    version: Version,
    #[serde(deserialize_with = "not_empty")]
    statement: Vec<Statement>,
}

/// The only version of the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Version {
    #[serde(rename = "1")]
    One,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    effect: Effect,
    #[serde(deserialize_with = "actions")]
    action: Vec<String>,
    #[serde(deserialize_with = "resources")]
    resource: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

/// The decision of a policy about one action on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed,
    /// A statement denies it, even if others allow it.
    ExplicitDeny,
    /// No statement allows it.
    ImplicitDeny,
}

impl SessionPolicy {
    /// Parses a document. Returns `None` if it is not in the supported grammar.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(crate) fn decide(&self, action: &str, resource: &str) -> Decision {
        let has = |effect| {
            self.statement.iter().any(|statement| {
                statement.effect == effect
                    && statement.action.iter().any(|pattern| matches(pattern, action))
                    && statement.resource.iter().any(|pattern| matches(pattern, resource))
            })
        };
        if has(Effect::Deny) {
            Decision::ExplicitDeny
        } else if has(Effect::Allow) {
            Decision::Allowed
        } else {
            Decision::ImplicitDeny
        }
    }
}

/// Whether a text matches a pattern in which `*` matches any text and `?` any single character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where to continue if the rest does not match: the last star then matches one more character.
    let mut last_star = None;
    while at_text < text.len() {
        match pattern.get(at_pattern) {
            Some('*') => {
                last_star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(expected) if *expected == '?' || *expected == text[at_text] => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => {
                let Some((star, taken)) = last_star else { return false };
                last_star = Some((star, taken + 1));
                at_pattern = star + 1;
                at_text = taken + 1;
            }
        }
    }
    pattern[at_pattern..].iter().all(|rest| *rest == '*')
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn actions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    patterns(deserializer, "an Action must be * or service:action", |pattern| pattern.contains(':'))
}

fn resources<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    patterns(deserializer, "a Resource must be * or start with acs:", |pattern| pattern.starts_with("acs:"))
}

fn patterns<'de, D: Deserializer<'de>>(
    deserializer: D,
    rule: &'static str,
    is_valid: impl Fn(&str) -> bool,
) -> Result<Vec<String>, D::Error> {
    let patterns = match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(pattern) => vec![pattern],
        OneOrMany::Many(patterns) => patterns,
    };
    if patterns.is_empty() || !patterns.iter().all(|pattern| pattern == "*" || is_valid(pattern)) {
        return Err(D::Error::custom(rule));
    }
    Ok(patterns)
}

fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Statement>, D::Error> {
    let statements = Vec::deserialize(deserializer)?;
    if statements.is_empty() {
        return Err(D::Error::custom("a policy must have at least one Statement"));
    }
    Ok(statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match() {
        for (pattern, text, is_match) in [
            ("*", "", true),
            ("*", "acs:a:b", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*c", "ac", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("a*b*d", "a-b-c-b-d", true),
            ("vpcendpoint/ep-a", "vpcendpoint/*", false),
            ("vpcendpoint/*", "vpcendpoint/ep-a", true),
            ("A", "a", false),
            ("", "a", false),
            ("a**", "a", true),
        ] {
            assert_eq!(matches(pattern, text), is_match, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn deny_statement_overrides_allow_statement() {
        let policy = SessionPolicy::parse(
            r#"{"Version": "1", "Statement": [
                {"Effect": "Allow", "Action": "privatelink:*", "Resource": ["acs:privatelink:eu-*:*:*"]},
                {"Effect": "Deny", "Action": ["privatelink:Detach*", "ecs:*"], "Resource": "*"}
            ]}"#,
        )
        .unwrap();
        let decide = |action, resource| policy.decide(action, resource);
        assert_eq!(decide("privatelink:List", "acs:privatelink:eu-west-1:1:x"), Decision::Allowed);
        assert_eq!(decide("privatelink:DetachX", "acs:privatelink:eu-west-1:1:x"), Decision::ExplicitDeny);
        assert_eq!(decide("privatelink:List", "acs:privatelink:us-east-1:1:x"), Decision::ImplicitDeny);
        assert_eq!(decide("vpc:List", "acs:privatelink:eu-west-1:1:x"), Decision::ImplicitDeny);
    }

    #[test]
    fn policy_with_an_unsupported_element_is_rejected() {
        let policy = |statement: &str| {
            SessionPolicy::parse(&format!(r#"{{"Version": "1", "Statement": [{statement}]}}"#))
        };
        assert!(policy(r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#).is_some());
        for statement in [
            "",
            r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {}}"#,
            r#"{"Effect": "Allow", "NotAction": "a:b", "Resource": "*"}"#,
            r#"{"Effect": "allow", "Action": "*", "Resource": "*"}"#,
            r#"{"Effect": "Allow", "Action": [], "Resource": "*"}"#,
            r#"{"Effect": "Allow", "Action": "List", "Resource": "*"}"#,
            r#"{"Effect": "Allow", "Action": "*", "Resource": "vpcendpoint/*"}"#,
        ] {
            assert!(policy(statement).is_none(), "{statement}");
        }
        assert!(SessionPolicy::parse(r#"{"Version": "2012-10-17", "Statement": []}"#).is_none());
    }
}
