//! The calls of a platform's API: carries out a call, or applies the fault that is planned for it.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use crate::faults::Fault;
use crate::journal::Ending;
use crate::loopback::Reaction;

/// A response, and the code of the error if the call was refused.
pub(crate) type Outcome = (Response<Bytes>, Option<String>);

/// Carries out a call, or applies its fault. `refuse` is the platform's response for an error code.
pub(crate) fn answer(
    fault: Option<Fault>,
    refuse: impl FnOnce(&str) -> Response<Bytes>,
    carry_out: impl FnOnce() -> Outcome,
) -> (Reaction, Ending) {
    let Some(fault) = fault else {
        let (response, refused) = carry_out();
        return (Reaction::respond(response), refused.map_or(Ending::Done, Ending::Refused));
    };
    let reaction = match &fault {
        Fault::Error(code) => Reaction::respond(refuse(code)),
        Fault::Response { status, headers, body } => Reaction::respond(injected(*status, headers, body)),
        Fault::Hang => Reaction::Hang,
        Fault::ResponseLost => {
            let _lost = carry_out();
            Reaction::Close
        }
        Fault::Slow(after) => Reaction::Respond { response: carry_out().0, after: *after },
    };
    (reaction, Ending::Faulted(fault))
}

pub(crate) fn json_response(body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    let content_type = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// The response of a fault. Headers that HTTP does not allow are left out.
fn injected(status: u16, headers: &[(String, String)], body: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
