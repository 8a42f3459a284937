//! What is written down beside the code, held to the code: runbook, template, samples.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use privatelink_detach::aws;
use privatelink_detach::config::{IntakeConfig, WorkerConfig};
use privatelink_detach::intake::payload::DETAIL_TYPE;
use privatelink_detach::queue::sender::SEND_TIME_MAX;
use privatelink_detach::request::DEADLINE_SECONDS;
use privatelink_detach::worker::InvocationLimits;
use serde_json::{Value, json};

use crate::stage::{Setting, Stage};

const TEMPLATE: &str = include_str!("../../template.yaml");

/// The numbers that a key has in a text, wherever it stands alone on its line.
fn numbers_in(text: &str, key: &str) -> Vec<u64> {
    let value = |line: &str| line.trim().strip_prefix(key)?.strip_prefix(": ")?.parse().ok();
    text.lines().filter_map(value).collect()
}

/// The numbers that a key has in the template.
fn numbers(key: &str) -> Vec<u64> {
    numbers_in(TEMPLATE, key)
}

/// One resource of the template.
fn resource(name: &str) -> &'static str {
    let from = TEMPLATE.split_once(&format!("\n  {name}:\n")).unwrap().1;
    let is_inside = |line: &&str| line.is_empty() || line.starts_with("   ") || line.starts_with("  #");
    let length = from.split_inclusive('\n').take_while(is_inside).map(str::len).sum();
    &from[..length]
}

/// The variables that a function's resource sets.
fn variables(name: &str) -> BTreeSet<String> {
    let function = resource(name).split_once("Variables:\n").unwrap().1;
    let name = |line: &str| Some(line.strip_prefix("          ")?.split_once(": ")?.0.to_owned());
    function.lines().map_while(name).collect()
}

/// The variables that a configuration reads.
fn read_by<C>(read: impl Fn(&dyn Fn(&str) -> Option<String>) -> C) -> BTreeSet<String> {
    let names = std::cell::RefCell::new(BTreeSet::new());
    read(&|name| {
        names.borrow_mut().insert(name.to_owned());
        None
    });
    names.into_inner()
}

#[test]
fn the_templates_numbers_hang_together_with_the_workers() {
    let limits = InvocationLimits::default();
    let seconds = |duration: Duration| duration.as_secs();
    let [timeout] = numbers_in(resource("WorkerFunction"), "Timeout")[..] else { panic!("one timeout") };
    let [visibility] = numbers("VisibilityTimeout")[..] else { panic!("one visibility timeout") };
    let [receives] = numbers("maxReceiveCount")[..] else { panic!("one receive count") };
    assert!(timeout >= seconds(limits.wait_max + limits.call_timeout + limits.reserve));
    assert_eq!(limits.length_assumed.as_secs(), timeout);
    assert_eq!(visibility, 6 * timeout, "AWS advises six times");
    let longest = *DEADLINE_SECONDS.end();
    assert!(numbers("MaxValue").contains(&longest) && numbers("MinValue").contains(DEADLINE_SECONDS.start()));
    let receives_needed = longest / seconds(limits.hand_back_max) + 4;
    assert!(receives > receives_needed && receives <= 1000, "{receives_needed} of {receives}");
    assert!(longest + visibility < 12 * 60 * 60, "SQS hides a message for 12 hours at most");
    assert_eq!(numbers("BatchSize"), [10]);
    assert_eq!(numbers("MessageRetentionPeriod"), [14 * 24 * 60 * 60; 3]);
    assert_eq!(TEMPLATE.matches("FifoQueue: true").count(), 2);
    let alarm = numbers("Default").into_iter().find(|seconds| *seconds == 4200).unwrap();
    assert!(
        alarm >= WorkerConfig::DEADLINE_SECONDS_DEFAULT + visibility,
        "no alarm for what is still in time"
    );
    assert!(TEMPLATE.contains("FunctionResponseTypes: [ReportBatchItemFailures]"));
}

#[test]
fn the_templates_numbers_hang_together_with_the_intakes() {
    let [timeout] = numbers_in(resource("IntakeFunction"), "Timeout")[..] else { panic!("one timeout") };
    let call = aws::OPERATION_TIMEOUT;
    assert!(2 * call + SEND_TIME_MAX + call <= Duration::from_secs(timeout));
    // Lambda pauses for one minute and then for two between its three tries of an event.
    let [tries] = numbers("MaximumRetryAttempts").into_iter().filter(|n| *n < 10).collect::<Vec<_>>()[..]
    else {
        panic!("one number of tries")
    };
    assert_eq!(tries, 2);
    assert!(3 * timeout + 60 + 120 < 5 * 60, "the queue remembers a request for five minutes");
}

