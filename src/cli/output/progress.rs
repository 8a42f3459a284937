//! The progress of a command, on standard error.

pub(in crate::cli) mod detaches;
pub(in crate::cli) mod reading;
