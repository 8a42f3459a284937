//! The measured programs. Each process has its own Lambda Runtime API.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local_aws::{InvocationResult, RuntimeApi};
use serde_json::Value;
use tokio::time::timeout;

use crate::account::{self, Account};
use crate::peer;
use crate::share::CpuLimit;

/// Longer than any step of the benchmark.
const STEP_TIME_MAX: Duration = Duration::from_mins(2);

/// The worker's timeout in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(90);

/// A measured program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// The worker, with its credentials in its environment.
    Worker,
    /// The worker, with its credentials in a secret.
    WorkerWithSecret,
    Intake,
    /// The intake of a deployment with chat.
    IntakeWithChat,
    /// The sweeper, with its credentials in its environment.
    Sweeper,
    /// `bare.rs`: the runtime with a function that returns its payload.
    Bare,
    /// `calls.rs`: the bare function with this number of calls to SQS, by the AWS SDK.
    SdkCalls(&'static str),
    /// The same, over a plain connection.
    PlainCalls(&'static str),
    /// `benches/peer`: the Python implementation of the worker, with its credentials in its environment.
    Peer,
}

/// A process of a program. Dropping it kills the process.
pub(crate) struct Process {
    pub(crate) program: Program,
    child: Child,
    api: RuntimeApi,
    responses: usize,
    /// From the start of the process to its first request for an invocation.
    pub(crate) start: Duration,
    /// Dropped after the process has ended.
    limit: Option<CpuLimit>,
}

impl Program {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::WorkerWithSecret => "worker, credentials in a secret",
            Self::Intake => "intake",
            Self::IntakeWithChat => "intake, with chat",
            Self::Sweeper => "sweeper",
            Self::Bare => "bare",
            Self::SdkCalls(_) => "the calls alone, by the AWS SDK",
            Self::PlainCalls(_) => "the calls alone, over a plain connection",
            Self::Peer => "peer",
        }
    }

    /// The path of the executable.
    pub(crate) fn path(self) -> io::Result<PathBuf> {
        let worker = PathBuf::from(env!("CARGO_BIN_EXE_worker"));
        Ok(match self {
            Self::Worker | Self::WorkerWithSecret => worker,
            Self::Intake | Self::IntakeWithChat => PathBuf::from(env!("CARGO_BIN_EXE_intake")),
            Self::Sweeper => PathBuf::from(env!("CARGO_BIN_EXE_sweeper")),
            Self::Bare => worker.with_file_name("examples").join("bare"),
            Self::SdkCalls(_) | Self::PlainCalls(_) => worker.with_file_name("examples").join("calls"),
            Self::Peer => peer::python()?,
        })
    }

    fn arguments(self) -> Vec<&'static str> {
        match self {
            Self::Peer => peer::ARGUMENTS.to_vec(),
            Self::SdkCalls(calls) => vec!["sdk", calls],
            Self::PlainCalls(calls) => vec!["plain", calls],
            _ => Vec::new(),
        }
    }

    /// Whether it has the environment of chat.
    fn has_chat(self) -> bool {
        matches!(self, Self::IntakeWithChat | Self::SdkCalls(_) | Self::PlainCalls(_))
    }
}

impl Process {
    /// Starts a program and waits until it requests an invocation.
    pub(crate) async fn start(program: Program, account: &Account) -> io::Result<Self> {
        let mut command = Command::new(program.path()?);
        command.args(program.arguments());
        Self::spawn(program, command, account, None).await
    }

    /// As `start`, with the CPU limit of a function with 128 MB from the start of the process.
    pub(crate) async fn start_with_limit(program: Program, account: &Account) -> io::Result<Self> {
        let limit = CpuLimit::new(program.name())?;
        // The shell joins the control group and then becomes the program.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(limit.members());
        command.arg(program.path()?).args(program.arguments());
        Self::spawn(program, command, account, Some(limit)).await
    }

    async fn spawn(
        program: Program,
        mut command: Command,
        account: &Account,
        limit: Option<CpuLimit>,
    ) -> io::Result<Self> {
        let api = RuntimeApi::start().await?;
        let credentials = account::credentials(matches!(program, Program::WorkerWithSecret));
        command.env_clear().envs(account.environment()).envs(credentials);
        if program.has_chat() {
            command.envs(account.chat_environment());
        }
        command.env("AWS_LAMBDA_RUNTIME_API", api.address()).current_dir(peer::package());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let began = Instant::now();
        let child = command.spawn()?;
        let mut process = Self { program, child, api, responses: 0, start: Duration::ZERO, limit };
        process.start = timeout(STEP_TIME_MAX, process.api.first_request()).await?.duration_since(began);
        Ok(process)
    }

    /// Sets the CPU limit of a function with 128 MB.
    pub(crate) fn limit(&mut self) -> io::Result<()> {
        let limit = CpuLimit::new(self.program.name())?;
        limit.add(self.child.id())?;
        self.limit = Some(limit);
        Ok(())
    }

    /// Waits until the process is idle and invokes it. Returns the response and the time until it arrived.
    pub(crate) async fn invoke(&mut self, payload: &Value) -> io::Result<(Value, Duration)> {
        let payload = payload.to_string();
        self.is_idle().await?;
        let began = Instant::now();
        let response = timeout(STEP_TIME_MAX, self.api.invoke(payload, FUNCTION_TIMEOUT)).await?;
        let took = began.elapsed();
        self.responses += 1;
        match response {
            InvocationResult::Response(body) => Ok((serde_json::from_slice(&body)?, took)),
            InvocationResult::Error(body) => {
                Err(io::Error::other(String::from_utf8_lossy(&body).into_owned()))
            }
        }
    }

    /// Waits until the process requests an invocation.
    pub(crate) async fn is_idle(&self) -> io::Result<()> {
        timeout(STEP_TIME_MAX, self.api.nth_request(self.responses + 1)).await?;
        Ok(())
    }

    /// The peak and current resident memory.
    pub(crate) fn memory(&self) -> io::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u32>().ok());
            kib.map(|kib| f64::from(kib) / 1024.0)
                .ok_or_else(|| io::Error::other(format!("no {name} in {status}")))
        };
        Ok(Memory { peak: field("VmHWM:")?, now: field("VmRSS:")? })
    }

    /// The CPU time of the running threads. A thread that has ended is not included.
    pub(crate) fn cpu_time(&self) -> io::Result<Duration> {
        let mut sum = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let times = fs::read_to_string(thread?.path().join("schedstat"))?;
            let nanoseconds = times.split(' ').next().and_then(|time| time.parse().ok());
            sum += Duration::from_nanos(
                nanoseconds.ok_or_else(|| io::Error::other("schedstat has an unknown format"))?,
            );
        }
        Ok(sum)
    }
}

/// Resident memory in MiB.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) peak: f64,
    pub(crate) now: f64,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
