//! The parameters of the control endpoints, as a form (`curl -d user=U…`) or as JSON. Without I/O.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::faults::{Fault, Faults};

/// The path prefix of the control endpoints.
pub(crate) const PREFIX: &str = "/control/";

/// The parameters of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(Map<String, Value>);

/// Why a control request is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ControlError {
    #[error("the body is neither a form nor a JSON object")]
    Body,
    #[error("the parameter {0:?} is missing")]
    Missing(&'static str),
    #[error("the parameter {0:?} is unknown")]
    Unknown(String),
    #[error("the parameter {name:?} must be {expected}")]
    Invalid { name: &'static str, expected: &'static str },
    #[error("the method must be one of {0}")]
    Method(String),
    #[error("give exactly one of error, status, delay_ms, hang and response_lost")]
    FaultKind,
}

impl Parameters {
    /// Parses a body: JSON if it begins with a brace, since `curl -d` declares everything to be a form.
    pub(crate) fn parse(body: &[u8], known: &[&str]) -> Result<Self, ControlError> {
        let parameters: Map<String, Value> = if body.trim_ascii_start().starts_with(b"{") {
            serde_json::from_slice(body).map_err(|_| ControlError::Body)?
        } else {
            let fields = form_urlencoded::parse(body);
            fields.map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))).collect()
        };
        match parameters.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(ControlError::Unknown(name.clone())),
            None => Ok(Self(parameters)),
        }
    }

    /// A text. An empty one counts as absent.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<&str>, ControlError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(ControlError::Invalid { name, expected: "a text" }),
        }
    }

    pub(crate) fn required(&self, name: &'static str) -> Result<&str, ControlError> {
        self.text(name)?.ok_or(ControlError::Missing(name))
    }

    /// A number, in a form as digits.
    pub(crate) fn number(&self, name: &'static str) -> Result<Option<u64>, ControlError> {
        let invalid = ControlError::Invalid { name, expected: "a number" };
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => text.parse().map(Some).map_err(|_| invalid),
            Some(value) => value.as_u64().map(Some).ok_or(invalid),
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>, ControlError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(_) => Err(ControlError::Invalid { name, expected: "true or false" }),
        }
    }

    /// A list of texts, in a form separated by commas.
    pub(crate) fn list(&self, name: &'static str) -> Result<Option<Vec<String>>, ControlError> {
        let invalid = || ControlError::Invalid { name, expected: "a list of texts" };
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            )),
            Some(Value::Array(parts)) => {
                let parts = parts.iter().map(|part| part.as_str().map(str::to_owned).ok_or_else(invalid));
                parts.collect::<Result<_, _>>().map(Some)
            }
            Some(_) => Err(invalid()),
        }
    }

    fn headers(&self) -> Result<Vec<(String, String)>, ControlError> {
        let invalid = ControlError::Invalid { name: "headers", expected: "an object of texts" };
        match self.0.get("headers") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Object(headers)) => headers
                .iter()
                .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect::<Option<_>>()
                .ok_or(invalid),
            Some(_) => Err(invalid),
        }
    }
}

/// Plans the fault that a control request describes for one of `methods`, and returns the number of calls that it affects.
pub(crate) fn plan_fault(faults: &mut Faults, body: &[u8], methods: &[&str]) -> Result<usize, ControlError> {
    let known =
        ["method", "times", "error", "status", "headers", "body", "hang", "delay_ms", "response_lost"];
    let parameters = Parameters::parse(body, &known)?;
    let method = parameters.required("method")?;
    if !methods.contains(&method) {
        return Err(ControlError::Method(methods.join(", ")));
    }
    let times = parameters.number("times")?.unwrap_or(1);
    let times = usize::try_from(times).ok().filter(|times| (1..=1000).contains(times));
    let times = times.ok_or(ControlError::Invalid { name: "times", expected: "a number from 1 to 1000" })?;
    let error = parameters.text("error")?.map(|code| Fault::Error(code.to_owned()));
    let delay = parameters.number("delay_ms")?.map(|delay| Fault::Slow(Duration::from_millis(delay)));
    let hang = parameters.flag("hang")?.unwrap_or(false).then_some(Fault::Hang);
    let lost = parameters.flag("response_lost")?.unwrap_or(false).then_some(Fault::ResponseLost);
    let mut given: Vec<_> =
        [error, response(&parameters)?, delay, hang, lost].into_iter().flatten().collect();
    match (given.pop(), given.is_empty()) {
        (Some(fault), true) => {
            faults.plan(method, times, fault);
            Ok(times)
        }
        _ => Err(ControlError::FaultKind),
    }
}

