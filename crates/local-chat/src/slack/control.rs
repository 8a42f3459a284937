//! The control endpoints of Slack alone. Without clock and I/O.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::control::Parameters;
use crate::endpoints::{Outgoing, RequestError, conversation_of, url_of};
use crate::simulator::Control;

use super::requests::{ActionError, UserAction};
use super::timestamp::{NotATimestamp, Timestamp};
use super::workspace::{Author, Message, Workspace};

pub(super) const CONTROLS: [(&str, Control<Workspace>); 3] = [
    ("command", Control::Act(command)),
    ("click", Control::Act(click)),
    ("channels", Control::Change(set_channel)),
];

impl From<ActionError> for RequestError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::NoChannel(_) => Self::NotFound(error.to_string()),
            _ => Self::NotAllowed(error.to_string()),
        }
    }
}

fn command(
    workspace: &mut Workspace,
    body: &[u8],
    now: SystemTime,
) -> Result<Outgoing<UserAction>, RequestError> {
    let parameters = Parameters::parse(body, &["text", "user", "channel", "url", "send"])?;
    let text = parameters.text("text")?.unwrap_or_default();
    let user = parameters.required("user")?;
    let channel = conversation_of(workspace, &parameters)?;
    let url = url_of(workspace, &parameters)?;
    Ok(Outgoing { request: workspace.command(text, user, &channel, now)?, url })
}

fn click(
    workspace: &mut Workspace,
    body: &[u8],
    now: SystemTime,
) -> Result<Outgoing<UserAction>, RequestError> {
    let parameters = Parameters::parse(body, &["action", "user", "channel", "ts", "url", "send"])?;
    let (action, user) = (parameters.required("action")?, parameters.required("user")?);
    let channel = conversation_of(workspace, &parameters)?;
    let url = url_of(workspace, &parameters)?;
    let request = match parameters.text("ts")? {
        Some(ts) => {
            let invalid = |error: NotATimestamp| RequestError::Invalid { name: "ts", why: error.to_string() };
            let ts: Timestamp = ts.parse().map_err(invalid)?;
            workspace.click(&channel, ts, action, user, now)?
        }
        None => workspace.click_newest(&channel, action, user, now)?,
    };
    Ok(Outgoing { request, url })
}

/// Creates or changes a channel. What is not given stays, or has the default of a new channel: no members, without the
/// app.
fn set_channel(workspace: &mut Workspace, body: &[u8]) -> Result<(), RequestError> {
    let known = ["id", "name", "members", "app", "private", "archived"];
    let parameters = Parameters::parse(body, &known)?;
    let id = parameters.required("id")?;
    let (name, members) = (parameters.text("name")?, parameters.list("members")?);
    let (app, private) = (parameters.flag("app")?, parameters.flag("private")?);
    let archived = parameters.flag("archived")?;
    let channel = workspace.channels.entry(id.to_owned()).or_default();
    if let Some(name) = name {
        name.clone_into(&mut channel.name);
    }
    if let Some(members) = members {
        channel.members = members.into_iter().collect();
    }
    channel.has_app = app.unwrap_or(channel.has_app);
    channel.is_private = private.unwrap_or(channel.is_private);
    channel.is_archived = archived.unwrap_or(channel.is_archived);
    Ok(())
}

/// A message for programs.
pub(super) fn message(message: &Message) -> Value {
    let buttons = message.buttons().map(|button| {
        json!({ "action_id": button["action_id"], "text": button["text"]["text"], "value": button["value"] })
    });
    json!({
        "ts": message.ts,
        "thread_ts": message.thread_ts,
        "author": match &message.author {
            Author::App => "app",
            Author::Slackbot => "slackbot",
            Author::User(user) => user,
        },
        "text": message.text,
        "blocks": message.blocks,
        "buttons": buttons.collect::<Vec<_>>(),
        "edited": message.edited,
        "visible_to": message.visible_to,
        "shown": super::text::lines(message).join("\n"),
    })
}
