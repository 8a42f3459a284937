//! What every parser of outside bytes promises, whatever the bytes are: one check for each target of the fuzzer. The
//! fuzzer under `fuzz/` runs them on what it makes up, the test beside this folder on what was kept of that.
//!
//! A check takes the way that production takes: a payload through the handler, an answer through the client. What comes
//! out is held against the contract, and where that is possible against a second reading of the same bytes.

mod alibaba;
mod aws;
mod config;
mod fault;
mod intake;
mod keys;
mod memory;
mod message;
mod pages;
mod request;
mod sts;
mod text;
mod virtual_time;
mod worker;

/// A parser, or several that read the same kind of bytes.
pub struct Target {
    /// The name of its program, its corpus and its dictionary.
    pub name: &'static str,
    check: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 11] = [
    Target { name: "alibaba_answer", check: alibaba::check },
    Target { name: "alibaba_error", check: fault::check },
    Target { name: "alibaba_pages", check: pages::check },
    Target { name: "alibaba_session", check: sts::check },
    Target { name: "configuration", check: config::check },
    Target { name: "intake_payload", check: intake::check_payload },
    Target { name: "request", check: request::check },
    Target { name: "secrets", check: keys::check },
    Target { name: "webhook", check: intake::check_call },
    Target { name: "worker_batch", check: worker::check_batch },
    Target { name: "worker_payload", check: worker::check_payload },
];

/// Panics if these bytes make the target's parser break a promise.
pub fn hold(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    memory::warm_up(|| (target.check)(&[]));
    (target.check)(input);
}
