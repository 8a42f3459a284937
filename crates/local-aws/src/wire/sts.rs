//! The query protocol of STS: the request is a form, the response XML.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use percent_encoding::percent_decode;
use time::Duration;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::{ACCOUNT, Executed, Reaction, Refusal, finish_with, quoting};
use crate::faults::{Action, Fault};
use crate::journal::{Ending, JournalEntry};
use crate::web_identity::{Denial, WebIdentity};

const ACTION: &str = "GetWebIdentityToken";
const VERSION: &str = "2011-06-15";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

// The limits in AWS's service model.
const AUDIENCES: RangeInclusive<usize> = 1..=10;
const AUDIENCE_CHARACTERS: RangeInclusive<usize> = 1..=1000;
const ALGORITHM_CHARACTERS: RangeInclusive<usize> = 5..=5;
const LIFETIME_SECONDS: RangeInclusive<i64> = 60..=3600;
const LIFETIME_SECONDS_DEFAULT: i64 = 300;

const EXPIRATION: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The fields of a form, in their order.
struct Form(Vec<(String, String)>);

/// A call whose parameters are within their limits.
struct Call {
    audiences: Vec<String>,
    lifetime: Duration,
}

/// The errors in a call's parameters, in AWS's wording.
#[derive(Default)]
struct Violations(Vec<String>);

/// Carries out one STS call. The body names the action.
pub fn call(
    sts: &mut WebIdentity,
    journal: &mut Vec<JournalEntry>,
    body: &[u8],
    now: SystemTime,
) -> Reaction {
    let form = Form::parse(body);
    // The request id matches the position of the call's entry in the journal.
    let request_id = format!("00000000-0000-4000-8000-{:012x}", journal.len() + 1);
    if (form.get("Action"), form.get("Version")) != (Some(ACTION), Some(VERSION)) {
        return Reaction::Respond(error_response(&unknown_action(&form), &request_id));
    }
    let action = Action::GetWebIdentityToken;
    let target = form.audiences().and_then(|audiences| audiences.into_iter().next()).unwrap_or_default();
    let entry = JournalEntry { at: now, action, target, message_ids: Vec::new(), ending: Ending::Done };
    let fault = sts.faults().take(action);
    let result = match fault {
        Some(Fault::ServerError | Fault::Hang | Fault::EmptyResponse) => Err(internal_failure()),
        Some(Fault::QuotesRequest) => Err(quoting(body)),
        Some(Fault::Throttled) => Err(refusal(400, "Throttling", "Rate exceeded")),
        Some(Fault::ResponseLost | Fault::EntryFails(_) | Fault::OtherMd5 | Fault::Slow(_)) | None => {
            Call::read(&form).and_then(|call| issue(sts, &call, now))
        }
    };
    finish_with(journal, entry, fault, result, |result| match result {
        Ok(result) => {
            let body = format!(
                "<{ACTION}Response xmlns=\"{NAMESPACE}\">{result}\
                 <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{ACTION}Response>"
            );
            xml_response(200, body, &request_id)
        }
        Err(refusal) => error_response(&refusal, &request_id),
    })
}

fn issue(sts: &mut WebIdentity, call: &Call, now: SystemTime) -> Result<Executed<String>, Refusal> {
    if let Some(denial) = sts.denial {
        return Err(denied(denial, &sts.subject));
    }
    let token = sts.issue(&call.audiences, call.lifetime, now).map_err(|_| internal_failure())?;
    let expiration = token.expires_at.format(EXPIRATION).map_err(|_| internal_failure())?;
    Ok(Executed {
        response: format!(
            "<{ACTION}Result><WebIdentityToken>{}</WebIdentityToken>\
             <Expiration>{expiration}</Expiration></{ACTION}Result>",
            token.jwt
        ),
        message_ids: vec![token.id],
        failed: 0,
    })
}

impl Call {
    /// Checks the parameters. All violations of the limits in AWS's service model are reported together; an unknown
    /// algorithm is reported only if there are none.
    fn read(form: &Form) -> Result<Self, Refusal> {
        let mut violations = Violations::default();
        let audiences = form.audiences();
        match &audiences {
            None => violations.add("null", "audience", "not be null"),
            Some(audiences) => violations.check_audiences(audiences),
        }
        let lifetime = match form.get("DurationSeconds").map(str::parse) {
            None => LIFETIME_SECONDS_DEFAULT,
            Some(Ok(seconds)) => seconds,
            Some(Err(_)) => return Err(refusal(400, "MalformedInput", "DurationSeconds is not an integer")),
        };
        violations.check_bounds(
            &lifetime.to_string(),
            "durationSeconds",
            "value",
            lifetime,
            &LIFETIME_SECONDS,
        );
        let algorithm = form.get("SigningAlgorithm");
        match algorithm {
            None => violations.add("null", "signingAlgorithm", "not be null"),
            Some(name) => {
                let length = name.chars().count();
                violations.check_bounds(name, "signingAlgorithm", "length", length, &ALGORITHM_CHARACTERS);
            }
        }
        if let Some(message) = violations.message() {
            return Err(refusal(400, "ValidationError", &message));
        }
        if !matches!(algorithm, Some("RS256" | "ES384")) {
            let message = "Requested SigningAlgorithm is not supported. \
                           See the GetWebIdentityToken documentation for supported algorithms";
            return Err(refusal(400, "ValidationError", message));
        }
        if algorithm == Some("ES384") || form.has_tags() {
            let message = "ES384 and tags are not modeled: request RS256 without tags.";
            return Err(refusal(400, "NotModelled", message));
        }
        Ok(Self { audiences: audiences.unwrap_or_default(), lifetime: Duration::seconds(lifetime) })
    }
}

