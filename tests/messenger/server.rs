//! The servers of the platforms as a transport: records every call, and responds from a script.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use privatelink_detach::transport::NoResponse;
use privatelink_detach::transport::{SendError, Transport};
use serde_json::{Value, json};

/// How a platform responds to one call.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// The call succeeds. One for an access token issues another one each time.
    Ok,
    /// The call fails with this code, as the platform sends it.
    Code(&'static str),
    /// The access token is one that ends after these seconds.
    Expires(u64),
    /// Another status, with a page, and with the header `Retry-After` in seconds.
    Status(u16, Option<u64>),
    Lost,
    Panic,
}

/// A call that a platform received.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Received {
    pub(crate) method: Method,
    pub(crate) url: String,
    /// The header with the token, if the call has one.
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

/// The interfaces of the platforms; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Server(Rc<State>);

#[derive(Debug, Default)]
struct State {
    script: RefCell<VecDeque<Reply>>,
    received: RefCell<Vec<Received>>,
    tokens: Cell<u32>,
}

impl Server {
    /// Plans the replies to the next calls. Every further call succeeds.
    pub(crate) fn plan(&self, replies: impl IntoIterator<Item = Reply>) {
        self.0.script.borrow_mut().extend(replies);
    }

    /// Every call so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.0.received.borrow().clone()
    }

    /// The last part of the path of every call so far.
    pub(crate) fn methods(&self) -> Vec<String> {
        let method = |call: &Received| call.url.rsplit('/').next().unwrap().to_owned();
        self.0.received.borrow().iter().map(method).collect()
    }

    /// The body of a successful response to a call of this address.
    fn success(&self, url: &str, expires_in: u64) -> Value {
        if url.ends_with("/tenant_access_token/internal") || url.ends_with("/oauth2/accessToken") {
            self.0.tokens.set(self.0.tokens.get() + 1);
        }
        let token = format!("acc3ss-{}", self.0.tokens.get());
        if url.ends_with("/tenant_access_token/internal") {
            json!({ "code": 0, "msg": "ok", "tenant_access_token": token, "expire": expires_in })
        } else if url.contains("/open-apis/") {
            json!({ "code": 0, "msg": "success", "data": { "message_id": "om_new" } })
        } else if url.ends_with("/oauth2/accessToken") {
            json!({ "accessToken": token, "expireIn": expires_in })
        } else if url.contains("/v1.0/") {
            json!({ "success": true, "processQueryKey": "key" })
        } else {
            json!({ "ok": true, "channel": "C07", "ts": "1800000000.000100" })
        }
    }
}

impl Transport for Server {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, SendError> {
        let (head, body) = request.into_parts();
        let url = head.uri.to_string();
        let token = ["authorization", "x-acs-dingtalk-access-token"]
            .iter()
            .find_map(|name| head.headers.get(*name))
            .map_or("", |value| value.to_str().unwrap());
        self.0.received.borrow_mut().push(Received {
            method: head.method,
            url: url.clone(),
            authorization: token.to_owned(),
            body: serde_json::from_slice(&body).unwrap(),
        });
        let reply = self.0.script.borrow_mut().pop_front().unwrap_or(Reply::Ok);
        let with_status = |status: u16, body: &Value| {
            let response = http::Response::builder().status(status);
            Ok(response.body(Bytes::from(body.to_string())).unwrap())
        };
        match reply {
            Reply::Ok => with_status(200, &self.success(&url, 7200)),
            Reply::Expires(seconds) => with_status(200, &self.success(&url, seconds)),
            Reply::Code(code) if url.contains("/open-apis/") => {
                with_status(400, &json!({ "code": code.parse::<i64>().unwrap(), "msg": "b0dy" }))
            }
            Reply::Code(code) if url.contains("/v1.0/") => {
                with_status(400, &json!({ "code": code, "message": "b0dy", "requestid": "r" }))
            }
            Reply::Code(code) => with_status(200, &json!({ "ok": false, "error": code })),
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
