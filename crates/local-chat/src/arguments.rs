//! The command line and the environment of the program.

use std::collections::BTreeMap;

use local_chat::slack::{
    APPROVER, BOT_TOKEN, BYSTANDER, CHANNEL, Channel, REQUESTER, SIGNING_SECRET, TEAM, Workspace,
};

pub(crate) const USAGE: &str = "\
Usage: local-chat [OPTION...]

Simulates a Slack workspace with one app, on 127.0.0.1.

  --port PORT              the port; 0, the default, selects a free one
  --intake-url URL         where commands and clicks go, such as
                           http://127.0.0.1:4020/chat/slack
  --team ID                the workspace, default T0LOCALCHAT
  --channel ID=NAME        a channel with the app and every user; repeatable,
                           default C0OPSCHANGE=ops-变更
  --user ID                a member of every channel; repeatable, default
                           U0REQUESTER, U00APPROVER and U0BYSTANDER
  --signing-secret SECRET  what Slack signs its requests with
  --bot-token TOKEN        the token that the Web API accepts
  --help                   print this text

Without an option, its environment variable is used: LOCAL_CHAT_PORT,
LOCAL_CHAT_INTAKE_URL, LOCAL_CHAT_TEAM, LOCAL_CHAT_CHANNEL, LOCAL_CHAT_USER,
LOCAL_CHAT_SIGNING_SECRET and LOCAL_CHAT_BOT_TOKEN. Commas separate channels
and users.";

/// Every option that has a value, and its environment variable.
const OPTIONS: [(&str, &str); 7] = [
    ("--port", "LOCAL_CHAT_PORT"),
    ("--intake-url", "LOCAL_CHAT_INTAKE_URL"),
    ("--team", "LOCAL_CHAT_TEAM"),
    (CHANNEL_OPTION, "LOCAL_CHAT_CHANNEL"),
    (USER_OPTION, "LOCAL_CHAT_USER"),
    ("--signing-secret", "LOCAL_CHAT_SIGNING_SECRET"),
    ("--bot-token", "LOCAL_CHAT_BOT_TOKEN"),
];

const CHANNEL_OPTION: &str = "--channel";
const USER_OPTION: &str = "--user";

/// The parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) port: u16,
    intake_url: Option<String>,
    team: String,
    /// Ids and names.
    channels: Vec<(String, String)>,
    users: Vec<String>,
    signing_secret: String,
    bot_token: String,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    #[error("unknown argument {0:?}")]
    Unknown(String),
    #[error("{0} needs a value")]
    NoValue(&'static str),
    #[error("{0} is given more than once")]
    Twice(&'static str),
    #[error("--port must be a number from 0 to 65535")]
    Port,
    #[error("--channel must be an id and a name, such as C0OPSCHANGE=ops")]
    Channel,
}

impl Arguments {
    /// Returns `None` if the arguments contain `--help`.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ArgumentError> {
        let Some(mut values) = values(arguments, environment)? else { return Ok(None) };
        let mut single = |name| values.remove(name).and_then(|mut values| values.pop());
        let port = single("--port").map_or(Ok(0), |port| port.parse()).map_err(|_| ArgumentError::Port)?;
        let intake_url = single("--intake-url");
        let team = single("--team").unwrap_or_else(|| TEAM.to_owned());
        let signing_secret = single("--signing-secret").unwrap_or_else(|| SIGNING_SECRET.to_owned());
        let bot_token = single("--bot-token").unwrap_or_else(|| BOT_TOKEN.to_owned());
        let channels = values.remove(CHANNEL_OPTION).unwrap_or_else(|| vec![format!("{CHANNEL}=ops-变更")]);
        let channels = channels.iter().map(|channel| {
            let (id, name) = channel.split_once('=').ok_or(ArgumentError::Channel)?;
            Ok((id.to_owned(), name.to_owned()))
        });
        let users = values.remove(USER_OPTION);
        Ok(Some(Self {
            port,
            intake_url,
            team,
            channels: channels.collect::<Result<_, _>>()?,
            users: users.unwrap_or_else(|| [REQUESTER, APPROVER, BYSTANDER].map(str::to_owned).into()),
            signing_secret,
            bot_token,
        }))
    }

    /// The workspace that the arguments describe.
    pub(crate) fn workspace(self) -> Workspace {
        let Self { port: _, intake_url, team, channels, users, signing_secret, bot_token } = self;
        let channels = channels.into_iter().map(|(id, name)| (id, Channel::new(&name, users.clone())));
        let mut workspace = Workspace::default();
        workspace.team = team;
        workspace.channels = channels.collect();
        workspace.request_url = intake_url;
        workspace.app.signing_secret = signing_secret;
        workspace.app.bot_tokens = [bot_token].into();
        workspace
    }
}

