//! Evaluates template.yaml as CloudFormation does: parameters, rules, conditions and the intrinsic functions that the
//! template uses. Anything else fails the test.

mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Map, Value};

pub(crate) use yaml::{Node, read};

/// The parsed template.
pub(crate) static TEMPLATE: LazyLock<Node> = LazyLock::new(|| read(&file("template.yaml")));

/// The content of a file in the repository.
pub(crate) fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The definition of a parameter.
pub(crate) fn parameter(name: &str) -> &'static Node {
    TEMPLATE.key("Parameters").key(name)
}

pub(crate) fn number(value: &Value) -> u64 {
    let number = value.as_str().and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("not a number: {value}"))
}

const PSEUDO_PARAMETERS: [(&str, &str); 5] = [
    ("AWS::AccountId", "123456789012"),
    ("AWS::Partition", "aws"),
    ("AWS::Region", "eu-west-1"),
    ("AWS::StackName", "stack"),
    ("AWS::URLSuffix", "amazonaws.com"),
];

/// The allowed values of `AlibabaCredentials`, in the template's order.
pub(crate) const SOURCES: [&str; 3] = ["SECRETS_MANAGER", "OIDC", "ENVIRONMENT"];

/// The parameters of each source of credentials, each with a valid value.
pub(crate) const PARAMETERS: [(&str, &str, &str); 10] = [
    (
        "SECRETS_MANAGER",
        "AlibabaCredentialsSecretArn",
        "arn:aws:secretsmanager:eu-west-1:1:secret:keys-abcdef",
    ),
    ("SECRETS_MANAGER", "AlibabaCredentialsSecretKeyArn", "arn:aws:kms:eu-west-1:1:key/k"),
    ("OIDC", "AlibabaCloudRoleArn", "acs:ram::1:role/r"),
    ("OIDC", "AlibabaCloudOidcProviderArn", "acs:ram::1:oidc-provider/p"),
    ("OIDC", "AlibabaOidcAudience", "aud"),
    ("OIDC", "AlibabaCloudRoleSessionName", "session"),
    ("OIDC", "AlibabaStsEndpointUrl", "https://sts.eu-west-1.aliyuncs.com"),
    ("ENVIRONMENT", "AlibabaCloudAccessKeyId", "LTAIid"),
    ("ENVIRONMENT", "AlibabaCloudAccessKeySecret", "s3cret"),
    ("ENVIRONMENT", "AlibabaCloudSecurityToken", "t0ken"),
];

/// The template with parameter values; a parameter that is not listed has its default.
pub(crate) struct Deployment {
    pub(crate) parameters: BTreeMap<&'static str, &'static str>,
}

impl Deployment {
    /// A deployment with a source of credentials, valid values for its parameters, and changes to these.
    pub(crate) fn of(source: &'static str, changes: &[(&'static str, &'static str)]) -> Self {
        let of_source = PARAMETERS.into_iter().filter(|(owner, ..)| *owner == source);
        let parameters =
            of_source.map(|(_, name, value)| (name, value)).chain([("AlibabaCredentials", source)]);
        Self { parameters: parameters.chain(changes.iter().copied()).collect() }
    }

