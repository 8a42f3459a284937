//! What a call comes to: a response, and the manner in which it reaches the caller, if it does.

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

/// What a call comes to.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The response, as far as there is one: it is empty for a hang and a reset.
    pub response: Response<Bytes>,
    /// How it reaches the caller.
    pub manner: Manner,
}

/// How an answer reaches the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The whole response.
    Whole {
        /// How long it is held back.
        after: Duration,
    },
    /// Nothing ever comes, and the connection stays open.
    Hang,
    /// The connection is reset.
    Reset {
        /// How long that takes.
        after: Duration,
    },
    /// The head announces more than the body of the response, which is all that comes before the connection closes.
    Truncated {
        /// How long it is held back.
        after: Duration,
        /// The length that the head announces.
        announced: u64,
    },
}

/// A call that was not carried out, and why.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// Further headers; a list, because a map would make every `Result` here large.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// What RAM adds to a denial.
    pub(crate) access_denied_detail: Option<Value>,
}

impl Refusal {
    pub(crate) fn because(code: Code, message: impl Into<String>) -> Self {
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

/// How a call ended on the server's side; the fields of a success lack only the request id.
pub(crate) type Outcome = Result<Value, Refusal>;

/// What every answer of one call shares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letterhead<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) host: &'a str,
    /// The server's own time.
    pub(crate) date: SystemTime,
    pub(crate) error_format: ErrorFormat,
    /// The product, as the troubleshooter's address names it.
    pub(crate) product: &'static str,
}

impl Letterhead<'_> {
    /// The answer to a call that no fault struck.
    pub(crate) fn plain(self, outcome: &Outcome) -> Answer {
        Answer { response: self.response(outcome), manner: Manner::Whole { after: Duration::ZERO } }
    }

    /// The answer to a call that this fault struck, whose true outcome, if it was carried out, is `outcome`.
    pub(crate) fn struck(self, fault: &Fault, outcome: Option<&Outcome>) -> Answer {
        let after = fault.delay;
        let nothing = Ok(json!({}));
        let outcome = outcome.unwrap_or(&nothing);
        let whole = |response| Answer { response, manner: Manner::Whole { after } };
        match &fault.fault {
            Effect::TrueAnswer
            | Effect::RepeatNextToken
            | Effect::OverstatedTotal { .. }
            | Effect::RepeatedItem
            | Effect::AcceptedWithoutEffect
            | Effect::AcceptedThenFails => whole(self.response(outcome)),
            Effect::Code { code, status, message, headers } => {
                let known = crate::codes::find(code);
                let message = message.clone().or_else(|| known.map(|known| known.message.to_owned()));
                whole(self.response(&Err(Refusal {
                    code: code.clone(),
                    status: status.unwrap_or_else(|| crate::codes::status_of(code)),
                    message: message.unwrap_or_else(|| "An injected fault.".to_owned()),
                    headers: headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                    access_denied_detail: None,
                })))
            }
            Effect::Hang => Answer { response: Response::default(), manner: Manner::Hang },
            Effect::Reset => Answer { response: Response::default(), manner: Manner::Reset { after } },
            Effect::Truncated => {
                let whole = self.response(outcome);
                let announced = whole.body().len() as u64;
                let response = whole.map(|body| body.slice(..body.len() / 2));
                Answer { response, manner: Manner::Truncated { after, announced } }
            }
            Effect::NonJson { status, body } => {
                let body = body.clone().unwrap_or_else(|| html(*status));
                whole(self.write(*status, "text/html", body))
            }
            Effect::Oversized { bytes } => {
                let padding = "x".repeat((*bytes).min(OVERSIZED_MAX));
                whole(self.response(&Ok(json!({ "Padding": padding }))))
            }
            Effect::Redirect { location } => {
                let mut response = self.write(StatusCode::FOUND, "text/html", html(StatusCode::FOUND));
                response.headers_mut().insert(header::LOCATION, location.clone());
                whole(response)
            }
            Effect::Empty => {
                whole(self.write(StatusCode::OK, "application/json;charset=utf-8", String::new()))
            }
        }
    }

    fn response(self, outcome: &Outcome) -> Response<Bytes> {
        match outcome {
            Ok(fields) => {
                let mut fields = fields.clone();
                // A replayed result brings the request id of the first call.
                if fields.get("RequestId").is_none() {
                    fields["RequestId"] = self.request_id.into();
                }
                self.write(StatusCode::OK, "application/json;charset=utf-8", fields.to_string())
            }
            Err(refusal) => {
                let (kind, body) = self.error(refusal);
                let mut response = self.write(refusal.status, kind, body);
                response.headers_mut().extend(refusal.headers.clone());
                response
            }
        }
    }

    fn error(self, refusal: &Refusal) -> (&'static str, String) {
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
            let fields = fields.map(|(name, text)| format!("<{name}>{}</{name}>", escaped(text))).concat();
            return (
                "text/xml;charset=utf-8",
                format!("<?xml version='1.0' encoding='UTF-8'?><Error>{fields}</Error>"),
            );
        }
        let lower = self.error_format == ErrorFormat::JsonLowerCamel;
        let key = |name: &str| if lower { lower_camel(name) } else { name.to_owned() };
        let mut body = serde_json::Map::new();
        for (name, text) in fields {
            body.insert(key(name), text.into());
        }
        if let Some(detail) = &refusal.access_denied_detail {
            body.insert(key("AccessDeniedDetail"), detail.clone());
        }
        ("application/json;charset=utf-8", Value::Object(body).to_string())
    }

    fn write(self, status: StatusCode, kind: &'static str, body: String) -> Response<Bytes> {
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

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn lower_camel(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
