//! The template, held to the code: numbers, variables, permissions, and what reaches the worker for each source of keys.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use local_aws::LocalAws;
use privatelink_detach::alibaba::credentials::{
    Credentials, CredentialsConfig, CredentialsSource, KeylessConfig,
};
use privatelink_detach::alibaba::error::Unanswered;
use privatelink_detach::alibaba::service_clock::ServiceClock;
use privatelink_detach::alibaba::service_url::BaseUrl;
use privatelink_detach::alibaba::transport::Transport;
use privatelink_detach::aws;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::{IntakeConfig, WorkerConfig};
use privatelink_detach::intake::payload::DETAIL_TYPE;
use privatelink_detach::queue::sender::SEND_TIME_MAX;
use privatelink_detach::request::DEADLINE_SECONDS;
use privatelink_detach::worker::InvocationLimits;
use serde_json::Value;

use crate::cloudformation::{
    Deployment, PARAMETERS, SOURCES, TEMPLATE, numbers, numbers_in, resource, variables,
};

/// The variables that a configuration reads.
fn read_by<C>(read: impl Fn(&dyn Fn(&str) -> Option<String>) -> C) -> BTreeSet<String> {
    let names = RefCell::new(BTreeSet::new());
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
    let mut worker = BTreeSet::new();
    for source in SOURCES {
        let deployment = Deployment::of(source, &[]);
        worker.extend(read_by(|environment| {
            WorkerConfig::read(|name| environment(name).or_else(|| deployment.variables().remove(name)))
        }));
    }
    assert_eq!(variables("WorkerFunction"), worker);
    assert_eq!(variables("IntakeFunction"), read_by(|environment| IntakeConfig::read(environment)));
}

/// The parameters of all sources, as a stack would have them that a rule did not keep from it.
fn parameters_of_all() -> Vec<(&'static str, &'static str)> {
    PARAMETERS.into_iter().map(|(_, name, value)| (name, value)).collect()
}

#[test]
fn of_all_sources_of_keys_only_the_chosen_one_reaches_the_worker() {
    let url = |host| BaseUrl {
        scheme: http::uri::Scheme::HTTPS,
        authority: http::uri::Authority::from_static(host),
    };
    let keys = |token: Option<&str>| {
        let keys = Credentials::new("LTAIid".into(), "s3cret".into(), token.map(Into::into));
        CredentialsConfig::Environment(keys)
    };
    let secret = CredentialsConfig::SecretsManager {
        secret_arn: "arn:aws:secretsmanager:eu-west-1:1:secret:keys-abcdef".into(),
    };
    let keyless = |session: &str, sts_url| {
        CredentialsConfig::Keyless(KeylessConfig {
            role_arn: "acs:ram::1:role/r".into(),
            oidc_provider_arn: "acs:ram::1:oidc-provider/p".into(),
            role_session_name: session.into(),
            audience: "aud".into(),
            sts_url,
        })
    };
    let reaches = |deployment: &Deployment| {
        let variables = deployment.variables();
        WorkerConfig::read(|name| variables.get(name).cloned()).unwrap().credentials
    };
    assert_eq!(reaches(&Deployment::of("ENVIRONMENT", &parameters_of_all())), keys(Some("t0ken")));
    assert_eq!(reaches(&Deployment::of("SECRETS_MANAGER", &parameters_of_all())), secret);
    let sts = url("sts.eu-west-1.aliyuncs.com");
    assert_eq!(reaches(&Deployment::of("KEYLESS", &parameters_of_all())), keyless("session", sts));

    // With nothing but what a source demands, the rest is the template's defaults.
    let mut before = Deployment::of("ENVIRONMENT", &[]);
    before.parameters.retain(|name, _| !["AlibabaCredentials", "AlibabaCloudSecurityToken"].contains(name));
    assert_eq!(reaches(&before), keys(None), "a stack that was made before there was a choice");
    let mut least = Deployment::of("KEYLESS", &[]);
    least
        .parameters
        .retain(|name, _| !["AlibabaCloudRoleSessionName", "AlibabaStsEndpointUrl"].contains(name));
    assert_eq!(reaches(&least), keyless("privatelink-detach", url("sts.aliyuncs.com")));
}

#[test]
fn the_parameters_of_the_chosen_source_are_demanded_and_those_of_others_refused_by_name() {
    let demanded = [
        "AlibabaCloudAccessKeyId",
        "AlibabaCloudAccessKeySecret",
        "AlibabaCredentialsSecretArn",
        "AlibabaCloudRoleArn",
        "AlibabaCloudOidcProviderArn",
        "AlibabaOidcAudience",
    ];
    // What tells one source from the others, and what must not linger where nothing uses it.
    let telling = [
        "AlibabaCloudAccessKeyId",
        "AlibabaCloudAccessKeySecret",
        "AlibabaCloudSecurityToken",
        "AlibabaCredentialsSecretArn",
        "AlibabaCloudRoleArn",
    ];
    for source in SOURCES {
        assert_eq!(Deployment::of(source, &[]).objections(), Vec::<String>::new(), "{source}");
        for (whose, parameter, value) in PARAMETERS {
            let (change, is_refused) = if whose == source {
                ("", demanded.contains(&parameter))
            } else {
                (value, telling.contains(&parameter))
            };
            let objections = Deployment::of(source, &[(parameter, change)]).objections();
            assert_eq!(objections.len(), usize::from(is_refused), "{source} {parameter}: {objections:?}");
            let names = |text: &String| text.contains(source) && text.contains(parameter);
            assert!(objections.iter().all(names), "{source} {parameter}: {objections:?}");
        }
    }
}

