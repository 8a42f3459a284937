//! The table of `DingTalk`'s error codes: for each code what the messenger does next, and what an operator does about it.
//!
//! Source: the lists of errors of `createAndDeliver`, `card/instances`, `groupMessages/send` and `oauth2/accessToken`, and
//! the global list, in `DingTalk`'s documentation (open.dingtalk.com, help.dingtalk.io). A code in no row is permanent:
//! nothing is repeated by default.

/// What a code means, by what the messenger does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Meaning {
    /// A rate limit is exceeded.
    Transient,
    /// `DingTalk` failed, and may have carried out the call.
    Uncertain,
    /// The access token is not accepted: a new one may be.
    AccessToken,
    /// The card with this `outTrackId` exists.
    CardExists,
    /// The card does not exist.
    NoCard,
    /// The app's key or secret is wrong.
    App,
    /// The app lacks a permission.
    Permission,
    /// The app accepts calls from listed addresses only.
    Address,
    /// The robot is not in the group, or does not belong to the app.
    Robot,
    /// The group no longer exists.
    Group,
    /// The card template does not exist or is not published.
    Template,
    /// The platform's content check refused the text.
    Content,
    /// The messenger's call is wrong, or the code is in no row.
    Ours,
}

impl Meaning {
    /// Whether a message in place of a card fails for the same reason.
    pub(super) fn is_of_the_app(self) -> bool {
        matches!(self, Self::AccessToken | Self::App | Self::Address)
    }

    /// What an operator does about a message that cannot be delivered.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::AccessToken | Self::App => {
                "DingTalk does not accept the app's key and secret, or the token issued for them: put those of the app into \
                 the secret in CHAT_TOKEN_SECRET_ARN"
            }
            Self::Permission => {
                "the app lacks a permission: give it Card.Instance.Write and qyapi_robot_sendmsg, and publish it again"
            }
            Self::Address => {
                "the app accepts calls from listed addresses only: remove the list, or route the messenger through a listed \
                 address"
            }
            Self::Robot => {
                "the robot is not in the group, or robot_code in the secret in CHAT_TOKEN_SECRET_ARN is not that of this app: \
                 add the robot to the group, and correct robot_code"
            }
            Self::Group => "the group no longer exists, or the robot was stopped in it: use another group",
            Self::Template => {
                "the card template does not exist or is not published: publish it, and put its id into card_template_id in \
                 the secret in CHAT_TOKEN_SECRET_ARN"
            }
            Self::Content => {
                "DingTalk's content check refused the text: ask an administrator of the organization which word it refuses"
            }
            Self::Transient | Self::Uncertain | Self::CardExists | Self::NoCard | Self::Ours => {
                "report it in this project's issue tracker"
            }
        }
    }
}

pub(super) const CODES: [(&str, Meaning); 54] = [
    ("Forbidden.AccessDenied.QpsLimitForApi", Meaning::Transient),
    ("Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", Meaning::Transient),
    ("Forbidden.AccessDenied.QpmLimitForAppkeyAndApi", Meaning::Transient),
    ("qps.exceed.limit", Meaning::Transient),
    ("request.overlimit", Meaning::Transient),
    ("oaplus.query.limit", Meaning::Transient),
    ("system.busy", Meaning::Uncertain),
    ("systemError", Meaning::Uncertain),
    ("SYSTEM_ERROR", Meaning::Uncertain),
    ("ServiceUnavailable", Meaning::Uncertain),
    ("InternalError", Meaning::Uncertain),
    ("sendCardMessageFailed", Meaning::Uncertain),
    ("InvalidAuthentication", Meaning::AccessToken),
    ("AuthenticationFailed.MissingParameter", Meaning::AccessToken),
    ("accesstoken.expired", Meaning::AccessToken),
    ("invalidParameter.token.invalid", Meaning::AccessToken),
    ("token.notExisted", Meaning::AccessToken),
    ("param.cardAlreadyExist", Meaning::CardExists),
    ("param.cardNotExist", Meaning::NoCard),
    ("cardInstanceNotExist", Meaning::NoCard),
    ("invalidClientIdOrSecret", Meaning::App),
    ("unauthorized.client", Meaning::App),
    ("Forbidden.AccessDenied.AccessTokenPermissionDenied", Meaning::Permission),
    ("apiPermissionDenied", Meaning::Permission),
    ("permission.checkFailed", Meaning::Permission),
    ("Forbidden.AccessDenied.IpNotInWhiteList", Meaning::Address),
    ("invalidParameter.robotCode.auth", Meaning::Robot),
    ("invalidParameter.robotCode.empty", Meaning::Robot),
    ("invalidParameter.robotCode.invalid", Meaning::Robot),
    ("invalidParameter.robotCode.missing", Meaning::Robot),
    // As the documentation spells it.
    ("invalidParameter.robotCode.notExsit", Meaning::Robot),
    ("invalidParameter.invalid", Meaning::Robot),
    ("chatbotNotFound", Meaning::Robot),
    ("chatbotNotInstall", Meaning::Robot),
    ("chatbot.notFound", Meaning::Robot),
    ("queryChatbot.wrong", Meaning::Robot),
    ("bot.stopped", Meaning::Group),
    ("group.disbanded", Meaning::Group),
    ("invalid.openConversationId", Meaning::Group),
    ("openConversationId.notExisted", Meaning::Group),
    ("param.openSpaceIdInvalid", Meaning::Group),
    ("param.templateNotExist", Meaning::Template),
    ("param.templateUnpublished", Meaning::Template),
    ("param.cardTemplateIdEmpty", Meaning::Template),
    ("param.contentUnsafe", Meaning::Content),
    ("contentCheckError", Meaning::Content),
    ("param.invalid", Meaning::Ours),
    ("param.empty", Meaning::Ours),
    ("param.outTrackIdEmpty", Meaning::Ours),
    ("param.cardPublicDataEmpty", Meaning::Ours),
    ("param.openDeliverModelError", Meaning::Ours),
    ("invalidParameter.msgKey.invalid", Meaning::Ours),
    ("invalidParameter.msgParam.invalid", Meaning::Ours),
    ("invalidParameter.param.invalid", Meaning::Ours),
];

/// What a code means.
pub(super) fn meaning(code: &str) -> Meaning {
    let row = CODES.iter().find(|(listed, _)| *listed == code);
    // The gateway has a limit, and a code, for each kind of caller and interval.
    let is_limit = ["Qps", "Qpm"].iter().any(|unit| {
        code.strip_prefix("Forbidden.AccessDenied.")
            .is_some_and(|rest| rest.starts_with(&format!("{unit}Limit")))
    });
    let of_unlisted = if is_limit { Meaning::Transient } else { Meaning::Ours };
    row.map_or(of_unlisted, |(_, meaning)| *meaning)
}

/// A code as a log line may repeat it: untrusted until it looks like one.
pub(super) fn shown(code: &str) -> &str {
    let is_code = (1..=100).contains(&code.len())
        && code.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if is_code { code } else { "an unreadable code" }
}
