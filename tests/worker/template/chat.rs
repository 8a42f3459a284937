//! The messenger, its queues and the settings of chat: nothing of them exists without `EnableChat`, and the rules reject
//! half a configuration.

use std::collections::{BTreeMap, BTreeSet};

use privatelink_detach::chat::identity::Platform;
use privatelink_detach::completion::SOURCE;
use privatelink_detach::request::Trigger;
use serde_json::{Value, json};

use super::metrics::events;
use super::queues::{RETRY_MAX, arn};
use crate::cloudformation::{Deployment, Node, TEMPLATE, file, number, parameter};

/// The parameters of a deployment with chat, each with a valid value. Platforms need a URL that checks signatures.
pub(crate) const CHAT: [(&str, &str); 19] = [
    ("EnableChat", "true"),
    ("ChatTenants", "slack:T0123ABCD"),
    ("ChatConversations", "slack:T0123ABCD/C0123ABCD"),
    ("ChatRequesters", "*"),
    ("ChatApprovers", "slack:T0123ABCD/U0123ABCD,slack:T0123ABCD/U9876ABCD"),
    ("ChatApprovalTimeoutSeconds", "600"),
    ("ChatLanguage", "ZH"),
    ("ChatVerificationSecretArn", "arn:aws:secretsmanager:eu-west-1:1:secret:verification-abcdef"),
    ("ChatVerificationSecretKeyArn", "arn:aws:kms:eu-west-1:1:key/verification"),
    ("ChatSigningSecretArn", "arn:aws:secretsmanager:eu-west-1:1:secret:chat-signing-abcdef"),
    ("ChatSigningSecretKeyArn", "arn:aws:kms:eu-west-1:1:key/chat-signing"),
    ("ChatTokenSecretArn", "arn:aws:secretsmanager:eu-west-1:1:secret:token-abcdef"),
    ("ChatTokenSecretKeyArn", "arn:aws:kms:eu-west-1:1:key/token"),
    ("SlackEndpointUrl", "https://slack-gov.com"),
    ("DingTalkEndpointUrl", "https://dingtalk.example.com"),
    ("FeishuEndpointUrl", "https://open.larksuite.com"),
    ("MessengerMemorySize", "192"),
    ("WebhookAuthentication", "SIGNATURE"),
    ("WebhookSecretsArn", "arn:aws:secretsmanager:eu-west-1:1:secret:signing-abcdef"),
];

/// The number of parameters in `CHAT` that concern nothing else.
const OF_CHAT: usize = 17;

/// The parameters that chat requires, and that must be empty without it.
const REQUIRED: [&str; 7] = [
    "ChatTenants",
    "ChatConversations",
    "ChatRequesters",
    "ChatApprovers",
    "ChatVerificationSecretArn",
    "ChatSigningSecretArn",
    "ChatTokenSecretArn",
];

/// A deployment with chat, and changes to its parameters.
pub(crate) fn with_chat(changes: &[(&'static str, &'static str)]) -> Deployment {
    Deployment::of("ENVIRONMENT", &[&CHAT[..], changes].concat())
}

/// The value of a parameter in `CHAT`.
fn value(name: &str) -> String {
    CHAT.into_iter().find(|(each, _)| *each == name).expect("a parameter of chat").1.to_owned()
}

fn queue_url(name: &str) -> String {
    format!("https://sqs.eu-west-1.amazonaws.com/123456789012/stack-{name}")
}

/// The name of every resource and output that a deployment has.
fn everything(deployment: &Deployment) -> BTreeSet<&'static str> {
    let sections = ["Resources", "Outputs"].map(|section| deployment.created(section));
    sections.into_iter().flatten().collect()
}

