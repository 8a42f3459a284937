//! What caused a request.

use serde::Serialize;

/// The source of a request. The intake and the sweeper write it into the message attribute `trigger`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A message that its sender put into the queue.
    Queue,
    Webhook,
    Schedule,
    Chat,
    /// An EventBridge event or an SNS message.
    Event,
    /// A sweep, which requests a detach for each reference that it finds.
    Sweep,
    /// An invocation of the worker itself.
    Direct,
    /// The command line program.
    Cli,
}

impl Trigger {
    /// The trigger that a message attribute names; without one, or with an unknown one, [`Self::Queue`].
    #[must_use]
    pub fn of_attribute(name: Option<&str>) -> Self {
        match name {
            Some("webhook") => Self::Webhook,
            Some("schedule") => Self::Schedule,
            Some("chat") => Self::Chat,
            Some("event") => Self::Event,
            Some("sweep") => Self::Sweep,
            _ => Self::Queue,
        }
    }

    /// The name in events and message attributes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Webhook => "webhook",
            Self::Schedule => "schedule",
            Self::Chat => "chat",
            Self::Event => "event",
            Self::Sweep => "sweep",
            Self::Direct => "direct",
            Self::Cli => "cli",
        }
    }
}
