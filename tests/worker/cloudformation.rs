//! The template in the eyes of CloudFormation, as far as this template needs it: its resources, and what its conditions and
//! rules make of parameters.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) const TEMPLATE: &str = include_str!("../../template.yaml");

/// The numbers that a key has in a text, wherever it stands alone on its line.
pub(crate) fn numbers_in(text: &str, key: &str) -> Vec<u64> {
    let value = |line: &str| line.trim().strip_prefix(key)?.strip_prefix(": ")?.parse().ok();
    text.lines().filter_map(value).collect()
}

/// The numbers that a key has in the template.
pub(crate) fn numbers(key: &str) -> Vec<u64> {
    numbers_in(TEMPLATE, key)
}

/// One resource of the template.
pub(crate) fn resource(name: &str) -> &'static str {
    let from = TEMPLATE.split_once(&format!("\n  {name}:\n")).unwrap().1;
    let is_inside = |line: &&str| line.is_empty() || line.starts_with("   ") || line.starts_with("  #");
    let length = from.split_inclusive('\n').take_while(is_inside).map(str::len).sum();
    &from[..length]
}

/// The variables that a function's resource sets.
pub(crate) fn variables(name: &str) -> BTreeSet<String> {
    let function = resource(name).split_once("Variables:\n").unwrap().1;
    settings(function).into_iter().map(|(name, _)| name.to_owned()).collect()
}

/// The `NAME: value` lines with which a function's variables begin.
pub(crate) fn settings(variables: &str) -> Vec<(&str, &str)> {
    let lines = variables.lines().map_while(|line| line.strip_prefix("          "));
    lines.filter(|line| !line.starts_with('#')).map_while(|line| line.split_once(": ")).collect()
}

/// A value as the template writes it on one line: `!If [Keyless, !Ref AlibabaOidcAudience, ""]`.
#[derive(Debug)]
enum Node {
    Text(String),
    List(Vec<Node>),
    Tagged(String, Box<Node>),
}

impl Node {
    fn read(text: &str) -> Self {
        let mut rest = text;
        let node = Self::take(&mut rest);
        assert_eq!(rest.trim(), "", "{text}");
        node
    }

    fn take(rest: &mut &str) -> Self {
        *rest = rest.trim_start();
        if let Some(tagged) = rest.strip_prefix('!') {
            let (tag, value) = tagged.split_once(' ').unwrap();
            *rest = value;
            return Self::Tagged(tag.to_owned(), Box::new(Self::take(rest)));
        }
        if let Some(items) = rest.strip_prefix('[') {
            let mut list = Vec::new();
            *rest = items;
            loop {
                list.push(Self::take(rest));
                let (separator, after) = rest.split_at(1);
                *rest = after;
                if separator == "]" {
                    return Self::List(list);
                }
            }
        }
        if let Some(quoted) = rest.strip_prefix('"') {
            let (text, after) = quoted.split_once('"').unwrap();
            *rest = after;
            return Self::Text(text.to_owned());
        }
        let (text, after) = rest.split_at(rest.find([',', ']']).unwrap_or(rest.len()));
        *rest = after;
        Self::Text(text.to_owned())
    }
}

/// The template in the eyes of CloudFormation, given these parameters.
pub(crate) struct Deployment {
    pub(crate) parameters: BTreeMap<&'static str, &'static str>,
}

/// The sources of keys, as the template names them.
pub(crate) const SOURCES: [&str; 3] = ["ENVIRONMENT", "SECRETS_MANAGER", "KEYLESS"];

/// The parameters of all sources, each with a value that it may have.
pub(crate) const PARAMETERS: [(&str, &str, &str); 10] = [
    ("ENVIRONMENT", "AlibabaCloudAccessKeyId", "LTAIid"),
    ("ENVIRONMENT", "AlibabaCloudAccessKeySecret", "s3cret"),
    ("ENVIRONMENT", "AlibabaCloudSecurityToken", "t0ken"),
    (
        "SECRETS_MANAGER",
        "AlibabaCredentialsSecretArn",
        "arn:aws:secretsmanager:eu-west-1:1:secret:keys-abcdef",
    ),
    ("SECRETS_MANAGER", "AlibabaCredentialsSecretKeyArn", "arn:aws:kms:eu-west-1:1:key/k"),
    ("KEYLESS", "AlibabaCloudRoleArn", "acs:ram::1:role/r"),
    ("KEYLESS", "AlibabaCloudOidcProviderArn", "acs:ram::1:oidc-provider/p"),
    ("KEYLESS", "AlibabaOidcAudience", "aud"),
    ("KEYLESS", "AlibabaCloudRoleSessionName", "session"),
    ("KEYLESS", "AlibabaStsEndpointUrl", "https://sts.eu-west-1.aliyuncs.com"),
];

