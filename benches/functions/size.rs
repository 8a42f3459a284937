//! The sizes of the deployment packages.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::peer;
use crate::process::Program;
use crate::targets::Targets;
use crate::times::digits;

/// A Python program that zips files and prints the sizes.
const PACKAGE: &str = include_str!("../peer/package.py");

/// The target for the zip file of a function.
const ZIP_MIB_MAX: f64 = 5.0;

const MIB: f64 = 1024.0 * 1024.0;

/// The size of a package, in bytes.
#[derive(Deserialize)]
struct Size {
    unpacked: f64,
    zip: f64,
}

/// The peer's package, with and without the SDK that the managed runtime includes.
#[derive(Deserialize)]
struct PeerSizes {
    with_boto3: Size,
    without_boto3: Size,
}

/// Prints a line for each package.
pub(crate) fn measure(targets: &mut Targets) -> io::Result<()> {
    println!("Packages, built for this machine:\n");
    println!("| | unpacked, MiB | zip, MiB |\n| --- | --- | --- |");
    for program in [Program::Bare, Program::Worker, Program::Intake, Program::Sweeper] {
        let bootstrap = peer::package().with_file_name("bootstrap");
        fs::copy(program.path()?, &bootstrap)?;
        let size: Size = package(&["file", &bootstrap.to_string_lossy()])?;
        print(program.name(), &size);
        if program != Program::Bare {
            targets.at_most(ZIP_MIB_MAX, &format!("zip of the {}, MiB", program.name()), size.zip / MIB);
        }
    }
    let handler = peer::package().join("handler.py");
    let peer: PeerSizes = package(&["peer", &handler.to_string_lossy()])?;
    print("peer, with the boto3 of the managed runtime", &peer.without_boto3);
    print("peer, with its own boto3, as AWS recommends", &peer.with_boto3);
    Ok(())
}

fn package<T: for<'de> Deserialize<'de>>(arguments: &[&str]) -> io::Result<T> {
    let zip = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package.zip");
    let output = Command::new(peer::python()?).args(["-c", PACKAGE]).arg(&zip).args(arguments).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn print(name: &str, size: &Size) {
    println!("| {name} | {} | {} |", digits(size.unpacked / MIB), digits(size.zip / MIB));
}
