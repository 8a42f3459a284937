//! Work that does not wait for Alibaba Cloud: its payload and the check of its result.

use std::io;
use std::time::Duration;

use crate::account::{Account, Job};
use crate::process::{Process, Program};

/// The kind of an invocation.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// A direct invocation with a dry run: the reads, the dry run and the event.
    DryRun,
    /// A batch of this many messages, each for a group that its endpoint does not have: for each, the two reads that
    /// confirm it, and the event.
    AlreadyDetached(usize),
}

impl Work {
    pub(crate) fn name(self) -> String {
        match self {
            Self::DryRun => "a dry run, invoked directly".to_owned(),
            Self::AlreadyDetached(messages) => format!("an already detached group, a batch of {messages}"),
        }
    }

    /// Invokes the process once, checks the result and returns the time. The bare runtime must return its payload.
    pub(crate) async fn run(self, process: &mut Process, account: &Account) -> io::Result<Duration> {
        let (payload, batch) = match self {
            Self::DryRun => (account.request(Job::DryRun, 0), Vec::new()),
            Self::AlreadyDetached(messages) => account.batch(Job::AlreadyDetached, messages)?,
        };
        let before = account.events();
        let (response, took) = process.invoke(&payload).await?;
        match self {
            _ if process.program == Program::Bare => {
                check(response == payload, "the bare runtime did not return its payload")?;
                return Ok(took);
            }
            Self::DryRun => check(response["outcome"] == "dry_run_passed", "a dry run did not pass")?,
            Self::AlreadyDetached(_) => {
                account.check_batch(&batch, &response, "already_detached")?;
            }
        }
        check(account.events() == before + batch.len().max(1), "a request does not have exactly one event")?;
        Ok(took)
    }
}

pub(crate) fn check(is_true: bool, message: &'static str) -> io::Result<()> {
    if is_true { Ok(()) } else { Err(io::Error::other(message)) }
}
