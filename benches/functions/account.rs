//! Both clouds on loopback: an AWS account with queues, a bus and secrets, and Alibaba Cloud with endpoints. Their
//! servers run in this process.

use std::cell::Cell;
use std::io;
use std::time::{Duration, SystemTime};

use local_aws::mapping::{Success, Verdict, evaluate_response, event};
use local_aws::queues::{Message, ReceivedMessage};
use local_aws::wire::{REGION, secret_arn};
use local_aws::{Action, LocalAws, NewMessage, QueueSettings, Queues};
use local_chat::slack;
use privatelink_simulator::{Action as AlibabaAction, Cloud, Endpoint, Seed, Server};
use serde_json::{Value, json};

/// The signing secret, an example from the documentation of Standard Webhooks.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The signing key of chat.
pub(crate) const CHAT_KEYS: &str = r#"["Zm9yIHRoZSBiZW5jaG1hcmsgYW5kIGZvciBub3RoaW5nIGVsc2U="]"#;

/// Requests per region, in sequence. A single idle worker begins 246 in a region at once and then waits.
const REQUESTS_PER_REGION: usize = 240;

/// The largest batch, and the number of endpoints per region: each message has its own lane.
pub(crate) const BATCH: usize = 10;

/// A group on every endpoint, so that no other group is the last.
const REMAINING: &str = "sg-remaining";

/// The group to detach.
pub(crate) const VENDOR: &str = "sg-vendor";

/// A group that no endpoint has.
const UNUSED: &str = "sg-unused";

const REQUESTS: &str = "requests.fifo";
const SECRETS: &str = "webhook-secrets";
const CREDENTIALS: &str = "alibaba-credentials";
const NOTICES: &str = "notices";
const CHAT_VERIFICATION: &str = "chat-verification";
const CHAT_SIGNING: &str = "chat-signing";

/// The kind of a request.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Job {
    /// A dry run that passes.
    DryRun,
    /// A detach of a group that the endpoint does not have.
    AlreadyDetached,
    /// A detach of an attached group.
    Detach,
}

/// An account in each cloud, with all resources that the programs use.
pub(crate) struct Account {
    aws: LocalAws,
    alibaba: Server,
    regions: usize,
    requests: Cell<usize>,
}

/// A completion event.
pub(crate) struct Completion {
    pub(crate) endpoint_id: String,
    pub(crate) outcome: String,
    pub(crate) at: SystemTime,
}

impl Account {
    /// An account with one region, so that the worker connects to it in advance.
    pub(crate) async fn start() -> io::Result<Self> {
        Self::for_requests(1).await
    }

    /// An account with enough regions for this many requests without a pause.
    pub(crate) async fn for_requests(requests: usize) -> io::Result<Self> {
        let regions = requests.div_ceil(REQUESTS_PER_REGION);
        let lanes = (0..regions).flat_map(|at| (0..BATCH).map(move |lane| (region(at), endpoint(at, lane))));
        let endpoints =
            lanes.map(|(region, endpoint)| Endpoint::new(region, endpoint, [REMAINING, VENDOR])).collect();
        let seed = Seed {
            endpoints,
            regions: (0..regions).map(|at| region(at).into()).collect(),
            ..Seed::default()
        };
        let cloud = Cloud::new(seed).map_err(io::Error::other)?;
        let alibaba = Server::start(cloud, ([127, 0, 0, 1], 0).into()).await?;
        let account = Self { aws: LocalAws::start().await?, alibaba, regions, requests: Cell::default() };
        account.aws.secrets().put(SECRETS, format!("[\"{SECRET}\"]"));
        let credentials = r#"{"access_key_id":"LTAI5tSimulatorKey","access_key_secret":"SimulatorSecret"}"#;
        account.aws.secrets().put(CREDENTIALS, credentials);
        let verification = json!({ "slack": { "signing_secrets": [slack::SIGNING_SECRET] } });
        account.aws.secrets().put(CHAT_VERIFICATION, verification.to_string());
        account.aws.secrets().put(CHAT_SIGNING, CHAT_KEYS);
        account.empty_queue()?;
        Ok(account)
    }

