//! The question before a write.

use std::io::{self, Write};

use tokio::sync::oneshot;

use super::failure::Failure;
use super::interruption::Interruption;
use super::output::streams;
use super::output::terminal::Terminal;
use crate::request::SecurityGroupId;

/// The operator's answer to the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// Ctrl-C.
    Interrupted,
}

/// Checks, before anything is called, that the question can be asked if it must be.
pub(super) fn check_possible(is_confirmed: bool, terminal: &Terminal) -> Result<(), Failure> {
    if is_confirmed || terminal.can_ask {
        return Ok(());
    }
    let problem = "a detach needs a confirmation, and there is no terminal to ask on: confirm with --yes, or check with --dry-run";
    Err(Failure::Usage(problem.to_owned()))
}

/// The question before some detaches. It names the group of an attach, because an attach opens access.
pub(super) fn question(replacements: &[&SecurityGroupId]) -> String {
    match replacements {
        [] => "Detach?".to_owned(),
        [one, rest @ ..] if rest.iter().all(|other| other == one) => format!("Attach {one}, then detach?"),
        several => format!("Attach the {} replacements, then detach?", several.len()),
    }
}

/// Asks on the terminal. Only `y` and `yes` mean yes.
pub(super) async fn ask(question: &str, interruption: &mut Interruption) -> Answer {
    // If the question cannot be written, no answer arrives, which means no.
    let _ = write!(anstream::stderr(), "{question} [y/N] ").and_then(|()| anstream::stderr().flush());
    let (sender, receiver) = oneshot::channel();
    // A thread of its own: the read cannot be canceled, and must not keep the process from ending.
    std::thread::spawn(move || {
        let mut line = String::new();
        let is_read = io::stdin().read_line(&mut line).is_ok();
        let _ = sender.send(if is_read { line } else { String::new() });
    });
    match interruption.unless(receiver).await {
        None => {
            streams::note("");
            Answer::Interrupted
        }
        Some(line) => answer(&line.unwrap_or_default()),
    }
}

fn answer(line: &str) -> Answer {
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Answer::Yes,
        _ => Answer::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_names_what_is_attached() {
        let [a, b] = ["sg-a", "sg-b"].map(|id| SecurityGroupId::parse(id).unwrap());
        assert_eq!(question(&[]), "Detach?");
        assert_eq!(question(&[&a, &a]), "Attach sg-a, then detach?");
        assert_eq!(question(&[&a, &b, &a]), "Attach the 3 replacements, then detach?");
    }

    #[test]
    fn only_yes_means_yes() {
        for line in ["y\n", "Y\r\n", "yes\n", " YES "] {
            assert_eq!(answer(line), Answer::Yes, "{line:?}");
        }
        for line in ["", "\n", "n\n", "no\n", "yess\n", "y n\n", "ja\n", "1\n"] {
            assert_eq!(answer(line), Answer::No, "{line:?}");
        }
    }
}
