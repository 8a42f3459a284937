//! The template in the eyes of CloudFormation, as far as this template needs it: its resources, and what its conditions and
//! rules make of parameters.

mod yaml;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Map, Value};

pub(crate) use yaml::Node;

/// The template as it is written.
pub(crate) static TEMPLATE: LazyLock<Node> = LazyLock::new(|| yaml::read(&file("template.yaml")));

/// A file of the project.
pub(crate) fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A parameter's own properties.
pub(crate) fn parameter(name: &str) -> &'static Node {
    TEMPLATE.key("Parameters").key(name)
}

/// The number that a property has.
pub(crate) fn number(value: &Value) -> u64 {
    let number = value.as_str().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("no number: {value}"))
}

/// What CloudFormation knows without being told.
const PSEUDO_PARAMETERS: [(&str, &str); 5] = [
    ("AWS::AccountId", "123456789012"),
    ("AWS::Partition", "aws"),
    ("AWS::Region", "eu-west-1"),
    ("AWS::StackName", "stack"),
    ("AWS::URLSuffix", "amazonaws.com"),
];

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

/// The template in the eyes of CloudFormation, given these parameters.
pub(crate) struct Deployment {
    pub(crate) parameters: BTreeMap<&'static str, &'static str>,
}

impl Deployment {
    /// With this source of keys, its parameters, and these changes to them.
    pub(crate) fn of(source: &'static str, changes: &[(&'static str, &'static str)]) -> Self {
        let its_own = PARAMETERS.into_iter().filter(|(whose, ..)| *whose == source);
        let parameters =
            its_own.map(|(_, name, value)| (name, value)).chain([("AlibabaCredentials", source)]);
        Self { parameters: parameters.chain(changes.iter().copied()).collect() }
    }

