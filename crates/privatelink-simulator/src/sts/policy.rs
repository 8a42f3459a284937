//! The policy of a session: a document in RAM's grammar, and what it allows.
//!
//! Conditions, `NotAction` and `NotResource` are outside of it: a document with one of them is refused, so that nobody
//! takes it for enforced.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// What a session may do of all that its role may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct SessionPolicy {
    version: Version,
    #[serde(deserialize_with = "not_empty")]
    statement: Vec<Statement>,
}

/// The one version of the grammar.
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

/// What a policy says about one action on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// A statement denies it, whatever the others allow.
    Denied,
    /// No statement allows it.
    NotAllowed,
}

impl SessionPolicy {
    /// Reads a document; `None` if it is none in this grammar.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(crate) fn verdict(&self, action: &str, resource: &str) -> Verdict {
        let has = |effect| {
            self.statement.iter().any(|statement| {
                statement.effect == effect
                    && statement.action.iter().any(|pattern| matches(pattern, action))
                    && statement.resource.iter().any(|pattern| matches(pattern, resource))
            })
        };
        if has(Effect::Deny) {
            Verdict::Denied
        } else if has(Effect::Allow) {
            Verdict::Allowed
        } else {
            Verdict::NotAllowed
        }
    }
}

/// Whether a pattern, in which `*` stands for any text and `?` for any one character, is this text.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where to go on if the rest does not match: the last star takes in one more character.
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
    patterns(deserializer, "an Action is * or service:action", |pattern| pattern.contains(':'))
}

fn resources<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    patterns(deserializer, "a Resource is * or begins with acs:", |pattern| pattern.starts_with("acs:"))
}

fn patterns<'de, D: Deserializer<'de>>(
    deserializer: D,
    law: &'static str,
    is_lawful: impl Fn(&str) -> bool,
) -> Result<Vec<String>, D::Error> {
    let patterns = match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(pattern) => vec![pattern],
        OneOrMany::Many(patterns) => patterns,
    };
    if patterns.is_empty() || !patterns.iter().all(|pattern| pattern == "*" || is_lawful(pattern)) {
        return Err(D::Error::custom(law));
    }
    Ok(patterns)
}

fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Statement>, D::Error> {
    let statements = Vec::deserialize(deserializer)?;
    if statements.is_empty() {
        return Err(D::Error::custom("a policy has at least one Statement"));
    }
    Ok(statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_what_they_should() {
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
    fn a_denial_wins_over_what_another_statement_allows() {
        let policy = SessionPolicy::parse(
            r#"{"Version": "1", "Statement": [
                {"Effect": "Allow", "Action": "privatelink:*", "Resource": ["acs:privatelink:eu-*:*:*"]},
                {"Effect": "Deny", "Action": ["privatelink:Detach*", "ecs:*"], "Resource": "*"}
            ]}"#,
        )
        .unwrap();
        let verdict = |action, resource| policy.verdict(action, resource);
        assert_eq!(verdict("privatelink:List", "acs:privatelink:eu-west-1:1:x"), Verdict::Allowed);
        assert_eq!(verdict("privatelink:DetachX", "acs:privatelink:eu-west-1:1:x"), Verdict::Denied);
        assert_eq!(verdict("privatelink:List", "acs:privatelink:us-east-1:1:x"), Verdict::NotAllowed);
        assert_eq!(verdict("vpc:List", "acs:privatelink:eu-west-1:1:x"), Verdict::NotAllowed);
    }

    #[test]
    fn what_is_not_enforced_is_not_taken_for_a_policy() {
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
