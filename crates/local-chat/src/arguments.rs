//! The command line and the environment of the program.

use crate::platforms::{PLATFORMS, Row, State, USER, Values, single};

pub(crate) const USAGE: &str = "\
Usage: local-chat [OPTION...]

Simulates a chat platform with one tenant and one app, on 127.0.0.1.

  --platform NAME          slack, the default, dingtalk or feishu
  --port PORT              the port; 0, the default, selects a free one
  --intake-url URL         where commands and clicks go, such as
                           http://127.0.0.1:4020/chat/slack
  --user ID                a member of every conversation; repeatable; without
                           it a requester, an approver and a bystander
  --help                   print this text

Slack:
  --team ID                the workspace, default T0LOCALCHAT
  --channel ID=NAME        a channel with the app and every user; repeatable,
                           default C0OPSCHANGE=ops-变更
  --signing-secret SECRET  what Slack signs its requests with
  --bot-token TOKEN        the token that the Web API accepts

DingTalk:
  --corp ID                the company, the corpId
  --conversation ID=NAME   a group with the robot and every user; repeatable
  --app-secret SECRET      what messages are signed with, and what the API
                           issues access tokens for
  --card-secret SECRET     what clicks are signed with

Feishu:
  --tenant KEY             the tenant, the tenant_key
  --chat ID=NAME           a group with the app and every user; repeatable
  --app-secret SECRET      what the API issues access tokens for
  --encrypt-key KEY        what requests are encrypted and signed with
  --verification-token TOKEN
                           what every request contains

Without an option, its environment variable is used, such as LOCAL_CHAT_PORT
for --port. Commas separate conversations and users.";

/// The options that every platform has, and their environment variables.
const COMMON: [(&str, &str); 4] = [
    (PLATFORM, "LOCAL_CHAT_PLATFORM"),
    (PORT, "LOCAL_CHAT_PORT"),
    (INTAKE_URL, "LOCAL_CHAT_INTAKE_URL"),
    (USER, "LOCAL_CHAT_USER"),
];

const PLATFORM: &str = "--platform";
const PORT: &str = "--port";
const INTAKE_URL: &str = "--intake-url";

/// The parsed command line.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) port: u16,
    pub(crate) state: State,
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
    #[error("--platform must be slack, dingtalk or feishu")]
    Platform,
    #[error("{option} is not an option of the platform {platform}")]
    OtherPlatform { option: &'static str, platform: &'static str },
    #[error("{0} must be an id and a name, such as C0OPSCHANGE=ops")]
    Conversation(&'static str),
}

impl Arguments {
    /// Returns `None` if the arguments contain `--help`.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ArgumentError> {
        let Some(mut values) = given(arguments)? else { return Ok(None) };
        add_environment(&mut values, &COMMON, &environment);
        let platform = match single(&mut values, PLATFORM) {
            None => &PLATFORMS[0],
            Some(name) => PLATFORMS.iter().find(|row| row.name == name).ok_or(ArgumentError::Platform)?,
        };
        add_environment(&mut values, platform.options, &environment);
        let port = single(&mut values, PORT).map_or(Ok(0), |port| port.parse());
        let port = port.map_err(|_| ArgumentError::Port)?;
        let intake_url = single(&mut values, INTAKE_URL);
        let state = platform.state(&mut values, intake_url)?;
        // The platform has taken its own options.
        match values.keys().next() {
            Some(&option) => Err(ArgumentError::OtherPlatform { option, platform: platform.name }),
            None => Ok(Some(Self { port, state })),
        }
    }
}

/// The values of each option on the command line. `None` asks for help.
fn given(arguments: impl IntoIterator<Item = String>) -> Result<Option<Values>, ArgumentError> {
    let known = || COMMON.iter().chain(PLATFORMS.iter().flat_map(|row: &Row| row.options));
    let mut arguments = arguments.into_iter();
    let mut values = Values::new();
    while let Some(argument) = arguments.next() {
        let (name, attached) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        if name == "--help" || name == "-h" {
            return Ok(None);
        }
        let option = known().find(|(option, _)| *option == name);
        let &(option, _) = option.ok_or(ArgumentError::Unknown(name))?;
        let value = attached.or_else(|| arguments.next()).filter(|value| !value.is_empty());
        let given = values.entry(option).or_default();
        if !given.is_empty() && !is_repeatable(option) {
            return Err(ArgumentError::Twice(option));
        }
        given.push(value.ok_or(ArgumentError::NoValue(option))?);
    }
    Ok(Some(values))
}

