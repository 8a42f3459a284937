//! Texts of other services, for log lines and events.

/// Maximum number of characters of a service's message.
pub(crate) const MESSAGE_LENGTH_MAX: usize = 200;

/// The message of a service, shortened and without control characters.
pub(crate) fn shortened(message: &str) -> String {
    cut(&visible(message))
}

/// The text without control characters, which could change a terminal or split what must be redacted.
pub(crate) fn visible(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// The first [`MESSAGE_LENGTH_MAX`] characters.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(MESSAGE_LENGTH_MAX).collect()
}
