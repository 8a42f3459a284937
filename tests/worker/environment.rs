//! The environment of one worker: the production code with its real clients, connected over HTTP to a simulated Alibaba
//! Cloud and to local implementations of SQS, EventBridge and the event source mapping. Only the waits are shorter than
//! in production.

use std::time::{Duration, SystemTime};

use local_aws::mapping::{self, Verdict};
use local_aws::queues::Message;
use local_aws::{Action as AwsAction, LocalAws, NewMessage, QueueSettings, wire};
use privatelink_detach::aws;
use privatelink_detach::backoff::Backoff;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::WorkerConfig;
use privatelink_detach::detach::Limits;
use privatelink_detach::drive::time_budget::TimeLimits;
use privatelink_detach::lambda::Invocation;
use privatelink_detach::worker::assemble::{self, LiveWorker};
use privatelink_detach::worker::handler::{self, HandlerError};
use privatelink_simulator::{AccessKey, Action, Cloud, Endpoint, OidcProvider, Role, Seed, Server};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::log;
use crate::schema;

pub(crate) const REQUESTS: &str = "requests.fifo";
pub(crate) const DEAD_LETTERS: &str = "dead-letter.fifo";
/// The default region of a request and its endpoint.
pub(crate) const REGION: &str = "eu-west-1";

/// The name of the Secrets Manager secret of [`TestCredentials::Secret`].
pub(crate) const SECRET: &str = "alibaba-credentials";
/// The RAM role of [`TestCredentials::Oidc`].
pub(crate) const ROLE: &str = "acs:ram::1234567890123456:role/detach";
/// The RAM OIDC provider that trusts the AWS account.
pub(crate) const PROVIDER: &str = "acs:ram::1234567890123456:oidc-provider/aws";
/// The audience of the AWS identity token.
pub(crate) const AUDIENCE: &str = "privatelink-detach";

/// Longer than the worker ever takes to make an expected call.
const TEST_TIMEOUT: Duration = Duration::from_mins(1);

/// More deliveries than any scenario needs.
const DELIVERIES_MAX: u32 = 50;

/// One worker with its AWS and its Alibaba Cloud.
pub(crate) struct TestEnvironment {
    pub(crate) aws: LocalAws,
    pub(crate) cloud: Server,
    pub(crate) worker: LiveWorker,
    /// The function timeout.
    pub(crate) invocation_length: Duration,
    queue_name: &'static str,
}

/// The settings of a [`TestEnvironment`].
pub(crate) struct TestSettings {
    /// The initial state of Alibaba Cloud.
    pub(crate) seed: Seed,
    /// Environment variables that the worker gets in addition to, or instead of, the default ones.
    pub(crate) variables: Vec<(&'static str, String)>,
    pub(crate) credentials: TestCredentials,
    /// The settings of the request queue.
    pub(crate) queue: QueueSettings,
    /// The name of the request queue.
    pub(crate) queue_name: &'static str,
    pub(crate) time: TimeLimits,
}

/// The source of the worker's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TestCredentials {
    /// Environment variables.
    Environment,
    /// The secret [`SECRET`].
    Secret,
    /// OIDC federation: a session of [`ROLE`], exchanged for an AWS identity token.
    Oidc,
}

impl Default for TestSettings {
    fn default() -> Self {
        let mut seed = Seed::default();
        seed.settings.detach_takes = Duration::from_millis(60);
        Self {
            seed,
            variables: Vec::new(),
            credentials: TestCredentials::Environment,
            queue: QueueSettings::fifo()
                .visibility_timeout(Duration::from_mins(9))
                .redrive(1000, DEAD_LETTERS),
            queue_name: REQUESTS,
            time: short_time_limits(),
        }
    }
}

impl TestSettings {
    /// The default settings with these endpoints and their attached groups.
    pub(crate) fn with_endpoints(endpoints: &[(&str, &[&str])]) -> Self {
        let mut settings = Self::default();
        settings.seed.endpoints =
            endpoints.iter().map(|(id, groups)| Endpoint::new(REGION, *id, groups.iter().copied())).collect();
        settings
    }
}

