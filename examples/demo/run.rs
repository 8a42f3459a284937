//! One run: requests and events to the intake, messages into the queue, batches out of it to the worker, the invocations
//! of the worker that bypass the queue, and the sweeps.
//!
//! It does in this process what an event source mapping does: receive, invoke, and delete what succeeded. A message that
//! returns to the queue is received again when it is visible, until the queue is empty.

use std::future::ready;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use local_aws::queues::{QueueError, ReceivedMessage};
use local_aws::{NewMessage, mapping};
use privatelink_detach::clock::Clock;
use privatelink_detach::lambda::Invocation;
use privatelink_detach::request::{self, Parsed};
use privatelink_detach::worker::handler;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Failure;
use crate::environment::{DEAD_LETTERS, Environment, REQUESTS, SECRETS};
use crate::input::{Input, Route};
use crate::intake;
use crate::screen::{Screen, Style};
use crate::sweep::{self, SweepResponse};
use crate::timeline::{Timeline, Widths};

/// The worker's timeout in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(90);

/// The most messages of one batch, as in the template.
const BATCH_MAX: usize = 10;

/// The most concurrent batches, as in the template.
const BATCHES_MAX: usize = 10;

/// The minimum width of a column of ids.
const WIDTH_MIN: usize = 12;

/// One run, from the event files to the functions' responses.
#[derive(Debug)]
pub(crate) struct Run {
    inputs: Vec<Input>,
    /// The requests for the worker, known after [`Run::send`].
    requests: Vec<Parsed>,
    /// Calls and events to which the intake gave no final response.
    without_response: usize,
    invocations: u32,
    responses: Vec<WorkerResponse>,
    sweeps: Vec<SweepResponse>,
}

/// The worker's response to an event that did not come from the queue.
#[derive(Debug)]
pub(crate) struct WorkerResponse {
    pub(crate) name: String,
    pub(crate) is_direct: bool,
    pub(crate) result: Result<Value, String>,
}

impl Run {
    pub(crate) fn new(inputs: Vec<Input>) -> Self {
        let (requests, responses, sweeps) = (Vec::new(), Vec::new(), Vec::new());
        Self { inputs, requests, without_response: 0, invocations: 0, responses, sweeps }
    }

    pub(crate) fn has_input(&self, file: &str) -> bool {
        self.inputs.iter().any(|input| input.path.ends_with(file))
    }

    /// Prints the services and the event files.
    pub(crate) fn introduce(&self, environment: &Environment, screen: Screen) {
        screen.line("All functions run here against simulated services. Nothing leaves the machine.\n");
        screen.line(&format!("  Alibaba Cloud    simulated at {}", environment.cloud.server.url()));
        screen.line("  Lambda           this process: intake (function URL), worker (queue), sweeper");
        screen.line(&format!("  SQS              simulated: {REQUESTS}, {DEAD_LETTERS}"));
        screen.line("  EventBridge      simulated: the default bus");
        screen.line(&format!("  Secrets Manager  simulated: {SECRETS}, the webhook signing secret"));
        for (index, input) in self.inputs.iter().enumerate() {
            let name = if index == 0 { "Events" } else { "" };
            screen.line(&format!("  {name:15}  {}", input.path.display()));
        }
    }

    /// Puts the requests into the queue, through the intake or directly. Their deadlines begin now.
    pub(crate) async fn send(&mut self, environment: &Environment, screen: Screen) -> Result<(), Failure> {
        let mut duplicates = 0;
        for input in &self.inputs {
            let path = &input.path;
            let has_response = match &input.route {
                Route::Http(call) => intake::send(environment, call, path, screen).await?,
                Route::Intake { payload, source } => {
                    intake::invoke(environment, payload, *source, path, screen).await
                }
                Route::Queue(messages) => {
                    duplicates += enqueue(environment, messages, path)?;
                    true
                }
                Route::Batch { .. } | Route::Direct(_) | Route::Sweep(_) => true,
            };
            self.without_response += usize::from(!has_response);
        }
        self.requests = self.parsed(environment)?;
        let requests = match self.requests.len() {
            0 if self.has_sweep() => "A sweep".to_owned(),
            0 => "No request for the worker".to_owned(),
            1 => "1 request for the worker".to_owned(),
            n => format!("{n} requests for the worker"),
        };
        screen.line(&format!("\n{}", screen.paint(Style::Bold, &requests)));
        if self.has_sweep() || !self.requests.is_empty() {
            screen.line("");
        }
        if duplicates > 0 {
            screen.line(&format!(
                "The queue dropped {duplicates} messages as duplicates (same deduplication id).\n"
            ));
        }
        for Input { path, route } in &self.inputs {
            if matches!(route, Route::Batch { bodies, .. } if !bodies.is_empty()) {
                screen.line(&format!("No queue accepts the messages of {}.", path.display()));
                screen.line("The worker is invoked with the event as it is, with its own times. It finds no");
                screen.line("message in the queue to delete or to return.\n");
            }
        }
        Ok(())
    }

