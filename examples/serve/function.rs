//! One instance of a Lambda function: its program as a child process, with a Lambda runtime API of its own.
//!
//! As on Lambda, an instance handles one invocation at a time, a process whose time has run out is killed, and a process
//! that ended is started again.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use local_aws::{InvocationResult, LocalAws, Poller, RuntimeApi};
use serde_json::json;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, Notify, watch};

use crate::output;

/// A process that ends sooner after its start counts as a failed start.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// After so many short lives in a row the process is not started again: it will not recover by itself.
const SHORT_LIVES_MAX: u32 = 5;

/// An instance of a function.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    program: PathBuf,
    environment: Vec<(&'static str, String)>,
    timeout: Duration,
    api: RuntimeApi,
    /// Held by the one invocation under way.
    invocation: Mutex<()>,
    /// An invocation ran out of time, so the process must end.
    kill: Notify,
    /// Changes whenever a process has ended.
    exits: watch::Sender<u32>,
}

/// Why an instance cannot run.
#[derive(Debug, Error)]
pub(crate) enum FunctionError {
    #[error("{name} cannot be started from {}: {source}; run `make serve`, which builds it", program.display())]
    Spawn { name: &'static str, program: PathBuf, source: io::Error },
    #[error("{name} ended before it was ready ({status}); its log lines above give the reason")]
    Start { name: &'static str, status: ExitStatus },
    #[error("{name} ended {SHORT_LIVES_MAX} times within a second of its start, last with {status}")]
    ShortLives { name: &'static str, status: ExitStatus },
    #[error("{name} cannot be waited for: {source}")]
    Wait { name: &'static str, source: io::Error },
    #[error("{name} cannot read the queue: {source}")]
    Queue { name: &'static str, source: local_aws::queues::QueueError },
}

impl Function {
    pub(crate) async fn new(
        name: &'static str,
        program: PathBuf,
        timeout: Duration,
        variables: &[(&'static str, String)],
    ) -> io::Result<Arc<Self>> {
        let api = RuntimeApi::start().await?;
        let mut environment = variables.to_vec();
        environment.extend([
            ("AWS_LAMBDA_RUNTIME_API", api.address()),
            ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
        ]);
        let (invocation, kill, exits) = (Mutex::default(), Notify::new(), watch::Sender::default());
        Ok(Arc::new(Self { name, program, environment, timeout, api, invocation, kill, exits }))
    }

    /// Resolves when the process is ready: at its first request for work.
    pub(crate) async fn ready(&self) {
        self.api.first_request().await;
    }

    /// Runs the process, and starts it again when it has ended, until `stop` changes. Then it kills the process and waits
    /// for its end.
    pub(crate) async fn supervise(
        self: Arc<Self>,
        mut stop: watch::Receiver<()>,
    ) -> Result<(), FunctionError> {
        let mut short_lives = 0;
        loop {
            let requests = self.api.request_count();
            let started = now();
            let mut child = match self.spawn() {
                Ok(child) => child,
                Err(source) => {
                    let program = self.program.clone();
                    return Err(FunctionError::Spawn { name: self.name, program, source });
                }
            };
            tokio::spawn(forward(self.name, child.stdout.take()));
            tokio::spawn(forward(self.name, child.stderr.take()));
            let ended = tokio::select! {
                ended = child.wait() => ended,
                _ = stop.changed() => {
                    let killed = child.kill().await;
                    return killed.map_err(|source| FunctionError::Wait { name: self.name, source });
                }
                () = self.kill.notified() => match child.start_kill() {
                    Ok(()) => child.wait().await,
                    Err(error) => Err(error),
                },
            };
            let status = match ended {
                Ok(status) => status,
                Err(source) => return Err(FunctionError::Wait { name: self.name, source }),
            };
            if self.api.request_count() == requests {
                return Err(FunctionError::Start { name: self.name, status });
            }
            short_lives = if now() - started < SHORT_LIFE { short_lives + 1 } else { 0 };
            if short_lives == SHORT_LIVES_MAX {
                return Err(FunctionError::ShortLives { name: self.name, status });
            }
            self.exits.send_modify(|exits| *exits += 1);
            output::line(&format!("{}: the process ended ({status}) and is started again", self.name));
        }
    }

    /// One synchronous invocation. It goes on if the future is dropped, as on Lambda.
    pub(crate) async fn invoke(self: Arc<Self>, payload: Bytes) -> InvocationResult {
        let invocation = tokio::spawn(async move {
            let _one_at_a_time = self.invocation.lock().await;
            let mut exits = self.exits.subscribe();
            tokio::select! {
                answer = by(self.timeout, self.api.invoke(payload, self.timeout)) => answer.unwrap_or_else(|| {
                    self.kill.notify_one();
                    error("Sandbox.Timedout", "the function did not respond before its timeout")
                }),
                _ = exits.changed() => error("Runtime.ExitError", "the function's process ended"),
            }
        });
        invocation.await.unwrap_or_else(|_| error("Runtime.Unknown", "the invocation was aborted"))
    }

    /// The event source mapping of a queue to this instance: batch after batch.
    pub(crate) async fn poll(
        self: Arc<Self>,
        aws: &LocalAws,
        queue: &str,
        batch_max: usize,
    ) -> Result<(), FunctionError> {
        let (queue, runtime_api, timeout) = (queue.to_owned(), &self.api, self.timeout);
        let poller = Poller { aws, runtime_api, queue, batch_max, timeout };
        let mut exits = self.exits.subscribe();
        loop {
            let again = "its messages are delivered again when their visibility timeout ends";
            tokio::select! {
                round = poller.round() => match round {
                    Err(source) => return Err(FunctionError::Queue { name: self.name, source }),
                    Ok(round) => match round.result {
                        Some(InvocationResult::Response(_)) => {}
                        Some(InvocationResult::Error(_)) => {
                            output::line(&format!("{}: the invocation failed; {again}", self.name));
                        }
                        None => {
                            output::line(&format!("{}: the invocation timed out; {again}", self.name));
                            self.kill.notify_one();
                            let _ = exits.changed().await;
                        }
                    },
                },
                // A batch under way is lost with the process.
                _ = exits.changed() => {}
            }
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Ctrl-C reaches every process of the terminal's group. These must end with this program and not before it.
        command.process_group(0);
        command.spawn()
    }
}

/// Prints what a process writes, line by line, until it ends.
async fn forward(name: &'static str, pipe: Option<impl AsyncRead + Unpin>) {
    let Some(pipe) = pipe else { return };
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        output::log(name, &line);
    }
}

/// An error of the function, as Lambda reports it.
fn error(error_type: &str, message: &str) -> InvocationResult {
    let error = json!({ "errorType": error_type, "errorMessage": message });
    InvocationResult::Error(error.to_string().into())
}

#[expect(clippy::disallowed_methods, reason = "Lambda enforces the function's timeout")]
async fn by<F: Future>(timeout: Duration, work: F) -> Option<F::Output> {
    tokio::time::timeout(timeout, work).await.ok()
}

#[expect(clippy::disallowed_methods, reason = "the life of a process is measured")]
fn now() -> Instant {
    Instant::now()
}
