//! Texts of other services, for log lines and events.
//!
//! A response may contain anything, even our own credentials. So an id or a status is repeated only if it looks like one.

/// Maximum number of characters of a service's message.
pub(crate) const MESSAGE_LENGTH_MAX: usize = 200;

/// Stands for an id or a status that does not look like one, so that lists keep their length.
pub(crate) const UNREADABLE: &str = "(unreadable)";

/// Maximum length of a status. Alibaba's longest has 15 letters.
const STATUS_LENGTH_MAX: usize = 32;

/// A status if it is one word of letters.
pub(crate) fn shown_status(status: String) -> String {
    let is_word =
        (1..=STATUS_LENGTH_MAX).contains(&status.len()) && status.bytes().all(|b| b.is_ascii_alphabetic());
    if is_word { status } else { UNREADABLE.to_owned() }
}

/// A request id of Alibaba Cloud if it is a UUID, as all of them are.
pub(crate) fn shown_request_id(id: String) -> String {
    let mut groups = id.split('-');
    let has_groups = [8, 4, 4, 4, 12].iter().all(|length| {
        let group = groups.next().unwrap_or_default();
        group.len() == *length && group.bytes().all(|b| b.is_ascii_hexdigit())
    });
    if has_groups && groups.next().is_none() { id } else { UNREADABLE.to_owned() }
}

/// The message of a service, shortened and without characters that could change a terminal.
pub(crate) fn shortened(message: &str) -> String {
    cut(&visible(message))
}

/// The text without control characters, which could change a terminal or split what must be redacted, and without those
/// that change the order in which a terminal shows the rest of a line.
pub(crate) fn visible(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !is_layout(*c)).collect()
}

/// Whether it is a control of bidirectional text, or a separator of lines or paragraphs.
fn is_layout(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first [`MESSAGE_LENGTH_MAX`] characters.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(MESSAGE_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_status_or_an_id_is_shown() {
        for (status, is_shown) in [
            ("Active", true),
            ("pending", true),
            ("", false),
            ("Active ", false),
            ("LTAI5tSecret", false),
            (&"x".repeat(32), true),
            (&"x".repeat(33), false),
        ] {
            let expected = if is_shown { status } else { UNREADABLE };
            assert_eq!(shown_status(status.to_owned()), expected, "{status}");
        }
        for (id, is_shown) in [
            ("8D778FF9-7640-4C13-BCD6-9265CA9A2F81", true),
            ("8d778ff9-7640-4c13-bcd6-9265ca9a2f81", true),
            ("8D778FF9-7640-4C13-BCD6-9265CA9A2F8", false),
            ("8D778FF9-7640-4C13-BCD6-9265CA9A2F81-", false),
            ("8D778FF9-7640-4C13-BCD6-9265CA9A2F8G", false),
            ("LTAI5tSecret", false),
            ("", false),
        ] {
            let expected = if is_shown { id } else { UNREADABLE };
            assert_eq!(shown_request_id(id.to_owned()), expected, "{id}");
        }
    }

    #[test]
    fn visible_text_cannot_change_a_terminal_or_the_order_of_a_line() {
        let hostile = "a\u{1b}[2Jb\r\n\u{9b}c\u{202e}d\u{2066}e\u{200f}f\u{61c}g\u{2028}h\u{2029}";
        assert_eq!(visible(hostile), "a[2Jbcdefgh");
        let ordinary = "端点 שלום é 👩\u{200d}🔧";
        assert_eq!(visible(ordinary), ordinary);
    }
}
