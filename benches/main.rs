//! What the functions cost, beside the least that a function in Rust can be: `make bench`.
//!
//! Everything runs on this machine and on loopback. The programs take turns, so that whatever else the machine does hits
//! all alike: the ratios hold better than the times.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "it measures")]

mod account;
mod process;
mod share;
mod start;
mod times;
mod webhook;

use std::io;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    start::measure().await?;
    println!();
    webhook::measure().await
}