#[test]
fn a_key_that_is_given_as_a_parameter_is_shown_to_nobody() {
    for (source, parameter, _) in PARAMETERS {
        let is_hidden = resource(parameter).contains("NoEcho: true");
        assert_eq!(is_hidden, source == "ENVIRONMENT", "{parameter}");
    }
}

/// What the role of a keyless worker may ask of STS.
const PROVE_ITS_ROLE: &str = r#"Sid: ProveItsRole
Effect: Allow
Action: sts:GetWebIdentityToken
Resource: "*"
Condition:
  ForAllValues:StringEquals:
    sts:IdentityTokenAudience: !Ref AlibabaOidcAudience
  "Null":
    sts:IdentityTokenAudience: "false"
  NumericLessThanEquals:
    sts:DurationSeconds: "300"
  StringEquals:
    sts:SigningAlgorithm: RS256"#;

#[test]
fn the_worker_may_read_its_own_source_of_keys_and_no_other() {
    let read = "Sid: ReadKeys\nEffect: Allow\nAction: secretsmanager:GetSecretValue\nResource: !Ref \
                AlibabaCredentialsSecretArn";
    let decrypt = "Sid: DecryptKeys\nEffect: Allow\nAction: kms:Decrypt\nResource: !Ref \
                   AlibabaCredentialsSecretKeyArn\nCondition:\n  StringEquals:\n    kms:ViaService: !Sub \
                   secretsmanager.${AWS::Region}.${AWS::URLSuffix}";
    let statements = |source, changes: &[(&'static str, &'static str)]| {
        let mut statements = Deployment::of(source, changes).statements();
        let always = [
            "CopyToDeadLetterQueue",
            "LookAtTheBus",
            "PublishCompletionEvents",
            "SendTraces",
            "TakeAndHandBackRequests",
            "WriteItsOwnLog",
        ];
        for id in always {
            assert!(statements.remove(id).is_some(), "{id}");
        }
        statements.into_values().collect::<Vec<_>>()
    };
    assert_eq!(statements("ENVIRONMENT", &[]), Vec::<String>::new());
    assert_eq!(statements("SECRETS_MANAGER", &[]), [decrypt, read]);
    assert_eq!(statements("SECRETS_MANAGER", &[("AlibabaCredentialsSecretKeyArn", "")]), [read]);
    assert_eq!(statements("KEYLESS", &[]), [PROVE_ITS_ROLE]);
}

/// Keeps what it is given to send.
struct Kept(RefCell<Vec<http::Request<Bytes>>>);

impl Transport for &Kept {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, Unanswered> {
        self.0.borrow_mut().push(request);
        Err(Unanswered::ConnectionLost)
    }
}

#[tokio::test]
async fn the_token_that_a_keyless_worker_asks_for_is_the_one_that_its_role_may_have() {
    let aws = LocalAws::start().await.unwrap();
    let sdk = aws::config(aws.environment()).unwrap();
    let deployment = Deployment::of("KEYLESS", &[]);
    let variables = deployment.variables();
    let config = WorkerConfig::read(|name| variables.get(name).cloned()).unwrap();
    let source = CredentialsSource::new(config.credentials, &config.rules.allowed_regions, &sdk);
    let kept = Kept(RefCell::default());
    let clock = Clock::starting_at(aws.now());
    source.current(&&kept, &ServiceClock::default(), &clock).await.unwrap_err();
    let [request] = &kept.0.into_inner()[..] else { panic!("one exchange") };
    let form = String::from_utf8(request.body().to_vec()).unwrap();
    let token = form.split('&').find_map(|pair| pair.strip_prefix("OIDCToken=")).unwrap();
    let part = |index| -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (header, claims) = (part(0), part(1));
    let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    let statement = &deployment.statements()["ProveItsRole"];
    let allowed = |key: &str| {
        let value = statement.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap();
        value.trim_matches('"').to_owned()
    };
    let audience = allowed("sts:IdentityTokenAudience: ");
    let audience = deployment.parameters[audience.strip_prefix("!Ref ").unwrap()];
    let asked = (header["alg"].clone(), lifetime.to_string(), claims["aud"].clone());
    let granted =
        (allowed("sts:SigningAlgorithm: ").into(), allowed("sts:DurationSeconds: "), audience.into());
    assert_eq!(asked, granted);
    let subject = TEMPLATE.split_once("\n  WorkerRoleArn:\n").unwrap().1.lines().nth(1);
    assert_eq!(
        subject,
        Some("    Value: !GetAtt WorkerRole.Arn"),
        "whoever writes the trust policy needs it"
    );
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
    let anything = "Resource: \"*\"";
    assert_eq!(
        TEMPLATE.matches(anything).count(),
        3,
        "only X-Ray, twice, and tokens have no resource to name"
    );
}
