//! Both clouds on loopback: an AWS account with queues, a bus and secrets, and Alibaba Cloud with endpoints. Their servers
//! run in this process.

use std::cell::Cell;
use std::io;
use std::time::{Duration, SystemTime};

use local_aws::mapping::{Success, Verdict, event, judge};
use local_aws::queues::{Message, ReceivedMessage};
use local_aws::wire::{REGION, secret_arn};
use local_aws::{Action, LocalAws, NewMessage, QueueSettings, Queues};
use privatelink_simulator::{Action as AlibabaAction, Cloud, Endpoint, Seed, Server};
use serde_json::{Value, json};

/// The live signing secret, the one that the scheme's documentation uses.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Requests in one region before those in the next: a single worker begins 480 a minute in a region, and waits then.
const REQUESTS_PER_REGION: usize = 400;

/// The most messages of a batch, and as many endpoints: each message then has a lane of its own.
pub(crate) const BATCH: usize = 10;

/// On every endpoint, so that no other group is the last.
const KEPT: &str = "sg-kept";

/// The group that is taken off.
pub(crate) const VENDOR: &str = "sg-vendor";

/// A group that no endpoint has.
const GONE: &str = "sg-gone";

const REQUESTS: &str = "requests.fifo";
const SECRETS: &str = "webhook-secrets";
const KEYS: &str = "alibaba-keys";

/// What a request asks for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Job {
    /// A check by Alibaba Cloud that nothing stands in the way of a detach.
    DryRun,
    /// To take off what is not there.
    AlreadyDetached,
    /// To take off what is there.
    Detach,
}

/// A whole account with one of everything.
pub(crate) struct Account {
    aws: LocalAws,
    alibaba: Server,
    regions: usize,
    requests: Cell<usize>,
}

/// An event that told of a detach.
pub(crate) struct Told {
    pub(crate) endpoint_id: String,
    pub(crate) outcome: String,
    pub(crate) at: SystemTime,
}

impl Account {
    /// With one region, so that the worker knows whereto it will have to connect.
    pub(crate) async fn start() -> io::Result<Self> {
        Self::for_requests(1).await
    }

    /// With as many regions as so many requests need that are to follow each other without a pause.
    pub(crate) async fn for_requests(requests: usize) -> io::Result<Self> {
        let regions = requests.div_ceil(REQUESTS_PER_REGION);
        let lanes = (0..regions).flat_map(|at| (0..BATCH).map(move |lane| (region(at), endpoint(at, lane))));
        let endpoints =
            lanes.map(|(region, endpoint)| Endpoint::new(region, endpoint, [KEPT, VENDOR])).collect();
        let seed = Seed {
            endpoints,
            regions: (0..regions).map(|at| region(at).into()).collect(),
            ..Seed::default()
        };
        let cloud = Cloud::new(seed).map_err(io::Error::other)?;
        let alibaba = Server::start(cloud, ([127, 0, 0, 1], 0).into()).await?;
        let account = Self { aws: LocalAws::start().await?, alibaba, regions, requests: Cell::default() };
        account.aws.secrets().put(SECRETS, format!("[\"{SECRET}\"]"));
        let keys = r#"{"access_key_id":"LTAI5tSimulatorKey","access_key_secret":"SimulatorSecret"}"#;
        account.aws.secrets().put(KEYS, keys);
        account.empty_queue()?;
        Ok(account)
    }

    /// The variables that lead a client of AWS here.
    pub(crate) fn client_environment(&self) -> impl Fn(&str) -> Option<String> + Send + Sync + use<> {
        self.aws.environment()
    }

    pub(crate) fn queue_url(&self) -> String {
        self.aws.queue_url(REQUESTS)
    }

    /// A new queue in the old one's place, so that every turn finds the same.
    pub(crate) fn empty_queue(&self) -> io::Result<()> {
        let mut queues = Queues::default();
        queues.create(REQUESTS, QueueSettings::fifo()).map_err(io::Error::other)?;
        *self.aws.queues() = queues;
        Ok(())
    }

    /// The message in the queue, which must be alone there.
    pub(crate) fn only_message(&self) -> io::Result<Message> {
        match self.aws.queues().messages(REQUESTS).map_err(io::Error::other)? {
            [message] => Ok(message.clone()),
            messages => Err(io::Error::other(format!("not one message but {}", messages.len()))),
        }
    }

