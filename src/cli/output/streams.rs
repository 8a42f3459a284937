//! The standard streams: data goes to standard output, everything else to standard error.
//!
//! An error of either is no panic: it would end the program while detaches are in flight, and lose their results.

use std::fmt::Display;
use std::io::Write;

use crate::cli::failure::Failure;

/// Writes data to standard output.
pub(in crate::cli) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::Output)
}

/// Writes a line to standard error. An error has no other place where it could be reported.
pub(in crate::cli) fn note(line: impl Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}