fn response(parameters: &Parameters) -> Result<Option<Fault>, ControlError> {
    let Some(status) = parameters.number("status")? else { return Ok(None) };
    let status = u16::try_from(status).ok().filter(|status| (200..600).contains(status));
    let status =
        status.ok_or(ControlError::Invalid { name: "status", expected: "a status from 200 to 599" })?;
    let body = parameters.text("body")?.unwrap_or_default().to_owned();
    Ok(Some(Fault::Response { status, headers: parameters.headers()?, body }))
}

pub(crate) fn json_response(status: StatusCode, value: &impl Serialize) -> Response<Bytes> {
    // The values of this crate have text keys and finite numbers, so they can be serialized.
    let mut body = serde_json::to_vec_pretty(value).unwrap_or_default();
    body.push(b'\n');
    response_of(status, "application/json; charset=utf-8", body)
}

pub(crate) fn text_response(text: String) -> Response<Bytes> {
    response_of(StatusCode::OK, "text/plain; charset=utf-8", text.into_bytes())
}

pub(crate) fn error_response(status: StatusCode, error: &impl ToString) -> Response<Bytes> {
    json_response(status, &json!({ "error": error.to_string() }))
}

fn response_of(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_and_json_mean_the_same() {
        for body in
            [r#"{"text": "detach 安全组", "times": 2, "hang": true}"#, "text=detach+安全组&times=2&hang=true"]
        {
            let parameters = Parameters::parse(body.as_bytes(), &["text", "times", "hang"]).unwrap();
            assert_eq!(parameters.required("text"), Ok("detach 安全组"));
            assert_eq!(parameters.number("times"), Ok(Some(2)));
            assert_eq!(parameters.flag("hang"), Ok(Some(true)));
        }
    }

    #[test]
    fn misspelled_parameter_is_refused() {
        let refused = Parameters::parse(b"usr=U1", &["user"]);
        assert_eq!(refused.err(), Some(ControlError::Unknown("usr".to_owned())));
    }

    #[test]
    fn fault_is_planned_for_its_method_and_times() {
        let mut faults = Faults::default();
        let body =
            br#"{"method": "chat.update", "status": 429, "headers": {"retry-after": "2"}, "times": 2}"#;
        assert_eq!(plan_fault(&mut faults, body, &["chat.update"]), Ok(2));
        assert_eq!(plan_fault(&mut faults, b"method=chat.update&delay_ms=20", &["chat.update"]), Ok(1));

        let headers = vec![("retry-after".to_owned(), "2".to_owned())];
        let limited = Fault::Response { status: 429, headers, body: String::new() };
        assert_eq!(faults.take("chat.update"), Some(limited.clone()));
        assert_eq!(faults.take("chat.update"), Some(limited));
        assert_eq!(faults.take("chat.update"), Some(Fault::Slow(Duration::from_millis(20))));
    }

    #[test]
    fn fault_of_no_kind_or_of_two_kinds_is_refused() {
        let mut faults = Faults::default();
        for body in ["method=chat.update", "method=chat.update&hang=true&error=internal_error"] {
            let planned = plan_fault(&mut faults, body.as_bytes(), &["chat.update"]);
            assert_eq!(planned, Err(ControlError::FaultKind));
        }
        assert!(faults.is_empty());
    }

    #[test]
    fn fault_of_a_misspelled_method_is_refused() {
        let mut faults = Faults::default();
        let refused = plan_fault(&mut faults, b"method=chat.post&hang=true", &["chat.update", "chat.delete"]);
        assert_eq!(refused, Err(ControlError::Method("chat.update, chat.delete".to_owned())));
        assert!(faults.is_empty());
    }
}
