//! Standard output, with colors and a status line that is rewritten if it is a terminal.
//!
//! A closed standard output does not end a run: its requests are carried out to the end.

use std::io::{self, IsTerminal, Write};

use local_aws::json_layout;
use privatelink_detach::config;

/// The width of the narrowest usual terminal. What the demo prints fits into it, except for log messages and for ids
/// that are longer than a line.
pub(crate) const WIDTH: usize = 80;

/// The colors of requests, in the order of their appearance; red and green mark results.
const COLORS: [u8; 8] = [36, 33, 35, 34, 96, 93, 95, 94];

/// The width of the names of fields, with the space before and after.
const FIELD_NAME_WIDTH: usize = 13;

/// Standard output and its capabilities.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// A line can be rewritten.
    pub(crate) is_terminal: bool,
    has_colors: bool,
}

/// How a piece of text is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Dim,
    Bold,
    Good,
    Bad,
    /// The color of one request, by its number.
    Request(usize),
}

impl Screen {
    pub(crate) fn of_this_process() -> Self {
        let is_dumb = config::environment("TERM").is_none_or(|term| term == "dumb");
        let is_terminal = io::stdout().is_terminal() && !is_dumb;
        let is_colorless = config::environment("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_terminal, has_colors: is_terminal && !is_colorless }
    }

    /// The text in this style, as far as the screen can show it.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Plain => return text.to_owned(),
            Style::Dim => 2,
            Style::Bold => 1,
            Style::Good => 32,
            Style::Bad => 31,
            Style::Request(number) => COLORS[number % COLORS.len()],
        };
        if self.has_colors { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Prints one line, or several.
    #[expect(clippy::unused_self, reason = "only the owner of the screen writes to it")]
    pub(crate) fn line(self, text: &str) {
        let _ = writeln!(io::stdout(), "{text}");
    }

    /// Prints a name and its value, wrapped between words. A value that continues the one before has no name.
    pub(crate) fn field(self, name: &str, value: &str) {
        let words: Vec<&str> = value.split_whitespace().collect();
        for (index, line) in wrapped(&words, " ", WIDTH - FIELD_NAME_WIDTH).iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            self.line(&format!("  {name:9}  {line}"));
        }
    }

    /// Prints JSON, its members in their own order.
    pub(crate) fn json(self, text: &str) {
        self.line(&json_layout::lay_out(text, WIDTH));
    }

    /// Replaces the status line.
    pub(crate) fn rewrite(self, text: &str) {
        if self.is_terminal {
            // In the last column some terminals begin a new line.
            let text: String = text.chars().take(WIDTH - 1).collect();
            let mut out = io::stdout();
            let _ = write!(out, "\r\x1b[2K{}", self.paint(Style::Dim, &text));
            let _ = out.flush();
        }
    }

    /// Prints an error to standard error.
    #[expect(clippy::unused_self, reason = "only the owner of the screen writes to it")]
    pub(crate) fn error(self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// The parts in lines of at most this width. No part is split, so an id can be copied whole.
pub(crate) fn wrapped(parts: &[&str], separator: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line)
                if line.chars().count() + separator.chars().count() + part.chars().count() <= width =>
            {
                line.push_str(separator);
                line.push_str(part);
            }
            _ => lines.push((*part).to_owned()),
        }
    }
    lines
}
