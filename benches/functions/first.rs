//! The first invocation of a process and warm ones, with work that does not wait, both with and without the CPU limit
//! of a small function.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

use crate::account::Account;
use crate::process::{Process, Program};
use crate::targets::Targets;
use crate::times::{Values, digits};
use crate::work::Work;

const PROGRAMS: [Program; 3] = [Program::Bare, Program::Worker, Program::Peer];

const WORK: [Work; 2] = [Work::DryRun, Work::AlreadyDetached(1)];

/// Processes of each program, each with one first invocation.
const RUNS: usize = 11;

/// Unmeasured invocations of a process before the warm ones.
const WARM_UP: usize = 20;

/// Warm invocations of each program.
const TURNS: usize = 300;

/// Warm invocations with the CPU limit, under which the peer is suspended ten times as long as it runs.
const TURNS_WITH_LIMIT: usize = 60;

/// Starts of each program with the CPU limit. Each start of the peer takes ten seconds.
const STARTS_WITH_LIMIT: usize = 5;

/// The pause before each invocation with the CPU limit: longer than its period, so that invocations do not affect each
/// other.
const PAUSE: Duration = Duration::from_millis(25);

/// The measurements of one program.
#[derive(Default)]
struct Measured {
    first: Times,
    warm: Times,
}

/// The times of invocations.
#[derive(Default)]
struct Times {
    /// From the invocation to its response.
    wall: Vec<Duration>,
    /// CPU time of the process until it requests the next invocation.
    cpu: Vec<Duration>,
}

/// Prints a table for each kind of work.
pub(crate) async fn measure(targets: &mut Targets) -> io::Result<()> {
    println!(
        "From the invocation to its response over the Runtime API. The servers of both clouds run on loopback, in a"
    );
    println!("thread of another process, and their time is included. CPU time is that of the function only.");
    for work in WORK {
        let measured = run(work, false, TURNS, Duration::ZERO).await?;
        report(work, &measured);
        let [_, worker, peer] = measured.map(|measured| measured.first.medians()[0]);
        let what = format!("first invocation, peer to worker: {}", work.name());
        targets.at_least(25.0, &what, peer / worker);
    }
    Ok(())
}

/// Prints the same tables with the CPU limit, if this machine supports it.
pub(crate) async fn measure_with_limit(targets: &mut Targets) -> io::Result<()> {
    let account = Account::start().await?;
    if let Err(error) = Process::start(Program::Bare, &account).await?.limit() {
        println!("Not measured with the CPU limit: a control group cannot be created ({error}).");
        return Ok(());
    }
    println!("With 128/1769 of a CPU from the first invocation on. Lambda starts a process with more.");
    for work in WORK {
        let measured = run(work, true, TURNS_WITH_LIMIT, PAUSE).await?;
        report(work, &measured);
        let [_, worker, _] = measured.map(|measured| measured.first.medians()[0]);
        targets.at_most(50.0, &format!("first invocation with the CPU limit, ms: {}", work.name()), worker);
    }
    println!(
        "\nThe worst case: start to first request for an invocation, with that limit from the start of the process.\n"
    );
    println!("| | median (middle half of {STARTS_WITH_LIMIT}), ms |\n| --- | --- |");
    let mut starts = [const { Vec::new() }; PROGRAMS.len()];
    for _ in 0..STARTS_WITH_LIMIT {
        for (program, starts) in PROGRAMS.into_iter().zip(&mut starts) {
            starts.push(Process::start_with_limit(program, &account).await?.start);
        }
    }
    for (program, starts) in PROGRAMS.into_iter().zip(&starts) {
        println!("| {} | {} |", program.name(), Values::times(starts).cell());
    }
    Ok(())
}

/// New processes of all programs make their first invocations in turn. The last of them continue with warm ones.
async fn run(work: Work, is_limited: bool, turns: usize, pause: Duration) -> io::Result<[Measured; 3]> {
    let account = Account::start().await?;
    let mut measured = [const { None }; PROGRAMS.len()].map(|_: Option<()>| Measured::default());
    let mut processes = Vec::new();
    for _ in 0..RUNS {
        processes.clear();
        for (program, measured) in PROGRAMS.into_iter().zip(&mut measured) {
            let mut process = Process::start(program, &account).await?;
            if is_limited {
                process.limit()?;
            }
            measured.first.measure(work, &mut process, &account).await?;
            processes.push(process);
        }
    }
    for process in &mut processes {
        for _ in 0..WARM_UP {
            work.run(process, &account).await?;
        }
    }
    for _ in 0..turns {
        for (process, measured) in processes.iter_mut().zip(&mut measured) {
            process.is_idle().await?;
            if !pause.is_zero() {
                sleep(pause).await;
            }
            measured.warm.measure(work, process, &account).await?;
        }
    }
    Ok(measured)
}

impl Times {
    async fn measure(&mut self, work: Work, process: &mut Process, account: &Account) -> io::Result<()> {
        process.is_idle().await?;
        let before = process.cpu_time()?;
        self.wall.push(work.run(process, account).await?);
        process.is_idle().await?;
        self.cpu.push(process.cpu_time()?.saturating_sub(before));
        Ok(())
    }

    fn cells(&self) -> String {
        [&self.wall, &self.cpu].map(|times| Values::times(times).cell()).join(" | ")
    }

    fn medians(&self) -> [f64; 2] {
        [&self.wall, &self.cpu].map(|times| Values::times(times).median())
    }
}

fn report(work: Work, measured: &[Measured; 3]) {
    let turns = measured[0].warm.wall.len();
    println!("\n{}; medians (middle half) of {RUNS} first and {turns} warm invocations, ms:\n", work.name());
    println!("| | first | CPU time | warm | CPU time |");
    println!("| --- | --- | --- | --- | --- |");
    for (program, measured) in PROGRAMS.into_iter().zip(measured) {
        println!("| {} | {} | {} |", program.name(), measured.first.cells(), measured.warm.cells());
    }
    let [_, worker, peer] =
        measured.each_ref().map(|measured| [measured.first.medians(), measured.warm.medians()].concat());
    let ratios: Vec<_> = peer.iter().zip(&worker).map(|(peer, worker)| digits(peer / worker)).collect();
    println!("| peer to worker | {} |", ratios.join(" | "));
}