    /// The logical ids of the created resources of a type, in the template's order.
    pub(crate) fn of_type(&self, kind: &str) -> Vec<&'static str> {
        let resources = TEMPLATE.key("Resources").entries().iter();
        let of_type = resources.filter(|(_, resource)| resource.key("Type").text() == kind);
        of_type.map(|(name, _)| name.as_str()).filter(|name| self.creates(name)).collect()
    }

    /// The logical ids in a section, `Resources` or `Outputs`, that the deployment has.
    pub(crate) fn created(&self, section: &str) -> BTreeSet<&'static str> {
        let entries = TEMPLATE.key(section).entries().iter();
        entries.filter(|(_, entry)| self.exists(entry)).map(|(name, _)| name.as_str()).collect()
    }

    /// Whether a resource's condition holds.
    pub(crate) fn creates(&self, name: &str) -> bool {
        self.exists(TEMPLATE.key("Resources").key(name))
    }

    /// Whether the condition of a resource or an output holds.
    fn exists(&self, entry: &Node) -> bool {
        entry.find("Condition").is_none_or(|condition| self.condition(condition.text()))
    }

    /// A resource's properties with all functions evaluated.
    pub(crate) fn properties(&self, name: &str) -> Value {
        assert!(self.creates(name), "{name}");
        self.value(TEMPLATE.key("Resources").key(name).key("Properties")).expect("properties")
    }

    /// A function's environment variables.
    pub(crate) fn variables(&self, function: &str) -> BTreeMap<String, String> {
        let variables = &self.properties(function)["Environment"]["Variables"];
        let variables = variables.as_object().expect("variables").iter();
        variables.map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned())).collect()
    }

    /// The statements of a role's only policy, by `Sid`.
    pub(crate) fn statements(&self, role: &str) -> BTreeMap<String, Value> {
        let policies = self.properties(role)["Policies"].as_array().expect("policies").clone();
        let [policy] = &policies[..] else { panic!("not one policy: {policies:?}") };
        assert_eq!(policy["PolicyDocument"]["Version"], "2012-10-17");
        let statements = policy["PolicyDocument"]["Statement"].as_array().expect("statements").iter();
        let mut by_id = BTreeMap::new();
        for statement in statements {
            let id = statement["Sid"].as_str().expect("an id").to_owned();
            assert_eq!(by_id.insert(id, statement.clone()), None, "{statement}");
        }
        by_id
    }

    /// The descriptions of the rules' assertions that these parameters fail.
    pub(crate) fn failed_assertions(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (_, rule) in TEMPLATE.key("Rules").entries() {
            if !self.holds(rule.key("RuleCondition")) {
                continue;
            }
            for assertion in rule.key("Assertions").items() {
                if !self.holds(assertion.key("Assert")) {
                    failures.push(assertion.key("AssertDescription").text().to_owned());
                }
            }
        }
        failures
    }

    /// The value of a node; `None` for `AWS::NoValue`.
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
                ("Sub", Node::Text(text)) => Value::String(self.substituted(text, &Node::Map(Vec::new()))),
                ("Sub", Node::List(parts)) => {
                    let [text, values] = &parts[..] else { panic!("{parts:?}") };
                    Value::String(self.substituted(text.text(), values))
                }
                ("Split", Node::List(parts)) => {
                    let [separator, text] = &parts[..] else { panic!("{parts:?}") };
                    self.text(text).split(separator.text()).map(Value::from).collect()
                }
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
            other => panic!("not text: {other:?}"),
        }
    }

    /// The value of `!Ref`: a parameter's value, a queue's URL, the names of bus and rule for a rule on a bus other than
    /// the default one, or the name of any other resource.
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
            "AWS::Events::Rule" => match self.own_bus(name) {
                Some(bus) => format!("{bus}|{physical}"),
                None => physical,
            },
            _ => physical,
        }
    }

    /// The value of `!GetAtt`, in the form that AWS documents.
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
            ("AWS::Events::Rule", "Arn") => match self.own_bus(name) {
                Some(bus) => arn("events", &format!("rule/{bus}/")),
                None => arn("events", "rule/"),
            },
            ("AWS::Scheduler::ScheduleGroup", "Arn") => arn("scheduler", "schedule-group/"),
            ("AWS::CloudWatch::Alarm", "Arn") => arn("cloudwatch", "alarm:"),
            ("AWS::IAM::Role", "Arn") => format!("arn:aws:iam::123456789012:role/{physical}"),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The name of a rule's bus, unless it is the default one.
    fn own_bus(&self, rule: &str) -> Option<String> {
        let properties = TEMPLATE.key("Resources").key(rule).key("Properties");
        Some(self.text(properties.key("EventBusName"))).filter(|bus| bus != "default")
    }

    /// A resource's type, and its physical name: the one in its properties, otherwise its logical id.
    fn kind_and_name(&self, name: &str) -> (&'static str, String) {
        assert!(self.creates(name), "{name} is not created");
        let resource = TEMPLATE.key("Resources").key(name);
        let properties = resource.key("Properties");
        let given = ["QueueName", "FunctionName", "LogGroupName", "DashboardName", "Name"].into_iter();
        let given = given.filter_map(|key| properties.find(key)).map(|node| self.text(node)).next();
        (resource.key("Type").text(), given.unwrap_or_else(|| name.to_owned()))
    }

    /// The text with each `${name}` replaced: by its entry in `values`, otherwise by the resource or parameter.
    fn substituted(&self, text: &str, values: &Node) -> String {
        let mut parts = text.split("${");
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').expect("a closed brace");
            whole += &match values.find(name) {
                Some(value) => self.text(value),
                None if name.contains('.') => self.attribute(name),
                None => self.reference(name),
            };
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
