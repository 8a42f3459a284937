//! The control endpoints under `/_simulator/`, for programs in other languages. They need no signature, because the
//! server listens on loopback only.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    cloud::Cloud,
    fault::Fault,
    seed::{Seed, SeedError, check_fault},
};

/// The path prefix of the control endpoints.
pub(crate) const PREFIX: &str = "/_simulator/";

pub(crate) fn respond(cloud: &mut Cloud, request: &Request<Bytes>, now: SystemTime) -> Response<Bytes> {
    let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
    match (path, request.method()) {
        ("state", &Method::GET) => json_response(StatusCode::OK, &cloud.snapshot(now)),
        ("state", &Method::PUT) => match Seed::from_json(request.body()).and_then(Cloud::new) {
            Ok(fresh) => {
                *cloud = fresh;
                json_response(StatusCode::OK, &cloud.snapshot(now))
            }
            Err(error) => bad_request(&error),
        },
        ("faults", &Method::POST) => match read_faults(request.body()) {
            Ok(faults) => {
                let injected = faults.len();
                for fault in faults {
                    cloud.inject(fault);
                }
                json_response(StatusCode::OK, &json!({ "injected": injected }))
            }
            Err(error) => bad_request(&error),
        },
        ("faults", &Method::DELETE) => {
            cloud.clear_faults();
            json_response(StatusCode::OK, &json!({}))
        }
        ("counts", &Method::GET) => json_response(StatusCode::OK, cloud.counts()),
        ("journal", &Method::GET) => json_response(StatusCode::OK, &cloud.journal()),
        ("state" | "faults" | "counts" | "journal", method) => {
            let message = format!("{PREFIX}{path} does not support {method}");
            json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": message }))
        }
        _ => {
            let message = format!("unknown control endpoint; use {PREFIX}state, faults, counts or journal");
            json_response(StatusCode::NOT_FOUND, &json!({ "error": message }))
        }
    }
}

/// Parses one fault or a list of faults.
fn read_faults(body: &[u8]) -> Result<Vec<Fault>, SeedError> {
    // Checked by hand, because the error of an untagged enum would not say what is wrong with the fault.
    let is_list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let faults = if is_list { parse(body)? } else { vec![parse(body)?] };
    faults.iter().try_for_each(check_fault)?;
    Ok(faults)
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, SeedError> {
    Ok(serde_json::from_slice(body)?)
}

fn bad_request(error: &SeedError) -> Response<Bytes> {
    json_response(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() }))
}

fn json_response(status: StatusCode, value: &impl Serialize) -> Response<Bytes> {
    // Serialization fails only for times before the year 0 or after 9999.
    let (status, body) = match serde_json::to_vec_pretty(value) {
        Ok(body) => (status, body),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": error.to_string() }).to_string().into())
        }
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
