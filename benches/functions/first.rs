//! The first invocation of a process and a warm one, with work that needs no waiting; and both with a small function's
//! share of a processor.

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

/// Processes of each program, which are as many first invocations.
const RUNS: usize = 11;

/// Invocations of a process before the first that counts as warm.
const WARM_UP: usize = 20;

/// Warm invocations of each program, one after the other.
const TURNS: usize = 300;

/// The same with a share: the peer is then held back for ten times as long as it works.
const TURNS_WITH_SHARE: usize = 60;

/// Starts of each program with a share: ten seconds each for the peer.
const STARTS_WITH_SHARE: usize = 5;

/// Before each invocation with a share: longer than a period of it, so that none pays for the one before.
const PAUSE: Duration = Duration::from_millis(25);

/// What one program needed.
#[derive(Default)]
struct Needed {
    first: Asked,
    warm: Asked,
}

/// Times of invocations of one kind.
#[derive(Default)]
struct Asked {
    /// From the invocation to its answer.
    wall: Vec<Duration>,
    /// Of a processor, by the process itself, until it asks for the next.
    processor: Vec<Duration>,
}

/// Prints a table for each kind of work.
pub(crate) async fn measure(targets: &mut Targets) -> io::Result<()> {
    println!(
        "From the invocation to its answer over the runtime API. The servers of both clouds are in it: they run"
    );
    println!("on loopback, in a thread of another process. The time of a processor is the function's own.");
    for work in WORK {
        let needed = run(work, false, TURNS, Duration::ZERO).await?;
        report(work, &needed);
        let [_, worker, peer] = needed.map(|needed| needed.first.medians()[0]);
        let what = format!("the peer's first invocation, times the worker's: {}", work.name());
        targets.at_least(25.0, &what, peer / worker);
    }
    Ok(())
}

/// Prints the same under the share, if there can be one.
pub(crate) async fn measure_with_share(targets: &mut Targets) -> io::Result<()> {
    let account = Account::start().await?;
    if let Err(error) = Process::start(Program::Bare, &account).await?.limit() {
        println!("Not measured with a share of a processor: there can be no control group ({error}).");
        return Ok(());
    }
    println!("With 128/1769 of a processor from the first invocation on; Lambda starts a process with more.");
    for work in WORK {
        let needed = run(work, true, TURNS_WITH_SHARE, PAUSE).await?;
        report(work, &needed);
        let [_, worker, _] = needed.map(|needed| needed.first.medians()[0]);
        targets.at_most(50.0, &format!("first invocation with a share, ms: {}", work.name()), worker);
    }
    println!(
        "\nThe worst case: start to first request for work with that share from the first instruction on.\n"
    );
    println!("| | median (middle half of {STARTS_WITH_SHARE}), ms |\n| --- | --- |");
    let mut starts = [const { Vec::new() }; PROGRAMS.len()];
    for _ in 0..STARTS_WITH_SHARE {
        for (program, starts) in PROGRAMS.into_iter().zip(&mut starts) {
            starts.push(Process::start_with_share(program, &account).await?.start);
        }
    }
    for (program, starts) in PROGRAMS.into_iter().zip(&starts) {
        println!("| {} | {} |", program.name(), Values::times(starts).cell());
    }
    Ok(())
}

/// Fresh processes take turns with their first invocation; those of the last turn go on with warm ones.
async fn run(work: Work, has_share: bool, turns: usize, pause: Duration) -> io::Result<[Needed; 3]> {
    let account = Account::start().await?;
    let mut needed = [const { None }; PROGRAMS.len()].map(|_: Option<()>| Needed::default());
    let mut processes = Vec::new();
    for _ in 0..RUNS {
        processes.clear();
        for (program, needed) in PROGRAMS.into_iter().zip(&mut needed) {
            let mut process = Process::start(program, &account).await?;
            if has_share {
                process.limit()?;
            }
            needed.first.ask(work, &mut process, &account).await?;
            processes.push(process);
        }
    }
    for process in &mut processes {
        for _ in 0..WARM_UP {
            work.give(process, &account).await?;
        }
    }
    for _ in 0..turns {
        for (process, needed) in processes.iter_mut().zip(&mut needed) {
            process.is_idle().await?;
            if !pause.is_zero() {
                sleep(pause).await;
            }
            needed.warm.ask(work, process, &account).await?;
        }
    }
    Ok(needed)
}

impl Asked {
    async fn ask(&mut self, work: Work, process: &mut Process, account: &Account) -> io::Result<()> {
        process.is_idle().await?;
        let before = process.processor_time()?;
        self.wall.push(work.give(process, account).await?);
        process.is_idle().await?;
        self.processor.push(process.processor_time()?.saturating_sub(before));
        Ok(())
    }

    fn cells(&self) -> String {
        [&self.wall, &self.processor].map(|times| Values::times(times).cell()).join(" | ")
    }

    fn medians(&self) -> [f64; 2] {
        [&self.wall, &self.processor].map(|times| Values::times(times).median())
    }
}

fn report(work: Work, needed: &[Needed; 3]) {
    let turns = needed[0].warm.wall.len();
    println!("\n{}; medians (middle half) of {RUNS} first and {turns} warm invocations, ms:\n", work.name());
    println!("| | first | its time of a processor | warm | its time of a processor |");
    println!("| --- | --- | --- | --- | --- |");
    for (program, needed) in PROGRAMS.into_iter().zip(needed) {
        println!("| {} | {} | {} |", program.name(), needed.first.cells(), needed.warm.cells());
    }
    let [_, worker, peer] =
        needed.each_ref().map(|needed| [needed.first.medians(), needed.warm.medians()].concat());
    let ratios: Vec<_> = peer.iter().zip(&worker).map(|(peer, worker)| digits(peer / worker)).collect();
    println!("| the peer's, times the worker's | {} |", ratios.join(" | "));
}
