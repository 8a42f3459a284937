//! What the program prints: data to standard output, everything else to standard error.

pub(super) mod columns;
pub(super) mod progress;
pub(super) mod results;
pub(super) mod streams;
pub(super) mod table;
pub(super) mod terminal;
pub(super) mod verdict;
