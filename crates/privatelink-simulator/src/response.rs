//! The result of a call: a response, and how the server sends it.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    codes::Code,
    fault::{Effect, Fault, OVERSIZED_MAX},
    settings::ErrorFormat,
    wire_time,
};

/// The result of a call.
#[derive(Clone, Debug)]
pub struct SimulatedResponse {
    /// The response; empty for a hang and a reset.
    pub response: Response<Bytes>,
    /// How the server sends the response.
    pub transmission: Transmission,
}

/// How the server sends a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmission {
    /// Sends the whole response.
    Whole {
        /// The delay before it is sent.
        after: Duration,
    },
    /// Sends nothing and keeps the connection open.
    Hang,
    /// Resets the connection.
    Reset {
        /// The delay before the reset.
        after: Duration,
    },
    /// Sends a header with a content length above that of the body, then the body, then closes the connection.
    Truncated {
        /// The delay before it is sent.
        after: Duration,
        /// The value of the header `Content-Length`.
        announced: u64,
    },
}

/// The error response to a call that was not carried out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// Additional headers; a list, because a map would make every `Result` here large.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The details that RAM adds to a denial.
    pub(crate) access_denied_detail: Option<Value>,
}

impl Refusal {
    pub(crate) fn with_message(code: Code, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::from(code) }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((HeaderName::from_static(name), value.into()));
        self
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self {
            code: code.name.to_owned(),
            status: code.status,
            message: code.message.to_owned(),
            headers: Vec::new(),
            access_denied_detail: None,
        }
    }
}

/// The result of a call on the server's side. The fields of a success lack only the request id.
pub(crate) type Outcome = Result<Value, Refusal>;

/// The values that every response to one call needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseContext<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) host: &'a str,
    /// The call's client token; empty if it has none.
    pub(crate) client_token: &'a str,
    /// The time that the server's own clock shows.
    pub(crate) date: SystemTime,
    pub(crate) error_format: ErrorFormat,
    /// The product's name in the URL of Alibaba's troubleshooter.
    pub(crate) product: &'static str,
}

impl ResponseContext<'_> {
    /// The response to a call to which no fault applied.
    pub(crate) fn without_fault(self, outcome: &Outcome) -> SimulatedResponse {
        SimulatedResponse {
            response: self.response(outcome),
            transmission: Transmission::Whole { after: Duration::ZERO },
        }
    }

    /// The response to a call to which this fault applied. `outcome` is the actual result of the call, if it was
    /// carried out.
    pub(crate) fn with_fault(self, fault: &Fault, outcome: Option<&Outcome>) -> SimulatedResponse {
        let after = fault.delay;
        let no_fields = Ok(json!({}));
        let outcome = outcome.unwrap_or(&no_fields);
        let whole = |response| SimulatedResponse { response, transmission: Transmission::Whole { after } };
        match &fault.fault {
            Effect::ActualResponse
            | Effect::RepeatNextToken
            | Effect::OverstatedTotal { .. }
            | Effect::UnderstatedTotal { .. }
            | Effect::RepeatedItem
            | Effect::EmptyList
            | Effect::ItemField { .. }
            | Effect::AcceptedWithoutEffect
            | Effect::AcceptedThenFails => whole(self.response(outcome)),
            Effect::Unsuccessful => whole(self.response(&outcome.clone().map(|mut fields| {
                fields["Success"] = false.into();
                fields
            }))),
            Effect::Code { code, status, message, headers } => {
                let known = crate::codes::find(code);
                let message = message.clone().or_else(|| known.map(|known| known.message.to_owned()));
                whole(
                    self.response(&Err(Refusal {
                        code: code.clone(),
                        status: status.unwrap_or_else(|| crate::codes::status_of(code)),
                        message: message
                            .unwrap_or_else(|| "An injected fault.".to_owned())
                            .replace("{ClientToken}", self.client_token),
                        headers: headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                        access_denied_detail: None,
                    })),
                )
            }
            Effect::Hang => {
                SimulatedResponse { response: Response::default(), transmission: Transmission::Hang }
            }
            Effect::Reset => SimulatedResponse {
                response: Response::default(),
                transmission: Transmission::Reset { after },
            },
            Effect::Truncated => {
                let whole = self.response(outcome);
                let announced = whole.body().len() as u64;
                let response = whole.map(|body| body.slice(..body.len() / 2));
                SimulatedResponse { response, transmission: Transmission::Truncated { after, announced } }
            }
            Effect::NonJson { status, body } => {
                let body = body.clone().unwrap_or_else(|| html(*status));
                whole(self.http_response(*status, "text/html", body))
            }
            Effect::Oversized { bytes } => {
                let padding = "x".repeat((*bytes).min(OVERSIZED_MAX));
                whole(self.response(&Ok(json!({ "Padding": padding }))))
            }
            Effect::Redirect { location } => {
                let mut response =
                    self.http_response(StatusCode::FOUND, "text/html", html(StatusCode::FOUND));
                response.headers_mut().insert(header::LOCATION, location.clone());
                whole(response)
            }
            Effect::Empty => {
                whole(self.http_response(StatusCode::OK, "application/json;charset=utf-8", String::new()))
            }
        }
    }

    fn response(self, outcome: &Outcome) -> Response<Bytes> {
        match outcome {
            Ok(fields) => {
                let mut fields = fields.clone();
                // A replayed result contains the request id of the first call.
                if fields.get("RequestId").is_none() {
                    fields["RequestId"] = self.request_id.into();
                }
                self.http_response(StatusCode::OK, "application/json;charset=utf-8", fields.to_string())
            }
            Err(refusal) => {
                let (kind, body) = self.error_body(refusal);
                let mut response = self.http_response(refusal.status, kind, body);
                response.headers_mut().extend(refusal.headers.clone());
                response
            }
        }
    }

    fn error_body(self, refusal: &Refusal) -> (&'static str, String) {
        let recommend = format!(
            "https://api.alibabacloud.com/troubleshoot?q={}&product={}&requestId={}",
            refusal.code, self.product, self.request_id
        );
        let fields = [
            ("RequestId", self.request_id),
            ("HostId", self.host),
            ("Code", &refusal.code),
            ("Message", &refusal.message),
            ("Recommend", &recommend),
        ];
        if self.error_format == ErrorFormat::Xml {
            let fields =
                fields.map(|(name, text)| format!("<{name}>{}</{name}>", xml_escaped(text))).concat();
            return (
                "text/xml;charset=utf-8",
                format!("<?xml version='1.0' encoding='UTF-8'?><Error>{fields}</Error>"),
            );
        }
        let is_lower_camel = self.error_format == ErrorFormat::JsonLowerCamel;
        let key = |name: &str| if is_lower_camel { lower_camel(name) } else { name.to_owned() };
        let mut body = serde_json::Map::new();
        for (name, text) in fields {
            body.insert(key(name), text.into());
        }
        if let Some(detail) = &refusal.access_denied_detail {
            body.insert(key("AccessDeniedDetail"), detail.clone());
        }
        ("application/json;charset=utf-8", Value::Object(body).to_string())
    }

    fn http_response(self, status: StatusCode, kind: &'static str, body: String) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        for (name, value) in [
            (header::DATE, wire_time::http_date(self.date)),
            (HeaderName::from_static("x-acs-request-id"), self.request_id.to_owned()),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

fn html(status: StatusCode) -> String {
    format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n")
}

fn xml_escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn lower_camel(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
