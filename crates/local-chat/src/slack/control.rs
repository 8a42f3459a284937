//! The control endpoints under `/control/`, for `curl` and for programs in other languages. They need no token, because
//! the server listens on loopback only.

use std::error::Error as _;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::client::{AppResponse, PostError};
use crate::control::{
    ControlError, PREFIX, Parameters, error_response, json_response, plan_fault, text_response,
};
use crate::state::Shared;

use super::requests::{ActionError, SignedRequest};
use super::timestamp::{NotATimestamp, Timestamp};
use super::web_api::METHODS;
use super::workspace::{Author, Message, Workspace};
use super::{RESPONSE_LIMIT, click_newest, now, send};

/// Why a control request is refused.
#[derive(Debug, Error)]
enum RequestError {
    #[error(transparent)]
    Parameters(#[from] ControlError),
    #[error(transparent)]
    Action(#[from] ActionError),
    #[error("ts: {0}")]
    Timestamp(#[from] NotATimestamp),
    #[error("there is no intake URL; start the simulator with one, or give the parameter url, or send=false")]
    NoUrl,
    #[error("there is no channel {0}")]
    NoChannel(String),
}

/// A request to the app, and where to send it.
struct Outgoing {
    request: SignedRequest,
    /// `None` returns the request to the caller instead.
    url: Option<String>,
}

pub(super) async fn respond(
    shared: &Shared<Workspace>,
    method: &Method,
    endpoint: &str,
    query: Option<&str>,
    body: &Bytes,
) -> Response<Bytes> {
    let result = match (method, endpoint) {
        (&Method::POST, "command") => deliver(shared, command, body).await,
        (&Method::POST, "click") => deliver(shared, click, body).await,
        (&Method::POST, "channels") => set_channel(&mut shared.hold(), body),
        (&Method::POST, "faults") => plan_fault(&mut shared.hold().faults, body, &METHODS)
            .map(|calls| json_response(StatusCode::OK, &json!({ "planned": calls })))
            .map_err(RequestError::from),
        (&Method::DELETE, "faults") => {
            shared.hold().faults.clear();
            Ok(json_response(StatusCode::OK, &json!({})))
        }
        (&Method::GET, "journal") => Ok(json_response(StatusCode::OK, &shared.hold().journal)),
        (&Method::GET, endpoint) if endpoint.starts_with("conversations/") => {
            conversation(&shared.hold(), endpoint.trim_start_matches("conversations/"), query)
        }
        _ => {
            let known = "POST command, click, channels or faults; GET journal or conversations/{channel}; DELETE faults";
            return error_response(
                StatusCode::NOT_FOUND,
                &format!("unknown endpoint; below {PREFIX}: {known}"),
            );
        }
    };
    result.unwrap_or_else(|error| {
        let status = match error {
            RequestError::NoChannel(_) | RequestError::Action(ActionError::NoChannel(_)) => {
                StatusCode::NOT_FOUND
            }
            // The request is well formed, but the workspace does not allow it now.
            RequestError::Action(_) | RequestError::NoUrl => StatusCode::CONFLICT,
            RequestError::Parameters(_) | RequestError::Timestamp(_) => StatusCode::BAD_REQUEST,
        };
        error_response(status, &error)
    })
}

fn command(workspace: &mut Workspace, body: &[u8]) -> Result<Outgoing, RequestError> {
    let parameters = Parameters::parse(body, &["text", "user", "channel", "url", "send"])?;
    let text = parameters.text("text")?.unwrap_or_default();
    let (user, channel) = (parameters.required("user")?, channel(workspace, &parameters)?);
    let url = url(workspace, &parameters)?;
    Ok(Outgoing { request: workspace.command(text, user, &channel, now())?, url })
}

fn click(workspace: &mut Workspace, body: &[u8]) -> Result<Outgoing, RequestError> {
    let parameters = Parameters::parse(body, &["action", "user", "channel", "ts", "url", "send"])?;
    let (action, user) = (parameters.required("action")?, parameters.required("user")?);
    let channel = channel(workspace, &parameters)?;
    let url = url(workspace, &parameters)?;
    let request = match parameters.text("ts")? {
        Some(ts) => {
            let ts: Timestamp = ts.parse()?;
            workspace.click(&channel, ts, action, user, now())?
        }
        None => click_newest(workspace, &channel, action, user)?,
    };
    Ok(Outgoing { request, url })
}

/// The channel of a request; the workspace's only one need not be named.
fn channel(workspace: &Workspace, parameters: &Parameters) -> Result<String, ControlError> {
    let mut ids = workspace.channels.keys();
    match (parameters.text("channel")?, ids.next(), ids.next()) {
        (Some(channel), _, _) => Ok(channel.to_owned()),
        (None, Some(only), None) => Ok(only.clone()),
        (None, _, _) => Err(ControlError::Missing("channel")),
    }
}

/// The URL to which the request goes, or `None` if the caller sends it.
fn url(workspace: &Workspace, parameters: &Parameters) -> Result<Option<String>, RequestError> {
    if !parameters.flag("send")?.unwrap_or(true) {
        return Ok(None);
    }
    let url = parameters.text("url")?.or(workspace.request_url.as_deref());
    url.map(|url| Some(url.to_owned())).ok_or(RequestError::NoUrl)
}

async fn deliver(
    shared: &Shared<Workspace>,
    act: impl FnOnce(&mut Workspace, &[u8]) -> Result<Outgoing, RequestError>,
    body: &[u8],
) -> Result<Response<Bytes>, RequestError> {
    let Outgoing { request, url } = act(&mut shared.hold(), body)?;
    let report = if let Some(url) = url {
        delivery(&send(shared, &request, &url, RESPONSE_LIMIT).await)
    } else {
        let headers = request.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
        json!({ "headers": headers.collect::<Map<_, _>>(), "body": request.body })
    };
    Ok(json_response(StatusCode::OK, &report))
}

fn delivery(response: &Result<AppResponse, PostError>) -> Value {
    match response {
        Ok(response) => {
            json!({ "status": response.status, "body": String::from_utf8_lossy(&response.body) })
        }
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            json!({ "status": null, "error": format!("{error}{cause}") })
        }
    }
}

/// Creates or changes a channel. What is not given stays, or has the default of a new channel: no members, without the
/// app.
fn set_channel(workspace: &mut Workspace, body: &[u8]) -> Result<Response<Bytes>, RequestError> {
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
    Ok(json_response(StatusCode::OK, &json!({})))
}

fn conversation(
    workspace: &Workspace,
    channel: &str,
    query: Option<&str>,
) -> Result<Response<Bytes>, RequestError> {
    let parameters = Parameters::parse(query.unwrap_or_default().as_bytes(), &["format"])?;
    let found = workspace.channels.get(channel).ok_or_else(|| RequestError::NoChannel(channel.to_owned()))?;
    match parameters.text("format")? {
        Some("json") => {
            let messages: Vec<_> = found.messages.iter().map(message).collect();
            Ok(json_response(StatusCode::OK, &messages))
        }
        None | Some("text") => Ok(text_response(workspace.conversation(channel).unwrap_or_default())),
        Some(_) => Err(ControlError::Invalid { name: "format", expected: "text or json" }.into()),
    }
}

fn message(message: &Message) -> Value {
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