#[test]
fn the_template_sets_every_variable_that_a_function_reads() {
    let mut worker = read_by(|environment| WorkerConfig::read(environment));
    // Read only to be refused: sources of keys that this version does not have.
    worker.retain(|name| {
        let faults = WorkerConfig::read(|variable| (variable == name).then(|| "x".to_owned())).unwrap_err();
        !faults.iter().any(|fault| fault.variable == name && fault.problem.contains("not supported"))
    });
    assert_eq!(variables("WorkerFunction"), worker);
    assert_eq!(variables("IntakeFunction"), read_by(|environment| IntakeConfig::read(environment)));
}

#[test]
fn the_template_gives_the_intake_no_more_than_it_needs() {
    let function = resource("IntakeFunction");
    assert!(!function.contains("!Ref Alibaba"), "it holds no keys");
    let is_action = |word: &&str| word.contains(':') && !word.ends_with(':') && !word.contains("::");
    let actions: BTreeSet<&str> = resource("IntakeRole").split_whitespace().filter(is_action).collect();
    let needed = [
        "kms:Decrypt",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "secretsmanager:GetSecretValue",
        "sqs:SendMessage",
        "sts:AssumeRole",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    ];
    assert_eq!(actions, BTreeSet::from(needed));
    // What each of them is allowed on.
    let resources: Vec<&str> =
        resource("IntakeRole").lines().filter_map(|line| line.trim().strip_prefix("Resource: ")).collect();
    let named = [
        "!GetAtt RequestQueue.Arn",
        "!GetAtt IntakeFailureQueue.Arn",
        "!Ref WebhookSecretsArn",
        "!Ref WebhookSecretsKeyArn",
        "!GetAtt IntakeLogGroup.Arn",
        "\"*\"",
    ];
    assert_eq!(resources, named);
    let schedule: Vec<&str> =
        resource("ScheduleRole").lines().filter_map(|line| line.trim().strip_prefix("Resource: ")).collect();
    assert_eq!(schedule, ["!GetAtt IntakeFunction.Arn", "!GetAtt IntakeFailureQueue.Arn"]);
}

#[test]
fn the_templates_door_is_open_only_where_signatures_are_checked() {
    assert!(resource("WebhookUrl").contains("AuthType: !If [ChecksSignatures, NONE, AWS_IAM]"));
    assert!(
        resource("IntakeFunction")
            .contains("WEBHOOK_SECRETS_ARN: !If [ChecksSignatures, !Ref WebhookSecretsArn")
    );
    for (permission, restriction) in [
        ("WebhookUrlPermission", "FunctionUrlAuthType: NONE"),
        ("WebhookInvokePermission", "InvokedViaFunctionUrl: true"),
    ] {
        let permission = resource(permission);
        assert!(permission.contains("Condition: OpensWebhookUrl") && permission.contains(restriction));
    }
    assert!(
        TEMPLATE
            .contains("OpensWebhookUrl: !And [!Condition CreatesWebhookUrl, !Condition ChecksSignatures]")
    );
}

#[test]
fn the_template_loses_no_event() {
    assert!(resource("RequestRule").contains(&format!("detail-type: [{DETAIL_TYPE}]")));
    let destination = resource("IntakeFunction").split_once("OnFailure:").unwrap().1;
    assert!(destination.contains("Destination: !GetAtt IntakeFailureQueue.Arn"));
    for sender in ["RequestRule", "Schedule"] {
        let undelivered = resource(sender).split_once("DeadLetterConfig:").unwrap().1;
        assert!(undelivered.contains("Arn: !GetAtt IntakeFailureQueue.Arn"), "{sender}");
    }
    assert!(
        !resource("IntakeFailureQueue").contains("FifoQueue"),
        "none of the three can send to a FIFO queue"
    );
}

#[test]
fn the_template_permits_what_the_worker_does() {
    for action in [
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ChangeMessageVisibility",
        "sqs:SendMessage",
        "events:PutEvents",
        "events:DescribeEventBus",
    ] {
        assert!(resource("WorkerRole").contains(action), "{action}");
    }
    assert!(TEMPLATE.contains(privatelink_detach::completion::SOURCE));
    assert_eq!(TEMPLATE.matches("Resource: \"*\"").count(), 2, "only X-Ray has no resource to name");
}

