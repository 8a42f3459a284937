//! The run: calls and events to the intake, messages into the queue, batches out of it to the worker, and what invokes
//! the worker without the queue.
//!
//! It does what an event source mapping does, in this process: receive, invoke, and delete what succeeded. What is
//! handed back becomes visible again and is received again, until the queue is empty.

use std::path::Path;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use local_aws::queues::{QueueError, ReceivedMessage};
use local_aws::{NewMessage, mapping};
use privatelink_detach::clock::Clock;
use privatelink_detach::config;
use privatelink_detach::request::{DetachRequest, EndpointId, Rejection, SecurityGroupId};
use privatelink_detach::worker::Invocation;
use privatelink_detach::worker::handler;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Failure;
use crate::front_door;
use crate::input::{Input, Way};
use crate::screen::{Look, Screen};
use crate::stage::{DEAD_LETTERS, REQUESTS, SECRETS, Stage};
use crate::timeline::{Timeline, Widths};

/// The worker's timeout in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(90);

/// The most messages of one batch, as in the template.
const BATCH_MAX: usize = 10;

/// The most batches under way at the same time, as in the template.
const BATCHES_MAX: usize = 10;

/// The least width of a column that names a request, so that there is room for a generated id.
const WIDTH_MIN: usize = 12;

/// One run, from the files to the functions' answers.
#[derive(Debug)]
pub(crate) struct Play {
    inputs: Vec<Input>,
    /// What the worker is to work on, known as soon as everything is sent.
    requests: Vec<Result<DetachRequest, Box<Rejection>>>,
    /// Calls and events that got no answer from the intake, or none that settles them.
    unanswered: usize,
    invocations: u32,
    answers: Vec<Answer>,
}

/// What the worker answered to an event that did not come from the queue.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) name: String,
    pub(crate) is_direct: bool,
    pub(crate) result: Result<Value, String>,
}

impl Play {
    pub(crate) fn new(inputs: Vec<Input>) -> Self {
        Self { inputs, requests: Vec::new(), unanswered: 0, invocations: 0, answers: Vec::new() }
    }

    /// Says where everything is, and what it will be fed with.
    pub(crate) fn introduce(&self, stage: &Stage, screen: Screen) {
        let files: Vec<String> = self.inputs.iter().map(|input| input.path.display().to_string()).collect();
        if let Some(cloud) = &stage.cloud {
            screen
                .line("The functions' own code, between simulated services. Nothing leaves this machine.\n");
            screen.line(&format!("  Alibaba Cloud    simulated at {}", cloud.server.url()));
        } else {
            let warning = "The functions' own code, on the REAL Alibaba Cloud: groups are detached for real.";
            screen.line(&screen.paint(Look::Bad, warning));
            let address = config::environment("PRIVATELINK_ENDPOINT_URL").filter(|url| !url.is_empty());
            let address = address.unwrap_or_else(|| "https://privatelink.{region}.aliyuncs.com".to_owned());
            screen.line(&format!("\n  Alibaba Cloud    real, at {address}"));
        }
        screen.line(
            "  Lambda           this process: the intake behind a function URL, the worker behind the queue",
        );
        screen.line(&format!("  SQS              local: {REQUESTS}, {DEAD_LETTERS}"));
        screen.line("  EventBridge      local: the default bus");
        screen.line(&format!("  Secrets Manager  local: {SECRETS}, which webhooks are signed with"));
        screen.line(&format!("  Events           {}", files.join(", ")));
    }

    /// Puts requests into the queue, through the intake or past it; from now on their time runs.
    pub(crate) async fn send(&mut self, stage: &Stage, screen: Screen) -> Result<(), Failure> {
        let mut repeated = 0;
        for input in &self.inputs {
            let path = &input.path;
            let is_answered = match &input.way {
                Way::Call(call) => front_door::call(stage, call, path, screen).await?,
                Way::Event { payload, source } => {
                    front_door::event(stage, payload, *source, path, screen).await
                }
                Way::Queue(messages) => {
                    repeated += enqueue(stage, messages, path)?;
                    true
                }
                Way::Batch { .. } | Way::Direct(_) => true,
            };
            self.unanswered += usize::from(!is_answered);
        }
        self.requests = self.parsed(stage)?;
        let requests = match self.requests() {
            0 => "No request for the worker".to_owned(),
            1 => "1 request for the worker".to_owned(),
            n => format!("{n} requests for the worker"),
        };
        screen.line(&format!("\n{}", screen.paint(Look::Bold, &requests)));
        if self.requests() > 0 {
            screen.line("");
        }
        if repeated > 0 {
            screen.line(&format!(
                "Ignored by the queue, as repetitions by their deduplication ids: {repeated}\n"
            ));
        }
        for Input { path, way } in &self.inputs {
            if matches!(way, Way::Batch { bodies, .. } if !bodies.is_empty()) {
                screen.line(&format!(
                    "No queue would hold {}: the worker gets it as it stands, with its own old times, and finds",
                    path.display()
                ));
                screen.line("nothing in the queue to delete or to hand back.\n");
            }
        }
        Ok(())
    }