    /// The requests for the worker.
    fn parsed(&self, environment: &Environment) -> Result<Vec<Parsed>, QueueError> {
        let parse = |body: &str| request::parse(body, &environment.rules);
        let queues = environment.aws.queues();
        let mut requests: Vec<_> =
            queues.messages(REQUESTS)?.iter().map(|message| parse(&message.body)).collect();
        for input in &self.inputs {
            match &input.route {
                Route::Batch { bodies, .. } => {
                    requests.extend(bodies.iter().map(|body| parse(body.as_deref().unwrap_or_default())));
                }
                Route::Direct(payload) => requests.push(parse(payload.get())),
                Route::Http(_) | Route::Intake { .. } | Route::Queue(_) | Route::Sweep(_) => {}
            }
        }
        Ok(requests)
    }

    fn has_sweep(&self) -> bool {
        self.inputs.iter().any(|input| matches!(input.route, Route::Sweep(_)))
    }

    /// The requests for the worker, without those of the sweeps.
    pub(crate) fn requests(&self) -> &[Parsed] {
        &self.requests
    }

    /// The number of requests that must get an outcome.
    pub(crate) fn requests_total(&self) -> usize {
        self.requests.len() + self.sweeps.iter().map(SweepResponse::requested).sum::<usize>()
    }

    /// Whether intake and sweeper gave a final response to every call, event and sweep.
    pub(crate) fn has_response(&self) -> bool {
        self.without_response == 0 && self.sweeps.iter().all(|sweep| sweep.is_final)
    }

    pub(crate) fn sweeps(&self) -> &[SweepResponse] {
        &self.sweeps
    }

    pub(crate) fn responses(&self) -> &[WorkerResponse] {
        &self.responses
    }

    /// The widths of the ids of all requests. A sweep may request a detach of every group on every endpoint.
    pub(crate) fn widths(&self, environment: &Environment) -> Widths {
        let endpoints = environment.cloud.seed.endpoints.iter().filter(|_| self.has_sweep());
        let swept = endpoints.flat_map(|endpoint| {
            let length = endpoint.endpoint_id.as_str().len();
            endpoint.security_groups.iter().map(move |group| (length, group.id.as_str().len()))
        });
        let of = |request: &Parsed| {
            let subject = &request.subject;
            (
                subject.endpoint_id.as_ref().map_or(1, |id| id.as_str().len()),
                subject.security_group_id.as_ref().map_or(1, |id| id.as_str().len()),
            )
        };
        let ids: Vec<(usize, usize)> = self.requests.iter().map(of).chain(swept).collect();
        let widest = |pick: fn((usize, usize)) -> usize| ids.iter().copied().map(pick).max();
        Widths {
            endpoint: widest(|(endpoint, _)| endpoint).unwrap_or_default().max(WIDTH_MIN),
            group: widest(|(_, group)| group).unwrap_or_default().max(WIDTH_MIN),
        }
    }

