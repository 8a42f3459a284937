//! The plan file: what `plan` read, for review and for `apply`.
//!
//! `docs/plan.schema.json` describes the file. Its parser is strict: a plan that was cut off or changed by mistake must
//! not be carried out.

mod document;
mod fields;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use thiserror::Error;

use super::exit::Exit;
use crate::alibaba::privatelink::EndpointFilter;
use crate::clock::calendar;
use crate::sweep::{Plan, Reference, Verdict};
use fields::FieldError;

/// The greatest age of a plan that is carried out: the endpoints may have changed since the review.
const AGE_MAX: Duration = Duration::from_hours(24);

/// How far a plan may be in the future: clocks of two machines differ.
const AHEAD_MAX: Duration = Duration::from_mins(5);

/// Maximum size of a plan file: more than a hundred thousand references.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A plan, with the account, the filter and the limit that it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlanFile {
    /// The number of the account whose credentials read it.
    pub(super) account_id: String,
    /// The identity that read it.
    pub(super) arn: String,
    /// Which endpoints were read.
    pub(super) filter: EndpointFilter,
    /// The most detaches that may be requested.
    pub(super) max_detaches: u32,
    /// Complete: every endpoint of the scope was read.
    pub(super) plan: Plan,
}

/// Why a plan file cannot be used.
#[derive(Debug, Error)]
pub(super) enum PlanFileError {
    #[error("{} exists already; `plan` does not overwrite a file", .0.display())]
    Exists(PathBuf),
    #[error("{} cannot be created: {source}", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("{} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is too large to be a plan", .0.display())]
    TooLarge(PathBuf),
    /// Not JSON, cut off, or not a plan.
    #[error("{} is not a valid plan: {source}", path.display())]
    Invalid { path: PathBuf, source: FieldError },
}

/// Why the age of a plan does not allow it to be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum AgeError {
    #[error("the plan is older than 24 hours (completed at {0}): make a new one with `plan`")]
    TooOld(String),
    #[error("the plan was completed at {0}, which is in the future: check this machine's clock")]
    FromTheFuture(String),
}

impl PlanFileError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            // The endpoints were read before.
            Self::Write { .. } => Exit::Refused,
            Self::Exists(_)
            | Self::Create { .. }
            | Self::Read { .. }
            | Self::TooLarge(_)
            | Self::Invalid { .. } => Exit::Usage,
        }
    }
}

impl PlanFile {
    pub(super) fn verdict(&self) -> Verdict {
        self.plan.verdict(Some(self.max_detaches))
    }

    /// The references that may be detached.
    pub(super) fn requestable(&self) -> impl Iterator<Item = &Reference> {
        self.plan.references.iter().filter(|reference| reference.blocked_by.is_none())
    }

    /// The references that may not be detached.
    pub(super) fn blocked(&self) -> impl Iterator<Item = &Reference> {
        self.plan.references.iter().filter(|reference| reference.blocked_by.is_some())
    }

    /// Whether the plan may be carried out at that time, as far as its age says.
    pub(super) fn check_age(&self, now: SystemTime) -> Result<(), AgeError> {
        let completed_at = self.plan.completed_at;
        let text = || calendar::text(completed_at, calendar::SECONDS);
        match now.duration_since(completed_at) {
            Ok(age) if age > AGE_MAX => Err(AgeError::TooOld(text())),
            Err(ahead) if ahead.duration() > AHEAD_MAX => Err(AgeError::FromTheFuture(text())),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The plan in a file.
    pub(super) fn read(path: &Path) -> Result<Self, PlanFileError> {
        let failed = |source| PlanFileError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > BYTES_MAX {
            return Err(PlanFileError::TooLarge(path.to_owned()));
        }
        Self::parse(&text).map_err(|source| PlanFileError::Invalid { path: path.to_owned(), source })
    }
}

/// A plan file that is being written. It gets its name only when it is complete; dropped before, it leaves nothing.
#[derive(Debug)]
pub(super) struct NewPlanFile {
    path: PathBuf,
    /// In the same directory, because a name cannot move between file systems.
    temporary: PathBuf,
    file: File,
}

impl NewPlanFile {
    /// Begins a file that must not exist. `number` makes its temporary name unique.
    pub(super) fn create(path: &Path, number: u128) -> Result<Self, PlanFileError> {
        let failed = |source| PlanFileError::Create { path: path.to_owned(), source };
        if path.symlink_metadata().is_ok() {
            return Err(PlanFileError::Exists(path.to_owned()));
        }
        let Some(name) = path.file_name() else {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it has no file name")));
        };
        let temporary = path.with_file_name(format!(".{}.{number:032x}", name.to_string_lossy()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&temporary).map_err(failed)?;
        Ok(Self { path: path.to_owned(), temporary, file })
    }

    /// Writes the plan and gives the file its name.
    pub(super) fn finish(mut self, plan: &PlanFile) -> Result<(), PlanFileError> {
        self.write(plan).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => PlanFileError::Exists(self.path.clone()),
            _ => PlanFileError::Write { path: self.path.clone(), source },
        })
    }

    fn write(&mut self, plan: &PlanFile) -> io::Result<()> {
        self.file.write_all(plan.to_json().as_bytes())?;
        self.file.sync_all()?;
        match fs::hard_link(&self.temporary, &self.path) {
            // Some file systems have no hard links. The name is claimed first, so that no other file is replaced.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                OpenOptions::new().write(true).create_new(true).open(&self.path)?;
                fs::rename(&self.temporary, &self.path)
            }
            linked => linked,
        }
    }
}

impl Drop for NewPlanFile {
    fn drop(&mut self) {
        // An error is ignored: the plan may have been moved to its final name, and otherwise an operator can delete the file.
        let _ = fs::remove_file(&self.temporary);
    }
}
