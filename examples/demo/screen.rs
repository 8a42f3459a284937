//! Where lines go: standard output, with colours and a line that is rewritten if it is a terminal.
//!
//! A reader who went away ends no run: with `--live` it may be half-way through a detach.

use std::io::{self, IsTerminal, Write};

use privatelink_detach::config;

/// The colours of requests, in the order of their appearance; red and green are kept for their ends.
const COLOURS: [u8; 8] = [36, 33, 35, 34, 96, 93, 95, 94];

/// What the rewritten line may be long, so that it stays one on the narrowest usual terminal.
const LIVE_LINE_LENGTH_MAX: usize = 79;

/// Where the text of a field is wrapped.
const TEXT_WIDTH: usize = 100;

/// Standard output and what it can show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// It is a terminal, on which a line can be rewritten.
    pub(crate) is_terminal: bool,
    has_colours: bool,
}

/// How a piece of text is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Plain,
    Dim,
    Bold,
    Good,
    Bad,
    /// The colour of one request, by its number.
    Request(usize),
}

impl Screen {
    pub(crate) fn of_this_process() -> Self {
        let is_dumb = config::environment("TERM").is_none_or(|term| term == "dumb");
        let is_terminal = io::stdout().is_terminal() && !is_dumb;
        let is_colourless = config::environment("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_terminal, has_colours: is_terminal && !is_colourless }
    }

    /// The text in this look, as far as the screen can show it.
    pub(crate) fn paint(self, look: Look, text: &str) -> String {
        let code = match look {
            Look::Plain => return text.to_owned(),
            Look::Dim => 2,
            Look::Bold => 1,
            Look::Good => 32,
            Look::Bad => 31,
            Look::Request(number) => COLOURS[number % COLOURS.len()],
        };
        if self.has_colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// One line, or several.
    #[expect(clippy::unused_self, reason = "only who has the screen writes to it")]
    pub(crate) fn line(self, text: &str) {
        let _ = writeln!(io::stdout(), "{text}");
    }

    /// A name and its value, which is wrapped. A value that goes on with something else has no name.
    pub(crate) fn field(self, name: &str, value: &str) {
        let mut lines: Vec<String> = vec![String::new()];
        for word in value.split_whitespace() {
            match lines.last_mut() {
                Some(line) if line.is_empty() => word.clone_into(line),
                Some(line) if line.len() + 1 + word.len() <= TEXT_WIDTH => *line = format!("{line} {word}"),
                _ => lines.push(word.to_owned()),
            }
        }
        for (index, line) in lines.iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            self.line(&format!("  {name:8}  {line}"));
        }
    }

    /// Puts this in the place of the last line.
    pub(crate) fn rewrite(self, text: &str) {
        if self.is_terminal {
            let text: String = text.chars().take(LIVE_LINE_LENGTH_MAX).collect();
            let mut out = io::stdout();
            let _ = write!(out, "\r\x1b[2K{}", self.paint(Look::Dim, &text));
            let _ = out.flush();
        }
    }

    /// One line for whoever started the program.
    #[expect(clippy::unused_self, reason = "only who has the screen writes to it")]
    pub(crate) fn fault(self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }
}
