//! The CPU limit of a function with 128 MB, as a Linux control group.
//!
//! It needs root and writable control groups, which most containers lack. Only the CPU limit is that of Lambda: the
//! memory and the CPU itself are this machine's.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Microseconds of CPU time in each [`PERIOD`]. Lambda allocates one vCPU at 1,769 MB and less in proportion to the
/// memory (Lambda developer guide, "Configure Lambda function memory").
const QUOTA: &str = "1447";

/// Microseconds. Lambda does not document its period.
const PERIOD: &str = "20000";

/// The file with the process ids of a control group.
const MEMBERS: &str = "cgroup.procs";

/// A control group with one process. Dropping it removes the group if the process has ended.
pub(crate) struct CpuLimit(PathBuf);

impl CpuLimit {
    /// Creates a control group without a process.
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let is_version_2 = root.join("cgroup.controllers").exists();
        let (parent, limits) = if is_version_2 {
            (root.to_owned(), vec![("cpu.max", format!("{QUOTA} {PERIOD}"))])
        } else {
            let limits = [("cpu.cfs_period_us", PERIOD), ("cpu.cfs_quota_us", QUOTA)];
            (root.join("cpu"), limits.map(|(file, limit)| (file, limit.to_owned())).to_vec())
        };
        // The group exists if an earlier run was killed.
        let group = parent.join(format!("privatelink-detach-bench-{name}"));
        fs::create_dir(&group).or_else(|error| if group.exists() { Ok(()) } else { Err(error) })?;
        let limit = Self(group);
        for (file, value) in limits {
            limit.write(file, &value)?;
        }
        Ok(limit)
    }

    /// Adds a process to the group.
    pub(crate) fn add(&self, process_id: u32) -> io::Result<()> {
        self.write(MEMBERS, &process_id.to_string())
    }

    /// The file to which a process writes its id to join the group.
    pub(crate) fn members(&self) -> PathBuf {
        self.0.join(MEMBERS)
    }

    /// Writes an existing file: the kernel creates the files of a group.
    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.0.join(file))?.write_all(text.as_bytes())
    }
}

impl Drop for CpuLimit {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
