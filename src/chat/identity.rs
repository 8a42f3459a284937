//! Platforms, tenants, conversations and people, each valid by construction.
//!
//! An id is untrusted text until a platform's signature is verified. The rules here exclude everything that could be
//! mistaken for a separator, for markup, or for a second line.

use std::fmt;

/// Longest id of a tenant or a person, in characters. Those of `DingTalk`, the longest, have at most 64.
const ID_LENGTH_MAX: usize = 64;

/// Longest id of a conversation, in characters.
const CONVERSATION_LENGTH_MAX: usize = 128;

/// A chat platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Platform {
    Slack,
    DingTalk,
    /// Feishu and Lark: one product in two clouds.
    Feishu,
}

impl Platform {
    pub const ALL: [Self; 3] = [Self::Slack, Self::DingTalk, Self::Feishu];

    /// The name in lists, request ids and signed content.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::DingTalk => "dingtalk",
            Self::Feishu => "feishu",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.name() == name)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $length_max:expr, $also:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The id, or `None` if it is empty, too long, or has a character that no platform's ids have.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let also: &[u8] = $also;
                let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:=-".contains(&b) || also.contains(&b);
                let is_id = (1..=$length_max).contains(&text.len()) && text.bytes().all(is_allowed);
                is_id.then(|| Self(text.to_owned()))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// The workspace or organization that a conversation belongs to: Slack's `team_id`, `DingTalk`'s `corpId`, Feishu's `tenant_key`.
    TenantId,
    ID_LENGTH_MAX,
    b""
);

id!(
    /// A person within a tenant: Slack's `user_id`, `DingTalk`'s `userId` of staff, Feishu's `open_id`.
    UserId,
    ID_LENGTH_MAX,
    b""
);

id!(
    /// A channel or group within a tenant: Slack's `channel_id`, `DingTalk`'s `conversationId`, which is base64 and may contain
    /// `/` and `+`, Feishu's `chat_id`.
    ConversationId,
    CONVERSATION_LENGTH_MAX,
    b"/+"
);

id!(
    /// A message within a conversation: Slack's `ts`, the `outTrackId` of a card in `DingTalk`, Feishu's `message_id`.
    MessageId,
    ID_LENGTH_MAX,
    b""
);

/// A tenant of a platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant {
    pub platform: Platform,
    pub id: TenantId,
}

/// A person, as the lists name them: `slack:T…/U…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person {
    pub tenant: Tenant,
    pub id: UserId,
}

/// A conversation, as the lists name it: `slack:T…/C…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conversation {
    pub tenant: Tenant,
    pub id: ConversationId,
}

impl Tenant {
    /// What an entry of a list looks like; it completes the sentence "the entry …".
    pub const RULE: &str = "must be a platform and a tenant, such as slack:T0123456789";

    /// A tenant as a list names it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (platform, id) = text.split_once(':')?;
        Some(Self { platform: Platform::parse(platform)?, id: TenantId::parse(id)? })
    }
}

impl Person {
    /// See [`Tenant::RULE`].
    pub const RULE: &str = "must be a platform, a tenant and a person, such as slack:T0123456789/U0123456789";

    /// A person as a list names them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (tenant, id) = text.split_once('/')?;
        Some(Self { tenant: Tenant::parse(tenant)?, id: UserId::parse(id)? })
    }
}

impl Conversation {
    /// See [`Tenant::RULE`].
    pub const RULE: &str =
        "must be a platform, a tenant and a conversation, such as slack:T0123456789/C0123456789";

    /// A conversation as a list names it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (tenant, id) = text.split_once('/')?;
        Some(Self { tenant: Tenant::parse(tenant)?, id: ConversationId::parse(id)? })
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.platform.name(), self.id)
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.id)
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_lists_are_read_as_they_are_shown() {
        for text in ["slack:T04TEAMAAAA", "slack:E1"] {
            assert_eq!(Tenant::parse(text).unwrap().to_string(), text);
        }
        for text in ["slack:T04/U04", "slack:T04/W-1.2_3"] {
            assert_eq!(Person::parse(text).unwrap().to_string(), text);
        }
        for text in ["slack:T04/C04", "slack:T04/cid+a/b=="] {
            assert_eq!(Conversation::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn entry_of_another_form_is_no_entry() {
        for text in ["", "slack", "slack:", "irc:T04", "T04", "Slack:T04", "slack:T 04", "slack:T04\n"] {
            assert_eq!(Tenant::parse(text), None, "{text:?}");
        }
        for text in ["slack:T04", "slack:T04/", "slack:/U04", "slack:T04/U/4", "slack:T04/*", "slack:T04/<U>"]
        {
            assert_eq!(Person::parse(text), None, "{text:?}");
        }
        assert_eq!(Person::parse(&format!("slack:T/{}", "U".repeat(65))), None);
        assert!(Conversation::parse(&format!("slack:T/{}", "C".repeat(128))).is_some());
        assert_eq!(Conversation::parse(&format!("slack:T/{}", "C".repeat(129))), None);
    }
}
