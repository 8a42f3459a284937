//! What the functions cost, beside the least that a function in Rust can be and beside the same job in Python: `make bench`.
//!
//! Everything runs on this machine and on loopback. The programs take turns, so that whatever else the machine does hits
//! all alike: the ratios hold better than the times. Every time is a median with the middle half of the runs behind it.
//!
//! It runs all of its parts, or those that are named: `start`, `size`, `first`, `share`, `memory`, `detach`, `webhook`.
//! `PEER_PYTHON` names the Python that has `benches/peer/requirements.txt` installed.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "it measures")]

mod account;
mod detach;
mod first;
mod memory;
mod peer;
mod process;
mod share;
mod size;
mod start;
mod targets;
mod times;
mod webhook;
mod work;

use std::io;
use std::time::Instant;

use targets::Targets;

const PARTS: [&str; 7] = ["start", "size", "first", "share", "memory", "detach", "webhook"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    // Cargo itself adds an option.
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let Some(unknown) = named.iter().find(|name| !PARTS.contains(&name.as_str())) {
        return Err(io::Error::other(format!("there is no part {unknown:?}, but {}", PARTS.join(", "))));
    }
    peer::prepare()?;
    let mut targets = Targets::default();
    for part in PARTS.into_iter().filter(|part| named.is_empty() || named.iter().any(|name| name == part)) {
        let began = Instant::now();
        match part {
            "start" => start::measure(&mut targets).await?,
            "size" => size::measure(&mut targets)?,
            "first" => first::measure(&mut targets).await?,
            "share" => first::measure_with_share(&mut targets).await?,
            "memory" => memory::measure(&mut targets).await?,
            "detach" => detach::measure().await?,
            _ => webhook::measure().await?,
        }
        println!("\n({part}: {} s)\n", began.elapsed().as_secs());
    }
    targets.print();
    Ok(())
}