/// The anchors of a Markdown file's headings, as a repository page makes them.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings = markdown.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[tokio::test]
async fn every_reason_names_a_section_that_the_runbook_has() {
    let anchors = anchors(include_str!("../../docs/runbook.md"));
    let mut seen = BTreeSet::new();
    let mut check = |event: &Value| {
        let runbook = event["reason"]["runbook"].as_str().unwrap();
        let (path, anchor) = runbook.split_once('#').unwrap();
        assert!(Path::new(path).exists() && anchors.contains(anchor), "{runbook}");
        seen.insert(anchor.to_owned());
    };
    for code in
        privatelink_simulator::codes::ALL.iter().map(|code| code.name).chain(["Forbidden.X", "Unknown"])
    {
        let stage = Stage::with_groups(&["sg-a", "sg-b"]).await;
        let detach = privatelink_simulator::Action::DetachSecurityGroupFromVpcEndpoint;
        let fault =
            privatelink_simulator::Fault::on(detach, privatelink_simulator::Effect::code(code)).nth(1);
        stage.cloud.cloud().inject(fault);
        let body = json!({ "region_id": "eu-west-1", "endpoint_id": "ep-a", "security_group_id": "sg-a",
            "client_token": "mine" });
        let reply = stage.invoke(&body.to_string()).await.unwrap();
        if reply["reason"].is_object() {
            check(&reply);
        }
    }
    assert!(seen.len() >= 8, "{seen:?}");
    let closed = [
        "invalidrequest",
        "regionnotallowed",
        "protectedsecuritygroup",
        "protectedendpoint",
        "financiallocked",
        "endpointmustcontainsecuritygroup",
        "dryrunnothonoured",
        "deadlinepassed",
        "completionnotpublished",
        "invocationtimeusedup",
        "endpointnotfound",
        "securitygroupnotfound",
        "endpointconnectionoperationdenied",
        "endpointoperationdenied",
        "any-other-code",
    ];
    for anchor in closed {
        assert!(anchors.contains(anchor), "{anchor}");
    }
}

/// What each sample of the worker in `events/` ends as.
#[tokio::test]
async fn every_sample_ends_as_its_name_says() {
    let expected: [(&str, &[&str]); 12] = [
        ("direct-detach", &["detached"]),
        ("direct-dry-run", &["dry_run_passed"]),
        ("direct-invalid", &["rejected"]),
        (
            "queue-batch",
            &[
                "already_detached",
                "already_detached",
                "detached",
                "detached",
                "detached",
                "detached",
                "detached",
                "detached",
                "refused",
                "rejected",
            ],
        ),
        ("queue-dry-run", &["dry_run_passed"]),
        ("queue-empty", &[]),
        ("queue-envelope", &["rejected"]),
        ("queue-invalid", &["rejected"]),
        ("queue-no-body", &["rejected"]),
        ("queue-redriven", &["detached"]),
        ("queue-single", &["detached"]),
        ("queue-standard", &["detached", "detached"]),
    ];
    let files =
        std::fs::read_dir("events").unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let is_of_the_worker = |name: &String| name.starts_with("direct-") || name.starts_with("queue-");
    let files: BTreeSet<String> = files.filter(is_of_the_worker).collect();
    assert_eq!(files, expected.iter().map(|(name, _)| format!("{name}.json")).collect());
    for (name, outcomes) in expected {
        let world = std::fs::read("examples/local/world.json").unwrap();
        let mut setting =
            Setting { seed: privatelink_simulator::Seed::from_json(&world).unwrap(), ..Setting::default() };
        setting.seed.settings.detach_takes = Duration::from_millis(60);
        setting.seed.faults.clear();
        for endpoint in &mut setting.seed.endpoints {
            endpoint.task = None;
            endpoint.endpoint_status = "Active".to_owned();
        }
        let stage = Stage::set(setting).await;
        let payload = std::fs::read_to_string(format!("events/{name}.json")).unwrap();
        let mut event: Value = serde_json::from_str(&payload).unwrap();
        let sent_at = stage.aws.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        for record in event.get_mut("Records").and_then(Value::as_array_mut).into_iter().flatten() {
            record["attributes"]["SentTimestamp"] = sent_at.to_string().into();
        }
        let reply = stage.invoke(&event.to_string()).await.unwrap();
        if event["Records"].is_array() {
            assert_eq!(reply, json!({ "batchItemFailures": [] }), "{name}");
        }
        if name == "queue-no-body" {
            let letters = stage.dead_letters();
            let source = event["Records"][0]["messageId"].as_str();
            assert_eq!((letters[0].body.as_str(), letters[0].deduplication_id.as_deref()), ("null", source));
            assert_eq!(
                letters[0].group.as_deref(),
                event["Records"][0]["attributes"]["MessageGroupId"].as_str()
            );
        }
        let mut seen: Vec<_> =
            stage.events().iter().map(|e| e["outcome"].as_str().unwrap().to_owned()).collect();
        let mut outcomes = outcomes.to_vec();
        seen.sort();
        outcomes.sort_unstable();
        assert_eq!(seen, outcomes, "{name}");
    }
}