/// The production limits in milliseconds instead of seconds, in the same proportions.
pub(crate) fn short_limits() -> Limits {
    Limits {
        poll_spacing: Duration::from_micros(800),
        poll_min: Duration::from_millis(10),
        poll_max: Duration::from_millis(60),
        second_read_min: Duration::from_millis(20),
        backoff: Backoff {
            min: Duration::from_millis(10),
            base: Duration::from_millis(20),
            max: Duration::from_millis(100),
        },
        unlisted_backoff_min: Duration::from_millis(50),
        empty_list_for: Duration::from_millis(200),
        no_effect_after: Duration::from_millis(200),
    }
}

/// Time limits in seconds instead of minutes. They leave enough time on a busy machine.
pub(crate) fn short_time_limits() -> TimeLimits {
    TimeLimits {
        wait_max: Duration::from_secs(3),
        reserve: Duration::from_secs(3),
        last_read_reserve: Duration::from_millis(300),
        call_timeout: Duration::from_secs(1),
        call_time_min: Duration::from_millis(50),
    }
}

impl TestCredentials {
    /// Sets up both clouds for these credentials. Returns the worker's environment variables.
    pub(crate) fn set_up(self, aws: &LocalAws, cloud: &Server) -> Vec<(&'static str, String)> {
        let key = AccessKey::default();
        match self {
            Self::Environment => vec![
                ("ALIBABA_CLOUD_ACCESS_KEY_ID", key.access_key_id.to_string()),
                ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", key.access_key_secret),
            ],
            Self::Secret => {
                aws.secrets().put(SECRET, secret_of(&key));
                vec![("ALIBABA_CREDENTIALS_SECRET_ARN", wire::secret_arn(SECRET))]
            }
            Self::Oidc => {
                let (issuer, jwks) = {
                    let sts = aws.sts();
                    (sts.issuer.clone(), sts.jwks())
                };
                let provider = OidcProvider::new(PROVIDER, issuer, [AUDIENCE], jwks);
                cloud.cloud().set_oidc_provider(provider).unwrap();
                cloud.cloud().set_role(Role::new(ROLE, PROVIDER)).unwrap();
                vec![
                    ("ALIBABA_CLOUD_ROLE_ARN", ROLE.to_owned()),
                    ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", PROVIDER.to_owned()),
                    ("ALIBABA_OIDC_AUDIENCE", AUDIENCE.to_owned()),
                    ("ALIBABA_STS_ENDPOINT_URL", cloud.url()),
                ]
            }
        }
    }
}

/// The value of a secret that contains this access key.
pub(crate) fn secret_of(key: &AccessKey) -> String {
    let mut text = json!({ "access_key_id": key.access_key_id, "access_key_secret": key.access_key_secret });
    if let Some(token) = &key.security_token {
        text["security_token"] = json!(token);
    }
    text.to_string()
}

impl TestEnvironment {
    /// Starts an environment with one endpoint, `ep-a`, that uses these groups.
    pub(crate) async fn with_groups(groups: &[&str]) -> Self {
        Self::start(TestSettings::with_endpoints(&[("ep-a", groups)])).await
    }