    /// One request, as a direct invocation sends it, on the endpoint of a lane.
    pub(crate) fn request(&self, job: Job, lane: usize) -> Value {
        let number = self.requests.get();
        self.requests.set(number + 1);
        let at = (number / REQUESTS_PER_REGION).min(self.regions - 1);
        json!({
            "region_id": region(at),
            "endpoint_id": endpoint(at, lane),
            "security_group_id": if job == Job::AlreadyDetached { GONE } else { VENDOR },
            "dry_run": job == Job::DryRun,
            "request_id": format!("bench-{number}"),
        })
    }

    /// The event of a batch with so many lanes of one request each, which are in flight from now on.
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

    /// Checks that a batch was answered with a success, and what its last events tell, one for each message.
    pub(crate) fn check_batch(
        &self,
        batch: &[ReceivedMessage],
        answer: &Value,
        outcome: &str,
    ) -> io::Result<Vec<Told>> {
        if judge(batch, answer.to_string().as_bytes()) != Verdict::AllSucceeded(Success::EmptyList) {
            return Err(io::Error::other(format!("a batch was answered with {answer}")));
        }
        let bus = self.aws.bus();
        let events = bus.events();
        let told: Vec<Told> = events[events.len().saturating_sub(batch.len())..]
            .iter()
            .map(|event| Told {
                endpoint_id: event.detail["endpoint_id"].as_str().unwrap_or_default().to_owned(),
                outcome: event.detail["outcome"].as_str().unwrap_or_default().to_owned(),
                at: event.accepted_at,
            })
            .collect();
        match told.iter().find(|told| told.outcome != outcome) {
            None if told.len() == batch.len() => Ok(told),
            None => Err(io::Error::other("a message ended without an event")),
            Some(told) => Err(io::Error::other(format!("not {outcome}, but {}", told.outcome))),
        }
    }

    /// How many events were put.
    pub(crate) fn events(&self) -> usize {
        self.aws.bus().events().len()
    }

    /// How long a detach takes from now on, and the group back on every endpoint.
    pub(crate) fn attach(&self, detach_takes: Duration) {
        let mut cloud = self.alibaba.cloud();
        cloud.change_settings(|settings| settings.detach_takes = detach_takes);
        for lane in 0..BATCH {
            cloud.attach_now(endpoint(0, lane), VENDOR, SystemTime::now());
        }
    }

    /// From the moment at which the group was truly off the endpoint to the event that tells of it.
    pub(crate) fn lag(&self, told: &Told) -> io::Result<Duration> {
        let gone = self.alibaba.cloud().gone_since(told.endpoint_id.as_str(), VENDOR, SystemTime::now());
        let gone = gone.ok_or_else(|| io::Error::other("a detach was told of and is not true"))?;
        told.at.duration_since(gone).map_err(io::Error::other)
    }

    /// How often Alibaba Cloud was called to detach, to list groups, and to read an endpoint's record.
    pub(crate) fn alibaba_calls(&self) -> [usize; 3] {
        let cloud = self.alibaba.cloud();
        let actions = [
            AlibabaAction::DetachSecurityGroupFromVpcEndpoint,
            AlibabaAction::ListVpcEndpointSecurityGroups,
            AlibabaAction::ListVpcEndpoints,
        ];
        actions.map(|action| usize::try_from(cloud.counts().of(action)).unwrap_or(usize::MAX))
    }

    /// How often AWS was called, and how often of that to send messages.
    pub(crate) fn calls(&self) -> (usize, usize) {
        let journal = self.aws.journal();
        let sends = journal.iter().filter(|entry| entry.action == Action::SendMessageBatch).count();
        (journal.len(), sends)
    }

    /// Configuration for every program alike, but for the keys for Alibaba Cloud.
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
            // Nobody's own profile may have a say.
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_ENDPOINT_URL", self.aws.url()),
            ("DETACH_QUEUE_URL", self.queue_url()),
            ("DEAD_LETTER_QUEUE_URL", self.aws.queue_url("dead-letter.fifo")),
            ("WEBHOOK_SECRETS_ARN", secret_arn(SECRETS)),
            // One process at a time: the whole quota is its own.
            ("WORKER_MAXIMUM_CONCURRENCY", "1".to_owned()),
            ("ALLOWED_REGIONS", (0..self.regions).map(region).collect::<Vec<_>>().join(",")),
            ("PRIVATELINK_ENDPOINT_URL", self.alibaba.url()),
        ]
    }
}

/// Where the keys for Alibaba Cloud are: in a secret, or beside this.
pub(crate) fn keys(is_in_secret: bool) -> Vec<(&'static str, String)> {
    if is_in_secret {
        return vec![("ALIBABA_CREDENTIALS_SECRET_ARN", secret_arn(KEYS))];
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