    /// Lets the worker carry out every request, and the sweeper every sweep. Each sweep starts with the initial state of
    /// the simulated Alibaba Cloud, so its result does not depend on the files before it.
    pub(crate) async fn carry_out(
        &mut self,
        environment: &Environment,
        timeline: &Timeline,
    ) -> Result<(), QueueError> {
        self.empty_queue(environment, timeline, ready(())).await?;
        let inputs = std::mem::take(&mut self.inputs);
        for input in &inputs {
            let name = input.path.display().to_string();
            let (payload, is_direct) = match &input.route {
                Route::Http(_) | Route::Intake { .. } | Route::Queue(_) => continue,
                Route::Batch { payload, .. } => (payload, false),
                Route::Direct(payload) => (payload, true),
                Route::Sweep(payload) => {
                    environment.cloud.restart();
                    timeline.say(&name);
                    let sweep = sweep::invoke(environment, payload, name, self.next_id());
                    let response = self.empty_queue(environment, timeline, sweep).await?;
                    self.sweeps.push(response);
                    continue;
                }
            };
            timeline.say(&name);
            let result = invoke(environment, payload, self.next_id()).await;
            if let Err(error) = &result {
                timeline.say(&format!("the invocation failed: {error}"));
            }
            self.responses.push(WorkerResponse { name, is_direct, result });
        }
        self.inputs = inputs;
        Ok(())
    }

    /// Invokes the worker with batch after batch, several at once, so that no endpoint waits for another, until the sender of
    /// further requests has ended and the queue is empty. Returns the sender's output.
    async fn empty_queue<T>(
        &mut self,
        environment: &Environment,
        timeline: &Timeline,
        sender: impl Future<Output = T>,
    ) -> Result<T, QueueError> {
        let clock = Clock::start();
        let mut batches = FuturesUnordered::new();
        let (mut sender, mut sent) = (pin!(sender), None);
        // Ends: every request has a deadline, at which the worker deletes its message.
        loop {
            // Subscribed before the queue is read, so that no later change is missed.
            let changed = environment.aws.changed();
            let now = environment.aws.now();
            if batches.len() < BATCHES_MAX && environment.aws.queues().is_receivable(REQUESTS, now)? {
                let batch = environment.aws.queues().receive(REQUESTS, BATCH_MAX, None, now)?;
                if !batch.is_empty() {
                    batches.push(process(environment, timeline, batch, self.next_id()));
                }
                continue;
            }
            let is_empty = batches.is_empty() && environment.aws.queues().messages(REQUESTS)?.is_empty();
            if is_empty && let Some(output) = sent.take() {
                return Ok(output);
            }
            let visible_at = environment.aws.queues().next_visible_at(REQUESTS, now)?;
            let visible_at = visible_at.unwrap_or(SystemTime::UNIX_EPOCH);
            tokio::select! {
                Some(()) = batches.next() => {}
                output = &mut sender, if sent.is_none() => sent = Some(output),
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

/// Sends the messages of a file. Returns how many of them the queue dropped as duplicates.
fn enqueue(environment: &Environment, messages: &[NewMessage], path: &Path) -> Result<usize, Failure> {
    let now = environment.aws.now();
    let mut duplicates = 0;
    for (index, message) in messages.iter().enumerate() {
        let sent = environment.aws.queues().send(REQUESTS, message.clone(), now);
        let sent = sent.map_err(|source| Failure::Send { path: path.to_owned(), index, source })?;
        duplicates += usize::from(sent.is_duplicate);
    }
    Ok(duplicates)
}

/// Invokes the worker with a batch, and deletes the messages that succeeded.
async fn process(environment: &Environment, timeline: &Timeline, batch: Vec<ReceivedMessage>, id: String) {
    let event = mapping::event(REQUESTS, &batch).to_string();
    let response = match RawValue::from_string(event) {
        Ok(payload) => invoke(environment, &payload, id).await,
        Err(error) => Err(error.to_string()),
    };
    let verdict = match response {
        Ok(response) => mapping::evaluate_response(&batch, response.to_string().as_bytes()),
        Err(error) => {
            timeline.say(&format!("the invocation failed: {error}"));
            mapping::Verdict::BatchFailed(mapping::Failure::FunctionError)
        }
    };
    for received in verdict.deleted(&batch) {
        // The worker has deleted most of them already. A delete that is too late has no effect: the message is
        // delivered again.
        let now = environment.aws.now();
        let _ = environment.aws.queues().delete(REQUESTS, &received.receipt_handle, now);
    }
}

async fn invoke(environment: &Environment, payload: &RawValue, id: String) -> Result<Value, String> {
    let clock = Clock::start();
    let ends_at = clock.wall() + FUNCTION_TIMEOUT;
    let invocation = Invocation { clock, ends_at, lambda_request_id: id, xray_trace_id: None };
    let response = handler::handle(&environment.worker, payload, &invocation).await;
    response.map_err(|error| error.to_string())
}