    pub(crate) async fn start(settings: TestSettings) -> Self {
        log::start();
        let aws = LocalAws::start().await.unwrap();
        aws.queues().create(DEAD_LETTERS, QueueSettings::fifo()).unwrap();
        aws.queues().create(settings.queue_name, settings.queue).unwrap();
        let cloud = Cloud::new(settings.seed).unwrap();
        let cloud = Server::start(cloud, ([127, 0, 0, 1], 0).into()).await.unwrap();
        let mut defaults = vec![
            ("DETACH_QUEUE_URL", aws.queue_url(settings.queue_name)),
            ("DEAD_LETTER_QUEUE_URL", aws.queue_url(DEAD_LETTERS)),
            ("PRIVATELINK_ENDPOINT_URL", cloud.url()),
        ];
        defaults.extend(settings.credentials.set_up(&aws, &cloud));
        let config = WorkerConfig::read(|name| {
            let mut variables = settings.variables.iter().chain(&defaults);
            variables.find(|(variable, _)| *variable == name).map(|(_, value)| value.clone())
        });
        let sdk = aws::config(aws.environment()).unwrap();
        let worker = assemble::worker(config.unwrap(), &sdk, short_limits(), settings.time).unwrap();
        Self {
            aws,
            cloud,
            worker,
            invocation_length: Duration::from_secs(12),
            queue_name: settings.queue_name,
        }
    }

    /// Sends a request to the queue, in the message group of its endpoint. Returns the message id.
    pub(crate) fn send(&self, request: &Value) -> String {
        let lane = format!(
            "{}/{}",
            request["region_id"].as_str().unwrap_or("none"),
            request["endpoint_id"].as_str().unwrap_or("none")
        );
        self.send_message(request.to_string(), &lane, &[])
    }

    /// Sends any message to the queue. Returns the message id.
    pub(crate) fn send_message(&self, body: String, lane: &str, attributes: &[(&str, &str)]) -> String {
        let now = self.aws.now();
        let mut message = NewMessage::fifo(body, lane, &format!("{:x}", fastrand::u128(..)));
        for (name, value) in attributes {
            message = message.attribute(name, value);
        }
        self.aws.queues().send(self.queue_name, message, now).unwrap().message_id.to_string()
    }

    /// Detaches `group` from `ep-a`: sends one message and delivers it until the queue is empty. Returns the event.
    pub(crate) async fn detach(&self, group: &str) -> Value {
        self.send(&request("ep-a", group));
        self.run().await;
        self.only_event()
    }

    /// Receives one batch, invokes the worker with it, and deletes messages as the event source mapping does.
    pub(crate) async fn deliver(&self) -> Verdict {
        let now = self.aws.now();
        let batch = self.aws.queues().receive(self.queue_name, 10, None, now).unwrap();
        assert!(!batch.is_empty(), "the queue has a visible message");
        let event = mapping::event(self.queue_name, &batch).to_string();
        let response = self.invoke(&event).await.unwrap();
        let verdict = mapping::evaluate_response(&batch, response.to_string().as_bytes());
        let now = self.aws.now();
        for message in verdict.deleted(&batch) {
            let _ = self.aws.queues().delete(self.queue_name, &message.receipt_handle, now);
        }
        verdict
    }

    /// Advances the clocks of AWS, of the worker's next invocation and of Alibaba Cloud.
    pub(crate) fn advance(&self, time: Duration) {
        self.aws.advance(time);
        let time = i64::try_from(time.as_millis()).unwrap();
        self.cloud.cloud().change_settings(|settings| settings.clock_offset_ms += time);
    }

    /// Delivers until the queue is empty. Advances the clocks to the end of each visibility timeout instead of
    /// waiting. Returns the number of deliveries.
    pub(crate) async fn run(&self) -> u32 {
        for deliveries in 0..DELIVERIES_MAX {
            if self.waiting() == 0 {
                return deliveries;
            }
            let now = self.aws.now();
            let next = self.aws.queues().next_visible_at(self.queue_name, now).unwrap();
            if let Some(wait) = next.and_then(|next| next.duration_since(now).ok()) {
                self.advance(wait + Duration::from_millis(1));
            }
            self.deliver().await;
        }
        panic!("messages are left after {DELIVERIES_MAX} deliveries: {:?}", self.aws.journal());
    }

    /// Invokes the worker once with any payload.
    pub(crate) async fn invoke(&self, payload: &str) -> Result<Value, HandlerError> {
        let now = self.aws.now();
        self.invoke_until(payload, now + self.invocation_length).await
    }

