//! The whole system on one machine: the very code that Lambda runs, from a signed webhook to a completion event, between
//! a simulated Alibaba Cloud and local AWS services. `--help` says how to use it.
//!
//! In reading order: what is asked for (`arguments`), what the files hold (`input`, `call`), the functions and what
//! they find around them (`stage`), the way in through the intake (`front_door`), the run (`play`), its timeline as it
//! happens (`listener`, `timeline`, `screen`), and what is left at the end (`summary`).

mod arguments;
mod call;
mod front_door;
mod input;
mod listener;
mod play;
mod screen;
mod stage;
mod summary;
mod timeline;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use local_aws::queues::QueueError;
use privatelink_detach::aws::AwsUnavailable;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::ConfigError;
use privatelink_detach::telemetry::Level;
use privatelink_simulator::SeedError;
use thiserror::Error;
use tracing_subscriber::layer::SubscriberExt;

use arguments::{ArgumentError, Arguments, Command, USAGE};
use call::CallError;
use input::Input;
use listener::Listener;
use play::Play;
use screen::Screen;
use stage::Stage;
use timeline::Timeline;

/// The files that are used when none is named.
const EVENTS_DEFAULT: [&str; 2] = ["events/webhook-several.json", "events/queue-batch.json"];
const SEED_DEFAULT: &str = "examples/demo/world.json";

/// The exit status for a command line or a file that makes no sense, as most programs have it.
const USAGE_STATUS: u8 = 2;

/// How long the reader has to think again before a real detach.
const SECOND_THOUGHTS: Duration = Duration::from_secs(5);

/// Why there is no run.
#[derive(Debug, Error)]
enum Failure {
    #[error("{0}; --help says what is possible")]
    Arguments(#[from] ArgumentError),
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not JSON: {source}", path.display())]
    NotJson { path: PathBuf, source: serde_json::Error },
    #[error("{} holds neither an event nor a request: it must be one JSON object", path.display())]
    NotAnEvent { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Call { path: PathBuf, source: CallError },
    #[error("{}: the queue does not take record {index}: {source}", path.display())]
    Send { path: PathBuf, index: usize, source: QueueError },
    #[error("{}: {source}", path.display())]
    Seed { path: PathBuf, source: SeedError },
    #[error("the configuration is not usable: {}", listed(.0))]
    Config(Vec<ConfigError>),
    #[error("nothing can be served on loopback: {0}")]
    Loopback(#[from] io::Error),
    #[error(transparent)]
    Aws(#[from] AwsUnavailable),
    #[error(transparent)]
    Https(#[from] privatelink_detach::alibaba::transport::HttpsUnavailable),
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
            screen.fault(&format!("local: {failure}"));
            failure.status()
        }
    }
}

/// One thread, like the function's own process.
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
    let stage = Stage::set(arguments.is_live, &seed).await?;
    let mut play = Play::new(inputs);

    play.introduce(&stage, screen);
    play.send(&stage, screen).await?;
    if arguments.is_live && play.requests() > 0 {
        play.warn(screen);
        screen
            .line(&format!("The first call goes out in {} s. Ctrl-C stops it.\n", SECOND_THOUGHTS.as_secs()));
        let clock = Clock::start();
        clock.sleep_until(clock.now() + SECOND_THOUGHTS).await;
    }

    let timeline = Arc::new(Timeline::new(screen, play.requests(), play.widths()));
    let lines =
        tracing_subscriber::registry().with(level().filter()).with(Listener::new(Arc::clone(&timeline)));
    // Nothing else in this process sets one.
    let _ = tracing::subscriber::set_global_default(lines);
    tokio::select! {
        ended = play.run(&stage, &timeline) => ended?,
        never = timeline.keep_moving() => match never {},
    }
    timeline.end();
    Ok(summary::show(&stage, &play, screen))
}

/// Every look is told, and the timeline keeps those that show something new.
fn level() -> Level {
    Level::parse("debug").unwrap_or_default()
}

/// A file of the checkout that this example was built in, whatever directory it runs in; by its short name if that
/// leads there.
fn of_this_project(path: &str) -> PathBuf {
    let short = PathBuf::from(path);
    if short.exists() { short } else { Path::new(env!("CARGO_MANIFEST_DIR")).join(path) }
}
