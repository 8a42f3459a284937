//! The exit status.

use std::process::ExitCode;

use crate::detach::Outcome;

/// How a command ended, ordered by importance: if there are several results, the first one decides the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// Ctrl-C.
    Interrupted,
    /// The command line, a variable or a file is not valid. Nothing was called.
    Usage,
    /// There are no credentials, or Alibaba Cloud rejects them.
    Credentials,
    /// Refused, rejected, incomplete, no endpoints, over the limit, not confirmed by the operator, or a call that failed.
    Refused,
    /// Not confirmed before the timeout.
    Unconfirmed,
    /// Endpoints still use the group.
    ReferencesRemain,
    /// Confirmed, nothing to do, or a plan was written.
    Success,
}

impl Exit {
    /// The status of several results; success if there are none.
    pub fn of_all(results: impl IntoIterator<Item = Self>) -> Self {
        results.into_iter().min().unwrap_or(Self::Success)
    }

    /// The number that the process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Unconfirmed => 3,
            Self::Credentials => 4,
            Self::ReferencesRemain => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<&Outcome> for Exit {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Detached | Outcome::AlreadyDetached | Outcome::DryRunPassed | Outcome::EndpointGone => {
                Self::Success
            }
            Outcome::Refused(_) | Outcome::Rejected(_) => Self::Refused,
            Outcome::Unconfirmed(_) => Self::Unconfirmed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_important_result_is_the_status() {
        let order = [130, 2, 4, 1, 3, 5, 0];
        let mut all = [
            Exit::Success,
            Exit::Refused,
            Exit::Usage,
            Exit::Unconfirmed,
            Exit::Credentials,
            Exit::ReferencesRemain,
            Exit::Interrupted,
        ];
        all.sort_unstable();
        assert_eq!(all.map(Exit::code), order);
        for n in 0..all.len() {
            assert_eq!(Exit::of_all(all[n..].iter().rev().copied()), all[n]);
        }
        assert_eq!(Exit::of_all([]), Exit::Success);
    }
}