    /// Invokes the worker once; the function times out at `ends_at`.
    pub(crate) async fn invoke_until(
        &self,
        payload: &str,
        ends_at: SystemTime,
    ) -> Result<Value, HandlerError> {
        let clock = Clock::starting_at(self.aws.now());
        let invocation = Invocation {
            clock,
            ends_at,
            lambda_request_id: "lambda-request".to_owned(),
            xray_trace_id: Some("Root=1-trace".to_owned()),
        };
        let payload: Box<RawValue> = serde_json::from_str(payload).unwrap();
        handler::handle(&self.worker, &payload, &invocation).await
    }

    /// Waits until Alibaba Cloud has received this number of calls of this action.
    pub(crate) async fn wait_for_calls(&self, action: Action, times: u64) {
        let called = self.cloud.until(|cloud| cloud.counts().of(action) >= times);
        tokio::time::timeout(TEST_TIMEOUT, called).await.expect("the worker makes the call in time");
    }

    /// The number of messages in the request queue, visible or not.
    pub(crate) fn waiting(&self) -> usize {
        self.aws.queues().messages(self.queue_name).unwrap().len()
    }

    /// The time until the next message becomes visible, or `None` if the queue is empty.
    pub(crate) fn next_delivery_in(&self) -> Option<Duration> {
        let now = self.aws.now();
        let next = self.aws.queues().next_visible_at(self.queue_name, now).unwrap();
        next.map(|next| next.duration_since(now).unwrap_or_default())
    }

    /// The `detail` of every completion event so far. Checks each event against the published schema.
    pub(crate) fn events(&self) -> Vec<Value> {
        let events: Vec<_> = self.aws.bus().events().to_vec();
        events
            .into_iter()
            .map(|event| {
                assert_eq!(event.source, "privatelink-detach");
                assert!(event.resources.is_empty());
                let expected = match event.detail["reason"] {
                    Value::Null => "Security Group Detach Completed",
                    _ => "Security Group Detach Failed",
                };
                assert_eq!(event.detail_type, expected);
                schema::check(&event.detail);
                event.detail
            })
            .collect()
    }

    /// The `detail` of the only event. Panics if there is none or more than one.
    pub(crate) fn only_event(&self) -> Value {
        let events = self.events();
        assert_eq!(events.len(), 1, "one event: {events:#?}");
        events.into_iter().next().unwrap()
    }

    pub(crate) fn dead_letters(&self) -> Vec<Message> {
        self.aws.queues().messages(DEAD_LETTERS).unwrap().to_vec()
    }

    /// The number of calls of this action that Alibaba Cloud has received.
    pub(crate) fn calls(&self, action: Action) -> u64 {
        self.cloud.cloud().counts().of(action)
    }

    /// The worker's AWS calls, in order.
    pub(crate) fn aws_calls(&self) -> Vec<AwsAction> {
        self.aws.journal().into_iter().map(|entry| entry.action).collect()
    }

    /// Whether the group is attached in Alibaba Cloud's own state, without the lag of reads.
    pub(crate) fn is_attached(&self, endpoint: &str, group: &str) -> bool {
        let endpoint = self.cloud.cloud().endpoint(endpoint, SystemTime::now()).unwrap();
        endpoint.security_groups.iter().any(|other| other.id.as_str() == group)
    }
}

impl Drop for TestEnvironment {
    /// Checks the events of every scenario against the schema, also if the test does not read them.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.events();
        }
    }
}

/// A request for an endpoint in [`REGION`].
pub(crate) fn request(endpoint: &str, group: &str) -> Value {
    json!({ "region_id": REGION, "endpoint_id": endpoint, "security_group_id": group })
}

/// The string value of a message attribute.
pub(crate) fn attribute(message: &Message, name: &str) -> Option<String> {
    match &message.attributes.get(name)?.value {
        local_aws::queues::AttributeValue::Text(text) => Some(text.clone()),
        other @ local_aws::queues::AttributeValue::Binary(_) => panic!("not text: {other:?}"),
    }
}