    /// The environment of an AWS client that calls this account.
    pub(crate) fn client_environment(&self) -> impl Fn(&str) -> Option<String> + Send + Sync + use<> {
        self.aws.environment()
    }

    pub(crate) fn queue_url(&self) -> String {
        self.aws.queue_url(REQUESTS)
    }

    /// Replaces the queues with new ones, so that every turn has the same conditions.
    pub(crate) fn empty_queue(&self) -> io::Result<()> {
        let mut queues = Queues::default();
        queues.create(REQUESTS, QueueSettings::fifo()).map_err(io::Error::other)?;
        queues.create(NOTICES, QueueSettings::standard()).map_err(io::Error::other)?;
        *self.aws.queues() = queues;
        Ok(())
    }

    /// The only message in the queue.
    pub(crate) fn only_message(&self) -> io::Result<Message> {
        match self.aws.queues().messages(REQUESTS).map_err(io::Error::other)? {
            [message] => Ok(message.clone()),
            messages => {
                Err(io::Error::other(format!("the queue has {} messages instead of one", messages.len())))
            }
        }
    }

    /// A request for the endpoint of a lane, as in a direct invocation.
    pub(crate) fn request(&self, job: Job, lane: usize) -> Value {
        let number = self.requests.get();
        self.requests.set(number + 1);
        let at = (number / REQUESTS_PER_REGION).min(self.regions - 1);
        json!({
            "region_id": region(at),
            "endpoint_id": endpoint(at, lane),
            "security_group_id": if job == Job::AlreadyDetached { UNUSED } else { VENDOR },
            "dry_run": job == Job::DryRun,
            "request_id": format!("bench-{number}"),
        })
    }

    /// The event and messages of a new batch with one request in each lane. The messages are in flight.
    pub(crate) fn batch(&self, job: Job, lanes: usize) -> io::Result<(Value, Vec<ReceivedMessage>)> {
        self.empty_queue()?;
        let now = self.aws.now();
        let mut queues = self.aws.queues();
        for lane in 0..lanes {
            let request = self.request(job, lane);
            let message = NewMessage {
                body: request.to_string(),
                group: request["endpoint_id"].as_str().map(str::to_owned),
                deduplication_id: request["request_id"].as_str().map(str::to_owned),
                ..NewMessage::default()
            };
            queues.send(REQUESTS, message, now).map_err(io::Error::other)?;
        }
        let received = queues.receive(REQUESTS, lanes, None, now).map_err(io::Error::other)?;
        Ok((event(REQUESTS, &received), received))
    }

    /// Checks that a batch response reports success, and that each message has an event with the outcome.
    pub(crate) fn check_batch(
        &self,
        batch: &[ReceivedMessage],
        response: &Value,
        outcome: &str,
    ) -> io::Result<Vec<Completion>> {
        if evaluate_response(batch, response.to_string().as_bytes())
            != Verdict::AllSucceeded(Success::EmptyList)
        {
            return Err(io::Error::other(format!("unexpected batch response {response}")));
        }
        let bus = self.aws.bus();
        let events = bus.events();
        let completions: Vec<Completion> = events[events.len().saturating_sub(batch.len())..]
            .iter()
            .map(|event| Completion {
                endpoint_id: event.detail["endpoint_id"].as_str().unwrap_or_default().to_owned(),
                outcome: event.detail["outcome"].as_str().unwrap_or_default().to_owned(),
                at: event.accepted_at,
            })
            .collect();
        match completions.iter().find(|completion| completion.outcome != outcome) {
            None if completions.len() == batch.len() => Ok(completions),
            None => Err(io::Error::other("a message has no completion event")),
            Some(other) => Err(io::Error::other(format!("outcome {} instead of {outcome}", other.outcome))),
        }
    }

    /// The number of events on the bus.
    pub(crate) fn events(&self) -> usize {
        self.aws.bus().events().len()
    }

