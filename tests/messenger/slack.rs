//! Slack as a transport: records every call, and responds from a script.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use privatelink_detach::transport::NoResponse;
use privatelink_detach::transport::{SendError, Transport};
use serde_json::{Value, json};

/// How Slack responds to one call.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// The call succeeds.
    Ok,
    /// The call fails with this code, which Slack sends with the status 200.
    Code(&'static str),
    /// Another status, with the header `Retry-After` in seconds.
    Status(u16, Option<u64>),
    Lost,
    Panic,
}

/// A call that Slack received.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Received {
    pub(crate) url: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

/// Slack's Web API; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slack(Rc<State>);

#[derive(Debug, Default)]
struct State {
    script: RefCell<VecDeque<Reply>>,
    received: RefCell<Vec<Received>>,
}

impl Slack {
    /// Plans the replies to the next calls. Every further call succeeds.
    pub(crate) fn plan(&self, replies: impl IntoIterator<Item = Reply>) {
        self.0.script.borrow_mut().extend(replies);
    }

    /// Every call so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.0.received.borrow().clone()
    }

    /// The method of every call so far.
    pub(crate) fn methods(&self) -> Vec<String> {
        let method = |call: &Received| call.url.rsplit('/').next().unwrap().to_owned();
        self.0.received.borrow().iter().map(method).collect()
    }
}

impl Transport for Slack {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, SendError> {
        let (head, body) = request.into_parts();
        self.0.received.borrow_mut().push(Received {
            url: head.uri.to_string(),
            authorization: head.headers["authorization"].to_str().unwrap().to_owned(),
            body: serde_json::from_slice(&body).unwrap(),
        });
        let reply = self.0.script.borrow_mut().pop_front().unwrap_or(Reply::Ok);
        let json = |body: Value| Ok(http::Response::new(Bytes::from(body.to_string())));
        match reply {
            Reply::Ok => json(json!({ "ok": true, "channel": "C07", "ts": "1800000000.000100" })),
            Reply::Code(code) => json(json!({ "ok": false, "error": code })),
            Reply::Status(status, after) => {
                let mut response = http::Response::builder().status(status);
                if let Some(seconds) = after {
                    response = response.header("retry-after", seconds);
                }
                Ok(response.body(Bytes::from_static(b"<html>")).unwrap())
            }
            Reply::Lost => Err(NoResponse::ConnectionLost.into()),
            Reply::Panic => panic!("a planned panic"),
        }
    }
}
