//! From a request to the body of a message: the contract's own spelling, and only fields that the sender gave.

use serde_json::{Map, Value};

use super::{DetachRequest, RequestId};

/// See [`DetachRequest::to_body`].
pub(super) fn write(request: &DetachRequest, request_id: &RequestId) -> String {
    let mut body = Map::new();
    let mut put = |field: &str, value: Value| drop(body.insert(field.to_owned(), value));
    put("region_id", request.region_id.as_str().into());
    put("endpoint_id", request.endpoint_id.as_str().into());
    put("security_group_id", request.security_group_id.as_str().into());
    put("dry_run", request.dry_run.into());
    if request.expect_attached {
        put("expect_attached", true.into());
    }
    put("request_id", request_id.as_str().into());
    if let Some(token) = &request.client_token {
        put("client_token", token.as_str().into());
    }
    if let Some(deadline) = request.deadline {
        put("deadline_seconds", deadline.as_secs().into());
    }
    if !request.metadata.is_empty() {
        put("metadata", request.metadata.iter().map(|(key, text)| (key.clone(), text.clone())).collect());
    }
    // JSON may contain these two characters unescaped; SQS refuses them.
    Value::Object(body).to_string().replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}