    /// Attaches the group to every endpoint again, and sets the time that a detach takes.
    pub(crate) fn attach(&self, detach_takes: Duration) {
        let mut cloud = self.alibaba.cloud();
        cloud.change_settings(|settings| settings.detach_takes = detach_takes);
        for lane in 0..BATCH {
            cloud.attach_now(endpoint(0, lane), VENDOR, SystemTime::now());
        }
    }

    /// The time from the detach in Alibaba Cloud to its completion event.
    pub(crate) fn lag(&self, completion: &Completion) -> io::Result<Duration> {
        let detached =
            self.alibaba.cloud().absent_since(completion.endpoint_id.as_str(), VENDOR, SystemTime::now());
        let detached = detached
            .ok_or_else(|| io::Error::other("a completion event reports a detach that did not happen"))?;
        completion.at.duration_since(detached).map_err(io::Error::other)
    }

    /// The numbers of Alibaba Cloud calls: detaches, lists of groups, and reads of an endpoint's record.
    pub(crate) fn alibaba_calls(&self) -> [usize; 3] {
        let cloud = self.alibaba.cloud();
        let actions = [
            AlibabaAction::DetachSecurityGroupFromVpcEndpoint,
            AlibabaAction::ListVpcEndpointSecurityGroups,
            AlibabaAction::ListVpcEndpoints,
        ];
        actions.map(|action| usize::try_from(cloud.counts().of(action)).unwrap_or(usize::MAX))
    }

    /// The number of AWS calls, and how many of them send messages.
    pub(crate) fn calls(&self) -> (usize, usize) {
        let journal = self.aws.journal();
        let sends = journal.iter().filter(|entry| entry.action == Action::SendMessageBatch).count();
        (journal.len(), sends)
    }

    /// The additional environment of an intake with chat.
    pub(crate) fn chat_environment(&self) -> Vec<(&'static str, String)> {
        let person = |id: &str| format!("slack:{}/{id}", slack::TEAM);
        vec![
            ("CHAT_TENANTS", format!("slack:{}", slack::TEAM)),
            ("CHAT_CONVERSATIONS", format!("slack:{}/{}", slack::TEAM, slack::CHANNEL)),
            ("CHAT_REQUESTERS", person(slack::REQUESTER)),
            ("CHAT_APPROVERS", person(slack::APPROVER)),
            ("CHAT_VERIFICATION_SECRET_ARN", secret_arn(CHAT_VERIFICATION)),
            ("CHAT_SIGNING_SECRET_ARN", secret_arn(CHAT_SIGNING)),
            ("NOTICE_QUEUE_URL", self.aws.queue_url(NOTICES)),
        ]
    }

    /// The environment of every program, without the Alibaba Cloud credentials.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_LAMBDA_FUNCTION_NAME", "function".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "example".to_owned()),
            ("AWS_SESSION_TOKEN", "example".to_owned()),
            // Ignores the user's AWS profile.
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_ENDPOINT_URL", self.aws.url()),
            ("DETACH_QUEUE_URL", self.queue_url()),
            ("DEAD_LETTER_QUEUE_URL", self.aws.queue_url("dead-letter.fifo")),
            ("WEBHOOK_SECRETS_ARN", secret_arn(SECRETS)),
            // Only one process runs at a time and has the whole quota.
            ("WORKER_MAXIMUM_CONCURRENCY", "1".to_owned()),
            ("ALLOWED_REGIONS", (0..self.regions).map(region).collect::<Vec<_>>().join(",")),
            ("PRIVATELINK_ENDPOINT_URL", self.alibaba.url()),
        ]
    }
}

/// The environment variables of the Alibaba Cloud credentials: the ARN of a secret, or the access key.
pub(crate) fn credentials(is_in_secret: bool) -> Vec<(&'static str, String)> {
    if is_in_secret {
        return vec![("ALIBABA_CREDENTIALS_SECRET_ARN", secret_arn(CREDENTIALS))];
    }
    vec![
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI5tSimulatorKey".to_owned()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "SimulatorSecret".to_owned()),
    ]
}

fn region(at: usize) -> String {
    format!("eu-west-{}", at + 1)
}

fn endpoint(region: usize, lane: usize) -> String {
    format!("ep-region{region}-lane{lane}")
}
