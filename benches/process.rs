//! The programs that are measured, each process with a Lambda runtime API of its own.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local_aws::{InvocationAnswer, RuntimeApi};
use serde_json::Value;
use tokio::time::timeout;

use crate::account::{self, Account};
use crate::share::Share;

/// Longer than anything here takes; what needs more will never come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The intake's timeout in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(30);

/// What is measured.
#[derive(Clone, Copy)]
pub(crate) enum Program {
    /// The Lambda function that detaches, its keys in its environment.
    Worker,
    /// The same with its keys in a secret.
    WorkerWithSecret,
    /// The Lambda function that takes webhooks.
    Intake,
    /// `benches/bare.rs`: the runtime, and a function that answers with its payload.
    Bare,
}

/// A process of one of them, which does not outlive this value.
pub(crate) struct Process {
    program: Program,
    child: Child,
    api: RuntimeApi,
    answers: usize,
    /// From its start to its first request for work.
    pub(crate) start: Duration,
    /// Given back when the process has ended.
    share: Option<Share>,
}

impl Program {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::WorkerWithSecret => "worker, keys in a secret",
            Self::Intake => "intake",
            Self::Bare => "bare",
        }
    }

    pub(crate) fn path(self) -> PathBuf {
        let worker = PathBuf::from(env!("CARGO_BIN_EXE_worker"));
        match self {
            Self::Worker | Self::WorkerWithSecret => worker,
            Self::Intake => PathBuf::from(env!("CARGO_BIN_EXE_intake")),
            Self::Bare => worker.with_file_name("examples").join("bare"),
        }
    }
}

impl Process {
    /// Starts a program and waits until it asks for work.
    pub(crate) async fn start(program: Program, account: &Account) -> io::Result<Self> {
        let api = RuntimeApi::start().await?;
        let mut command = Command::new(program.path());
        let keys = account::keys(matches!(program, Program::WorkerWithSecret));
        command.env_clear().envs(account.environment()).envs(keys);
        command.env("AWS_LAMBDA_RUNTIME_API", api.address());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let began = Instant::now();
        let child = command.spawn()?;
        let mut process = Self { program, child, api, answers: 0, start: Duration::ZERO, share: None };
        process.start = timeout(PATIENCE, process.api.first_request()).await?.duration_since(began);
        Ok(process)
    }

    /// From now on it has no more of a processor than a function with 128 MB.
    pub(crate) fn limit(&mut self) -> io::Result<()> {
        self.share = Some(Share::hold(self.program.name(), self.child.id())?);
        Ok(())
    }

    /// Its answer, and the time from the invocation to the answer. It is idle when it is invoked.
    pub(crate) async fn invoke(&mut self, payload: &Value) -> io::Result<(Value, Duration)> {
        let payload = payload.to_string();
        timeout(PATIENCE, self.api.nth_request(self.answers + 1)).await?;
        let began = Instant::now();
        let answer = timeout(PATIENCE, self.api.invoke(payload, FUNCTION_TIMEOUT)).await?;
        let took = began.elapsed();
        self.answers += 1;
        match answer {
            InvocationAnswer::Response(body) => Ok((serde_json::from_slice(&body)?, took)),
            InvocationAnswer::Error(body) => {
                Err(io::Error::other(String::from_utf8_lossy(&body).into_owned()))
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
