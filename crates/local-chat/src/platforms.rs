//! The platforms that the program simulates: one row each, with its options.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::{future, io};

use local_chat::{Platform, Simulator, dingtalk, feishu, slack};

use crate::arguments::ArgumentError;

pub(crate) const USER: &str = "--user";

/// The values of each option that was given.
pub(crate) type Values = BTreeMap<&'static str, Vec<String>>;

/// A simulated platform.
#[derive(Debug)]
pub(crate) struct Row {
    /// The value of `--platform`.
    pub(crate) name: &'static str,
    /// The option that adds a conversation and can be repeated, one of `options`.
    pub(crate) conversation: &'static str,
    /// The options of this platform, and their environment variables.
    pub(crate) options: &'static [(&'static str, &'static str)],
    state: fn(&mut Values, Option<String>) -> Result<State, ArgumentError>,
}

/// The rows. The first one is the default.
pub(crate) const PLATFORMS: [Row; 3] = [
    Row {
        name: "slack",
        conversation: "--channel",
        options: &[
            ("--channel", "LOCAL_CHAT_CHANNEL"),
            ("--team", "LOCAL_CHAT_TEAM"),
            ("--signing-secret", "LOCAL_CHAT_SIGNING_SECRET"),
            ("--bot-token", "LOCAL_CHAT_BOT_TOKEN"),
        ],
        state: slack_state,
    },
    Row {
        name: "dingtalk",
        conversation: "--conversation",
        options: &[
            ("--conversation", "LOCAL_CHAT_CONVERSATION"),
            ("--corp", "LOCAL_CHAT_CORP"),
            ("--app-secret", "LOCAL_CHAT_APP_SECRET"),
            ("--card-secret", "LOCAL_CHAT_CARD_SECRET"),
        ],
        state: dingtalk_state,
    },
    Row {
        name: "feishu",
        conversation: "--chat",
        options: &[
            ("--chat", "LOCAL_CHAT_CHAT"),
            ("--tenant", "LOCAL_CHAT_TENANT"),
            ("--app-secret", "LOCAL_CHAT_APP_SECRET"),
            ("--encrypt-key", "LOCAL_CHAT_ENCRYPT_KEY"),
            ("--verification-token", "LOCAL_CHAT_VERIFICATION_TOKEN"),
        ],
        state: feishu_state,
    },
];

/// The state of a platform before it runs.
#[derive(Debug)]
pub(crate) enum State {
    Slack(slack::Workspace),
    DingTalk(dingtalk::Workspace),
    Feishu(feishu::Workspace),
}

impl Row {
    /// The state that the values describe.
    pub(crate) fn state(
        &self,
        values: &mut Values,
        intake_url: Option<String>,
    ) -> Result<State, ArgumentError> {
        (self.state)(values, intake_url)
    }
}

impl State {
    /// Serves the platform on a port. Returns if it cannot listen.
    pub(crate) async fn run(self, port: u16) -> io::Result<Infallible> {
        match self {
            Self::Slack(state) => run(state, port, "Slack", "SLACK_ENDPOINT_URL").await,
            Self::DingTalk(state) => run(state, port, "DingTalk", "DINGTALK_ENDPOINT_URL").await,
            Self::Feishu(state) => run(state, port, "Feishu", "FEISHU_ENDPOINT_URL").await,
        }
    }
}

async fn run<P: Platform>(state: P, port: u16, title: &str, variable: &str) -> io::Result<Infallible> {
    let simulator = Simulator::start_with(state, port).await?;
    let url = simulator.url();
    println!("{title} is simulated at {url}");
    println!();
    println!("Set {variable}={url} for the messenger.");
    for id in simulator.workspace().conversation_ids() {
        println!("Read {id}:  curl {url}/control/conversations/{id}");
    }
    let controls: Vec<_> = P::CONTROLS.iter().map(|(name, _)| *name).collect();
    println!("Other endpoints: {url}/control/{}, faults, journal", controls.join(", "));
    future::pending().await
}

fn slack_state(values: &mut Values, intake_url: Option<String>) -> Result<State, ArgumentError> {
    let mut state = slack::Workspace::default();
    state.request_url = intake_url;
    replace(values, "--team", &mut state.team);
    replace(values, "--signing-secret", &mut state.app.signing_secret);
    if let Some(token) = single(values, "--bot-token") {
        state.app.bot_tokens = [token].into();
    }
    let users = users(values, [slack::REQUESTER, slack::APPROVER, slack::BYSTANDER]);
    let channels = conversations(values, "--channel", (slack::CHANNEL, "ops-变更"))?;
    let channel = |(id, name): (String, String)| (id, slack::Channel::new(&name, users.clone()));
    state.channels = channels.into_iter().map(channel).collect();
    Ok(State::Slack(state))
}

fn dingtalk_state(values: &mut Values, intake_url: Option<String>) -> Result<State, ArgumentError> {
    let mut state = dingtalk::Workspace::default();
    state.request_url = intake_url;
    replace(values, "--corp", &mut state.corp);
    replace(values, "--app-secret", &mut state.app.secret);
    if let Some(secret) = single(values, "--card-secret") {
        for route in state.callback_routes.values_mut() {
            route.api_secret = Some(secret.clone());
        }
    }
    let users = users(values, [dingtalk::REQUESTER, dingtalk::APPROVER, dingtalk::BYSTANDER]);
    let groups = conversations(values, "--conversation", (dingtalk::CONVERSATION, "运维变更"))?;
    let group = |(id, name): (String, String)| (id, dingtalk::Conversation::new(&name, users.clone()));
    state.conversations = groups.into_iter().map(group).collect();
    Ok(State::DingTalk(state))
}

fn feishu_state(values: &mut Values, intake_url: Option<String>) -> Result<State, ArgumentError> {
    let mut state = feishu::Workspace::default();
    state.request_url = intake_url;
    replace(values, "--tenant", &mut state.tenant);
    replace(values, "--app-secret", &mut state.app.secret);
    replace(values, "--encrypt-key", &mut state.app.encrypt_key);
    replace(values, "--verification-token", &mut state.app.verification_token);
    let users = users(values, [feishu::REQUESTER, feishu::APPROVER, feishu::BYSTANDER]);
    let chats = conversations(values, "--chat", (feishu::CHAT, "运维变更"))?;
    let chat = |(id, name): (String, String)| (id, feishu::Chat::new(&name, users.clone()));
    state.chats = chats.into_iter().map(chat).collect();
    Ok(State::Feishu(state))
}

/// The value of an option that can be given once.
pub(crate) fn single(values: &mut Values, option: &str) -> Option<String> {
    values.remove(option)?.pop()
}

fn replace(values: &mut Values, option: &str, place: &mut String) {
    if let Some(value) = single(values, option) {
        *place = value;
    }
}

fn users(values: &mut Values, default: [&str; 3]) -> Vec<String> {
    values.remove(USER).unwrap_or_else(|| default.map(str::to_owned).into())
}

/// The ids and names of the conversations. An id can contain `=`, so the last one separates them.
fn conversations(
    values: &mut Values,
    option: &'static str,
    default: (&str, &str),
) -> Result<Vec<(String, String)>, ArgumentError> {
    let Some(given) = values.remove(option) else {
        return Ok(vec![(default.0.to_owned(), default.1.to_owned())]);
    };
    let pair = |text: &String| {
        let (id, name) = text.rsplit_once('=').ok_or(ArgumentError::Conversation(option))?;
        Ok((id.to_owned(), name.to_owned()))
    };
    given.iter().map(pair).collect()
}