impl Violations {
    fn add(&mut self, value: &str, member: &str, constraint: &str) {
        let violation =
            format!("Value {value} at '{member}' failed to satisfy constraint: Member must {constraint}");
        self.0.push(violation);
    }

    /// Checks the limits of a `value` or a `length`.
    fn check_bounds<N: Copy + Display + PartialOrd>(
        &mut self,
        value: &str,
        member: &str,
        property: &str,
        measured: N,
        bounds: &RangeInclusive<N>,
    ) {
        let value = format!("'{value}'");
        if measured < *bounds.start() {
            let constraint = format!("have {property} greater than or equal to {}", bounds.start());
            self.add(&value, member, &constraint);
        }
        if measured > *bounds.end() {
            self.add(&value, member, &format!("have {property} less than or equal to {}", bounds.end()));
        }
    }

    fn check_audiences(&mut self, audiences: &[String]) {
        let shown = format!("[{}]", audiences.join(", "));
        self.check_bounds(&shown, "audience", "length", audiences.len(), &AUDIENCES);
        if !audiences.iter().all(|audience| AUDIENCE_CHARACTERS.contains(&audience.chars().count())) {
            let constraint = format!(
                "satisfy constraint: [Member must have length less than or equal to {}, \
                 Member must have length greater than or equal to {}]",
                AUDIENCE_CHARACTERS.end(),
                AUDIENCE_CHARACTERS.start(),
            );
            self.add(&format!("'{shown}'"), "audience", &constraint);
        }
    }

    fn message(&self) -> Option<String> {
        let errors = match self.0.len() {
            0 => return None,
            1 => "1 validation error".to_owned(),
            count => format!("{count} validation errors"),
        };
        Some(format!("{errors} detected: {}", self.0.join("; ")))
    }
}

impl Form {
    fn parse(body: &[u8]) -> Self {
        let fields = body.split(|byte| *byte == b'&').map(|field| {
            let mut parts = field.splitn(2, |byte| *byte == b'=').map(|part| {
                let spaced: Vec<u8> =
                    part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
                percent_decode(&spaced).decode_utf8_lossy().into_owned()
            });
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
        });
        Self(fields.collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The list, sorted by its numbers. A client sends an empty list as the name without a number.
    fn audiences(&self) -> Option<Vec<String>> {
        let mut members: Vec<(u32, &str)> = self
            .0
            .iter()
            .filter_map(|(field, value)| {
                let number = field.strip_prefix("Audience.member.")?.parse().ok()?;
                Some((number, value.as_str()))
            })
            .collect();
        members.sort_by_key(|(number, _)| *number);
        let is_present = !members.is_empty() || self.get("Audience").is_some();
        is_present.then(|| members.into_iter().map(|(_, audience)| audience.to_owned()).collect())
    }

    fn has_tags(&self) -> bool {
        self.0.iter().any(|(field, _)| field.starts_with("Tags.member."))
    }
}

fn denied(denial: Denial, subject: &str) -> Refusal {
    match denial {
        Denial::FederationDisabled => refusal(
            403,
            "OutboundWebIdentityFederationDisabledException",
            "OutboundWebIdentityFederation is disabled.",
        ),
        Denial::NotAllowed => {
            // The caller is a session of the role.
            let role = subject.rsplit('/').next().unwrap_or_default();
            let message = format!(
                "User: arn:aws:sts::{ACCOUNT}:assumed-role/{role}/session is not authorized to perform: \
                 sts:{ACTION} on resource: arn:aws:sts::{ACCOUNT}:self because no identity-based policy allows \
                 the sts:{ACTION} action"
            );
            refusal(403, "AccessDenied", &message)
        }
        Denial::SessionEndsSooner => refusal(
            403,
            "SessionDurationEscalationException",
            "Requested token expiry time must be before the original session's expiry time.",
        ),
    }
}

fn unknown_action(form: &Form) -> Refusal {
    let action = form.get("Action").unwrap_or_default();
    let version = form.get("Version").unwrap_or("NO_VERSION_SPECIFIED");
    refusal(400, "InvalidAction", &format!("Could not find operation {action} for version {version}"))
}

fn internal_failure() -> Refusal {
    let message = "The request processing has failed because of an unknown error, exception or failure.";
    Refusal { party: Some("Receiver"), ..refusal(500, "InternalFailure", message) }
}

/// A refusal that the caller caused.
fn refusal(status: u16, code: &'static str, message: &str) -> Refusal {
    Refusal { party: Some("Sender"), ..super::refusal(status, code, message) }
}

fn error_response(refusal: &Refusal, request_id: &str) -> Response<Bytes> {
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{}</Type><Code>{}</Code><Message>{}</Message></Error>\
         <RequestId>{request_id}</RequestId></ErrorResponse>",
        refusal.party.unwrap_or_default(),
        refusal.code,
        escaped(&refusal.message),
    );
    xml_response(refusal.status, body, request_id)
}

/// Escapes text for an XML element. Control characters, which XML cannot contain, are not handled.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn xml_response(status: u16, body: String, request_id: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", request_id);
    }
    response
}

#[cfg(test)]
mod tests;