    /// What the worker is to work on, one by one.
    fn parsed(&self, stage: &Stage) -> Result<Vec<Result<DetachRequest, Box<Rejection>>>, QueueError> {
        let parse = |body: &str| DetachRequest::parse(body, &stage.worker.settings().rules);
        let queues = stage.aws.queues();
        let mut requests: Vec<_> =
            queues.messages(REQUESTS)?.iter().map(|message| parse(&message.body)).collect();
        for input in &self.inputs {
            match &input.way {
                Way::Batch { bodies, .. } => {
                    requests.extend(bodies.iter().map(|body| parse(body.as_deref().unwrap_or_default())));
                }
                Way::Direct(payload) => requests.push(parse(payload.get())),
                Way::Call(_) | Way::Event { .. } | Way::Queue(_) => {}
            }
        }
        Ok(requests)
    }

    /// Says what will be done to the real Alibaba Cloud.
    pub(crate) fn warn(&self, screen: Screen) {
        for request in &self.requests {
            screen.line(&format!("  {}", announced(request)));
        }
        screen.line("\nStopping half-way ends no detach that Alibaba Cloud has accepted.");
    }

    /// How many requests are to get an outcome.
    pub(crate) fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Whether the intake had an answer to everything.
    pub(crate) fn is_answered(&self) -> bool {
        self.unanswered == 0
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

    pub(crate) async fn run(&mut self, stage: &Stage, timeline: &Timeline) -> Result<(), QueueError> {
        self.work_off_queue(stage, timeline).await?;
        for input in std::mem::take(&mut self.inputs) {
            let (payload, is_direct) = match input.way {
                Way::Call(_) | Way::Event { .. } | Way::Queue(_) => continue,
                Way::Batch { payload, .. } => (payload, false),
                Way::Direct(payload) => (payload, true),
            };
            let result = invoke(stage, &payload, self.next_id()).await;
            if let Err(error) = &result {
                timeline.say(&format!("the invocation failed: {error}"));
            }
            self.answers.push(Answer { name: input.path.display().to_string(), is_direct, result });
        }
        Ok(())
    }

    /// Batch after batch, and several at once: no message waits for another endpoint's.
    async fn work_off_queue(&mut self, stage: &Stage, timeline: &Timeline) -> Result<(), QueueError> {
        let clock = Clock::start();
        let mut batches = FuturesUnordered::new();
        // Every request has a deadline, after which its message is gone.
        loop {
            // Taken before the look, so that no change after the look is missed.
            let changed = stage.aws.changed();
            let now = stage.aws.now();
            if batches.len() < BATCHES_MAX && stage.aws.queues().is_receivable(REQUESTS, now)? {
                let batch = stage.aws.queues().receive(REQUESTS, BATCH_MAX, None, now)?;
                if !batch.is_empty() {
                    batches.push(work_on(stage, timeline, batch, self.next_id()));
                }
                continue;
            }
            if batches.is_empty() && stage.aws.queues().messages(REQUESTS)?.is_empty() {
                return Ok(());
            }
            let visible_at = stage.aws.queues().next_visible_at(REQUESTS, now)?;
            let visible_at = visible_at.unwrap_or(SystemTime::UNIX_EPOCH);
            tokio::select! {
                Some(()) = batches.next() => {}
                () = changed => {}
                () = clock.sleep_until(clock.instant_of(visible_at)), if visible_at > now => {}
            }
        }
    }

    fn next_id(&mut self) -> String {
        self.invocations += 1;
        format!("local-invocation-{}", self.invocations)
    }
}

/// Sends the messages of a file; how many of them the queue took for repetitions, and will not deliver.
fn enqueue(stage: &Stage, messages: &[NewMessage], path: &Path) -> Result<usize, Failure> {
    let now = stage.aws.now();
    let mut repeated = 0;
    for (index, message) in messages.iter().enumerate() {
        let sent = stage.aws.queues().send(REQUESTS, message.clone(), now);
        let sent = sent.map_err(|source| Failure::Send { path: path.to_owned(), index, source })?;
        repeated += usize::from(sent.is_duplicate);
    }
    Ok(repeated)
}

/// Gives a batch to the worker, and deletes what succeeded.
async fn work_on(stage: &Stage, timeline: &Timeline, batch: Vec<ReceivedMessage>, id: String) {
    let event = mapping::event(REQUESTS, &batch).to_string();
    let answer = match RawValue::from_string(event) {
        Ok(payload) => invoke(stage, &payload, id).await,
        Err(error) => Err(error.to_string()),
    };
    let verdict = match answer {
        Ok(answer) => mapping::evaluate_response(&batch, answer.to_string().as_bytes()),
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

async fn invoke(stage: &Stage, payload: &RawValue, id: String) -> Result<Value, String> {
    let clock = Clock::start();
    let limits = &stage.worker.settings().invocation;
    let invocation = Invocation::new(clock, clock.wall() + FUNCTION_TIMEOUT, id, None, limits);
    let answer = handler::handle(&stage.worker, payload, &invocation).await;
    answer.map_err(|error| error.to_string())
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
