//! The template or Lambda sets every variable that a function reads, and a function reads every variable that the
//! template sets.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use privatelink_detach::aws;
use privatelink_detach::completion::reason::RunbookUrl;
use privatelink_detach::config::{
    self, ConfigError, EventSource, IntakeConfig, MessengerConfig, SweeperConfig, WorkerConfig,
};
use privatelink_detach::request::{
    DEADLINE_SECONDS, EndpointId, RegionId, Replacements, Rules, SecurityGroupId, VpcId,
};

use super::chat::with_chat;
use super::sources;
use crate::cloudformation::{Deployment, Node, PARAMETERS, SOURCES, TEMPLATE, file, number, parameter};

/// The variables that Lambda sets in every function.
const SET_BY_LAMBDA: [&str; 10] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    // Lambda sets it to the template's ApplicationLogLevel.
    "AWS_LAMBDA_LOG_LEVEL",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// The variables that the template deliberately leaves unset.
const UNSET: [&str; 16] = [
    // Endpoints of AWS and proxies: for a simulated AWS, and for networks with their own.
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_EVENTBRIDGE",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL_STS",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    // The log level outside Lambda.
    "RUST_LOG",
];

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The value of each variable.
type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The names of the variables that `read` asks for in this environment.
fn read_in(variables: &BTreeMap<String, String>, read: impl FnOnce(Environment<'_>)) -> BTreeSet<String> {
    let names = RefCell::new(BTreeSet::new());
    read(&|name| {
        names.borrow_mut().insert(name.to_owned());
        variables.get(name).cloned()
    });
    names.into_inner()
}

/// The variables that every program reads.
fn read_by_every_process() -> BTreeSet<String> {
    let mut read = read_in(&BTreeMap::new(), |environment| {
        config::log_level(environment).unwrap();
        config::check_lambda(environment);
    });
    let of_aws = Arc::new(Mutex::new(BTreeSet::new()));
    let recorded = Arc::clone(&of_aws);
    aws::config(move |name| {
        recorded.lock().unwrap().insert(name.to_owned());
        // The session token is read only if the access key is set, and the second name of the region only if the first
        // is not.
        name.contains("KEY").then(|| "key".to_owned())
    })
    .unwrap();
    read.append(&mut of_aws.lock().unwrap());
    read
}

/// Only the variables that the template sets.
fn without_unset(mut read: BTreeSet<String>) -> BTreeSet<String> {
    read.retain(|name| !UNSET.contains(&name.as_str()));
    read
}

/// The variables that a function with credentials for Alibaba Cloud reads, over all sources of them.
fn read_with_credentials(function: &str, read: fn(Environment<'_>)) -> BTreeSet<String> {
    let variables = |source| Deployment::of(source, &[]).variables(function);
    SOURCES.into_iter().flat_map(|source| read_in(&variables(source), read)).collect()
}

fn read_by_the_worker() -> BTreeSet<String> {
    read_with_credentials("WorkerFunction", |environment| drop(WorkerConfig::read(environment).unwrap()))
}

fn read_by_the_sweeper() -> BTreeSet<String> {
    read_with_credentials("SweeperFunction", |environment| drop(SweeperConfig::read(environment).unwrap()))
}

fn read_by_the_intake() -> BTreeSet<String> {
    let variables = with_chat(&[]).variables("IntakeFunction");
    read_in(&variables, |environment| drop(IntakeConfig::read(environment).unwrap()))
}

fn read_by_the_messenger() -> BTreeSet<String> {
    let variables = with_chat(&[]).variables("MessengerFunction");
    read_in(&variables, |environment| drop(MessengerConfig::read(environment).unwrap()))
}

#[test]
fn template_sets_exactly_the_variables_that_the_functions_read() {
    for (function, read) in
        [("WorkerFunction", read_by_the_worker()), ("SweeperFunction", read_by_the_sweeper())]
    {
        let set = |source| Deployment::of(source, &[]).variables(function).into_keys();
        assert_eq!(SOURCES.into_iter().flat_map(set).collect::<BTreeSet<_>>(), without_unset(read));
    }
    for (function, read) in
        [("IntakeFunction", read_by_the_intake()), ("MessengerFunction", read_by_the_messenger())]
    {
        let set = with_chat(&[]).variables(function).into_keys();
        assert_eq!(set.collect::<BTreeSet<_>>(), without_unset(read));
    }
}

#[test]
fn all_other_variables_are_set_by_lambda_or_deliberately_unset() {
    let mut unset = read_by_the_worker();
    unset.retain(|name| UNSET.contains(&name.as_str()));
    let read = read_by_every_process().into_iter().chain(unset).collect::<BTreeSet<_>>();
    assert_eq!(read, names(&[&SET_BY_LAMBDA[..], &UNSET].concat()));
}

/// The string literals in the code that can be the name of a variable.
fn names_in_code() -> BTreeSet<String> {
    let owns_the_environment = |path: &str| path.starts_with("src/config") || path == "src/aws.rs";
    let is_name = |text: &&str| {
        text.len() > 1
            && text.contains('_')
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let files = sources().into_iter().filter(|(path, _)| owns_the_environment(path));
    let named = files.flat_map(|(_, code)| {
        let texts = code.split('"').filter(is_name).map(str::to_owned);
        texts.collect::<Vec<_>>()
    });
    named.collect()
}

#[test]
fn code_names_no_variable_that_these_tests_do_not_see() {
    let read = [
        read_by_every_process(),
        read_by_the_worker(),
        read_by_the_intake(),
        read_by_the_sweeper(),
        read_by_the_messenger(),
    ];
    // The second, lowercase spelling of a proxy's variable is not recognized in the code.
    let read = read.into_iter().flatten().filter(|name| *name == name.to_ascii_uppercase());
    assert_eq!(names_in_code(), read.collect());
}

/// The variables of the worker that the sweeper does not read.
const ONLY_WORKER: [&str; 3] =
    ["DEAD_LETTER_QUEUE_URL", "DETACH_DEADLINE_SECONDS", "WORKER_MAXIMUM_CONCURRENCY"];

#[test]
fn sweeper_has_the_workers_settings_and_its_own_switch() {
    for source in SOURCES {
        let deployment = Deployment::of(source, &CHANGED);
        let mut expected = deployment.variables("WorkerFunction");
        expected.retain(|name, _| !ONLY_WORKER.contains(&name.as_str()));
        expected.insert("SWEEP_APPLY_ALLOWED".to_owned(), "true".to_owned());
        assert_eq!(deployment.variables("SweeperFunction"), expected, "{source}");
        let defaults = Deployment::of(source, &[]).variables("SweeperFunction");
        assert_eq!(defaults["SWEEP_APPLY_ALLOWED"], "false", "{source}");
    }
}

#[test]
fn sweeper_can_have_its_own_credentials() {
    let listing = "arn:aws:secretsmanager:eu-west-1:1:secret:listing-abcdef";
    let role = "acs:ram::1:role/listing";
    // Rules reject each of the two with another source, but rules are not evaluated everywhere.
    let own = [("SweeperCredentialsSecretArn", listing), ("SweeperRoleArn", role)];
    for source in SOURCES {
        let shared = Deployment::of(source, &[]);
        let deployment = Deployment::of(source, &own);
        let mut expected = shared.variables("SweeperFunction");
        if let Some(secret) = expected.get_mut("ALIBABA_CREDENTIALS_SECRET_ARN") {
            listing.clone_into(secret);
        }
        if let Some(arn) = expected.get_mut("ALIBABA_CLOUD_ROLE_ARN") {
            role.clone_into(arn);
        }
        assert_eq!(deployment.variables("SweeperFunction"), expected, "{source}");
        let worker = |deployment: &Deployment| deployment.variables("WorkerFunction");
        assert_eq!(worker(&deployment), worker(&shared), "{source}");
    }
}

/// Values that differ from the defaults and from each other.
const CHANGED: [(&str, &str); 14] = [
    ("PrivatelinkEndpointUrl", "https://privatelink.internal"),
    ("AllowedRegions", "eu-west-1,cn-hangzhou"),
    ("ProtectedSecurityGroups", "sg-protected"),
    ("ProtectedEndpoints", "ep-protected"),
    ("DetachDeadlineSeconds", "777"),
    ("CompletionBusName", "own-bus"),
    ("WebhookAuthentication", "SIGNATURE"),
    ("WebhookSecretsArn", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:signing-abcdef"),
    ("LogLevel", "WARN"),
    ("DryRunOnly", "true"),
    ("RunbookUrl", "https://git.example.com/runbook"),
    ("RequestEventSources", "com.example.offboarding,my.tool"),
    ("SweepApplyAllowed", "true"),
    ("ReplacementSecurityGroups", "vpc-a=sg-spare,vpc-b=sg-spare"),
];

fn worker_of(deployment: &Deployment) -> Result<WorkerConfig, Vec<ConfigError>> {
    let variables = deployment.variables("WorkerFunction");
    WorkerConfig::read(|name| variables.get(name).cloned())
}

fn sweeper_of(deployment: &Deployment) -> Result<SweeperConfig, Vec<ConfigError>> {
    let variables = deployment.variables("SweeperFunction");
    SweeperConfig::read(|name| variables.get(name).cloned())
}

fn intake_of(deployment: &Deployment) -> Result<IntakeConfig, Vec<ConfigError>> {
    let variables = deployment.variables("IntakeFunction");
    IntakeConfig::read(|name| variables.get(name).cloned())
}

#[test]
fn each_parameter_sets_its_own_setting() {
    let deployment = Deployment::of("ENVIRONMENT", &CHANGED);
    let (worker, intake) = (worker_of(&deployment).unwrap(), intake_of(&deployment).unwrap());
    let rules = Rules {
        allowed_regions: ["cn-hangzhou", "eu-west-1"].map(|id| RegionId::parse(id).unwrap()).into(),
        protected_security_groups: [SecurityGroupId::parse("sg-protected").unwrap()].into(),
        protected_endpoints: [EndpointId::parse("ep-protected").unwrap()].into(),
        ..Rules::default()
    };
    let mut replacements = Replacements::default();
    for vpc in ["vpc-a", "vpc-b"] {
        replacements.insert(VpcId::parse(vpc).unwrap(), SecurityGroupId::parse("sg-spare").unwrap());
    }
    let sweeper = sweeper_of(&deployment).unwrap();
    assert_eq!((&sweeper.bus_name, &sweeper.service_url), (&worker.bus_name, &worker.service_url));
    assert_eq!((&sweeper.rules, &sweeper.runbook_url), (&worker.rules, &worker.runbook_url));
    assert_eq!((&sweeper.request_queue_url, sweeper.is_apply_allowed), (&worker.request_queue_url, true));
    let queue = |name| format!("https://sqs.eu-west-1.amazonaws.com/123456789012/stack-{name}.fifo");
    assert_eq!(worker.request_queue_url, queue("requests"));
    assert_eq!(worker.dead_letter_queue_url, queue("dead-letter"));
    assert_eq!((worker.bus_name.as_str(), worker.deadline), ("own-bus", Duration::from_secs(777)));
    assert_eq!(format!("{:?}", worker.service_url).matches("privatelink.internal").count(), 1);
    assert_eq!(worker.rules, Rules { replacements, dry_run_only: true, ..rules.clone() });
    assert_eq!(worker.runbook_url, RunbookUrl::parse("https://git.example.com/runbook").unwrap());
    assert_eq!((intake.request_queue_url, intake.rules), (worker.request_queue_url, rules));
    assert_eq!(intake.webhook_secrets_arn.as_deref(), Some(CHANGED[7].1));
    let sources = ["com.example.offboarding", "my.tool"].map(|source| EventSource::parse(source).unwrap());
    assert_eq!(intake.request_event_sources, sources.into());
    let deployment = with_chat(&CHANGED);
    for function in deployment.of_type("AWS::Serverless::Function") {
        let logging = &deployment.properties(function)["LoggingConfig"];
        // Lambda supports a log level only with the JSON format.
        assert_eq!(
            (&logging["LogFormat"], &logging["ApplicationLogLevel"]),
            (&"JSON".into(), &"WARN".into())
        );
    }
    let created = [("CompletionBusName", "own-bus"), ("CreateCompletionBus", "true")];
    assert_eq!(worker_of(&Deployment::of("ENVIRONMENT", &created)).unwrap().bus_name, "own-bus");
}

#[test]
fn template_defaults_equal_the_defaults_of_the_code() {
    let deployment = Deployment::of("ENVIRONMENT", &[]);
    let (worker, intake) = (worker_of(&deployment).unwrap(), intake_of(&deployment).unwrap());
    let required = ["DETACH_QUEUE_URL", "DEAD_LETTER_QUEUE_URL"];
    let variables = deployment.variables("WorkerFunction");
    let is_access_key = |name: &str| name.starts_with("ALIBABA_CLOUD_ACCESS_KEY");
    let minimal =
        |name: &str| variables.get(name).filter(|_| required.contains(&name) || is_access_key(name)).cloned();
    let defaults = WorkerConfig::read(minimal).unwrap();
    assert_eq!(
        (worker.bus_name, worker.deadline, worker.rules, worker.service_url, worker.runbook_url),
        (defaults.bus_name, defaults.deadline, defaults.rules, defaults.service_url, defaults.runbook_url)
    );
    let defaults = IntakeConfig::read(minimal).unwrap();
    assert_eq!(
        (intake.rules, intake.webhook_secrets_arn, intake.request_event_sources.len()),
        (defaults.rules, defaults.webhook_secrets_arn, 0),
        "IAM authenticates webhooks, and no event is accepted by default"
    );
    let sweeper = sweeper_of(&deployment).unwrap();
    let defaults = SweeperConfig::read(minimal).unwrap();
    assert_eq!(
        (sweeper.bus_name, sweeper.rules, sweeper.service_url, sweeper.is_apply_allowed),
        (defaults.bus_name, defaults.rules, defaults.service_url, false)
    );
}

#[test]
fn parameters_accept_exactly_what_the_code_accepts() {
    let deadline = parameter("DetachDeadlineSeconds");
    let bound = |key: &str| number(&deadline.key(key).text().into());
    assert_eq!((bound("MinValue"), bound("MaxValue")), (*DEADLINE_SECONDS.start(), *DEADLINE_SECONDS.end()));
    for level in parameter("LogLevel").key("AllowedValues").items() {
        let read =
            config::log_level(|name| (name == "AWS_LAMBDA_LOG_LEVEL").then(|| level.text().to_owned()));
        assert!(read.is_ok(), "{level:?}");
    }
    let sources = parameter("AlibabaCredentials").key("AllowedValues").items();
    assert_eq!(sources.iter().map(Node::text).collect::<Vec<_>>(), SOURCES);
}

#[test]
fn access_key_parameters_are_hidden() {
    for (source, name, _) in PARAMETERS {
        let is_hidden = parameter(name).find("NoEcho").is_some_and(|hidden| hidden.text() == "true");
        assert_eq!(is_hidden, source == "ENVIRONMENT", "{name}");
    }
}

#[test]
fn example_settings_are_parameters_and_open_no_entry_point() {
    let example = file("samconfig.toml.example");
    let (_, settings) = example.split_once("\nparameter_overrides = [\n").unwrap();
    let settings: BTreeMap<&'static str, &'static str> = settings
        .lines()
        .take_while(|line| *line != "]")
        .filter_map(|line| {
            line.trim().strip_prefix('"')?.strip_suffix("\",")?.to_owned().leak().split_once('=')
        })
        .collect();
    assert!(settings.len() >= 5, "{settings:?}");
    let parameters: BTreeSet<&str> =
        TEMPLATE.key("Parameters").entries().iter().map(|(name, _)| name.as_str()).collect();
    assert!(settings.keys().all(|name| parameters.contains(name)), "{settings:?}");
    assert_eq!(settings.get("CreateWebhookUrl"), Some(&"false"));
    assert!(!settings.contains_key("RequestEventSources"));
    let example = Deployment { parameters: settings };
    assert_eq!(example.failed_assertions(), Vec::<String>::new());
    assert_eq!(example.of_type("AWS::Lambda::Url"), Vec::<&str>::new());
    assert!(!example.creates("RequestRule"));
    assert_eq!(example.of_type("AWS::Scheduler::Schedule"), Vec::<&str>::new());
    assert_eq!(example.variables("SweeperFunction")["SWEEP_APPLY_ALLOWED"], "false");
    // Without the file, the template's default applies.
    assert_eq!(Deployment::of("ENVIRONMENT", &[]).of_type("AWS::Lambda::Url").len(), 1);
}