#[test]
fn nothing_of_chat_exists_unless_it_is_enabled() {
    // The webhooks are not part of chat.
    let without = Deployment::of("ENVIRONMENT", &CHAT[OF_CHAT..]);
    let of_chat: BTreeSet<_> =
        everything(&with_chat(&[])).difference(&everything(&without)).copied().collect();
    let expected = [
        "ChatCompletionRule",
        "ChatCompletionRuleAlarm",
        "DingTalkUrl",
        "FeishuUrl",
        "MessengerErrorLines",
        "MessengerErrorLinesAlarm",
        "MessengerErrorsAlarm",
        "MessengerEventSourceMappingId",
        "MessengerFunction",
        "MessengerFunctionName",
        "MessengerLogGroup",
        "MessengerLogGroupName",
        "MessengerRole",
        "MessengerThrottlesAlarm",
        "NoticeAgeAlarm",
        "NoticeDeadLetterAlarm",
        "NoticeDeadLetterQueue",
        "NoticeDeadLetterQueueArn",
        "NoticeDeadLetterQueuePolicy",
        "NoticeDeadLetterQueueUrl",
        "NoticeQueue",
        "NoticeQueueArn",
        "NoticeQueuePolicy",
        "NoticeQueueUrl",
        "SlackUrl",
    ];
    assert_eq!(of_chat, expected.into());

    // Rules reject all of these, but rules are not evaluated everywhere.
    let secrets = REQUIRED.into_iter().filter(|name| name.ends_with("Arn"));
    let halves = secrets.map(|secret| (secret, "")).chain([("EnableChat", "false")]);
    for half in halves {
        let deployment = with_chat(&[half]);
        assert_eq!(everything(&deployment), everything(&without), "{half:?}");
        for resource in deployment.created("Resources") {
            assert_eq!(deployment.properties(resource), without.properties(resource), "{half:?}: {resource}");
        }
    }
}

#[test]
fn urls_of_the_platforms_exist_only_with_the_url_of_the_intake() {
    let outputs = |changes| with_chat(changes).created("Outputs");
    let urls = BTreeSet::from(["SlackUrl", "DingTalkUrl", "FeishuUrl"]);
    assert!(outputs(&[]).is_superset(&urls));
    let own_api = outputs(&[("CreateWebhookUrl", "false")]);
    assert!(own_api.is_disjoint(&urls) && own_api.contains("NoticeQueueUrl"));
}

#[test]
fn urls_of_the_platforms_have_the_paths_of_the_code() {
    for (output, platform) in
        [("SlackUrl", Platform::Slack), ("DingTalkUrl", Platform::DingTalk), ("FeishuUrl", Platform::Feishu)]
    {
        let Node::Tagged(function, value) = TEMPLATE.key("Outputs").key(output).key("Value") else {
            panic!("no function: {output}");
        };
        let path = format!("${{WebhookUrl.FunctionUrl}}chat/{}", platform.name());
        assert_eq!((function.as_str(), value.text()), ("Sub", path.as_str()), "{output}");
    }
}

#[test]
fn rules_require_every_setting_of_chat() {
    assert_eq!(with_chat(&[]).failed_assertions(), Vec::<String>::new());
    for name in REQUIRED {
        let failures = with_chat(&[(name, "")]).failed_assertions();
        let names_both =
            |text: &String| text.contains("EnableChat is true") && text.contains(&format!(" {name} "));
        assert!(failures.len() == 1 && failures.iter().all(names_both), "{name}: {failures:?}");
    }
}

#[test]
fn rules_reject_settings_of_chat_without_chat() {
    for name in REQUIRED {
        let setting = CHAT.into_iter().find(|(each, _)| *each == name).unwrap();
        let failures = Deployment::of("ENVIRONMENT", &[setting]).failed_assertions();
        let names_both =
            |text: &String| text.contains("EnableChat is false") && text.contains(&format!(" {name} "));
        assert!(failures.len() == 1 && failures.iter().all(names_both), "{name}: {failures:?}");
    }
}

#[test]
fn rules_reject_a_url_that_no_platform_can_call() {
    let iam = ("WebhookAuthentication", "AWS_IAM");
    let failures = with_chat(&[iam]).failed_assertions();
    let names_both = |text: &String| text.contains("SIGNATURE") && text.contains("CreateWebhookUrl");
    assert!(failures.len() == 1 && failures.iter().all(names_both), "{failures:?}");
    let own_api = with_chat(&[iam, ("CreateWebhookUrl", "false")]);
    assert_eq!(own_api.failed_assertions(), Vec::<String>::new());
    assert!(own_api.creates("MessengerFunction"));
}

