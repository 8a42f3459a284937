//! The run: messages into the queue, batches out of it to the handler, and the direct invocations.
//!
//! It does what an event source mapping does, in this process: receive, invoke, and delete what succeeded. What is handed
//! back becomes visible again and is received again, until the queue is empty.

use std::time::Duration;

use local_aws::mapping;
use local_aws::queues::QueueError;
use privatelink_detach::clock::Clock;
use privatelink_detach::config;
use privatelink_detach::handler;
use privatelink_detach::request::{DetachRequest, EndpointId, Rejection, Rules, SecurityGroupId};
use privatelink_detach::worker::Invocation;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Failure;
use crate::input::{Input, Way};
use crate::screen::{Look, Screen};
use crate::stage::{DEAD_LETTERS, REQUESTS, Stage};
use crate::timeline::{Timeline, Widths};

/// The function's timeout in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(90);

/// The most messages of one batch, as in the template.
const BATCH_MAX: usize = 10;

/// The least width of a column that names a request, so that there is room for a generated id.
const WIDTH_MIN: usize = 12;

/// One run, from the files to the function's answers.
#[derive(Debug)]
pub(crate) struct Play {
    inputs: Vec<Input>,
    requests: Vec<Result<DetachRequest, Box<Rejection>>>,
    /// Messages that the queue took for repetitions of earlier ones, and will not deliver.
    repeated: usize,
    invocations: u32,
    answers: Vec<Answer>,
}

/// What the function answered to an event that did not come from the queue.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) name: String,
    pub(crate) is_direct: bool,
    pub(crate) result: Result<Value, String>,
}

impl Play {
    pub(crate) fn new(inputs: Vec<Input>, rules: &Rules) -> Self {
        let requests = inputs.iter().flat_map(|input| input.requests(rules)).collect();
        Self { inputs, requests, repeated: 0, invocations: 0, answers: Vec::new() }
    }

    /// Puts the messages into the queue; from now on their time runs.
    pub(crate) fn send(&mut self, stage: &Stage, screen: Screen) -> Result<(), Failure> {
        let now = stage.aws.now();
        for input in &self.inputs {
            let Way::Queue(messages) = &input.way else {
                continue;
            };
            for (index, message) in messages.iter().enumerate() {
                let sent = stage.aws.queues().send(REQUESTS, message.clone(), now);
                let sent =
                    sent.map_err(|source| Failure::Send { path: input.path.clone(), index, source })?;
                self.repeated += usize::from(sent.is_duplicate);
            }
        }
        if self.repeated > 0 {
            let repeated = self.repeated;
            screen.line(&format!(
                "Ignored by the queue, as repetitions by their deduplication ids: {repeated}\n"
            ));
        }
        Ok(())
    }

    /// How many requests are to get an outcome.
    pub(crate) fn requests(&self) -> usize {
        self.requests.len() - self.repeated
    }

    pub(crate) fn answers(&self) -> &[Answer] {
        &self.answers
    }

    pub(crate) fn widths(&self) -> Widths {
        let about = |request: &Result<DetachRequest, Box<Rejection>>| match request {
            Ok(request) => (request.endpoint_id.as_str().len(), request.security_group_id.as_str().len()),
            Err(rejection) => (
                rejection.endpoint_id.as_ref().map_or(1, |id| id.as_str().len()),
                rejection.security_group_id.as_ref().map_or(1, |id| id.as_str().len()),
            ),
        };
        let widest = |pick: fn((usize, usize)) -> usize| self.requests.iter().map(about).map(pick).max();
        Widths {
            endpoint: widest(|(endpoint, _)| endpoint).unwrap_or_default().max(WIDTH_MIN),
            group: widest(|(_, group)| group).unwrap_or_default().max(WIDTH_MIN),
        }
    }

