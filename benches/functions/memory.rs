//! Peak memory of each program after each step, and the worker's memory over many requests.

use std::io;
use std::time::Duration;

use crate::account::{Account, BATCH, Job};
use crate::process::{Process, Program};
use crate::targets::Targets;
use crate::times::{Values, digits};
use crate::work::Work;

const PROGRAMS: [Program; 3] = [Program::Bare, Program::Worker, Program::Peer];

/// Processes of each program. Memory differs little from run to run.
const RUNS: usize = 3;

/// Warm invocations before the third reading: fewer than a worker may start per minute.
const WARM: usize = 400;

/// The steps. The peak is read after each of them.
const STEPS: [&str; 4] =
    ["the start", "the first invocation", "400 warm invocations", "a batch of ten detaches"];

/// The time that a detach takes. It does not affect the peak, so it is short.
const DETACH_TAKES: Duration = Duration::from_secs(2);

/// The numbers of requests after which the worker's memory is read.
const REQUESTS: [usize; 4] = [1000, 2000, 5000, 10_000];

/// Prints a table for each.
pub(crate) async fn measure(targets: &mut Targets) -> io::Result<()> {
    let mut peaks = [const { [const { Vec::new() }; STEPS.len()] }; PROGRAMS.len()];
    for _ in 0..RUNS {
        for (program, peaks) in PROGRAMS.into_iter().zip(&mut peaks) {
            for (peak, peaks) in peaks_of(program).await?.into_iter().zip(peaks) {
                peaks.push(peak);
            }
        }
    }
    println!("Peak resident memory of the process (VmHWM), MiB, after");
    println!("\n| | {} |\n| --- | --- | --- | --- | --- |", STEPS.join(" | "));
    let medians = peaks.map(|of_program| of_program.map(Values::new));
    for (program, steps) in PROGRAMS.into_iter().zip(&medians) {
        println!("| {} | {} |", program.name(), steps.each_ref().map(Values::cell).join(" | "));
    }
    let [_, worker, peer] = medians;
    let ratio = |step: usize| peer[step].median() / worker[step].median();
    println!("| peer to worker | {} |", [0, 1, 2, 3].map(|step| digits(ratio(step))).join(" | "));
    targets.at_least(6.0, "peak memory after all steps, peer to worker", ratio(STEPS.len() - 1));
    flat(targets).await
}

async fn peaks_of(program: Program) -> io::Result<[f64; 4]> {
    let account = Account::start().await?;
    let mut process = Process::start(program, &account).await?;
    let after_start = process.memory()?.peak;
    let work = Work::AlreadyDetached(1);
    work.run(&mut process, &account).await?;
    let after_first = process.memory()?.peak;
    for _ in 0..WARM {
        work.run(&mut process, &account).await?;
    }
    let after_warm = process.memory()?.peak;
    account.attach(DETACH_TAKES);
    let (payload, batch) = account.batch(Job::Detach, BATCH)?;
    let (response, _) = process.invoke(&payload).await?;
    if program != Program::Bare {
        account.check_batch(&batch, &response, "detached")?;
    }
    Ok([after_start, after_first, after_warm, process.memory()?.peak])
}

/// The worker's memory over ten thousand requests, in batches of ten lanes.
async fn flat(targets: &mut Targets) -> io::Result<()> {
    let account = Account::for_requests(REQUESTS[REQUESTS.len() - 1]).await?;
    let mut process = Process::start(Program::Worker, &account).await?;
    println!(
        "\nThe worker's memory in one process, in batches of ten lanes, all groups already detached, MiB:\n"
    );
    println!("| requests | resident (VmRSS) | peak (VmHWM) |\n| --- | --- | --- |");
    let mut requests = 0;
    let mut resident = Vec::new();
    for until in REQUESTS {
        while requests < until {
            Work::AlreadyDetached(BATCH).run(&mut process, &account).await?;
            requests += BATCH;
        }
        let memory = process.memory()?;
        println!("| {requests} | {:.2} | {:.2} |", memory.now, memory.peak);
        resident.push(memory.now);
    }
    let growth = resident[REQUESTS.len() - 1] / resident[0];
    targets.at_most(1.05, "the worker's memory, after 10,000 requests to after 1,000", growth);
    Ok(())
}
