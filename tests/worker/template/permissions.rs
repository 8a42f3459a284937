//! Roles and resource policies allow exactly what the code and the AWS services need.

use std::collections::{BTreeMap, BTreeSet};

use privatelink_detach::completion::SOURCE;
use serde_json::{Value, json};

use super::calls::calls_by_file;
use super::chat::{CHAT, with_chat};
use super::schedules::SCHEDULES;
use crate::cloudformation::{Deployment, SOURCES};

/// The functions that make the calls of each file, by the start of its path.
const CALLERS: [(&str, Function); 11] = [
    ("src/alibaba/", WORKER),
    ("src/alibaba/", SWEEPER),
    ("src/worker/", WORKER),
    ("src/aws/request_queue.rs", INTAKE),
    ("src/aws/request_queue.rs", SWEEPER),
    ("src/aws/bus.rs", WORKER),
    ("src/aws/bus.rs", SWEEPER),
    ("src/aws/notice_queue.rs", INTAKE),
    ("src/aws/secret.rs", INTAKE),
    ("src/aws/secret.rs", MESSENGER),
    ("src/messenger/", MESSENGER),
];

const WORKER: Function = Function {
    name: "WorkerFunction",
    role: "WorkerRole",
    log_group: "WorkerLogGroup",
    secrets: &[(
        "ALIBABA_CREDENTIALS_SECRET_ARN",
        &[("AlibabaCredentialsSecretArn", "AlibabaCredentialsSecretKeyArn")],
    )],
};

const INTAKE: Function = Function {
    name: "IntakeFunction",
    role: "IntakeRole",
    log_group: "IntakeLogGroup",
    secrets: &[
        ("WEBHOOK_SECRETS_ARN", &[("WebhookSecretsArn", "WebhookSecretsKeyArn")]),
        ("CHAT_VERIFICATION_SECRET_ARN", &[("ChatVerificationSecretArn", "ChatVerificationSecretKeyArn")]),
        CHAT_SIGNING_SECRET,
    ],
};

const SWEEPER: Function = Function {
    name: "SweeperFunction",
    role: "SweeperRole",
    log_group: "SweeperLogGroup",
    secrets: &[(
        "ALIBABA_CREDENTIALS_SECRET_ARN",
        &[
            ("SweeperCredentialsSecretArn", "SweeperCredentialsSecretKeyArn"),
            ("AlibabaCredentialsSecretArn", "AlibabaCredentialsSecretKeyArn"),
        ],
    )],
};

const MESSENGER: Function = Function {
    name: "MessengerFunction",
    role: "MessengerRole",
    log_group: "MessengerLogGroup",
    secrets: &[
        ("CHAT_TOKEN_SECRET_ARN", &[("ChatTokenSecretArn", "ChatTokenSecretKeyArn")]),
        CHAT_SIGNING_SECRET,
    ],
};

const CHAT_SIGNING_SECRET: Secret =
    ("CHAT_SIGNING_SECRET_ARN", &[("ChatSigningSecretArn", "ChatSigningSecretKeyArn")]);

/// The functions of a deployment.
fn functions(deployment: &Deployment) -> Vec<Function> {
    let all = [WORKER, INTAKE, SWEEPER, MESSENGER].into_iter();
    let functions: Vec<_> = all.filter(|function| deployment.creates(function.name)).collect();
    assert_eq!(functions.len(), deployment.of_type("AWS::Serverless::Function").len());
    functions
}

