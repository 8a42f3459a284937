//! What can be said about an HTTP call without knowing who sent it.
//!
//! Pure: a value if the call goes on, its answer if it ends here.

use aws_lambda_events::event::lambda_function_urls::LambdaFunctionUrlRequest;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::answer::Answer;
use super::submission::Fault;

/// Most bytes of a body: a hundred requests with the longest names and all the metadata that they may have, in UTF-8.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To take requests.
    Detachments,
    /// Whether the process lives.
    Health,
}

/// What the method and the path ask for.
pub fn route(request: &LambdaFunctionUrlRequest, path: &str) -> Result<Route, Answer> {
    let (route, method) = match path {
        "/detachments" => (Route::Detachments, "POST"),
        "/health" => (Route::Health, "GET"),
        _ => return Err(Answer::NotFound),
    };
    if request.request_context.http.method.as_deref() == Some(method) {
        Ok(route)
    } else {
        Err(Answer::MethodNotAllowed(method))
    }
}

/// The body as it was sent.
pub fn body(request: &LambdaFunctionUrlRequest) -> Result<Vec<u8>, Answer> {
    let text = request.body.as_deref().unwrap_or_default();
    // What is far too large is not even decoded: four characters of base64 hold three bytes.
    let bytes_min = if request.is_base64_encoded { text.len() / 4 * 3 } else { text.len() };
    if bytes_min > BODY_BYTES_MAX + 2 {
        return Err(Answer::TooLarge);
    }
    let body = if request.is_base64_encoded {
        let faulty = |_| Answer::Faulty(vec![Fault::of_body("is not the base64 that it is said to be")]);
        BASE64_STANDARD.decode(text).map_err(faulty)?
    } else {
        text.as_bytes().to_vec()
    };
    if body.len() > BODY_BYTES_MAX { Err(Answer::TooLarge) } else { Ok(body) }
}

/// Whether the body is said to be plain JSON.
pub fn check_media_type(headers: &HeaderMap) -> Result<(), Answer> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let media_type = text(CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default();
    let is_json = media_type.trim().eq_ignore_ascii_case("application/json");
    let is_plain = text(CONTENT_ENCODING).is_none_or(|coding| coding.trim().eq_ignore_ascii_case("identity"));
    if is_json && is_plain { Ok(()) } else { Err(Answer::UnsupportedMediaType) }
}
