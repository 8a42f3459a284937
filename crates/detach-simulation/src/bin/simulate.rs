//! Searches for a broken guarantee: in random histories, at every crash point, and for every fault. `make simulate`
//! runs it; `docs/reliability.md` describes it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is its purpose")]

use std::num::NonZero;
use std::process::ExitCode;
use std::thread;

use detach_simulation::campaign::Subject;
use detach_simulation::history::Trace;
use detach_simulation::{campaign, crashes, log, matrix};

/// The number of histories if the command names none.
const HISTORIES: u64 = 10_000;

const USAGE: &str = "usage: simulate all [HISTORIES] | histories FIRST_SEED HISTORIES | \
     replacements FIRST_SEED SEEDS | sweeps FIRST_SEED HISTORIES | trace SEED | trace-sweeps SEED | crashes | matrix";

/// The check that failed, in one line.
struct Caught(String);

fn main() -> ExitCode {
    log::start_verbose();
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let numbers: Result<Vec<u64>, _> = arguments.map(|argument| argument.parse()).collect();
    let outcome = match (command.as_str(), numbers.as_deref()) {
        ("all", Ok([])) => all(HISTORIES),
        ("all", Ok([count])) => all(*count),
        ("histories", Ok([first, count])) => histories(Subject::Requests, *first, *count),
        ("replacements", Ok([first, count])) => histories(Subject::Replacements, *first, *count),
        ("sweeps", Ok([first, count])) => histories(Subject::Sweeps, *first, *count),
        ("trace", Ok([seed])) => trace(Subject::Requests, *seed),
        ("trace-sweeps", Ok([seed])) => trace(Subject::Sweeps, *seed),
        ("crashes", Ok([])) => crash_points(),
        ("matrix", Ok([])) => fault_matrix(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Caught(by)) => {
            println!("CAUGHT BY {by}");
            ExitCode::FAILURE
        }
    }
}

/// Runs this many histories of requests and half as many of sweeps, then everything else.
fn all(count: u64) -> Result<(), Caught> {
    histories(Subject::Requests, 1, count)?;
    histories(Subject::Sweeps, 1, count / 2)?;
    crash_points()?;
    fault_matrix()
}

fn histories(subject: Subject, first: u64, count: u64) -> Result<(), Caught> {
    let seeds = first..first.saturating_add(count);
    let tally = campaign::run(subject, seeds, threads()).map_err(|failure| {
        let seed = failure.seed;
        let command = match subject {
            Subject::Requests | Subject::Replacements => "make simulate SEED=",
            Subject::Sweeps => "make simulate SWEEP_SEED=",
        };
        println!("{failure}\nto repeat: {command}{seed}");
        Caught(format!("{} (history {seed})", failure.check))
    })?;
    println!("{tally}");
    Ok(())
}

/// Prints one history, also if no guarantee is broken.
fn trace(subject: Subject, seed: u64) -> Result<(), Caught> {
    let history = subject.history(seed);
    println!("{}", Trace(&history));
    history.check().map_err(|breach| Caught(format!("{breach} (history {seed})")))?;
    println!("no guarantee is broken");
    Ok(())
}

fn crash_points() -> Result<(), Caught> {
    println!("{}", crashes::run(threads()).map_err(|failure| caught("crash points", &failure))?);
    Ok(())
}

fn fault_matrix() -> Result<(), Caught> {
    println!("{}", matrix::run(threads()).map_err(|failure| caught("fault matrix", &failure))?);
    Ok(())
}

fn caught(suite: &str, failure: &matrix::Failure) -> Caught {
    println!("{failure}");
    Caught(format!("{suite}: {} ({})", failure.check, failure.case))
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}
