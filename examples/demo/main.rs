//! The whole system on one machine: the code of the Lambda functions, from a signed webhook to a completion event, with
//! a simulated Alibaba Cloud and simulated AWS services. `--help` prints the usage.
//!
//! In reading order: the command line (`arguments`), the event files (`input`, `call`), the functions and their services
//! (`environment`), requests through the intake (`intake`), sweeps (`sweep`), the run (`run`), its timeline (`listener`,
//! `timeline`, `screen`), and its result (`summary`).

mod arguments;
mod call;
mod environment;
mod input;
mod intake;
mod listener;
mod run;
mod screen;
mod summary;
mod sweep;
mod timeline;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use local_aws::queues::QueueError;
use privatelink_detach::aws::AwsUnavailable;
use privatelink_detach::config::ConfigError;
use privatelink_simulator::SeedError;
use thiserror::Error;

use arguments::{ArgumentError, Arguments, Command, USAGE};
use call::CallError;
use environment::Environment;
use input::Input;
use run::Run;
use screen::Screen;
use timeline::Timeline;

/// The event files of a run without arguments.
const EVENTS_DEFAULT: [&str; 2] = ["events/webhook-several.json", "events/queue-batch.json"];
const SEED_DEFAULT: &str = "examples/demo/world.json";

/// The exit status for invalid arguments and files.
const USAGE_STATUS: u8 = 2;

/// Why a run cannot start.
#[derive(Debug, Error)]
enum Failure {
    #[error("{0}; --help prints the usage")]
    Arguments(#[from] ArgumentError),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not JSON: {source}", path.display())]
    NotJson { path: PathBuf, source: serde_json::Error },
    #[error("{} is neither an event nor a request: it must contain one JSON object", path.display())]
    NotAnEvent { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Call { path: PathBuf, source: CallError },
    #[error("{}: the queue does not accept record {index}: {source}", path.display())]
    Send { path: PathBuf, index: usize, source: QueueError },
    #[error("{}: {source}", path.display())]
    Seed { path: PathBuf, source: SeedError },
    #[error("the configuration is not valid: {}", listed(.0))]
    Config(Vec<ConfigError>),
    #[error("cannot listen on loopback: {0}")]
    Loopback(#[from] io::Error),
    #[error(transparent)]
    Aws(#[from] AwsUnavailable),
    #[error(transparent)]
    Https(#[from] privatelink_detach::transport::HttpsUnavailable),
    #[error("the local queue failed: {0}")]
    Queue(#[from] QueueError),
}

impl Failure {
    fn status(&self) -> ExitCode {
        match self {
            Self::Arguments(_)
            | Self::Read { .. }
            | Self::NotJson { .. }
            | Self::NotAnEvent { .. }
            | Self::Call { .. }
            | Self::Send { .. }
            | Self::Seed { .. }
            | Self::Config(_) => ExitCode::from(USAGE_STATUS),
            Self::Loopback(_) | Self::Aws(_) | Self::Https(_) | Self::Queue(_) => ExitCode::FAILURE,
        }
    }
}

fn listed(faults: &[ConfigError]) -> String {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    faults.join("; ")
}

fn main() -> ExitCode {
    let screen = Screen::of_this_process();
    let ended = match Command::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            screen.line(USAGE);
            return ExitCode::SUCCESS;
        }
        Ok(Command::Run(arguments)) => start(&arguments, screen),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(status) => status,
        Err(failure) => {
            screen.error(&format!("demo: {failure}"));
            failure.status()
        }
    }
}

/// One thread, as in the functions' own processes.
fn start(arguments: &Arguments, screen: Screen) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(arguments, screen))
}

async fn run(arguments: &Arguments, screen: Screen) -> Result<ExitCode, Failure> {
    let events = match arguments.events.as_slice() {
        [] => EVENTS_DEFAULT.into_iter().map(of_this_project).collect(),
        named => named.to_vec(),
    };
    let inputs: Vec<Input> = events.iter().map(|path| Input::read(path)).collect::<Result<_, _>>()?;
    let seed = arguments.seed.clone().unwrap_or_else(|| of_this_project(SEED_DEFAULT));
    let mut environment = Environment::start(&seed).await?;
    let mut run = Run::new(inputs);

    run.introduce(&environment, screen);
    run.send(&environment, screen).await?;

    let timeline = Arc::new(Timeline::new(screen, run.requests().len(), run.widths(&environment)));
    environment.worker = environment.worker.observed_by(listener::follow_worker(&timeline));
    tokio::select! {
        ended = run.carry_out(&environment, &timeline) => ended?,
        endless = timeline.show_progress() => match endless {},
    }
    timeline.end();
    Ok(summary::show(&environment, &run, screen))
}

/// A file of this project, from any working directory; by its short name where that works.
fn of_this_project(path: &str) -> PathBuf {
    let short = PathBuf::from(path);
    if short.exists() { short } else { Path::new(env!("CARGO_MANIFEST_DIR")).join(path) }
}
