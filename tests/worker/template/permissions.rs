//! Every call that the code makes is allowed, on what it is made for, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use privatelink_detach::completion::SOURCE;
use serde_json::{Value, json};

use super::calls::calls_in_the_code;
use crate::cloudformation::{Deployment, SOURCES};

/// Whose role makes the calls of a file.
const CALLERS: [(&str, Function); 6] = [
    ("src/alibaba/credentials/oidc.rs", WORKER),
    ("src/alibaba/credentials/secret.rs", WORKER),
    ("src/intake/secrets.rs", INTAKE),
    ("src/publisher.rs", WORKER),
    ("src/queue.rs", WORKER),
    ("src/queue/sender.rs", INTAKE),
];

const WORKER: Function = Function {
    name: "WorkerFunction",
    role: "WorkerRole",
    log_group: "WorkerLogGroup",
    secret: "ALIBABA_CREDENTIALS_SECRET_ARN",
    secret_key: "AlibabaCredentialsSecretKeyArn",
};

const INTAKE: Function = Function {
    name: "IntakeFunction",
    role: "IntakeRole",
    log_group: "IntakeLogGroup",
    secret: "WEBHOOK_SECRETS_ARN",
    secret_key: "WebhookSecretsKeyArn",
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Function {
    name: &'static str,
    role: &'static str,
    log_group: &'static str,
    /// The variable with the ARN of the secret that it reads.
    secret: &'static str,
    /// The parameter with the ARN of that secret's own key.
    secret_key: &'static str,
}

/// An action of IAM, and the resource that it is for.
type Permission = (String, String);

/// The ARN of the queue with this URL.
fn queue_arn(url: &str) -> String {
    format!("arn:aws:sqs:eu-west-1:123456789012:{}", url.rsplit('/').next().unwrap_or_default())
}

/// What a function calls, in this deployment.
fn called(function: Function, deployment: &Deployment) -> BTreeSet<Permission> {
    let variables = deployment.variables(function.name);
    let set = |variable: &str| variables.get(variable).filter(|value| !value.is_empty()).cloned();
    let resource = |on: &str| match on {
        "request_queue_url" | "queue_url" => set("DETACH_QUEUE_URL").map(|url| queue_arn(&url)),
        "dead_letter_queue_url" => set("DEAD_LETTER_QUEUE_URL").map(|url| queue_arn(&url)),
        // An event names its bus itself.
        "bus_name" | "entry" => set("COMPLETION_BUS_NAME")
            .map(|bus| format!("arn:aws:events:eu-west-1:123456789012:event-bus/{bus}")),
        "arn" => set(function.secret),
        // A token has no resource.
        "audience" => set("ALIBABA_OIDC_AUDIENCE").map(|_| "*".to_owned()),
        other => panic!("it is not known here what {other} is"),
    };
    let code = calls_in_the_code();
    let its_own = CALLERS.into_iter().filter(|(_, caller)| *caller == function);
    its_own
        .flat_map(|(path, _)| &code[path])
        .filter_map(|(action, on)| Some((action.clone(), resource(on)?)))
        .collect()
}

/// What Lambda and Secrets Manager do with a function's role.
fn done_for(function: Function, deployment: &Deployment) -> BTreeSet<Permission> {
    let properties = deployment.properties(function.name);
    let mut done = BTreeSet::new();
    let mut add = |actions: &[&str], resource: &str| {
        done.extend(actions.iter().map(|action| ((*action).to_owned(), resource.to_owned())));
    };
    let group = properties["LoggingConfig"]["LogGroup"].as_str().expect("a log group");
    let group = format!("arn:aws:logs:eu-west-1:123456789012:log-group:{group}:*");
    add(&["logs:CreateLogStream", "logs:PutLogEvents"], &group);
    if properties["Tracing"] == "Active" {
        // X-Ray has no resource to name for these two actions.
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
    let is_secret_read =
        deployment.variables(function.name).get(function.secret).is_some_and(|arn| !arn.is_empty());
    let key = deployment.parameters.get(function.secret_key).filter(|key| !key.is_empty());
    if let Some(key) = key.filter(|_| is_secret_read) {
        add(&["kms:Decrypt"], key);
    }
    done
}

/// What a role allows.
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
                let text = |value: &Value| value.as_str().expect("a text").to_owned();
                let permission = (text(&action), text(&resource));
                assert!(allowed.insert(permission), "{id} allows what another statement does");
            }
        }
    }
    allowed
}

const SIGNING: &str = "arn:aws:secretsmanager:eu-west-1:1:secret:signing-abcdef";
const SIGNING_KEY: &str = "arn:aws:kms:eu-west-1:1:key/signing";