/// The values of each option, from the command line or else from the environment. `None` asks for help.
fn values(
    arguments: impl IntoIterator<Item = String>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<BTreeMap<&'static str, Vec<String>>>, ArgumentError> {
    let mut arguments = arguments.into_iter();
    let mut values: BTreeMap<_, Vec<String>> = BTreeMap::new();
    while let Some(argument) = arguments.next() {
        let (name, attached) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        if name == "--help" || name == "-h" {
            return Ok(None);
        }
        let option = OPTIONS.iter().find(|(option, _)| *option == name);
        let &(option, _) = option.ok_or(ArgumentError::Unknown(name))?;
        let value = attached.or_else(|| arguments.next()).filter(|value| !value.is_empty());
        let given = values.entry(option).or_default();
        if !given.is_empty() && !is_repeatable(option) {
            return Err(ArgumentError::Twice(option));
        }
        given.push(value.ok_or(ArgumentError::NoValue(option))?);
    }
    for (option, variable) in OPTIONS {
        if !values.contains_key(option)
            && let Some(value) = environment(variable).filter(|value| !value.is_empty())
        {
            let several = || value.split(',').map(|part| part.trim().to_owned()).collect();
            values.insert(option, if is_repeatable(option) { several() } else { vec![value] });
        }
    }
    Ok(Some(values))
}

fn is_repeatable(option: &str) -> bool {
    option == CHANNEL_OPTION || option == USER_OPTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_workspace_has_one_channel_and_three_users() {
        let workspace = parse(&[], &[]).unwrap().unwrap().workspace();
        let members: Vec<_> = workspace.channels[CHANNEL].members.iter().map(String::as_str).collect();
        assert_eq!(workspace.channels.len(), 1);
        assert_eq!(members, [APPROVER, BYSTANDER, REQUESTER]);
        assert_eq!(workspace.request_url, None);
    }

    #[test]
    fn options_describe_the_workspace() {
        let line = [
            "--port=4030",
            "--intake-url",
            "http://127.0.0.1:4020/chat/slack?a=b",
            "--team",
            "T1",
            "--channel",
            "C1=运维",
            "--channel=C2=other",
            "--user",
            "U1",
            "--signing-secret",
            "s",
            "--bot-token",
            "xoxb-1",
        ];
        let arguments = parse(&line, &[]).unwrap().unwrap();
        assert_eq!(arguments.port, 4030);
        let workspace = arguments.workspace();
        assert_eq!(workspace.request_url.as_deref(), Some("http://127.0.0.1:4020/chat/slack?a=b"));
        assert_eq!((workspace.team.as_str(), workspace.app.signing_secret.as_str()), ("T1", "s"));
        assert!(workspace.app.bot_tokens.contains("xoxb-1"));
        assert_eq!(workspace.channels["C1"].name, "运维");
        assert_eq!(workspace.channels["C2"].members, ["U1".to_owned()].into());
    }

    #[test]
    fn environment_replaces_missing_options() {
        let variables =
            [("LOCAL_CHAT_CHANNEL", "C1=one, C2=two"), ("LOCAL_CHAT_TEAM", "T2"), ("LOCAL_CHAT_PORT", "")];
        let arguments = parse(&["--team", "T1"], &variables).unwrap().unwrap();
        assert_eq!((arguments.port, arguments.team.as_str()), (0, "T1"));
        let channels = [("C1", "one"), ("C2", "two")].map(|(id, name)| (id.to_owned(), name.to_owned()));
        assert_eq!(arguments.channels, channels);
    }

    #[test]
    fn invalid_argument_is_rejected() {
        assert_eq!(parse(&["--ports", "1"], &[]), Err(ArgumentError::Unknown("--ports".to_owned())));
        assert_eq!(parse(&["--team"], &[]), Err(ArgumentError::NoValue("--team")));
        assert_eq!(parse(&["--team=T1", "--team=T2"], &[]), Err(ArgumentError::Twice("--team")));
        assert_eq!(parse(&["--port", "70000"], &[]), Err(ArgumentError::Port));
        assert_eq!(parse(&["--channel", "C1"], &[]), Err(ArgumentError::Channel));
    }

    fn parse(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Option<Arguments>, ArgumentError> {
        let environment = |name: &str| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        };
        Arguments::parse(arguments.iter().map(|&argument| argument.to_owned()), environment)
    }
}
