//! The share of a processor that a function with 128 MB has, by a control group of Linux.
//!
//! Root can make one where control groups are writable; in most containers they are not. Only the share is imitated: the
//! memory, and the processor itself, are this machine's.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Microseconds of a processor in each [`PERIOD`]. Lambda gives a function a whole processor at 1,769 MB and less in
/// proportion (Lambda developer guide, "Configure Lambda function memory").
const QUOTA: &str = "1447";

/// Microseconds. Lambda's own period is not documented.
const PERIOD: &str = "20000";

/// The file with the ids of a group's processes.
const MEMBERS: &str = "cgroup.procs";

/// A control group with one process. Dropping it removes the group, if the process has ended.
pub(crate) struct Share(PathBuf);

impl Share {
    /// A group without a process yet.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let is_version_2 = root.join("cgroup.controllers").exists();
        let (parent, limits) = if is_version_2 {
            (root.to_owned(), vec![("cpu.max", format!("{QUOTA} {PERIOD}"))])
        } else {
            let limits = [("cpu.cfs_period_us", PERIOD), ("cpu.cfs_quota_us", QUOTA)];
            (root.join("cpu"), limits.map(|(file, limit)| (file, limit.to_owned())).to_vec())
        };
        // A run that was killed may have left it.
        let group = parent.join(format!("privatelink-detach-bench-{name}"));
        fs::create_dir(&group).or_else(|error| if group.exists() { Ok(()) } else { Err(error) })?;
        let share = Self(group);
        for (file, limit) in limits {
            share.write(file, &limit)?;
        }
        Ok(share)
    }

    /// Holds a process to the share from now on.
    pub(crate) fn hold(&self, process_id: u32) -> io::Result<()> {
        self.write(MEMBERS, &process_id.to_string())
    }

    /// Where a process writes its id to be held to the share.
    pub(crate) fn members(&self) -> PathBuf {
        self.0.join(MEMBERS)
    }

    /// The files are the kernel's; one that is not there is not to be made.
    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.0.join(file))?.write_all(text.as_bytes())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
