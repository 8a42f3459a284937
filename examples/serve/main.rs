//! Keeps the whole system running on one machine: the programs of the Lambda functions as child processes, local AWS
//! services, a simulated Alibaba Cloud and simulated chat platforms. `--help` prints the usage.
//!
//! It uses the functions as Lambda does, through the runtime API, and nothing of their code. In reading order: the
//! command line (`arguments`), the services (`services`, `chat`), the functions (`function`), and what is printed
//! (`guide`, `output`).

mod arguments;
mod chat;
mod function;
mod guide;
mod output;
mod services;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use local_aws::{FunctionUrl, FunctionUrlSettings};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use arguments::{ArgumentError, Arguments, Command, USAGE};
use function::{Function, FunctionError};
use services::{QUEUE_WORKERS, REQUESTS, ServiceError, Services};

/// The exit status for invalid arguments and files.
const USAGE_STATUS: u8 = 2;

/// The functions' timeouts in the template.
const WORKER_TIMEOUT: Duration = Duration::from_secs(90);
const INTAKE_TIMEOUT: Duration = Duration::from_secs(30);
const SWEEPER_TIMEOUT: Duration = Duration::from_mins(15);
const MESSENGER_TIMEOUT: Duration = Duration::from_secs(30);

/// The most messages of one batch, as in the template.
const REQUESTS_MAX: usize = 10;
const NOTICES_MAX: usize = 1;

/// Names for the instances that take messages from the queue.
const QUEUE_WORKER_NAMES: [&str; QUEUE_WORKERS] = ["worker-1", "worker-2"];

/// Why the system does not run.
#[derive(Debug, Error)]
enum Failure {
    #[error("{0}; --help prints the usage")]
    Arguments(#[from] ArgumentError),
    #[error(transparent)]
    Services(#[from] ServiceError),
    #[error(transparent)]
    Function(#[from] FunctionError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Failure {
    fn status(&self) -> ExitCode {
        match self {
            Self::Arguments(_)
            | Self::Services(ServiceError::ReadSeed { .. } | ServiceError::Seed { .. }) => {
                ExitCode::from(USAGE_STATUS)
            }
            Self::Services(_) | Self::Function(_) | Self::Io(_) => ExitCode::FAILURE,
        }
    }
}

fn main() -> ExitCode {
    let ended = match Command::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            output::line(USAGE);
            return ExitCode::SUCCESS;
        }
        Ok(Command::Serve(arguments)) => start(&arguments),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::error(&failure.to_string());
            failure.status()
        }
    }
}

fn start(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(arguments))
}

/// Runs until a signal or a failure. A signal is the normal end of a server, so the exit status is 0.
async fn serve(arguments: &Arguments) -> Result<(), Failure> {
    // Before the first child starts, so that no signal leaves a child behind.
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut tasks = Tasks::default();
    let ended = tokio::select! {
        failure = run(arguments, &mut tasks) => Err(failure),
        _ = interrupted.recv() => Ok("interrupted"),
        _ = terminated.recv() => Ok("terminated"),
    };
    tasks.end().await;
    let signal = ended?;
    output::line(&format!("\nserve: {signal}; the functions and the services have ended"));
    Ok(())
}

/// Everything that runs beside the servers.
#[derive(Default)]
struct Tasks {
    /// One for each process of a function.
    processes: JoinSet<Result<(), FunctionError>>,
    others: JoinSet<Result<(), FunctionError>>,
    /// Ends the processes.
    stop: watch::Sender<()>,
}

impl Tasks {
    /// Resolves when a task has ended, which happens only if something failed.
    async fn failure(&mut self) -> Failure {
        let ended = tokio::select! {
            Some(ended) = self.processes.join_next() => ended,
            Some(ended) = self.others.join_next() => ended,
            else => return io::Error::other("no function is running").into(),
        };
        match ended {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) => io::Error::other("a task ended").into(),
            Err(error) => io::Error::other(error).into(),
        }
    }

    /// Ends the tasks, and waits for the end of every process.
    async fn end(mut self) {
        self.others.shutdown().await;
        let _ = self.stop.send(());
        while self.processes.join_next().await.is_some() {}
    }
}

/// Starts everything. Returns when something fails.
async fn run(arguments: &Arguments, tasks: &mut Tasks) -> Failure {
    match start_all(arguments, tasks).await {
        Ok(_running) => tasks.failure().await,
        Err(failure) => failure,
    }
}

/// Starts the services and the functions, and prints the commands when every function is ready.
async fn start_all(
    arguments: &Arguments,
    tasks: &mut Tasks,
) -> Result<(Arc<Services>, FunctionUrl), Failure> {
    let services = Arc::new(Services::start(arguments).await?);
    let variables = services.variables(&arguments.log_level);
    let intake = Function::new("intake", program("intake")?, INTAKE_TIMEOUT, &variables).await?;
    let worker = Function::new("worker", program("worker")?, WORKER_TIMEOUT, &variables).await?;
    let sweeper = Function::new("sweeper", program("sweeper")?, SWEEPER_TIMEOUT, &variables).await?;
    let mut functions = vec![Arc::clone(&intake), worker, sweeper];
    for function in &functions {
        let (name, function) = (function.name, Arc::clone(function));
        let invoke = move |payload| Arc::clone(&function).invoke(payload);
        services.aws.functions().insert(name, invoke);
    }
    let port = arguments.webhook_port;
    let invoke = move |event| Arc::clone(&intake).invoke(event);
    let url = FunctionUrl::start_on(port, FunctionUrlSettings::default(), invoke).await;
    let url = url.map_err(ServiceError::listen(port, "--webhook-port"))?;
    services.chat.connect(&url.url());
    for name in QUEUE_WORKER_NAMES {
        let worker = Function::new(name, program("worker")?, WORKER_TIMEOUT, &variables).await?;
        let (poller, services) = (Arc::clone(&worker), Arc::clone(&services));
        tasks.others.spawn(async move { poller.poll(&services.aws, REQUESTS, REQUESTS_MAX).await });
        functions.push(worker);
    }
    let variables = services.messenger_variables(&arguments.log_level);
    let messenger = Function::new("messenger", program("messenger")?, MESSENGER_TIMEOUT, &variables).await?;
    let (poller, local) = (Arc::clone(&messenger), Arc::clone(&services));
    tasks.others.spawn(async move { poller.poll(&local.aws, chat::NOTICES, NOTICES_MAX).await });
    functions.push(messenger);
    for function in &functions {
        tasks.processes.spawn(Arc::clone(function).supervise(tasks.stop.subscribe()));
    }
    let ready = async {
        for function in &functions {
            function.ready().await;
        }
    };
    tokio::select! {
        () = ready => {}
        failure = tasks.failure() => return Err(failure),
    }
    output::line(&guide::text(&services, &url.url()));
    let delivering = Arc::clone(&services);
    tasks.others.spawn(async move { match delivering.deliver_events().await {} });
    Ok((services, url))
}

/// A program of this package. Cargo puts it into the directory above the one with this example.
fn program(name: &str) -> io::Result<PathBuf> {
    let example = std::env::current_exe()?;
    let directory = example.ancestors().nth(2).ok_or(io::ErrorKind::NotFound)?;
    Ok(directory.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}
