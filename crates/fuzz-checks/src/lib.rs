//! What every parser of untrusted bytes guarantees, for any input: one check for each target of the fuzzer. The fuzzer
//! under `fuzz/` runs them on generated inputs, the test `tests/fuzz` on the inputs that were kept.
//!
//! A check runs the code that production runs: a payload through the handler, a response through the client. It
//! compares the result with the contract, and where possible with a second parser of the same bytes.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a check fails by panicking"
)]

mod alibaba;
mod aws;
mod chat;
mod config;
mod fault;
mod intake;
mod keys;
mod memory;
mod message;
mod pages;
mod request;
mod services;
mod sts;
mod sweep;
mod text;
mod virtual_time;
mod worker;

/// A parser, or several that parse the same kind of bytes.
pub struct Target {
    /// The name of its program, its corpus and its dictionary.
    pub name: &'static str,
    check: fn(&[u8]),
}

pub const TARGETS: [Target; 22] = [
    Target { name: "alibaba_answer", check: alibaba::check },
    Target { name: "alibaba_error", check: fault::check },
    Target { name: "alibaba_identity", check: services::check_identity },
    Target { name: "alibaba_pages", check: pages::check },
    Target { name: "alibaba_security_groups", check: services::check_security_groups },
    Target { name: "alibaba_session", check: sts::check },
    Target { name: "chat_call", check: chat::slack::check_call },
    Target { name: "chat_command", check: chat::check_command },
    Target { name: "chat_dingtalk", check: chat::dingtalk::check_call },
    Target { name: "chat_dingtalk_response", check: chat::dingtalk::check_response },
    Target { name: "chat_feishu", check: chat::feishu::check_call },
    Target { name: "chat_feishu_response", check: chat::feishu::check_response },
    Target { name: "chat_notice", check: chat::check_notice },
    Target { name: "chat_response", check: chat::slack::check_response },
    Target { name: "configuration", check: config::check },
    Target { name: "intake_payload", check: intake::check_payload },
    Target { name: "request", check: request::check },
    Target { name: "secrets", check: keys::check },
    Target { name: "sweep_request", check: sweep::check },
    Target { name: "webhook", check: intake::check_call },
    Target { name: "worker_batch", check: worker::check_batch },
    Target { name: "worker_payload", check: worker::check_payload },
];

/// Checks the target's parser with these bytes.
pub fn check(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    memory::warm_up(|| (target.check)(&[]));
    (target.check)(input);
}
