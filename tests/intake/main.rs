//! Tests of the intake program, started as Lambda starts it: HTTP calls to a local Function URL, a local runtime API, and
//! local SQS and Secrets Manager behind it.

#![expect(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "tests measure time and set timeouts with the system clock")]

mod chat;
mod deployment;
mod dingtalk;
mod events;
mod feishu;
mod in_process;
mod openapi;
mod platforms;
mod process;
mod queue;
mod random_calls;
mod samples;
mod secrets;
mod signatures;
mod slack;
mod webhooks;
