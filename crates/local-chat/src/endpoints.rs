//! The control endpoints under `/control/`, for `curl` and for programs in other languages. They need no token, because
//! the server listens on loopback only.

use std::error::Error as _;
use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::client::{AppResponse, PostError};
use crate::control::{
    ControlError, PREFIX, Parameters, error_response, json_response, plan_fault, text_response,
};
use crate::request::SignedRequest;
use crate::simulator::{Control, Platform, now, send};
use crate::state::Shared;

/// Makes a request to the app from the body of a control request.
pub type Act<P> = fn(&mut P, &[u8], SystemTime) -> Result<Outgoing<<P as Platform>::Action>, RequestError>;

/// A request to the app, and where to send it.
#[derive(Debug)]
pub struct Outgoing<A> {
    pub request: SignedRequest<A>,
    /// `None` returns the request to the caller instead.
    pub url: Option<String>,
}

/// Why a control request is refused.
#[derive(Debug, Error)]
pub enum RequestError {
    #[error(transparent)]
    Parameters(#[from] ControlError),
    #[error("{name}: {why}")]
    Invalid { name: &'static str, why: String },
    /// A parameter names something that does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The request is well formed, but the platform does not allow it now.
    #[error("{0}")]
    NotAllowed(String),
    #[error("there is no intake URL; start the simulator with one, or give the parameter url, or send=false")]
    NoUrl,
}

impl RequestError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::NotAllowed(_) | Self::NoUrl => StatusCode::CONFLICT,
            Self::Parameters(_) | Self::Invalid { .. } => StatusCode::BAD_REQUEST,
        }
    }
}

pub(crate) async fn respond<P: Platform>(
    shared: &Shared<P>,
    method: &Method,
    endpoint: &str,
    query: Option<&str>,
    body: &Bytes,
) -> Response<Bytes> {
    let control = P::CONTROLS.iter().find(|(name, _)| *name == endpoint).map(|(_, control)| control);
    let result = match (method, endpoint, control) {
        (&Method::POST, _, Some(Control::Act(act))) => deliver(shared, *act, body).await,
        (&Method::POST, _, Some(Control::Change(change))) => {
            change(&mut shared.hold(), body).map(|()| json_response(StatusCode::OK, &json!({})))
        }
        (&Method::POST, "faults", _) => plan_fault(shared.hold().faults_mut(), body, P::METHODS)
            .map(|calls| json_response(StatusCode::OK, &json!({ "planned": calls })))
            .map_err(RequestError::from),
        (&Method::DELETE, "faults", _) => {
            shared.hold().faults_mut().clear();
            Ok(json_response(StatusCode::OK, &json!({})))
        }
        (&Method::GET, "journal", _) => Ok(json_response(StatusCode::OK, &shared.hold().journal())),
        (&Method::GET, endpoint, _) if endpoint.starts_with("conversations/") => {
            let id = decoded(endpoint.trim_start_matches("conversations/"));
            conversation(&*shared.hold(), &id, query)
        }
        _ => return unknown::<P>(),
    };
    result.unwrap_or_else(|error| error_response(error.status(), &error))
}

fn unknown<P: Platform>() -> Response<Bytes> {
    let posts: Vec<_> = P::CONTROLS.iter().map(|(name, _)| *name).collect();
    let known =
        format!("POST {} or faults; GET journal or conversations/{{id}}; DELETE faults", posts.join(", "));
    error_response(StatusCode::NOT_FOUND, &format!("unknown endpoint; below {PREFIX}: {known}"))
}

/// A path with its percent-encoded characters decoded: an id may contain `+` and `/`.
fn decoded(path: &str) -> String {
    // In a form, `+` is a space and `&` separates; in a path, they are characters.
    let form = format!("id={}", path.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(form.as_bytes()).map(|(_, id)| id.into_owned()).collect()
}

/// The conversation that a parameter names; the only one need not be named.
pub(crate) fn conversation_of<P: Platform>(
    platform: &P,
    parameters: &Parameters,
) -> Result<String, ControlError> {
    match (parameters.text(P::CONVERSATION)?, platform.conversation_ids().as_slice()) {
        (Some(id), _) => Ok(id.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => Err(ControlError::Missing(P::CONVERSATION)),
    }
}

/// The URL to which a request goes, or `None` if the caller sends it.
pub(crate) fn url_of<P: Platform>(
    platform: &P,
    parameters: &Parameters,
) -> Result<Option<String>, RequestError> {
    if !parameters.flag("send")?.unwrap_or(true) {
        return Ok(None);
    }
    let url = parameters.text("url")?.or(platform.request_url());
    url.map(|url| Some(url.to_owned())).ok_or(RequestError::NoUrl)
}

async fn deliver<P: Platform>(
    shared: &Shared<P>,
    act: Act<P>,
    body: &[u8],
) -> Result<Response<Bytes>, RequestError> {
    let Outgoing { request, url } = act(&mut shared.hold(), body, now())?;
    let report = if let Some(url) = url {
        delivery(&send(shared, &request, &url, P::response_limit(&request.action)).await)
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

fn conversation<P: Platform>(
    platform: &P,
    id: &str,
    query: Option<&str>,
) -> Result<Response<Bytes>, RequestError> {
    let parameters = Parameters::parse(query.unwrap_or_default().as_bytes(), &["format"])?;
    let unknown = || RequestError::NotFound(format!("there is no {} {id}", P::CONVERSATION));
    match parameters.text("format")? {
        Some("json") => Ok(json_response(StatusCode::OK, &platform.messages(id).ok_or_else(unknown)?)),
        None | Some("text") => Ok(text_response(platform.conversation(id).ok_or_else(unknown)?)),
        Some(_) => Err(ControlError::Invalid { name: "format", expected: "text or json" }.into()),
    }
}