#[test]
fn intake_and_messenger_receive_the_settings_of_chat() {
    let deployment = with_chat(&[]);
    let set = |pairs: &[(&str, String)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let messenger = set(&[
        ("NOTICE_QUEUE_URL", queue_url("notices")),
        ("DEAD_LETTER_QUEUE_URL", queue_url("notices-dead-letter")),
        ("CHAT_TOKEN_SECRET_ARN", value("ChatTokenSecretArn")),
        ("CHAT_SIGNING_SECRET_ARN", value("ChatSigningSecretArn")),
        ("CHAT_LANGUAGE", value("ChatLanguage")),
        ("SLACK_ENDPOINT_URL", value("SlackEndpointUrl")),
        ("DINGTALK_ENDPOINT_URL", value("DingTalkEndpointUrl")),
        ("FEISHU_ENDPOINT_URL", value("FeishuEndpointUrl")),
    ]);
    assert_eq!(deployment.variables("MessengerFunction"), messenger);
    let intake = set(&[
        ("CHAT_TENANTS", value("ChatTenants")),
        ("CHAT_CONVERSATIONS", value("ChatConversations")),
        ("CHAT_REQUESTERS", value("ChatRequesters")),
        ("CHAT_APPROVERS", value("ChatApprovers")),
        ("CHAT_APPROVAL_TIMEOUT_SECONDS", value("ChatApprovalTimeoutSeconds")),
        ("CHAT_LANGUAGE", value("ChatLanguage")),
        ("CHAT_VERIFICATION_SECRET_ARN", value("ChatVerificationSecretArn")),
        ("CHAT_SIGNING_SECRET_ARN", value("ChatSigningSecretArn")),
        ("NOTICE_QUEUE_URL", queue_url("notices")),
    ]);
    let mut variables = deployment.variables("IntakeFunction");
    let without = with_chat(&[("EnableChat", "false")]).variables("IntakeFunction");
    variables.retain(|name, _| !without.contains_key(name));
    assert_eq!(variables, intake);
}

#[test]
fn chat_parameters_have_the_documented_defaults_and_limits() {
    let defaults = CHAT[..OF_CHAT].iter().map(|(name, _)| (*name, parameter(name).key("Default").text()));
    let set: Vec<_> = defaults.filter(|(_, default)| !default.is_empty()).collect();
    let expected = [
        ("EnableChat", "false"),
        ("ChatApprovalTimeoutSeconds", "3600"),
        ("ChatLanguage", "AUTO"),
        ("MessengerMemorySize", "128"),
    ];
    assert_eq!(set, expected);
    let timeout = parameter("ChatApprovalTimeoutSeconds");
    assert_eq!((timeout.key("MinValue").text(), timeout.key("MaxValue").text()), ("60", "86400"));
}

#[test]
fn notices_are_received_one_by_one_and_end_in_their_dead_letter_queue() {
    let deployment = with_chat(&[]);
    let function = deployment.properties("MessengerFunction");
    let timeout = number(&function["Timeout"]);
    let queue = json!({
        "QueueName": "stack-notices",
        // Six times, as for the request queue.
        "VisibilityTimeout": (6 * timeout).to_string(),
        "MessageRetentionPeriod": (4 * 86_400).to_string(),
        "SqsManagedSseEnabled": "true",
        "RedrivePolicy": { "deadLetterTargetArn": arn("notices-dead-letter"), "maxReceiveCount": "20" },
    });
    assert_eq!(deployment.properties("NoticeQueue"), queue);
    let dead_letters = json!({
        "QueueName": "stack-notices-dead-letter",
        "MessageRetentionPeriod": (14 * 86_400).to_string(),
        "SqsManagedSseEnabled": "true",
        "RedriveAllowPolicy": { "redrivePermission": "byQueue", "sourceQueueArns": [arn("notices")] },
    });
    assert_eq!(deployment.properties("NoticeDeadLetterQueue"), dead_letters);
    assert!(20 * 6 * timeout < 4 * 86_400, "a notice reaches its dead-letter queue within its retention");
    // SQS no longer counts a message that was received more than three times.
    let alarm = number(&deployment.properties("NoticeAgeAlarm")["Threshold"]);
    assert!(3 * 6 * timeout <= alarm, "three failed receives of one notice start no alarm");
    let mapping = json!({
        "Queue": arn("notices"),
        "BatchSize": "1",
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        // The lowest concurrency of an event source mapping.
        "ScalingConfig": { "MaximumConcurrency": "2" },
    });
    assert_eq!(function["Events"], json!({ "Notices": { "Type": "SQS", "Properties": mapping } }));
    assert_eq!((&function["Timeout"], &function["MemorySize"]), (&"30".into(), &"192".into()));
}

#[test]
fn chat_rule_sends_the_completion_events_of_chat_requests_to_the_messenger() {
    let events = events();
    let detach_types: BTreeSet<_> = events
        .iter()
        .filter(|event| event["detail"]["outcome"].is_string())
        .map(|event| event["detail-type"].as_str().unwrap())
        .collect();
    assert_eq!(detach_types.len(), 2);
    for changes in [&[][..], &[("CompletionBusName", "own-bus"), ("CreateCompletionBus", "true")]] {
        let deployment = with_chat(changes);
        let bus = deployment.variables("WorkerFunction").remove("COMPLETION_BUS_NAME");
        let trigger = serde_json::to_value(Trigger::Chat).unwrap();
        let target = json!({
            "Id": "notices",
            "Arn": arn("notices"),
            "RetryPolicy": { "MaximumRetryAttempts": RETRY_MAX.0, "MaximumEventAgeInSeconds": RETRY_MAX.1 },
            "DeadLetterConfig": { "Arn": arn("notices-dead-letter") },
        });
        let pattern =
            json!({ "source": [SOURCE], "detail-type": detach_types, "detail": { "trigger": [trigger] } });
        let rule = json!({
            "Name": "stack-chat",
            "Description": "Completion events of the detach requests from chat.",
            "EventBusName": bus,
            "EventPattern": pattern,
            "Targets": [target],
        });
        assert_eq!(deployment.properties("ChatCompletionRule"), rule);
    }
    let unrecorded = with_chat(&[("RecordCompletionEvents", "false")]);
    assert!(unrecorded.creates("ChatCompletionRule"), "chat needs no recorded events");
}

#[test]
fn messenger_has_no_url_and_no_credentials_for_alibaba_cloud() {
    let deployment = with_chat(&[]);
    let urls = deployment.of_type("AWS::Lambda::Url").into_iter();
    let targets: Vec<_> = urls.map(|url| deployment.properties(url)["TargetFunctionArn"].clone()).collect();
    assert_eq!(targets, ["arn:aws:lambda:eu-west-1:123456789012:function:stack-intake"]);
    let variables = deployment.variables("MessengerFunction");
    assert!(variables.keys().all(|name| !name.contains("ALIBABA")), "{variables:?}");
    assert!(!variables.contains_key("DETACH_QUEUE_URL"));
}

#[test]
fn names_fit_a_stack_name_of_the_documented_length() {
    let page = file("docs/deploy.md");
    let (_, rest) = page.split_once("A stack's name has at most ").unwrap();
    let longest: usize = rest.split_once(' ').unwrap().0.parse().unwrap();
    let deployment = with_chat(&[]);
    let suffix = |value: &Value| value.as_str().unwrap().rsplit('/').next().unwrap().len() - "stack".len();
    let longest_of = |kind: &str, key: &str| {
        let names = deployment.of_type(kind).into_iter();
        names.map(|name| suffix(&deployment.properties(name)[key])).max().unwrap()
    };
    assert_eq!(longest + longest_of("AWS::Serverless::Function", "FunctionName"), 64);
    assert!(longest + longest_of("AWS::SQS::Queue", "QueueName") <= 80);
    assert!(longest + suffix(&deployment.properties("ChatCompletionRule")["Name"]) <= 64);
}
