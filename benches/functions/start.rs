//! From the start of a process to its first request for an invocation.

use std::io;

use crate::account::Account;
use crate::process::{Process, Program};
use crate::targets::Targets;
use crate::times::{Values, digits};

/// Starts of each program. With fewer, medians vary between runs on a busy machine.
const RUNS: usize = 51;

/// The peer starts only in every fifth turn, because one of its starts takes as long as hundreds of the others.
const PEER_EVERY: usize = 5;

const PROGRAMS: [Program; 7] = [
    Program::Bare,
    Program::Worker,
    Program::WorkerWithSecret,
    Program::Intake,
    Program::IntakeWithChat,
    Program::Sweeper,
    Program::Peer,
];

/// The longest start of a program, as a multiple of the bare function's: 1.5 for the two functions that every deployment
/// has, as the template configures them by default.
fn limit(program: Program) -> f64 {
    if matches!(program, Program::Worker | Program::Intake) { 1.5 } else { 2.5 }
}

/// Starts each program in turn, and prints a line for each.
pub(crate) async fn measure(targets: &mut Targets) -> io::Result<()> {
    let account = Account::start().await?;
    let mut starts = [const { Vec::new() }; PROGRAMS.len()];
    for run in 0..RUNS {
        for (program, starts) in PROGRAMS.into_iter().zip(&mut starts) {
            if program != Program::Peer || run % PEER_EVERY == 0 {
                starts.push(Process::start(program, &account).await?.start);
            }
        }
    }
    println!(
        "Start of the process to its first request for an invocation, which includes reading secrets.\n"
    );
    println!("| | runs | median (middle half), ms | relative to bare | peer relative to this |");
    println!("| --- | --- | --- | --- | --- |");
    let medians = starts.each_ref().map(|starts| Values::times(starts).median());
    let [bare, .., peer] = medians;
    for ((program, starts), median) in PROGRAMS.into_iter().zip(&starts).zip(medians) {
        let [to_bare, of_peer] = [median / bare, peer / median];
        println!(
            "| {} | {} | {} | {} | {} |",
            program.name(),
            starts.len(),
            Values::times(starts).cell(),
            digits(to_bare),
            digits(of_peer)
        );
        if !matches!(program, Program::Bare | Program::Peer) {
            targets.at_most(limit(program), &format!("start, {} to bare", program.name()), to_bare);
            targets.at_least(100.0, &format!("start, peer to {}", program.name()), of_peer);
        }
    }
    Ok(())
}
