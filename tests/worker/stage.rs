//! A stage for scenarios: the worker's own code with its real clients, over HTTP, between a simulated Alibaba Cloud
//! and stand-ins for SQS, EventBridge and the event source mapping. Only the waits are shorter.

use std::time::{Duration, SystemTime};

use local_aws::mapping::{self, Verdict};
use local_aws::queues::Message;
use local_aws::{Action as AwsAction, LocalAws, NewMessage, QueueSettings, wire};
use privatelink_detach::aws;
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

/// The request queue.
pub(crate) const REQUESTS: &str = "requests.fifo";
/// The dead-letter queue.
pub(crate) const DEAD_LETTERS: &str = "dead-letter.fifo";
/// The region of every scenario that needs only one.
pub(crate) const REGION: &str = "eu-west-1";

/// The secret that holds the worker's keys, if it is told to read one.
pub(crate) const SECRET: &str = "alibaba-keys";
/// The role whose session the worker has, if it has no keys.
pub(crate) const ROLE: &str = "acs:ram::1234567890123456:role/detach";
/// What stands for the AWS account in RAM.
pub(crate) const PROVIDER: &str = "acs:ram::1234567890123456:oidc-provider/aws";
/// Whom AWS's token is for.
pub(crate) const AUDIENCE: &str = "privatelink-detach";

/// Longer than any scenario waits for one call.
const PATIENCE: Duration = Duration::from_mins(1);

/// Most deliveries that a scenario may take; one that needs more hangs.
const DELIVERIES_MAX: u32 = 50;

/// Everything around one worker.
pub(crate) struct Stage {
    /// SQS and EventBridge.
    pub(crate) aws: LocalAws,
    /// Alibaba Cloud.
    pub(crate) cloud: Server,
    /// The worker.
    pub(crate) worker: LiveWorker,
    /// How long an invocation may take.
    pub(crate) invocation_length: Duration,
    queue_name: &'static str,
}

/// How a stage differs from the usual one.
pub(crate) struct Setting {
    /// Alibaba Cloud's state.
    pub(crate) seed: Seed,
    /// Environment variables that are added or replaced.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Where the worker's keys come from.
    pub(crate) keys: Keys,
    /// The request queue.
    pub(crate) queue: QueueSettings,
    /// Its name.
    pub(crate) queue_name: &'static str,
    /// The bounds of an invocation.
    pub(crate) time: TimeLimits,
}

/// Where the worker's keys come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// The environment.
    Environment,
    /// A secret, of the name [`SECRET`].
    Secret,
    /// A session of [`ROLE`], for AWS's word.
    Oidc,
}

impl Default for Setting {
    fn default() -> Self {
        let mut seed = Seed::default();
        seed.settings.detach_takes = Duration::from_millis(60);
        Self {
            seed,
            environment: Vec::new(),
            keys: Keys::Environment,
            queue: QueueSettings::fifo()
                .visibility_timeout(Duration::from_mins(9))
                .redrive(1000, DEAD_LETTERS),
            queue_name: REQUESTS,
            time: quick_time(),
        }
    }
}

impl Setting {
    /// The usual one with these endpoints, each with its attached groups.
    pub(crate) fn with_endpoints(endpoints: &[(&str, &[&str])]) -> Self {
        let mut setting = Self::default();
        setting.seed.endpoints =
            endpoints.iter().map(|(id, groups)| Endpoint::new(REGION, *id, groups.iter().copied())).collect();
        setting
    }
}

/// Waits of milliseconds instead of seconds, in the same proportions.
pub(crate) fn quick() -> Limits {
    Limits {
        poll_first: Duration::from_millis(20),
        poll_max: Duration::from_millis(60),
        backoff_min: Duration::from_millis(10),
        backoff_base: Duration::from_millis(20),
        backoff_max: Duration::from_millis(100),
        no_effect_after: Duration::from_millis(200),
    }
}

/// An invocation of seconds instead of minutes; long enough for a machine that is busy with something else.
pub(crate) fn quick_time() -> TimeLimits {
    TimeLimits {
        wait_max: Duration::from_secs(3),
        reserve: Duration::from_secs(3),
        last_read_reserve: Duration::from_millis(300),
        call_timeout: Duration::from_secs(1),
        call_time_min: Duration::from_millis(50),
    }
}