    /// Says what is about to happen, and where.
    pub(crate) fn introduce(&self, stage: &Stage, screen: Screen) {
        let files: Vec<String> = self.inputs.iter().map(|input| input.path.display().to_string()).collect();
        if let Some(cloud) = &stage.cloud {
            screen.line("The worker's own code, between simulated services. Nothing leaves this machine.\n");
            screen.line(&format!("  Alibaba Cloud  simulated at {}", cloud.server.url()));
        } else {
            let warning = "The worker's own code, on the REAL Alibaba Cloud: groups are detached for real.";
            screen.line(&screen.paint(Look::Bad, warning));
            let address = config::environment("PRIVATELINK_ENDPOINT_URL").filter(|url| !url.is_empty());
            let address = address.unwrap_or_else(|| "https://privatelink.{region}.aliyuncs.com".to_owned());
            screen.line(&format!("\n  Alibaba Cloud  real, at {address}"));
        }
        screen.line(&format!("  SQS            local: {REQUESTS}, {DEAD_LETTERS}"));
        screen.line("  EventBridge    local: the default bus");
        let requests = match self.requests() {
            0 => "no request".to_owned(),
            1 => "1 request".to_owned(),
            n => format!("{n} requests"),
        };
        screen.line(&format!("  Events         {requests} from {}", files.join(", ")));
        for input in &self.inputs {
            if matches!(&input.way, Way::Batch { bodies, .. } if !bodies.is_empty()) {
                let path = input.path.display();
                screen.line(&format!(
                    "\n  No queue would hold {path}: the function gets it as it stands, with its"
                ));
                screen.line("  own old times, and finds nothing in the queue to delete or to hand back.");
            }
        }
        if stage.cloud.is_none() {
            screen.line("");
            for request in &self.requests {
                screen.line(&format!("  {}", announced(request)));
            }
            screen.line("\nStopping half-way ends no detach that Alibaba Cloud has accepted.");
        }
    }

    pub(crate) async fn run(&mut self, stage: &Stage, timeline: &Timeline) -> Result<(), QueueError> {
        self.work_off_queue(stage, timeline).await?;
        for input in std::mem::take(&mut self.inputs) {
            let (payload, is_direct) = match input.way {
                Way::Queue(_) => continue,
                Way::Batch { payload, .. } => (payload, false),
                Way::Direct(payload) => (payload, true),
            };
            let result = self.invoke(stage, &payload).await;
            if let Err(error) = &result {
                timeline.say(&format!("the invocation failed: {error}"));
            }
            self.answers.push(Answer { name: input.path.display().to_string(), is_direct, result });
        }
        Ok(())
    }

    async fn work_off_queue(&mut self, stage: &Stage, timeline: &Timeline) -> Result<(), QueueError> {
        let clock = Clock::start();
        // Every request has a deadline, after which its message is gone.
        while !stage.aws.queues().messages(REQUESTS)?.is_empty() {
            let now = stage.aws.now();
            let batch = stage.aws.queues().receive(REQUESTS, BATCH_MAX, None, now)?;
            if batch.is_empty() {
                let visible_at = stage.aws.queues().next_visible_at(REQUESTS, now)?;
                let wait = visible_at.and_then(|at| at.duration_since(now).ok());
                clock.sleep_until(clock.now() + wait.unwrap_or_default()).await;
                continue;
            }
            let event = mapping::event(REQUESTS, &batch).to_string();
            let answer = match RawValue::from_string(event) {
                Ok(payload) => self.invoke(stage, &payload).await,
                Err(error) => Err(error.to_string()),
            };
            let verdict = match answer {
                Ok(answer) => mapping::judge(&batch, answer.to_string().as_bytes()),
                Err(error) => {
                    timeline.say(&format!("the invocation failed: {error}"));
                    mapping::Verdict::BatchFailed(mapping::Failure::FunctionError)
                }
            };
            for received in verdict.deleted(&batch) {
                // Mostly deleted by the worker already; if it is too late, the message comes again.
                let now = stage.aws.now();
                let _ = stage.aws.queues().delete(REQUESTS, &received.receipt_handle, now);
            }
        }
        Ok(())
    }

    async fn invoke(&mut self, stage: &Stage, payload: &RawValue) -> Result<Value, String> {
        self.invocations += 1;
        let clock = Clock::start();
        let invocation = Invocation::new(
            clock,
            clock.wall() + FUNCTION_TIMEOUT,
            format!("local-invocation-{}", self.invocations),
            None,
            &stage.worker.settings().invocation,
        );
        let answer = handler::handle(&stage.worker, payload, &invocation).await;
        answer.map_err(|error| error.to_string())
    }
}

/// What a request will do to the real Alibaba Cloud.
fn announced(request: &Result<DetachRequest, Box<Rejection>>) -> String {
    match request {
        Ok(request) => {
            let verb = if request.dry_run { "check (dry run)" } else { "DETACH" };
            let (group, endpoint, region) =
                (&request.security_group_id, &request.endpoint_id, &request.region_id);
            format!("{verb} {group} from {endpoint} in {region}")
        }
        Err(rejection) => {
            let group = rejection.security_group_id.as_ref().map_or("?", SecurityGroupId::as_str);
            let endpoint = rejection.endpoint_id.as_ref().map_or("?", EndpointId::as_str);
            format!("reject {group} from {endpoint}: {rejection}")
        }
    }
}
