//! `Invoke` of the Lambda API: which function a request names, and the response for the function's answer. No I/O.
//!
//! Source: Lambda API reference, `Invoke`. Functions are known by their plain names; ARNs, versions and log tails are
//! left out.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;

use crate::runtime_api::InvocationResult;

/// The first part of the path; the function's name follows.
const PREFIX: &str = "/2015-03-31/functions/";

/// The last part of the path.
const SUFFIX: &str = "/invocations";

/// The result of an invocation, later.
type Invocation = Pin<Box<dyn Future<Output = InvocationResult> + Send>>;

/// The functions that `Invoke` finds, by name.
#[derive(Clone, Default)]
pub struct Functions(BTreeMap<String, Arc<dyn Fn(Bytes) -> Invocation + Send + Sync>>);

/// An invocation that a client requests.
pub(crate) struct Invoke {
    invocation: Invocation,
    is_async: bool,
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Functions {
    /// Adds a function, or replaces the one of this name.
    pub fn insert<I, F>(&mut self, name: &str, invoke: I)
    where
        I: Fn(Bytes) -> F + Send + Sync + 'static,
        F: Future<Output = InvocationResult> + Send + 'static,
    {
        self.0.insert(name.to_owned(), Arc::new(move |payload| Box::pin(invoke(payload))));
    }

    /// The invocation that a client requests; none if the request is not an `Invoke`. The inner error is the response to
    /// one that cannot be carried out.
    pub(crate) fn requested(&self, head: &Parts, body: &Bytes) -> Option<Result<Invoke, Response<Bytes>>> {
        let name = head.uri.path().strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        if head.method != Method::POST {
            return None;
        }
        let Some(invoke) = self.0.get(name) else {
            let names: Vec<&str> = self.0.keys().map(String::as_str).collect();
            let message = format!("Function not found: {name}. The functions are: {}", names.join(", "));
            return Some(Err(error(StatusCode::NOT_FOUND, "ResourceNotFoundException", &message)));
        };
        let kind = head.headers.get("x-amz-invocation-type").map(HeaderValue::as_bytes);
        let is_async = match kind {
            None | Some(b"RequestResponse") => false,
            Some(b"Event") => true,
            Some(_) => {
                let message = "The invocation type must be RequestResponse or Event.";
                return Some(Err(error(StatusCode::BAD_REQUEST, "InvalidParameterValueException", message)));
            }
        };
        // No payload is an empty object, as on AWS.
        let payload = if body.is_empty() { Bytes::from_static(b"{}") } else { body.clone() };
        Some(Ok(Invoke { invocation: invoke(payload), is_async }))
    }
}

impl Invoke {
    /// The response. An asynchronous invocation continues after it, and is not retried.
    pub(crate) async fn response(self) -> Response<Bytes> {
        if self.is_async {
            tokio::spawn(self.invocation);
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::ACCEPTED;
            return response;
        }
        let (payload, is_error) = match self.invocation.await {
            InvocationResult::Response(payload) => (payload, false),
            InvocationResult::Error(payload) => (payload, true),
        };
        let mut response = Response::new(payload);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-amz-executed-version", HeaderValue::from_static("$LATEST"));
        if is_error {
            headers.insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
        }
        response
    }
}

fn error(status: StatusCode, code: &'static str, message: &str) -> Response<Bytes> {
    let mut response = Response::new(json!({ "Type": "User", "Message": message }).to_string().into());
    *response.status_mut() = status;
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(code));
    response
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn functions() -> Functions {
        let mut functions = Functions::default();
        functions.insert("echo", |payload| async { InvocationResult::Response(payload) });
        functions.insert("fail", |payload| async { InvocationResult::Error(payload) });
        functions
    }

    /// Status, error header and body of the response to an `Invoke`.
    async fn invoke(name: &str, kind: &str, body: &'static str) -> (u16, Option<HeaderValue>, Bytes) {
        let request = Request::post(format!("{PREFIX}{name}{SUFFIX}")).header("x-amz-invocation-type", kind);
        let head = request.body(()).unwrap().into_parts().0;
        let response = match functions().requested(&head, &Bytes::from_static(body.as_bytes())).unwrap() {
            Ok(invoke) => invoke.response().await,
            Err(response) => response,
        };
        let error = ["x-amz-function-error", "x-amzn-errortype"].map(|name| response.headers().get(name));
        let error = error.into_iter().flatten().next().cloned();
        (response.status().as_u16(), error, response.into_body())
    }

    #[tokio::test]
    async fn response_is_the_functions_own_and_names_its_error() {
        let unhandled = Some(HeaderValue::from_static("Unhandled"));
        assert_eq!(invoke("echo", "RequestResponse", "[1]").await, (200, None, "[1]".into()));
        assert_eq!(invoke("echo", "RequestResponse", "").await, (200, None, "{}".into()));
        assert_eq!(invoke("fail", "RequestResponse", "[1]").await, (200, unhandled, "[1]".into()));
    }

    #[tokio::test]
    async fn asynchronous_invocation_is_accepted_without_a_result() {
        assert_eq!(invoke("fail", "Event", "[1]").await, (202, None, "".into()));
    }

    #[tokio::test]
    async fn unknown_function_and_invocation_type_are_refused_with_aws_codes() {
        let (status, code, body) = invoke("other", "Event", "").await;
        assert_eq!((status, code.unwrap().to_str().unwrap()), (404, "ResourceNotFoundException"));
        assert!(str::from_utf8(&body).unwrap().contains("echo, fail"), "{body:?}");
        let (status, code, _) = invoke("echo", "DryRun", "").await;
        assert_eq!((status, code.unwrap().to_str().unwrap()), (400, "InvalidParameterValueException"));
    }

    #[test]
    fn other_requests_are_left_to_the_other_services() {
        for (method, path) in [("GET", "/2015-03-31/functions/echo/invocations"), ("POST", "/")] {
            let head = Request::builder().method(method).uri(path).body(()).unwrap().into_parts().0;
            assert!(functions().requested(&head, &Bytes::new()).is_none());
        }
    }
}