impl Keys {
    /// Makes both clouds fit for these keys; the variables that lead the worker to them.
    pub(crate) fn set(self, aws: &LocalAws, cloud: &Server) -> Vec<(&'static str, String)> {
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

/// The text of a secret that holds this key.
pub(crate) fn secret_of(key: &AccessKey) -> String {
    let mut text = json!({ "access_key_id": key.access_key_id, "access_key_secret": key.access_key_secret });
    if let Some(token) = &key.security_token {
        text["security_token"] = json!(token);
    }
    text.to_string()
}

impl Stage {
    /// A stage with one endpoint, `ep-a`, that carries these groups.
    pub(crate) async fn with_groups(groups: &[&str]) -> Self {
        Self::set(Setting::with_endpoints(&[("ep-a", groups)])).await
    }

    /// A stage set like this.
    pub(crate) async fn set(setting: Setting) -> Self {
        log::start();
        let aws = LocalAws::start().await.unwrap();
        aws.queues().create(DEAD_LETTERS, QueueSettings::fifo()).unwrap();
        aws.queues().create(setting.queue_name, setting.queue).unwrap();
        let cloud = Cloud::new(setting.seed).unwrap();
        let cloud = Server::start(cloud, ([127, 0, 0, 1], 0).into()).await.unwrap();
        let mut usual = vec![
            ("DETACH_QUEUE_URL", aws.queue_url(setting.queue_name)),
            ("DEAD_LETTER_QUEUE_URL", aws.queue_url(DEAD_LETTERS)),
            ("PRIVATELINK_ENDPOINT_URL", cloud.url()),
        ];
        usual.extend(setting.keys.set(&aws, &cloud));
        let config = WorkerConfig::read(|name| {
            let mut variables = setting.environment.iter().chain(&usual);
            variables.find(|(variable, _)| *variable == name).map(|(_, value)| value.clone())
        });
        let sdk = aws::config(aws.environment()).unwrap();
        let worker = assemble::worker(config.unwrap(), &sdk, quick(), setting.time).unwrap();
        Self {
            aws,
            cloud,
            worker,
            invocation_length: Duration::from_secs(12),
            queue_name: setting.queue_name,
        }
    }

    /// Puts a request into the queue, as a producer does; the message's id.
    pub(crate) fn send(&self, request: &Value) -> String {
        let lane = format!(
            "{}/{}",
            request["region_id"].as_str().unwrap_or("none"),
            request["endpoint_id"].as_str().unwrap_or("none")
        );
        self.send_message(request.to_string(), &lane, &[])
    }

    /// Puts any message into the queue.
    pub(crate) fn send_message(&self, body: String, lane: &str, attributes: &[(&str, &str)]) -> String {
        let now = self.aws.now();
        let mut message = NewMessage::fifo(body, lane, &format!("{:x}", fastrand::u128(..)));
        for (name, value) in attributes {
            message = message.attribute(name, value);
        }
        self.aws.queues().send(self.queue_name, message, now).unwrap().message_id.to_string()
    }

    /// Detaches `group` from `ep-a`: one message, delivered until it is settled; its event.
    pub(crate) async fn detach(&self, group: &str) -> Value {
        self.send(&request("ep-a", group));
        self.run().await;
        self.only_event()
    }

    /// Receives one batch, invokes the worker with it and does with the messages what the mapping would.
    pub(crate) async fn deliver(&self) -> Verdict {
        let now = self.aws.now();
        let batch = self.aws.queues().receive(self.queue_name, 10, None, now).unwrap();
        assert!(!batch.is_empty(), "there is something to deliver");
        let event = mapping::event(self.queue_name, &batch).to_string();
        let answer = self.invoke(&event).await.unwrap();
        let verdict = mapping::evaluate_response(&batch, answer.to_string().as_bytes());
        let now = self.aws.now();
        for message in verdict.deleted(&batch) {
            let _ = self.aws.queues().delete(self.queue_name, &message.receipt_handle, now);
        }
        verdict
    }

    /// Delivers until the queue is empty. What is handed back is delivered when its time has come, without waiting
    /// for it; how many deliveries it took.
    pub(crate) async fn run(&self) -> u32 {
        for deliveries in 0..DELIVERIES_MAX {
            if self.waiting() == 0 {
                return deliveries;
            }
            let now = self.aws.now();
            let next = self.aws.queues().next_visible_at(self.queue_name, now).unwrap();
            if let Some(wait) = next.and_then(|next| next.duration_since(now).ok()) {
                let wait = wait + Duration::from_millis(1);
                self.aws.advance(wait);
                // Alibaba Cloud's clock stays, and so does that of the tokens that it is shown.
                self.aws.sts().clock_ahead -= wait;
            }
            self.deliver().await;
        }
        panic!("still not settled: {:?}", self.aws.journal());
    }

    /// One invocation of the worker with any payload.
    pub(crate) async fn invoke(&self, payload: &str) -> Result<Value, HandlerError> {
        let now = self.aws.now();
        self.invoke_until(payload, now + self.invocation_length).await
    }

    /// One invocation that ends at a given time.
    pub(crate) async fn invoke_until(&self, payload: &str, ends: SystemTime) -> Result<Value, HandlerError> {
        let clock = Clock::starting_at(self.aws.now());
        let invocation = Invocation {
            clock,
            ends_at: ends,
            lambda_request_id: "lambda-request".to_owned(),
            xray_trace_id: Some("Root=1-trace".to_owned()),
        };
        let payload: Box<RawValue> = serde_json::from_str(payload).unwrap();
        handler::handle(&self.worker, &payload, &invocation).await
    }

    /// Waits until Alibaba Cloud was called with this action so often.
    pub(crate) async fn called(&self, action: Action, times: u64) {
        let called = self.cloud.until(|cloud| cloud.counts().of(action) >= times);
        tokio::time::timeout(PATIENCE, called).await.expect("the call comes");
    }

    /// Messages that are still in the request queue.
    pub(crate) fn waiting(&self) -> usize {
        self.aws.queues().messages(self.queue_name).unwrap().len()
    }

    /// How long until the queue delivers something again, if it has anything.
    pub(crate) fn next_delivery_in(&self) -> Option<Duration> {
        let now = self.aws.now();
        let next = self.aws.queues().next_visible_at(self.queue_name, now).unwrap();
        next.map(|next| next.duration_since(now).unwrap_or_default())
    }

    /// The `detail` of every completion event so far, each held against the published schema.
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

    /// The only event there is.
    pub(crate) fn only_event(&self) -> Value {
        let events = self.events();
        assert_eq!(events.len(), 1, "one event: {events:#?}");
        events.into_iter().next().unwrap()
    }

    /// The dead-letter queue.
    pub(crate) fn dead_letters(&self) -> Vec<Message> {
        self.aws.queues().messages(DEAD_LETTERS).unwrap().to_vec()
    }

    /// How often Alibaba Cloud was called with this action.
    pub(crate) fn calls(&self, action: Action) -> u64 {
        self.cloud.cloud().counts().of(action)
    }

    /// The AWS calls of the worker in their order.
    pub(crate) fn aws_calls(&self) -> Vec<AwsAction> {
        self.aws.journal().into_iter().map(|entry| entry.action).collect()
    }

    /// Whether the group is truly on the endpoint.
    pub(crate) fn is_attached(&self, endpoint: &str, group: &str) -> bool {
        let endpoint = self.cloud.cloud().endpoint(endpoint, SystemTime::now()).unwrap();
        endpoint.security_groups.iter().any(|other| other.id.as_str() == group)
    }
}

impl Drop for Stage {
    /// Every event of every scenario is held against the schema, asked for or not.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.events();
        }
    }
}

/// A request for an endpoint of the usual region.
pub(crate) fn request(endpoint: &str, group: &str) -> Value {
    json!({ "region_id": REGION, "endpoint_id": endpoint, "security_group_id": group })
}

/// The string value of a dead letter's attribute.
pub(crate) fn attribute(message: &Message, name: &str) -> Option<String> {
    match &message.attributes.get(name)?.value {
        local_aws::queues::AttributeValue::Text(text) => Some(text.clone()),
        other @ local_aws::queues::AttributeValue::Binary(_) => panic!("not text: {other:?}"),
    }
}
