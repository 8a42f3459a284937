//! The programs that are measured, each process with a Lambda runtime API of its own.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local_aws::{InvocationAnswer, RuntimeApi};
use serde_json::Value;
use tokio::time::timeout;

use crate::account::{self, Account};
use crate::peer;
use crate::share::Share;

/// Longer than anything here takes; what needs more will never come.
const PATIENCE: Duration = Duration::from_mins(2);

/// The worker's timeout in the template.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(90);

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// The Lambda function that detaches, its keys in its environment.
    Worker,
    /// The same with its keys in a secret.
    WorkerWithSecret,
    /// The Lambda function that takes webhooks.
    Intake,
    /// `bare.rs`: the runtime, and a function that answers with its payload.
    Bare,
    /// `benches/peer`: the worker's job in Python, its keys in its environment.
    Peer,
}

/// A process of one of them, which does not outlive this value.
pub(crate) struct Process {
    pub(crate) program: Program,
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
            Self::Peer => "peer",
        }
    }

    /// The file that is run.
    pub(crate) fn path(self) -> io::Result<PathBuf> {
        let worker = PathBuf::from(env!("CARGO_BIN_EXE_worker"));
        Ok(match self {
            Self::Worker | Self::WorkerWithSecret => worker,
            Self::Intake => PathBuf::from(env!("CARGO_BIN_EXE_intake")),
            Self::Bare => worker.with_file_name("examples").join("bare"),
            Self::Peer => peer::python()?,
        })
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Peer => &peer::ARGUMENTS,
            _ => &[],
        }
    }
}

impl Process {
    /// Starts a program and waits until it asks for work.
    pub(crate) async fn start(program: Program, account: &Account) -> io::Result<Self> {
        let mut command = Command::new(program.path()?);
        command.args(program.arguments());
        Self::spawn(program, command, account, None).await
    }

    /// The same, with no more of a processor from its first instruction than a function with 128 MB has.
    pub(crate) async fn start_with_share(program: Program, account: &Account) -> io::Result<Self> {
        let share = Share::new(program.name())?;
        // The shell joins the group and becomes the program.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(share.members());
        command.arg(program.path()?).args(program.arguments());
        Self::spawn(program, command, account, Some(share)).await
    }

    async fn spawn(
        program: Program,
        mut command: Command,
        account: &Account,
        share: Option<Share>,
    ) -> io::Result<Self> {
        let api = RuntimeApi::start().await?;
        let keys = account::keys(matches!(program, Program::WorkerWithSecret));
        command.env_clear().envs(account.environment()).envs(keys);
        command.env("AWS_LAMBDA_RUNTIME_API", api.address()).current_dir(peer::package());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let began = Instant::now();
        let child = command.spawn()?;
        let mut process = Self { program, child, api, answers: 0, start: Duration::ZERO, share };
        process.start = timeout(PATIENCE, process.api.first_request()).await?.duration_since(began);
        Ok(process)
    }

    /// From now on it has no more of a processor than a function with 128 MB.
    pub(crate) fn limit(&mut self) -> io::Result<()> {
        let share = Share::new(self.program.name())?;
        share.hold(self.child.id())?;
        self.share = Some(share);
        Ok(())
    }

    /// Its answer, and the time from the invocation to the answer. It is idle when it is invoked.
    pub(crate) async fn invoke(&mut self, payload: &Value) -> io::Result<(Value, Duration)> {
        let payload = payload.to_string();
        self.is_idle().await?;
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

    /// Waits until it asks for work.
    pub(crate) async fn is_idle(&self) -> io::Result<()> {
        timeout(PATIENCE, self.api.nth_request(self.answers + 1)).await?;
        Ok(())
    }

    /// The most memory that it ever had resident, and what it has now, in MiB.
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

    /// The time of a processor that its threads have used so far. None of its threads may have ended.
    pub(crate) fn processor_time(&self) -> io::Result<Duration> {
        let mut sum = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let times = fs::read_to_string(thread?.path().join("schedstat"))?;
            let nanoseconds = times.split(' ').next().and_then(|time| time.parse().ok());
            sum += Duration::from_nanos(
                nanoseconds.ok_or_else(|| io::Error::other("schedstat is not readable"))?,
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
