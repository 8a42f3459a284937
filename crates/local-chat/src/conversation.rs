//! A conversation as text, the same for every platform.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// The indentation of a reply.
const REPLY: &str = "    ";

/// A message as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at: SystemTime,
    pub author: String,
    /// The text, without markup.
    pub lines: Vec<String>,
    pub is_reply: bool,
    pub is_edited: bool,
    /// The only user who sees the message; `None` if all members do.
    pub visible_to: Option<String>,
}

/// The messages in this order, each with its time in UTC, its author and its marks. The further lines of a message are
/// indented to the same column as the first.
#[must_use]
pub fn transcript(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let seconds = entry.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let time = format!("{hour:02}:{minute:02}:{second:02}");
        let mut marks = Vec::new();
        if let Some(user) = &entry.visible_to {
            marks.push(format!("only visible to {user}"));
        }
        if entry.is_edited {
            marks.push("edited".to_owned());
        }
        let marks = if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
        let indent = if entry.is_reply { REPLY } else { "" };
        let first = entry.lines.first().map_or("", String::as_str);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{indent}{time} {}{marks}: {first}", entry.author);
        for line in entry.lines.iter().skip(1) {
            let _ = writeln!(text, "{indent}{:width$} {line}", "", width = time.len());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn reply_edit_and_audience_are_marked() {
        let posted = Entry {
            at: UNIX_EPOCH + Duration::from_secs(1_795_330_801),
            author: "privatelink".to_owned(),
            lines: vec!["Detach sg-old?".to_owned(), "[Approve detach] [Decline]".to_owned()],
            is_reply: false,
            is_edited: false,
            visible_to: None,
        };
        let reply = Entry { is_reply: true, is_edited: true, ..posted.clone() };
        let private =
            Entry { lines: Vec::new(), is_edited: true, visible_to: Some("U1".to_owned()), ..posted.clone() };

        assert_eq!(
            transcript(&[posted, reply, private]),
            "\
07:00:01 privatelink: Detach sg-old?
         [Approve detach] [Decline]
    07:00:01 privatelink (edited): Detach sg-old?
             [Approve detach] [Decline]
07:00:01 privatelink (only visible to U1, edited): \n"
        );
    }
}