/// Adds the values of options that are not on the command line.
fn add_environment(
    values: &mut Values,
    options: &[(&'static str, &str)],
    environment: &impl Fn(&str) -> Option<String>,
) {
    for (option, variable) in options {
        if !values.contains_key(option)
            && let Some(value) = environment(variable).filter(|value| !value.is_empty())
        {
            let several = || value.split(',').map(|part| part.trim().to_owned()).collect();
            values.insert(option, if is_repeatable(option) { several() } else { vec![value] });
        }
    }
}

fn is_repeatable(option: &str) -> bool {
    option == USER || PLATFORMS.iter().any(|row| row.conversation == option)
}

#[cfg(test)]
mod tests {
    use local_chat::slack::{APPROVER, BYSTANDER, CHANNEL, REQUESTER, Workspace};

    use super::*;

    #[test]
    fn default_is_slack_with_one_channel_and_three_users() {
        let workspace = slack(&[], &[]);
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
        assert_eq!(parse(&line, &[]).unwrap().unwrap().port, 4030);
        let workspace = slack(&line, &[]);
        assert_eq!(workspace.request_url.as_deref(), Some("http://127.0.0.1:4020/chat/slack?a=b"));
        assert_eq!((workspace.team.as_str(), workspace.app.signing_secret.as_str()), ("T1", "s"));
        assert!(workspace.app.bot_tokens.contains("xoxb-1"));
        assert_eq!(workspace.channels["C1"].name, "运维");
        assert_eq!(workspace.channels["C2"].members, ["U1".to_owned()].into());
    }

    #[test]
    fn options_describe_another_platform() {
        let line =
            ["--platform=feishu", "--chat", "oc_1=运维", "--user=ou_1", "--encrypt-key", "k", "--tenant=t"];
        let State::Feishu(state) = parse(&line, &[]).unwrap().unwrap().state else { panic!("not Feishu") };
        assert_eq!((state.tenant.as_str(), state.app.encrypt_key.as_str()), ("t", "k"));
        assert_eq!(state.chats["oc_1"].members, ["ou_1".to_owned()].into());

        let line = ["--conversation", "cidA/b==网络", "--card-secret=c"];
        let variables = [("LOCAL_CHAT_PLATFORM", "dingtalk"), ("LOCAL_CHAT_APP_SECRET", "s")];
        let State::DingTalk(state) = parse(&line, &variables).unwrap().unwrap().state else {
            panic!("not DingTalk")
        };
        assert_eq!(state.conversations["cidA/b="].title, "网络");
        assert_eq!(state.app.secret, "s");
        let secrets: Vec<_> =
            state.callback_routes.values().map(|route| route.api_secret.as_deref()).collect();
        assert_eq!(secrets, [Some("c")]);
    }

    #[test]
    fn environment_replaces_missing_options() {
        let variables =
            [("LOCAL_CHAT_CHANNEL", "C1=one, C2=two"), ("LOCAL_CHAT_TEAM", "T2"), ("LOCAL_CHAT_PORT", "")];
        assert_eq!(parse(&[], &variables).unwrap().unwrap().port, 0);
        let workspace = slack(&["--team", "T1"], &variables);
        let channels: Vec<_> =
            workspace.channels.iter().map(|(id, channel)| (id.as_str(), channel.name.as_str())).collect();
        assert_eq!(workspace.team, "T1");
        assert_eq!(channels, [("C1", "one"), ("C2", "two")]);
    }

    #[test]
    fn invalid_argument_is_rejected() {
        let error = |line: &[&str]| parse(line, &[]).unwrap_err();
        assert_eq!(error(&["--ports", "1"]), ArgumentError::Unknown("--ports".to_owned()));
        assert_eq!(error(&["--team"]), ArgumentError::NoValue("--team"));
        assert_eq!(error(&["--team=T1", "--team=T2"]), ArgumentError::Twice("--team"));
        assert_eq!(error(&["--port", "70000"]), ArgumentError::Port);
        assert_eq!(error(&["--channel", "C1"]), ArgumentError::Conversation("--channel"));
        assert_eq!(error(&["--platform", "wecom"]), ArgumentError::Platform);
        let other = ArgumentError::OtherPlatform { option: "--team", platform: "feishu" };
        assert_eq!(error(&["--platform", "feishu", "--team", "T1"]), other);
    }

    fn slack(arguments: &[&str], variables: &[(&str, &str)]) -> Workspace {
        match parse(arguments, variables).unwrap().unwrap().state {
            State::Slack(workspace) => workspace,
            other => panic!("not Slack: {other:?}"),
        }
    }

    fn parse(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Option<Arguments>, ArgumentError> {
        let environment = |name: &str| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        };
        Arguments::parse(arguments.iter().map(|&argument| argument.to_owned()), environment)
    }
}
