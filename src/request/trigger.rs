//! What made a request.

use serde::Serialize;

/// The way by which a request came. The intake writes it into the message attribute `trigger`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A message that somebody put into the queue.
    Queue,
    /// An HTTP call.
    Webhook,
    /// The clock.
    Schedule,
    /// A chat command.
    Chat,
    /// An EventBridge event.
    Event,
    /// An invocation of the worker itself.
    Direct,
}

impl Trigger {
    /// The trigger that a message attribute names. No name, or one that is none, is a message in the queue and
    /// nothing more.
    #[must_use]
    pub fn of_attribute(name: Option<&str>) -> Self {
        match name {
            Some("webhook") => Self::Webhook,
            Some("schedule") => Self::Schedule,
            Some("chat") => Self::Chat,
            Some("event") => Self::Event,
            _ => Self::Queue,
        }
    }

    /// The name as it travels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Webhook => "webhook",
            Self::Schedule => "schedule",
            Self::Chat => "chat",
            Self::Event => "event",
            Self::Direct => "direct",
        }
    }
}
