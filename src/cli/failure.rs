//! Why a command ended without a result of its own.

use std::io;

use thiserror::Error;

use super::credentials::Unusable;
use super::exit::Exit;
use super::plan_file::PlanFileError;
use crate::config::ConfigError;
use crate::transport::HttpsUnavailable;

/// A command that could not begin or be carried out.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// An argument, a variable or a file is not valid.
    #[error("{0}")]
    Usage(String),
    #[error("the environment is not valid: {}", listed(.0))]
    Environment(Vec<ConfigError>),
    /// No credentials were found, or they cannot be used. It says what to do.
    #[error("{0}")]
    Credentials(String),
    /// The same, with the advice in a field of its own.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// Alibaba Cloud did not carry out a call that the command needs.
    #[error("{0}")]
    Call(String),
    /// The plan, or what was read for it, does not allow the command.
    #[error("{0}")]
    Refused(String),
    /// The operator's answer was no.
    #[error("nothing was detached")]
    Declined,
    /// Ctrl-C, before anything was requested.
    #[error("interrupted; no detach was requested")]
    Interrupted,
    #[error(transparent)]
    PlanFile(#[from] PlanFileError),
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
    #[error(transparent)]
    Https(#[from] HttpsUnavailable),
    #[error("the program could not start: {0}")]
    Runtime(#[source] io::Error),
}

impl Failure {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Environment(_) => Exit::Usage,
            Self::Credentials(_) | Self::Unusable(_) => Exit::Credentials,
            Self::PlanFile(error) => error.exit(),
            Self::Call(_)
            | Self::Refused(_)
            | Self::Declined
            | Self::Output(_)
            | Self::Https(_)
            | Self::Runtime(_) => Exit::Refused,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

fn listed(errors: &[ConfigError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