/// Deployments that differ in what their functions may do.
fn deployments() -> Vec<Deployment> {
    let ways: [&[(&str, &str)]; 6] = [
        &[],
        // Of a secret that nothing reads.
        &[("WebhookSecretsArn", SIGNING), ("WebhookSecretsKeyArn", SIGNING_KEY)],
        &[("AlibabaCredentialsSecretKeyArn", ""), ("CompletionBusName", "told")],
        &[("CompletionBusName", "told"), ("CreateCompletionBus", "true")],
        &[("WebhookAuthentication", "SIGNATURE"), ("WebhookSecretsArn", SIGNING)],
        &[
            ("WebhookAuthentication", "SIGNATURE"),
            ("WebhookSecretsArn", SIGNING),
            ("WebhookSecretsKeyArn", SIGNING_KEY),
        ],
    ];
    SOURCES.into_iter().flat_map(|source| ways.map(|changes| Deployment::of(source, changes))).collect()
}

#[test]
fn every_file_that_calls_aws_is_known_to_belong_to_a_function() {
    let files = calls_in_the_code().into_keys().collect::<Vec<_>>();
    assert_eq!(files, CALLERS.map(|(path, _)| path));
}

#[test]
fn a_role_allows_what_its_function_calls_and_nothing_else() {
    for deployment in deployments() {
        for function in [WORKER, INTAKE] {
            let needed = &called(function, &deployment) | &done_for(function, &deployment);
            assert_eq!(allowed(function.role, &deployment), needed, "{:?}", deployment.parameters);
        }
    }
}

#[test]
fn a_function_has_its_own_role_and_log_group_and_nobody_else_takes_the_role() {
    let deployment =
        Deployment::of("ENVIRONMENT", &[("ScheduleExpression", "rate(1 hour)"), ("ScheduleInput", "{}")]);
    let may_take = |role: &str| {
        let document = &deployment.properties(role)["AssumeRolePolicyDocument"];
        assert_eq!(document["Version"], "2012-10-17");
        document["Statement"].clone()
    };
    let service = |name: &str| {
        let principal = json!({ "Service": name });
        json!({ "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole" })
    };
    for function in [WORKER, INTAKE] {
        let properties = deployment.properties(function.name);
        let role = format!("arn:aws:iam::123456789012:role/{}", function.role);
        assert_eq!(properties["Role"], role.as_str());
        let group = &deployment.properties(function.log_group)["LogGroupName"];
        assert_eq!(properties["LoggingConfig"]["LogGroup"], *group);
        assert_eq!(may_take(function.role), json!([service("lambda.amazonaws.com")]));
    }
    let mut scheduler = service("scheduler.amazonaws.com");
    scheduler["Condition"] = json!({ "StringEquals": { "aws:SourceAccount": "123456789012" } });
    assert_eq!(may_take("ScheduleRole"), json!([scheduler]));
    assert_eq!(deployment.of_type("AWS::IAM::Role"), ["WorkerRole", "IntakeRole", "ScheduleRole"]);
    let target = &deployment.properties("Schedule")["Target"];
    let permission = |action: &str, on: &Value| (action.to_owned(), on.as_str().expect("an ARN").to_owned());
    let needed = [
        permission("lambda:InvokeFunction", &target["Arn"]),
        permission("sqs:SendMessage", &target["DeadLetterConfig"]["Arn"]),
    ];
    assert_eq!(allowed("ScheduleRole", &deployment), needed.into());
}

#[test]
fn what_cannot_be_narrowed_by_its_resource_is_narrowed_by_a_condition() {
    let conditions = |role: &str, deployment: &Deployment| -> BTreeMap<String, Value> {
        let statements = deployment.statements(role).into_iter();
        statements.filter_map(|(id, statement)| Some((id, statement.get("Condition")?.clone()))).collect()
    };
    let publish =
        ("PublishCompletionEvents".to_owned(), json!({ "StringEquals": { "events:source": SOURCE } }));
    let via = json!({ "StringEquals": { "kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com" } });
    let worker = |source| conditions("WorkerRole", &Deployment::of(source, &[]));
    assert_eq!(worker("ENVIRONMENT"), [publish.clone()].into());
    assert_eq!(worker("SECRETS_MANAGER"), [publish.clone(), ("DecryptKeys".to_owned(), via.clone())].into());
    // ForAllValues alone would be content with no audience.
    let proof = json!({
        "ForAllValues:StringEquals": { "sts:IdentityTokenAudience": "aud" },
        "Null": { "sts:IdentityTokenAudience": "false" },
        "NumericLessThanEquals": { "sts:DurationSeconds": "300" },
        "StringEquals": { "sts:SigningAlgorithm": "RS256" },
    });
    assert_eq!(worker("KEYLESS"), [publish, ("ProveItsRole".to_owned(), proof)].into());
    let signing = [
        ("WebhookAuthentication", "SIGNATURE"),
        ("WebhookSecretsArn", SIGNING),
        ("WebhookSecretsKeyArn", SIGNING_KEY),
    ];
    let intake = conditions("IntakeRole", &Deployment::of("ENVIRONMENT", &signing));
    assert_eq!(intake, [("DecryptWebhookSecrets".to_owned(), via)].into());
}

