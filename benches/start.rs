//! From the start of a process to its first request for work, and the size of the programs.

use std::fs;
use std::io;

use crate::account::Account;
use crate::process::{Process, Program};
use crate::times::Times;

/// Starts of each program. Medians of fewer differ from run to run on a busy machine.
const RUNS: usize = 51;

const PROGRAMS: [Program; 4] = [Program::Worker, Program::WorkerWithSecret, Program::Intake, Program::Bare];

/// Starts each program in turn, and prints a line for each.
pub(crate) async fn measure() -> io::Result<()> {
    let account = Account::start().await?;
    let mut starts = [const { Vec::new() }; 4];
    for _ in 0..RUNS {
        for (program, starts) in PROGRAMS.into_iter().zip(&mut starts) {
            starts.push(Process::start(program, &account).await?.start);
        }
    }
    let starts = starts.map(Times::new);
    let [worker, with_secret, intake, bare] = [0, 1, 2, 3].map(|program| starts[program].percentile(50));
    println!("Start to first request for work; the intake's contains the reading of its secrets.");
    println!("{:<24} {:>10} {:>12} {:>22}", "", "binary", "median", "middle half of runs");
    for (program, starts) in PROGRAMS.into_iter().zip(&starts) {
        let kib = fs::metadata(program.path())?.len() / 1024;
        let [low, median, high] = [25, 50, 75].map(|percentage| starts.percentile(percentage));
        println!("{:<24} {kib:>6} KiB {median:>9.2} ms {low:>11.2} to {high:.2} ms", program.name());
    }
    println!(
        "worker {:.2}, with a secret {:.2}, intake {:.2} times the bare runtime's, medians of {RUNS} runs each",
        worker / bare,
        with_secret / bare,
        intake / bare
    );
    Ok(())
}