impl Deployment {
    /// With this source of keys, its parameters, and these changes to them.
    pub(crate) fn of(source: &'static str, changes: &[(&'static str, &'static str)]) -> Self {
        let its_own = PARAMETERS.into_iter().filter(|(whose, ..)| *whose == source);
        let parameters =
            its_own.map(|(_, name, value)| (name, value)).chain([("AlibabaCredentials", source)]);
        Self { parameters: parameters.chain(changes.iter().copied()).collect() }
    }

    /// A parameter's value; of a resource, something that passes for the URL of a queue.
    fn reference(&self, name: &str) -> Option<String> {
        if name == "AWS::NoValue" {
            return None;
        }
        let given = self.parameters.get(name).map(|value| (*value).to_owned());
        let default = || {
            let default =
                resource(name).lines().find_map(|line| line.trim().strip_prefix("Default: ")).map(Node::read);
            match default {
                Some(Node::Text(default)) => default,
                _ => "https://sqs.eu-west-1.amazonaws.com/1/queue.fifo".to_owned(),
            }
        };
        Some(given.unwrap_or_else(default))
    }

    /// A text, unless it is to be left out.
    fn text(&self, node: &Node) -> Option<String> {
        match node {
            Node::Text(text) => Some(text.clone()),
            Node::Tagged(tag, node) => match (tag.as_str(), &**node) {
                ("Ref", Node::Text(name)) => self.reference(name),
                ("If", Node::List(parts)) => match &parts[..] {
                    [Node::Text(condition), yes, no] => {
                        self.text(if self.condition(condition) { yes } else { no })
                    }
                    parts => panic!("{parts:?}"),
                },
                other => panic!("{other:?}"),
            },
            Node::List(list) => panic!("{list:?}"),
        }
    }

    fn holds(&self, node: &Node) -> bool {
        let Node::Tagged(function, arguments) = node else { panic!("{node:?}") };
        match (function.as_str(), &**arguments) {
            ("Condition", Node::Text(name)) => self.condition(name),
            ("Not", Node::List(parts)) => !self.holds(&parts[0]),
            ("And", Node::List(parts)) => parts.iter().all(|part| self.holds(part)),
            ("Equals", Node::List(parts)) => self.text(&parts[0]) == self.text(&parts[1]),
            other => panic!("{other:?}"),
        }
    }

    fn condition(&self, name: &str) -> bool {
        let conditions = TEMPLATE.split_once("\nConditions:\n").unwrap().1;
        let from = conditions.split_once(&format!("  {name}:")).unwrap().1;
        let mut lines = from.lines();
        let first = lines.next().unwrap();
        let more = lines.take_while(|line| line.starts_with("    "));
        self.holds(&Node::read(&[first].into_iter().chain(more).collect::<String>()))
    }

    /// What the worker finds in its environment.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let variables = resource("WorkerFunction").split_once("Variables:\n").unwrap().1;
        let values = settings(variables).into_iter();
        values.filter_map(|(name, value)| Some((name.to_owned(), self.text(&Node::read(value))?))).collect()
    }

    /// What CloudFormation says against these parameters.
    pub(crate) fn objections(&self) -> Vec<String> {
        let rules = TEMPLATE.split_once("\nRules:\n").unwrap().1.split_once("\nConditions:\n").unwrap().0;
        let mut objections = Vec::new();
        for rule in rules.split("    RuleCondition: ").skip(1) {
            let (condition, assertions) = rule.split_once('\n').unwrap();
            if !self.holds(&Node::read(condition)) {
                continue;
            }
            for assertion in assertions.split("- Assert: ").skip(1) {
                let (assert, description) = assertion.split_once('\n').unwrap();
                if !self.holds(&Node::read(assert)) {
                    objections.push(description.split_whitespace().collect::<Vec<_>>().join(" "));
                }
            }
        }
        objections
    }

    /// The statements of the worker's role, by their ids.
    pub(crate) fn statements(&self) -> BTreeMap<String, String> {
        let list = resource("WorkerRole").rsplit_once("            Statement:\n").unwrap().1;
        let mut statements = BTreeMap::new();
        for item in list.split("\n              - ").map(|item| item.trim_start_matches(['-', ' '])) {
            let lines = item.lines().filter(|line| !line.trim_start().starts_with('#'));
            let lines: Vec<_> = match item.strip_prefix("!If\n                - ") {
                None => lines.map(|line| line.trim_end().replacen("                ", "", 1)).collect(),
                Some(chosen) if self.condition(chosen.lines().next().unwrap()) => {
                    let statement = lines.skip(2).take_while(|line| !line.ends_with("- !Ref AWS::NoValue"));
                    statement
                        .map(|line| {
                            line.replacen("                  ", "", 1).replacen("                - ", "", 1)
                        })
                        .collect()
                }
                Some(_) => continue,
            };
            let id = lines[0].strip_prefix("Sid: ").unwrap().to_owned();
            assert!(statements.insert(id, lines.join("\n")).is_none());
        }
        statements
    }
}
