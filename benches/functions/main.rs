//! The cost of the functions, compared with a minimal function in Rust and with a Python implementation: `make bench`.
//!
//! Everything runs on this machine and on loopback. The programs run in turn, so that other load on the machine affects
//! all of them: the ratios are more stable than the times. Every time is a median, followed by the middle half of the
//! runs.
//!
//! It runs all parts, or those in the arguments: `start`, `size`, `first`, `share`, `memory`, `detach`,
//! `webhook`, `chat`.
//! `PEER_PYTHON` is the path of a Python with the packages of `tools/requirements/peer.txt`.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "it measures")]

mod account;
mod chat;
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

const PARTS: [&str; 8] = ["start", "size", "first", "share", "memory", "detach", "webhook", "chat"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    // Cargo adds an option.
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if let Some(unknown) = named.iter().find(|name| !PARTS.contains(&name.as_str())) {
        return Err(io::Error::other(format!(
            "unknown part {unknown:?}; the parts are {}",
            PARTS.join(", ")
        )));
    }
    peer::prepare()?;
    let mut targets = Targets::default();
    for part in PARTS.into_iter().filter(|part| named.is_empty() || named.iter().any(|name| name == part)) {
        let began = Instant::now();
        match part {
            "start" => start::measure(&mut targets).await?,
            "size" => size::measure(&mut targets)?,
            "first" => first::measure(&mut targets).await?,
            "share" => first::measure_with_limit(&mut targets).await?,
            "memory" => memory::measure(&mut targets).await?,
            "detach" => detach::measure().await?,
            "webhook" => webhook::measure(&mut targets).await?,
            _ => chat::measure(&mut targets).await?,
        }
        println!("\n({part}: {} s)\n", began.elapsed().as_secs());
    }
    targets.print();
    Ok(())
}
