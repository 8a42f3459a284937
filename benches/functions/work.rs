//! Work that needs no waiting: what is asked, and that it was done.

use std::io;
use std::time::Duration;

use crate::account::{Account, Job};
use crate::process::{Process, Program};

/// What a process is invoked with.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// A direct invocation that asks for a dry run: a look, the dry run and the event.
    DryRun,
    /// A batch of so many messages, each asking to take a group off an endpoint that does not have it: the two reads that
    /// prove it, and the event, for each.
    AlreadyDetached(usize),
}

impl Work {
    pub(crate) fn name(self) -> String {
        match self {
            Self::DryRun => "a dry run, invoked directly".to_owned(),
            Self::AlreadyDetached(messages) => format!("an already detached group, a batch of {messages}"),
        }
    }

    /// Has it done once, checks that it was done, and tells how long that took. The bare runtime's work is to answer with
    /// the same payload.
    pub(crate) async fn give(self, process: &mut Process, account: &Account) -> io::Result<Duration> {
        let (payload, batch) = match self {
            Self::DryRun => (account.request(Job::DryRun, 0), Vec::new()),
            Self::AlreadyDetached(messages) => account.batch(Job::AlreadyDetached, messages)?,
        };
        let before = account.events();
        let (answer, took) = process.invoke(&payload).await?;
        match self {
            _ if process.program == Program::Bare => {
                check(answer == payload, "the bare runtime did not answer with its payload")?;
                return Ok(took);
            }
            Self::DryRun => check(answer["outcome"] == "dry_run_passed", "a dry run did not pass")?,
            Self::AlreadyDetached(_) => {
                account.check_batch(&batch, &answer, "already_detached")?;
            }
        }
        check(account.events() == before + batch.len().max(1), "not one event for each request")?;
        Ok(took)
    }
}

pub(crate) fn check(holds: bool, otherwise: &'static str) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::other(otherwise)) }
}
