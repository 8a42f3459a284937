//! The standard streams: whether they are terminals, how wide these are, and whether they support control sequences.
//!
//! Color needs nothing from here: `anstream` and `clap` observe `NO_COLOR` and `TERM`.

use std::io::{self, IsTerminal};

use terminal_size::{Height, Width, terminal_size_of};

use crate::config;

/// The terminals of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Terminal {
    /// Whether an operator can answer a question: standard input and standard error are terminals.
    pub(in crate::cli) can_ask: bool,
    /// Whether standard error is a terminal on which a line can be redrawn.
    pub(in crate::cli) can_redraw: bool,
    /// The columns of standard output; `None` if it is not a terminal.
    pub(in crate::cli) stdout_width: Option<u16>,
    /// The columns of standard error; `None` if it is not a terminal.
    pub(in crate::cli) stderr_width: Option<u16>,
}

impl Terminal {
    pub(in crate::cli) fn detect() -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        // Windows has no such variable unless a shell sets it.
        let is_dumb =
            config::environment("TERM").map_or(!cfg!(windows), |term| term.is_empty() || term == "dumb");
        let columns =
            |size: Option<(Width, Height)>| size.map_or(WIDTH_DEFAULT, |(Width(columns), _)| columns);
        Self {
            can_ask: io::stdin().is_terminal() && stderr.is_terminal(),
            can_redraw: stderr.is_terminal() && !is_dumb,
            stdout_width: stdout.is_terminal().then(|| columns(terminal_size_of(&stdout))),
            stderr_width: stderr.is_terminal().then(|| columns(terminal_size_of(&stderr))),
        }
    }
}

/// The columns of a terminal that does not report its width.
const WIDTH_DEFAULT: u16 = 80;