    /// The names of a type's resources that are created.
    pub(crate) fn of_type(&self, kind: &str) -> Vec<&'static str> {
        let resources = TEMPLATE.key("Resources").entries().iter();
        let of_type = resources.filter(|(_, resource)| resource.key("Type").text() == kind);
        of_type.map(|(name, _)| name.as_str()).filter(|name| self.creates(name)).collect()
    }

    /// Whether a resource is created.
    pub(crate) fn creates(&self, name: &str) -> bool {
        let resource = TEMPLATE.key("Resources").key(name);
        resource.find("Condition").is_none_or(|condition| self.condition(condition.text()))
    }

    /// The properties with which a resource is created.
    pub(crate) fn properties(&self, name: &str) -> Value {
        assert!(self.creates(name), "{name}");
        self.value(TEMPLATE.key("Resources").key(name).key("Properties")).expect("properties")
    }

    /// What a function finds in its environment.
    pub(crate) fn variables(&self, function: &str) -> BTreeMap<String, String> {
        let variables = &self.properties(function)["Environment"]["Variables"];
        let variables = variables.as_object().expect("variables").iter();
        variables.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned())).collect()
    }

    /// What a role allows, by the ids of the statements.
    pub(crate) fn statements(&self, role: &str) -> BTreeMap<String, Value> {
        let policies = self.properties(role)["Policies"].as_array().expect("policies").clone();
        let [policy] = &policies[..] else { panic!("one policy: {policies:?}") };
        assert_eq!(policy["PolicyDocument"]["Version"], "2012-10-17");
        let statements = policy["PolicyDocument"]["Statement"].as_array().expect("statements").iter();
        let mut by_id = BTreeMap::new();
        for statement in statements {
            let id = statement["Sid"].as_str().expect("an id").to_owned();
            assert_eq!(by_id.insert(id, statement.clone()), None, "{statement}");
        }
        by_id
    }

    /// What CloudFormation says against these parameters.
    pub(crate) fn objections(&self) -> Vec<String> {
        let mut objections = Vec::new();
        for (_, rule) in TEMPLATE.key("Rules").entries() {
            if !self.holds(rule.key("RuleCondition")) {
                continue;
            }
            for assertion in rule.key("Assertions").items() {
                if !self.holds(assertion.key("Assert")) {
                    objections.push(assertion.key("AssertDescription").text().to_owned());
                }
            }
        }
        objections
    }

    /// A value, unless it is to be left out.
    fn value(&self, node: &Node) -> Option<Value> {
        Some(match node {
            Node::Text(text) => Value::String(text.clone()),
            Node::List(items) => items.iter().filter_map(|item| self.value(item)).collect(),
            Node::Map(entries) => {
                let entries = entries.iter().filter_map(|(key, node)| Some((key.clone(), self.value(node)?)));
                Value::Object(entries.collect::<Map<_, _>>())
            }
            Node::Tagged(tag, node) => match (tag.as_str(), &**node) {
                ("Ref", Node::Text(name)) if name == "AWS::NoValue" => return None,
                ("Ref", Node::Text(name)) => Value::String(self.reference(name)),
                ("GetAtt", Node::Text(name)) => Value::String(self.attribute(name)),
                ("Sub", Node::Text(text)) => Value::String(self.substituted(text)),
                ("If", Node::List(parts)) => {
                    let [condition, yes, no] = &parts[..] else { panic!("{parts:?}") };
                    return self.value(if self.condition(condition.text()) { yes } else { no });
                }
                other => panic!("{other:?}"),
            },
        })
    }

    fn text(&self, node: &Node) -> String {
        match self.value(node) {
            Some(Value::String(text)) => text,
            other => panic!("no text: {other:?}"),
        }
    }

    /// A parameter's value; of a queue its URL, of any other resource its name.
    fn reference(&self, name: &str) -> String {
        if let Some((_, value)) = PSEUDO_PARAMETERS.into_iter().find(|(pseudo, _)| *pseudo == name) {
            return value.to_owned();
        }
        if let Some(value) = self.parameters.get(name) {
            return (*value).to_owned();
        }
        if let Some(parameter) = TEMPLATE.key("Parameters").find(name) {
            return parameter.key("Default").text().to_owned();
        }
        let (kind, physical) = self.kind_and_name(name);
        match kind {
            "AWS::SQS::Queue" => format!("https://sqs.eu-west-1.amazonaws.com/123456789012/{physical}"),
            _ => physical,
        }
    }

    /// A resource's attribute, in the form that AWS documents for it.
    fn attribute(&self, name: &str) -> String {
        let (name, attribute) = name.split_once('.').expect("a resource and its attribute");
        let (kind, physical) = self.kind_and_name(name);
        let arn = |service: &str, resource: &str| {
            format!("arn:aws:{service}:eu-west-1:123456789012:{resource}{physical}")
        };
        match (kind, attribute) {
            ("AWS::SQS::Queue", "Arn") => arn("sqs", ""),
            ("AWS::SQS::Queue", "QueueName") => physical,
            ("AWS::Serverless::Function", "Arn") => arn("lambda", "function:"),
            ("AWS::Logs::LogGroup", "Arn") => arn("logs", "log-group:") + ":*",
            ("AWS::Events::Rule", "Arn") => arn("events", "rule/"),
            ("AWS::IAM::Role", "Arn") => format!("arn:aws:iam::123456789012:role/{physical}"),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// A resource's type, and its own name or the one that the template gives it.
    fn kind_and_name(&self, name: &str) -> (&'static str, String) {
        assert!(self.creates(name), "{name} is not there");
        let resource = TEMPLATE.key("Resources").key(name);
        let properties = resource.key("Properties");
        let given = ["QueueName", "FunctionName", "LogGroupName", "Name"].into_iter();
        let given = given.filter_map(|key| properties.find(key)).map(|node| self.text(node)).next();
        (resource.key("Type").text(), given.unwrap_or_else(|| name.to_owned()))
    }

    fn substituted(&self, text: &str) -> String {
        let mut parts = text.split("${");
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').expect("a closed brace");
            whole += &if name.contains('.') { self.attribute(name) } else { self.reference(name) };
            whole += rest;
        }
        whole
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
        self.holds(TEMPLATE.key("Conditions").key(name))
    }
}
