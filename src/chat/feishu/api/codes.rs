//! The table of Feishu's error codes: for each code what the messenger does next, and what an operator does about it.
//!
//! Source: the error codes in Feishu's reference of replying to, sending and updating messages, and its list of generic error
//! codes. A code in no row is permanent: nothing is repeated by default.

/// What a code means, by what the messenger does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Meaning {
    /// A rate limit is exceeded, or Feishu is busy or failed.
    Transient,
    /// The access token is not accepted: it expired, or was withdrawn.
    AccessToken,
    /// The message no longer exists, or nothing can be done with it.
    NoMessage,
    /// The message exists, but can no longer be changed.
    NotEditable,
    /// The message cannot have replies in a thread.
    NoThread,
    /// The app's id and secret are not accepted.
    Credentials,
    /// The app is disabled, or not installed in the tenant.
    AppDisabled,
    /// The app has no bot.
    NoBot,
    /// The bot is not in the group.
    NotInGroup,
    /// The bot is not available to the person of a one-to-one conversation.
    NotAvailable,
    /// The group no longer exists.
    Dissolved,
    /// The app lacks a permission.
    Scope,
    /// The app's own list of addresses does not contain that of the messenger.
    Address,
    /// A setting of the group or a policy of the tenant prevents it.
    Policy,
    /// The messenger's call is wrong, or the code is in no row.
    Ours,
}

impl Meaning {
    /// What an operator does about a message that cannot be delivered.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::AccessToken | Self::Credentials => {
                "Feishu does not accept the app's credentials: copy app_id and app_secret from the developer console into the \
                 secret in CHAT_TOKEN_SECRET_ARN, and check that FEISHU_ENDPOINT_URL is the cloud of the tenant"
            }
            Self::AppDisabled => {
                "the app is disabled or not installed: ask an administrator of the tenant to enable and install it"
            }
            Self::NoBot => {
                "the app has no bot: add the bot feature in the developer console, and release a version"
            }
            Self::NotInGroup => "the bot is not in the group: add it in the settings of the group",
            Self::NotAvailable => {
                "the bot is not available to the person: add the person to the availability of the app, and release a version"
            }
            Self::Dissolved => "the group no longer exists: use another one",
            Self::Scope => {
                "the app lacks a permission: give it im:message:send_as_bot, and release a version; in an external group the \
                 app also needs external sharing"
            }
            Self::Address => {
                "the app accepts calls from listed IP addresses only: remove that list in the developer console, or add the \
                 address of the messenger"
            }
            Self::Policy => {
                "a setting of the group or a policy of the tenant prevents it: ask the owner of the group or an administrator of \
                 the tenant"
            }
            Self::Transient | Self::NoMessage | Self::NotEditable | Self::NoThread | Self::Ours => {
                "report it in this project's issue tracker"
            }
        }
    }
}

pub(super) const CODES: [(i64, Meaning); 61] = [
    // Of every interface.
    (99_991_400, Meaning::Transient),
    (1500, Meaning::Transient),
    (1503, Meaning::Transient),
    (1551, Meaning::Transient),
    (1557, Meaning::Transient),
    (1642, Meaning::Transient),
    (1663, Meaning::Transient),
    (1665, Meaning::Transient),
    (1668, Meaning::Transient),
    (2200, Meaning::Transient),
    (5000, Meaning::Transient),
    (10_101, Meaning::Transient),
    (10_105, Meaning::Transient),
    (10_500, Meaning::Transient),
    (11_232, Meaning::Transient),
    (11_233, Meaning::Transient),
    (11_247, Meaning::Transient),
    (99_991_661, Meaning::AccessToken),
    (99_991_663, Meaning::AccessToken),
    (99_991_664, Meaning::AccessToken),
    (99_991_665, Meaning::AccessToken),
    (99_991_668, Meaning::AccessToken),
    (99_991_671, Meaning::AccessToken),
    (99_991_677, Meaning::AccessToken),
    (99_991_401, Meaning::Address),
    (99_991_662, Meaning::AppDisabled),
    (99_991_673, Meaning::AppDisabled),
    (99_991_672, Meaning::Scope),
    (99_991_676, Meaning::Scope),
    (99_991_543, Meaning::Credentials),
    // Of access tokens. The interface has no list of its own: an unknown app has 10014, and a malformed id 10003.
    (10_003, Meaning::Credentials),
    (10_005, Meaning::Credentials),
    (10_012, Meaning::Credentials),
    (10_013, Meaning::Credentials),
    (10_014, Meaning::Credentials),
    (10_015, Meaning::Credentials),
    // Of messages. A message id that is not valid is a parameter that is not valid.
    (230_001, Meaning::NoMessage),
    (230_011, Meaning::NoMessage),
    (230_019, Meaning::NoMessage),
    (230_050, Meaning::NoMessage),
    (230_110, Meaning::NoMessage),
    (230_111, Meaning::NoMessage),
    (230_031, Meaning::NotEditable),
    (230_071, Meaning::NoThread),
    (230_072, Meaning::NoThread),
    (230_002, Meaning::NotInGroup),
    (230_006, Meaning::NoBot),
    (230_013, Meaning::NotAvailable),
    (232_009, Meaning::Dissolved),
    (230_020, Meaning::Transient),
    (230_049, Meaning::Transient),
    (230_027, Meaning::Scope),
    (230_018, Meaning::Policy),
    (230_022, Meaning::Policy),
    (230_028, Meaning::Policy),
    (230_035, Meaning::Policy),
    (230_038, Meaning::Policy),
    (230_075, Meaning::Policy),
    (230_025, Meaning::Ours),
    (230_054, Meaning::Ours),
    (230_099, Meaning::Ours),
];

/// What a code means.
pub(super) fn meaning(code: i64) -> Meaning {
    let row = CODES.iter().find(|(listed, _)| *listed == code);
    row.map_or(Meaning::Ours, |(_, meaning)| *meaning)
}
