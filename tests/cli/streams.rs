//! Standard streams that cannot be written: the program ends with a status of its own and completes its detaches.

use std::fs::{File, OpenOptions};

use serde_json::Value;

use crate::program::{Ended, command, run, wait};
use crate::simulation::{REGION, Simulation, endpoint};

/// A file on a full disk.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

fn detach(simulation: &Simulation) -> std::process::Command {
    simulation.command(&["detach", "sg-a", "ep-a", "--region", REGION, "--yes", "-o", "json"])
}

#[test]
fn detach_is_completed_although_standard_error_cannot_be_written() {
    let simulation = Simulation::of(vec![endpoint("ep-a", ["sg-a", "sg-b"])]);
    let child = detach(&simulation).stdout(std::process::Stdio::piped()).stderr(full()).spawn().unwrap();
    let ended = wait(child);
    let detail: Value = ended.json();
    assert_eq!((ended.status, &detail["outcome"]), (0, &"detached".into()), "{ended:?}");
    assert_eq!(simulation.groups("ep-a"), ["sg-b"]);
}

#[test]
fn data_that_cannot_be_written_is_an_error() {
    let simulation = Simulation::of(vec![endpoint("ep-a", ["sg-a", "sg-b"])]);
    let end = |command: &mut std::process::Command| -> Ended {
        wait(command.stdout(full()).stderr(std::process::Stdio::piped()).spawn().unwrap())
    };
    for command in [
        &mut detach(&simulation),
        &mut simulation.command(&["find", "sg-b", "--region", REGION]),
        &mut simulation.command(&["doctor", "--region", REGION]),
        &mut command(&["completion", "bash"]),
    ] {
        let ended = end(command);
        assert_eq!(ended.status, 1, "{command:?} {ended:?}");
        assert!(
            ended.stderr.contains("cannot write to standard output: No space left"),
            "{command:?} {ended:?}"
        );
    }
    let ended = run(&mut detach(&simulation));
    assert_eq!(ended.json()["outcome"], "already_detached", "{ended:?}");
}