#[test]
fn the_door_is_open_only_where_signatures_are_checked() {
    let signatures = [("WebhookAuthentication", "SIGNATURE"), ("WebhookSecretsArn", SIGNING)];
    let open = Deployment::of("ENVIRONMENT", &signatures);
    let rule = (
        "RequestRulePermission",
        json!({
            "FunctionName": "stack-intake",
            "Action": "lambda:InvokeFunction",
            "Principal": "events.amazonaws.com",
            "SourceArn": "arn:aws:events:eu-west-1:123456789012:rule/RequestRule",
        }),
    );
    let call_the_url = json!({
        "FunctionName": "stack-intake",
        "Action": "lambda:InvokeFunctionUrl",
        "Principal": "*",
        "FunctionUrlAuthType": "NONE",
    });
    let by_the_url = json!({
        "FunctionName": "stack-intake",
        "Action": "lambda:InvokeFunction",
        "Principal": "*",
        "InvokedViaFunctionUrl": "true",
    });
    let permissions = |deployment: &Deployment| -> BTreeMap<&str, Value> {
        let names = deployment.of_type("AWS::Lambda::Permission").into_iter();
        names.map(|name| (name, deployment.properties(name))).collect()
    };
    let strangers = [("WebhookUrlPermission", call_the_url), ("WebhookInvokePermission", by_the_url)];
    assert_eq!(permissions(&open), strangers.into_iter().chain([rule.clone()]).collect());
    let url = |authentication: &str| {
        json!({
            "TargetFunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:stack-intake",
            "AuthType": authentication,
            "InvokeMode": "BUFFERED",
        })
    };
    assert_eq!(open.properties("WebhookUrl"), url("NONE"));
    assert_eq!(open.variables("IntakeFunction")["WEBHOOK_SECRETS_ARN"], SIGNING);
    let closed: [&[(&str, &str)]; 3] = [
        &[],
        &[("WebhookSecretsArn", SIGNING)],
        // A rule keeps this from a stack, but rules are not applied everywhere.
        &[("WebhookAuthentication", "SIGNATURE")],
    ];
    for changes in closed {
        let closed = Deployment::of("ENVIRONMENT", changes);
        assert_eq!(permissions(&closed), [rule.clone()].into(), "{changes:?}");
        assert_eq!(closed.properties("WebhookUrl"), url("AWS_IAM"), "{changes:?}");
        assert_eq!(closed.variables("IntakeFunction")["WEBHOOK_SECRETS_ARN"], "", "{changes:?}");
    }
    let none = Deployment::of("ENVIRONMENT", &[&signatures[..], &[("CreateWebhookUrl", "false")]].concat());
    assert!(!none.creates("WebhookUrl"));
    assert_eq!(permissions(&none), [rule].into());
}

#[test]
fn a_queue_takes_nothing_without_tls_and_from_another_service_only_what_it_is_for() {
    let deployment = Deployment::of("ENVIRONMENT", &[]);
    let statements = |queue: &str, policy: &str| {
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
    for queue in ["RequestQueue", "DeadLetterQueue"] {
        let (arn, statements) = statements(queue, &format!("{queue}Policy"));
        assert_eq!(statements, json!([without_tls(&arn)]));
    }
    let (arn, statements) = statements("IntakeFailureQueue", "IntakeFailureQueuePolicy");
    let source = "arn:aws:events:eu-west-1:123456789012:rule/RequestRule";
    let rule = json!({
        "Sid": "KeepWhatTheRuleCannotDeliver",
        "Effect": "Allow",
        "Principal": { "Service": "events.amazonaws.com" },
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": { "ArnEquals": { "aws:SourceArn": source } },
    });
    assert_eq!(statements, json!([without_tls(&arn), rule]));
}

#[test]
fn completion_events_may_be_recorded() {
    let deployment = Deployment::of("ENVIRONMENT", &[]);
    let document = deployment.properties("CompletionLogPolicy")["PolicyDocument"].clone();
    let document: Value = serde_json::from_str(document.as_str().expect("a text")).unwrap();
    let services = json!({ "Service": ["events.amazonaws.com", "delivery.logs.amazonaws.com"] });
    let group = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/events/stack-completions:*";
    let rule = "arn:aws:events:eu-west-1:123456789012:rule/CompletionRule";
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