/// The variable with a secret's ARN, and the parameters with the ARN of the secret and the ARN of its KMS key; the first
/// secret that is set is used.
type Secret = (&'static str, &'static [(&'static str, &'static str)]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Function {
    name: &'static str,
    role: &'static str,
    log_group: &'static str,
    secrets: &'static [Secret],
}

/// The functions that make the calls of a file.
fn callers(path: &str) -> Vec<Function> {
    let callers = CALLERS.into_iter().filter(|(start, _)| path.starts_with(start));
    callers.map(|(_, function)| function).collect()
}

/// An IAM action and its resource.
type Permission = (String, String);

fn queue_arn(url: &str) -> String {
    format!("arn:aws:sqs:eu-west-1:123456789012:{}", url.rsplit('/').next().unwrap_or_default())
}

/// The permissions that the calls of a function need in a deployment.
fn needed_by_code(function: Function, deployment: &Deployment) -> BTreeSet<Permission> {
    let variables = deployment.variables(function.name);
    let set = |variable: &str| variables.get(variable).filter(|value| !value.is_empty()).cloned();
    let queue = |variable: &str| set(variable).map(|url| queue_arn(&url)).into_iter().collect();
    let handles_notices = |path: &str| path.contains("notice") || path.starts_with("src/messenger/");
    let resource_arns = |path: &str, name: &str| -> Vec<String> {
        match name {
            "notice_queue_url" => queue("NOTICE_QUEUE_URL"),
            "queue_url" if handles_notices(path) => queue("NOTICE_QUEUE_URL"),
            "request_queue_url" | "queue_url" => queue("DETACH_QUEUE_URL"),
            "dead_letter_queue_url" => queue("DEAD_LETTER_QUEUE_URL"),
            // PutEvents names the bus in its entry.
            "bus_name" | "entry" => set("COMPLETION_BUS_NAME")
                .map(|bus| format!("arn:aws:events:eu-west-1:123456789012:event-bus/{bus}"))
                .into_iter()
                .collect(),
            "arn" => function.secrets.iter().filter_map(|(variable, _)| set(variable)).collect(),
            // GetWebIdentityToken supports no resource.
            "audience" => set("ALIBABA_OIDC_AUDIENCE").map(|_| "*".to_owned()).into_iter().collect(),
            other => panic!("no resource for the name {other}"),
        }
    };
    let calls = calls_by_file();
    let by_function =
        calls.iter().filter(|(path, _)| callers(path).into_iter().any(|caller| caller == function));
    let named = by_function.flat_map(|(path, calls)| calls.iter().map(move |call| (path, call)));
    named
        .flat_map(|(path, (action, name))| {
            resource_arns(path, name).into_iter().map(|arn| (action.clone(), arn))
        })
        .collect()
}

/// The permissions that Lambda and Secrets Manager need in a function's role.
fn needed_by_services(function: Function, deployment: &Deployment) -> BTreeSet<Permission> {
    let properties = deployment.properties(function.name);
    let mut needed = BTreeSet::new();
    let mut add = |actions: &[&str], resource: &str| {
        needed.extend(actions.iter().map(|action| ((*action).to_owned(), resource.to_owned())));
    };
    let group = properties["LoggingConfig"]["LogGroup"].as_str().expect("a log group");
    let group = format!("arn:aws:logs:eu-west-1:123456789012:log-group:{group}:*");
    add(&["logs:CreateLogStream", "logs:PutLogEvents"], &group);
    if properties["Tracing"] == "Active" {
        // These two actions support no resource.
        add(&["xray:PutTelemetryRecords", "xray:PutTraceSegments"], "*");
    }
    for event in properties["Events"].as_object().into_iter().flat_map(serde_json::Map::values) {
        let queue = event["Properties"]["Queue"].as_str().expect("a queue");
        add(&["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"], queue);
    }
    if let Some(queue) =
        properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"].as_str()
    {
        add(&["sqs:SendMessage"], queue);
    }
    let variables = deployment.variables(function.name);
    let set = |name: &str| deployment.parameters.get(name).filter(|value| !value.is_empty());
    for (variable, parameters) in function.secrets {
        let is_secret_read = variables.get(*variable).is_some_and(|arn| !arn.is_empty());
        let mut secrets = parameters.iter().filter(|(secret, _)| set(secret).is_some());
        let key = secrets.next().and_then(|(_, key)| set(key));
        if let Some(key) = key.filter(|_| is_secret_read) {
            add(&["kms:Decrypt"], key);
        }
    }
    needed
}

/// The permissions that a role allows.
fn allowed(role: &str, deployment: &Deployment) -> BTreeSet<Permission> {
    let mut allowed = BTreeSet::new();
    for (id, statement) in deployment.statements(role) {
        let known = ["Action", "Condition", "Effect", "Resource", "Sid"];
        let keys: Vec<_> = statement.as_object().expect("a statement").keys().map(String::as_str).collect();
        assert!(keys.iter().all(|key| known.contains(key)), "{id}: {keys:?}");
        assert_eq!(statement["Effect"], "Allow", "{id}");
        let texts = |value: &Value| match value {
            Value::Array(items) => items.clone(),
            one => vec![one.clone()],
        };
        for action in texts(&statement["Action"]) {
            for resource in texts(&statement["Resource"]) {
                let text = |value: &Value| value.as_str().expect("text").to_owned();
                let permission = (text(&action), text(&resource));
                assert!(allowed.insert(permission), "{id} repeats a permission of another statement");
            }
        }
    }
    allowed
}

const SIGNING: &str = "arn:aws:secretsmanager:eu-west-1:1:secret:signing-abcdef";
const SIGNING_KEY: &str = "arn:aws:kms:eu-west-1:1:key/signing";
const LISTING: &str = "arn:aws:secretsmanager:eu-west-1:1:secret:listing-abcdef";
const LISTING_KEY: &str = "arn:aws:kms:eu-west-1:1:key/listing";

/// Deployments whose functions need different permissions.
fn deployments() -> Vec<Deployment> {
    let keys = ["ChatVerificationSecretKeyArn", "ChatSigningSecretKeyArn", "ChatTokenSecretKeyArn"];
    let without_keys = [&CHAT[..], &keys.map(|key| (key, ""))].concat();
    let not_enabled = [&CHAT[..], &[("EnableChat", "false")]].concat();
    let variants: [&[(&str, &str)]; 12] = [
        &[],
        // With AWS_IAM the intake does not read the secret.
        &[("WebhookSecretsArn", SIGNING), ("WebhookSecretsKeyArn", SIGNING_KEY)],
        &[("AlibabaCredentialsSecretKeyArn", ""), ("CompletionBusName", "own-bus")],
        &[("CompletionBusName", "own-bus"), ("CreateCompletionBus", "true")],
        &[("WebhookAuthentication", "SIGNATURE"), ("WebhookSecretsArn", SIGNING)],
        // The sweeper must not read or decrypt the worker's secret if it has its own.
        &[("SweeperCredentialsSecretArn", LISTING)],
        &[("SweeperCredentialsSecretArn", LISTING), ("SweeperCredentialsSecretKeyArn", LISTING_KEY)],
        // Without its own secret, the KMS key has no effect.
        &[("SweeperCredentialsSecretKeyArn", LISTING_KEY)],
        &[
            ("WebhookAuthentication", "SIGNATURE"),
            ("WebhookSecretsArn", SIGNING),
            ("WebhookSecretsKeyArn", SIGNING_KEY),
        ],
        &CHAT,
        &without_keys,
        &not_enabled,
    ];
    SOURCES.into_iter().flat_map(|source| variants.map(|changes| Deployment::of(source, changes))).collect()
}

#[test]
fn every_file_that_calls_aws_has_a_known_function() {
    let files = calls_by_file().into_keys().collect::<Vec<_>>();
    for path in &files {
        assert!(!callers(path).is_empty(), "{path}");
    }
    for (start, _) in CALLERS {
        assert!(files.iter().any(|path| path.starts_with(start)), "no calls in {start}");
    }
}

#[test]
fn role_allows_exactly_what_its_function_needs() {
    for deployment in deployments() {
        for function in functions(&deployment) {
            let needed = &needed_by_code(function, &deployment) | &needed_by_services(function, &deployment);
            assert_eq!(allowed(function.role, &deployment), needed, "{:?}", deployment.parameters);
        }
    }
}

#[test]
fn each_role_is_assumed_by_one_service_and_used_by_one_function() {
    let deployment = with_chat(&SCHEDULES);
    let trust = |role: &str| {
        let document = &deployment.properties(role)["AssumeRolePolicyDocument"];
        assert_eq!(document["Version"], "2012-10-17");
        document["Statement"].clone()
    };
    let service = |name: &str| {
        let principal = json!({ "Service": name });
        json!({ "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole" })
    };
    for function in functions(&deployment) {
        let properties = deployment.properties(function.name);
        let role = format!("arn:aws:iam::123456789012:role/{}", function.role);
        assert_eq!(properties["Role"], role.as_str());
        let group = &deployment.properties(function.log_group)["LogGroupName"];
        assert_eq!(properties["LoggingConfig"]["LogGroup"], *group);
        assert_eq!(trust(function.role), json!([service("lambda.amazonaws.com")]));
    }
    let mut scheduler_trust = service("scheduler.amazonaws.com");
    scheduler_trust["Condition"] = json!({
        "StringEquals": { "aws:SourceAccount": "123456789012" },
        "ArnEquals": { "aws:SourceArn": "arn:aws:scheduler:eu-west-1:123456789012:schedule-group/stack" },
    });
    let permission =
        |action: &str, arn: &Value| (action.to_owned(), arn.as_str().expect("an ARN").to_owned());
    let mut needed = BTreeSet::new();
    let schedules = deployment.of_type("AWS::Scheduler::Schedule");
    assert_eq!(schedules, ["Schedule", "CanarySchedule", "SweepSchedule"]);
    for name in schedules {
        let schedule = deployment.properties(name);
        assert_eq!(schedule["GroupName"], "stack", "{name}");
        let target = &schedule["Target"];
        assert_eq!(target["RoleArn"], "arn:aws:iam::123456789012:role/ScheduleRole", "{name}");
        needed.insert(permission("lambda:InvokeFunction", &target["Arn"]));
        needed.insert(permission("sqs:SendMessage", &target["DeadLetterConfig"]["Arn"]));
    }
    assert_eq!(allowed("ScheduleRole", &deployment), needed);
    assert_eq!(trust("ScheduleRole"), json!([scheduler_trust]));
    assert_eq!(
        deployment.of_type("AWS::IAM::Role"),
        ["ScheduleRole", "WorkerRole", "IntakeRole", "SweeperRole", "MessengerRole"]
    );
    // For schedules that other stacks put into the group.
    let without_schedules = Deployment::of("ENVIRONMENT", &[]);
    assert_eq!(allowed("ScheduleRole", &without_schedules), allowed("ScheduleRole", &deployment));
    assert_eq!(without_schedules.of_type("AWS::Scheduler::Schedule"), Vec::<&str>::new());
}

#[test]
fn permissions_without_a_narrow_resource_have_a_condition() {
    let conditions = |role: &str, deployment: &Deployment| -> BTreeMap<String, Value> {
        let statements = deployment.statements(role).into_iter();
        statements.filter_map(|(id, statement)| Some((id, statement.get("Condition")?.clone()))).collect()
    };
    let publish =
        ("PublishCompletionEvents".to_owned(), json!({ "StringEquals": { "events:source": SOURCE } }));
    let via = json!({ "StringEquals": { "kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com" } });
    let decrypt = ("DecryptCredentials".to_owned(), via.clone());
    // ForAllValues alone would also accept a request without an audience.
    let token = json!({
        "ForAllValues:StringEquals": { "sts:IdentityTokenAudience": "aud" },
        "Null": { "sts:IdentityTokenAudience": "false" },
        "NumericLessThanEquals": { "sts:DurationSeconds": "300" },
        "StringEquals": { "sts:SigningAlgorithm": "RS256" },
    });
    let token = ("GetIdentityToken".to_owned(), token);
    for role in ["WorkerRole", "SweeperRole"] {
        let of = |source| conditions(role, &Deployment::of(source, &[]));
        assert_eq!(of("ENVIRONMENT"), [publish.clone()].into(), "{role}");
        assert_eq!(of("SECRETS_MANAGER"), [publish.clone(), decrypt.clone()].into(), "{role}");
        assert_eq!(of("OIDC"), [publish.clone(), token.clone()].into(), "{role}");
    }
    let own_secret =
        [("SweeperCredentialsSecretArn", LISTING), ("SweeperCredentialsSecretKeyArn", LISTING_KEY)];
    let own_secret = conditions("SweeperRole", &Deployment::of("SECRETS_MANAGER", &own_secret));
    assert_eq!(own_secret, [publish, decrypt].into());
    let signing = [
        ("WebhookAuthentication", "SIGNATURE"),
        ("WebhookSecretsArn", SIGNING),
        ("WebhookSecretsKeyArn", SIGNING_KEY),
    ];
    let intake = conditions("IntakeRole", &Deployment::of("ENVIRONMENT", &signing));
    assert_eq!(intake, [("DecryptWebhookSecrets".to_owned(), via.clone())].into());
    let of_chat = |names: [&str; 2]| names.map(|name| (name.to_owned(), via.clone())).into();
    let [intake, messenger] = ["IntakeRole", "MessengerRole"].map(|role| conditions(role, &with_chat(&[])));
    assert_eq!(intake, of_chat(["DecryptChatVerificationSecret", "DecryptChatSigningSecret"]));
    assert_eq!(messenger, of_chat(["DecryptChatTokenSecret", "DecryptChatSigningSecret"]));
}

#[test]
fn webhook_url_is_public_only_if_signatures_are_checked() {
    let signatures = [("WebhookAuthentication", "SIGNATURE"), ("WebhookSecretsArn", SIGNING)];
    let events = [("RequestEventSources", "my.tool")];
    let public = Deployment::of("ENVIRONMENT", &[&signatures[..], &events].concat());
    let rule = (
        "RequestRulePermission",
        json!({
            "FunctionName": "stack-intake",
            "Action": "lambda:InvokeFunction",
            "Principal": "events.amazonaws.com",
            "SourceArn": "arn:aws:events:eu-west-1:123456789012:rule/RequestRule",
        }),
    );
    let call_url = json!({
        "FunctionName": "stack-intake",
        "Action": "lambda:InvokeFunctionUrl",
        "Principal": "*",
        "FunctionUrlAuthType": "NONE",
    });
    let invoke_through_url = json!({
        "FunctionName": "stack-intake",
        "Action": "lambda:InvokeFunction",
        "Principal": "*",
        "InvokedViaFunctionUrl": "true",
    });
    let permissions = |deployment: &Deployment| -> BTreeMap<&str, Value> {
        let names = deployment.of_type("AWS::Lambda::Permission").into_iter();
        names.map(|name| (name, deployment.properties(name))).collect()
    };
    let for_everyone = [("WebhookUrlPermission", call_url), ("WebhookInvokePermission", invoke_through_url)];
    assert_eq!(permissions(&public), for_everyone.into_iter().chain([rule.clone()]).collect());
    assert_eq!(permissions(&Deployment::of("ENVIRONMENT", &events)), [rule].into());
    let url = |authentication: &str| {
        json!({
            "TargetFunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:stack-intake",
            "AuthType": authentication,
            "InvokeMode": "BUFFERED",
        })
    };
    assert_eq!(public.properties("WebhookUrl"), url("NONE"));
    assert_eq!(public.variables("IntakeFunction")["WEBHOOK_SECRETS_ARN"], SIGNING);
    let not_public: [&[(&str, &str)]; 3] = [
        &[],
        &[("WebhookSecretsArn", SIGNING)],
        // A rule rejects this, but rules are not evaluated everywhere.
        &[("WebhookAuthentication", "SIGNATURE")],
    ];
    for changes in not_public {
        let closed = Deployment::of("ENVIRONMENT", changes);
        assert_eq!(permissions(&closed), BTreeMap::new(), "{changes:?}");
        assert_eq!(closed.properties("WebhookUrl"), url("AWS_IAM"), "{changes:?}");
        assert_eq!(closed.variables("IntakeFunction")["WEBHOOK_SECRETS_ARN"], "", "{changes:?}");
    }
    let none = Deployment::of("ENVIRONMENT", &[&signatures[..], &[("CreateWebhookUrl", "false")]].concat());
    assert!(!none.creates("WebhookUrl"));
    assert_eq!(permissions(&none), BTreeMap::new());
}

#[test]
fn queue_policies_require_tls_and_allow_only_rules_of_the_stack() {
    let open = with_chat(&[("RequestEventSources", "my.tool")]);
    let closed = Deployment::of("ENVIRONMENT", &[]);
    let statements = |deployment: &Deployment, queue: &str, policy: &str| {
        let properties = deployment.properties(policy);
        let name = deployment.properties(queue)["QueueName"].as_str().expect("a name").to_owned();
        let url = format!("https://sqs.eu-west-1.amazonaws.com/123456789012/{name}");
        assert_eq!(properties["Queues"], json!([url]));
        assert_eq!(properties["PolicyDocument"]["Version"], "2012-10-17");
        (queue_arn(&url), properties["PolicyDocument"]["Statement"].clone())
    };
    let without_tls = |arn: &str| {
        json!({
            "Sid": "DenyWithoutTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": arn,
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        })
    };
    for queue in ["RequestQueue", "DeadLetterQueue", "SweeperFailureQueue"] {
        let (arn, statements) = statements(&open, queue, &format!("{queue}Policy"));
        assert_eq!(statements, json!([without_tls(&arn)]));
    }
    let failure_queue = |deployment| statements(deployment, "IntakeFailureQueue", "IntakeFailureQueuePolicy");
    let (arn, policy) = failure_queue(&open);
    let rule = |id: &str, name: &str, queue: &str| {
        let source = format!("arn:aws:events:eu-west-1:123456789012:rule/{name}");
        json!({
            "Sid": id,
            "Effect": "Allow",
            "Principal": { "Service": "events.amazonaws.com" },
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": { "ArnEquals": { "aws:SourceArn": source } },
        })
    };
    assert_eq!(policy, json!([without_tls(&arn), rule("SendUndeliveredEvents", "RequestRule", &arn)]));
    assert_eq!(failure_queue(&closed).1, json!([without_tls(&arn)]));
    for (queue, id) in
        [("NoticeQueue", "SendCompletionEvents"), ("NoticeDeadLetterQueue", "SendUndeliveredEvents")]
    {
        let (arn, policy) = statements(&open, queue, &format!("{queue}Policy"));
        assert_eq!(policy, json!([without_tls(&arn), rule(id, "stack-chat", &arn)]), "{queue}");
    }
}

#[test]
fn log_policy_allows_the_completion_rule_to_record_events() {
    let deployment = Deployment::of("ENVIRONMENT", &[]);
    let document = deployment.properties("CompletionLogPolicy")["PolicyDocument"].clone();
    let document: Value = serde_json::from_str(document.as_str().expect("text")).unwrap();
    let services = json!({ "Service": ["events.amazonaws.com", "delivery.logs.amazonaws.com"] });
    let group = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/events/stack-completions:*";
    let rule = "arn:aws:events:eu-west-1:123456789012:rule/stack-events";
    let allow = |action: &str| {
        let (effect, principal) = ("Allow", &services);
        json!({ "Effect": effect, "Principal": principal, "Action": action, "Resource": group })
    };
    let mut put = allow("logs:PutLogEvents");
    put["Condition"] = json!({ "ArnEquals": { "aws:SourceArn": rule } });
    let expected = json!({ "Version": "2012-10-17", "Statement": [allow("logs:CreateLogStream"), put] });
    assert_eq!(document, expected);
    let target = &deployment.properties("CompletionRule")["Targets"][0]["Arn"];
    assert_eq!(target.as_str().map(|arn| format!("{arn}:*")).as_deref(), Some(group));
}
