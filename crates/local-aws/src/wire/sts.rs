//! The query protocol of STS: a form in, XML out.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use percent_encoding::percent_decode;
use time::Duration;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::{ACCOUNT, Carried, Reaction, Refusal, settle_as};
use crate::faults::{Action, Fault};
use crate::journal::{Ending, JournalEntry};
use crate::web_identity::{Denial, WebIdentity};

const ACTION: &str = "GetWebIdentityToken";
const VERSION: &str = "2011-06-15";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

// The bounds of AWS's own service model.
const AUDIENCES: RangeInclusive<usize> = 1..=10;
const AUDIENCE_CHARACTERS: RangeInclusive<usize> = 1..=1000;
const ALGORITHM_CHARACTERS: RangeInclusive<usize> = 5..=5;
const LIFETIME_SECONDS: RangeInclusive<i64> = 60..=3600;
const LIFETIME_SECONDS_DEFAULT: i64 = 300;

const EXPIRATION: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The fields of a form, in their order.
struct Form(Vec<(String, String)>);

/// A call whose parameters are within their bounds.
struct Call {
    audiences: Vec<String>,
    lifetime: Duration,
}

/// What is wrong with a call's parameters, in the words of AWS.
#[derive(Default)]
struct Breaches(Vec<String>);

/// Carries out one call of STS; the body says which.
pub fn call(
    sts: &mut WebIdentity,
    journal: &mut Vec<JournalEntry>,
    body: &[u8],
    now: SystemTime,
) -> Reaction {
    let form = Form::parse(body);
    // It leads from an answer to its entry in the journal.
    let request_id = format!("00000000-0000-4000-8000-{:012x}", journal.len() + 1);
    if (form.get("Action"), form.get("Version")) != (Some(ACTION), Some(VERSION)) {
        return Reaction::Answer(refused(&no_such_action(&form), &request_id));
    }
    let action = Action::GetWebIdentityToken;
    let target = form.audiences().and_then(|audiences| audiences.into_iter().next()).unwrap_or_default();
    let entry = JournalEntry { at: now, action, target, message_ids: Vec::new(), ending: Ending::Done };
    let fault = sts.faults().take(action);
    let result = match fault {
        Some(Fault::ServerError | Fault::Hang) => Err(internal_failure()),
        Some(Fault::Throttled) => Err(refusal(400, "Throttling", "Rate exceeded")),
        Some(Fault::AnswerLost | Fault::EntryFails(_)) | None => {
            Call::read(&form).and_then(|call| issue(sts, &call, now))
        }
    };
    settle_as(journal, entry, fault, result, |result| match result {
        Ok(result) => {
            let body = format!(
                "<{ACTION}Response xmlns=\"{NAMESPACE}\">{result}\
                 <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{ACTION}Response>"
            );
            answer(200, body, &request_id)
        }
        Err(refusal) => refused(&refusal, &request_id),
    })
}

fn issue(sts: &mut WebIdentity, call: &Call, now: SystemTime) -> Result<Carried<String>, Refusal> {
    if let Some(denial) = sts.denial {
        return Err(denied(denial, &sts.subject));
    }
    let token = sts.issue(&call.audiences, call.lifetime, now).map_err(|_| internal_failure())?;
    let expiration = token.expires_at.format(EXPIRATION).map_err(|_| internal_failure())?;
    Ok(Carried {
        answer: format!(
            "<{ACTION}Result><WebIdentityToken>{}</WebIdentityToken>\
             <Expiration>{expiration}</Expiration></{ACTION}Result>",
            token.jwt
        ),
        message_ids: vec![token.id],
        failed: 0,
    })
}

impl Call {
    /// Holds the parameters against their bounds. Of those in AWS's published model all that are broken are named at
    /// once; that an algorithm is unknown comes to light only after them.
    fn read(form: &Form) -> Result<Self, Refusal> {
        let mut breaches = Breaches::default();
        let audiences = form.audiences();
        match &audiences {
            None => breaches.add("null", "audience", "not be null"),
            Some(audiences) => breaches.of_audiences(audiences),
        }
        let lifetime = match form.get("DurationSeconds").map(str::parse) {
            None => LIFETIME_SECONDS_DEFAULT,
            Some(Ok(seconds)) => seconds,
            Some(Err(_)) => return Err(refusal(400, "MalformedInput", "DurationSeconds is no integer")),
        };
        breaches.of_bounds(&lifetime.to_string(), "durationSeconds", "value", lifetime, &LIFETIME_SECONDS);
        let algorithm = form.get("SigningAlgorithm");
        match algorithm {
            None => breaches.add("null", "signingAlgorithm", "not be null"),
            Some(name) => {
                let length = name.chars().count();
                breaches.of_bounds(name, "signingAlgorithm", "length", length, &ALGORITHM_CHARACTERS);
            }
        }
        if let Some(message) = breaches.message() {
            return Err(refusal(400, "ValidationError", &message));
        }
        if !matches!(algorithm, Some("RS256" | "ES384")) {
            let message = "Requested SigningAlgorithm is not supported. \
                           See the GetWebIdentityToken documentation for supported algorithms";
            return Err(refusal(400, "ValidationError", message));
        }
        if algorithm == Some("ES384") || form.has_tags() {
            let message = "Neither ES384 nor tags are modelled here: ask for RS256 without tags.";
            return Err(refusal(400, "NotModelled", message));
        }
        Ok(Self { audiences: audiences.unwrap_or_default(), lifetime: Duration::seconds(lifetime) })
    }
}

impl Breaches {
    fn add(&mut self, value: &str, member: &str, constraint: &str) {
        let breach =
            format!("Value {value} at '{member}' failed to satisfy constraint: Member must {constraint}");
        self.0.push(breach);
    }

    /// Of a bound to a `value` or a `length`.
    fn of_bounds<N: Copy + Display + PartialOrd>(
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

    fn of_audiences(&mut self, audiences: &[String]) {
        let shown = format!("[{}]", audiences.join(", "));
        self.of_bounds(&shown, "audience", "length", audiences.len(), &AUDIENCES);
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

    /// The list in the order of its numbers. An empty one is sent as its name alone.
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
        let is_there = !members.is_empty() || self.get("Audience").is_some();
        is_there.then(|| members.into_iter().map(|(_, audience)| audience.to_owned()).collect())
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
            // The caller is not the role but a session of it.
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

fn no_such_action(form: &Form) -> Refusal {
    let action = form.get("Action").unwrap_or_default();
    let version = form.get("Version").unwrap_or("NO_VERSION_SPECIFIED");
    refusal(400, "InvalidAction", &format!("Could not find operation {action} for version {version}"))
}

fn internal_failure() -> Refusal {
    let message = "The request processing has failed because of an unknown error, exception or failure.";
    Refusal { party: Some("Receiver"), ..refusal(500, "InternalFailure", message) }
}

/// A refusal for which the caller is to blame.
fn refusal(status: u16, code: &'static str, message: &str) -> Refusal {
    Refusal { party: Some("Sender"), ..super::refusal(status, code, message) }
}

fn refused(refusal: &Refusal, request_id: &str) -> Response<Bytes> {
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{}</Type><Code>{}</Code><Message>{}</Message></Error>\
         <RequestId>{request_id}</RequestId></ErrorResponse>",
        refusal.party.unwrap_or_default(),
        refusal.code,
        escaped(&refusal.message),
    );
    answer(refusal.status, body, request_id)
}

/// Text as it stands in an element. Control characters, which XML cannot hold at all, are not looked for.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn answer(status: u16, body: String, request_id: &str) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", request_id);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "Action=GetWebIdentityToken&Version=2011-06-15";
    const REQUEST_ID: &str = "00000000-0000-4000-8000-000000000001";

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::milliseconds(1_700_000_000_507)
    }

    fn react(sts: &mut WebIdentity, body: &str) -> (Reaction, JournalEntry) {
        let mut journal = Vec::new();
        let reaction = call(sts, &mut journal, body.as_bytes(), now());
        (reaction, journal.remove(0))
    }

    #[track_caller]
    fn answered(reaction: Reaction) -> (u16, String) {
        let Reaction::Answer(answer) = reaction else { panic!("{reaction:?}") };
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/xml");
        assert_eq!(answer.headers()["x-amzn-requestid"], REQUEST_ID);
        (answer.status().as_u16(), String::from_utf8(answer.body().to_vec()).unwrap())
    }

    /// The status and the body of the answer to a call with these parameters, and what the journal says of it.
    #[track_caller]
    fn ask(sts: &mut WebIdentity, parameters: &str) -> (u16, String, JournalEntry) {
        let (reaction, entry) = react(sts, &format!("{CALL}{parameters}"));
        let (status, body) = answered(reaction);
        (status, body, entry)
    }

    fn audiences(audiences: impl Iterator<Item = String>) -> String {
        let members = audiences
            .enumerate()
            .map(|(index, audience)| format!("&Audience.member.{}={audience}", index + 1));
        members.collect::<Vec<_>>().concat()
    }

    fn error(party: &str, code: &str, message: &str) -> String {
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>{party}</Type>\
             <Code>{code}</Code><Message>{message}</Message></Error><RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
        )
    }

    #[test]
    fn token_is_answered_with_the_time_at_which_it_expires() {
        let mut sts = WebIdentity::new().unwrap();
        let audiences = ["https://ram.example/?a=b c".to_owned(), "b".to_owned()];
        for (parameters, lifetime, expiration) in [
            ("&DurationSeconds=60", Duration::seconds(60), "2023-11-14T22:14:20.507Z"),
            ("", Duration::seconds(300), "2023-11-14T22:18:20.507Z"),
        ] {
            let expected = sts.clone().issue(&audiences, lifetime, now()).unwrap();

            let (status, body, entry) = ask(
                &mut sts,
                &format!(
                    "&Audience.member.2=b&Audience.member.1=https%3A%2F%2Fram.example%2F%3Fa%3Db+c{parameters}\
                     &SigningAlgorithm=RS256"
                ),
            );

            let expected_body = format!(
                "<GetWebIdentityTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                 <GetWebIdentityTokenResult><WebIdentityToken>{}</WebIdentityToken>\
                 <Expiration>{expiration}</Expiration></GetWebIdentityTokenResult>\
                 <ResponseMetadata><RequestId>{REQUEST_ID}</RequestId></ResponseMetadata>\
                 </GetWebIdentityTokenResponse>",
                expected.jwt
            );
            assert_eq!((status, body), (200, expected_body));
            let expected_entry = JournalEntry {
                at: now(),
                action: Action::GetWebIdentityToken,
                target: audiences[0].clone(),
                message_ids: vec![expected.id],
                ending: Ending::Done,
            };
            assert_eq!(entry, expected_entry);
        }
    }

    #[test]
    fn parameters_at_their_bounds_are_taken() {
        let audience = "a".repeat(1000);
        let ten = audiences((0..10).map(|_| audience.clone()));
        for seconds in [60, 3600] {
            let parameters = format!("{ten}&SigningAlgorithm=RS256&DurationSeconds={seconds}");
            assert_eq!(ask(&mut WebIdentity::new().unwrap(), &parameters).0, 200);
        }
    }

    #[test]
    fn parameters_out_of_bounds_are_refused_in_the_words_of_aws() {
        const LENGTHS: &str = "satisfy constraint: [Member must have length less than or equal to 1000, \
                               Member must have length greater than or equal to 1]";
        let one = |value: &str, member: &str, constraint: &str| {
            format!(
                "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: \
                 Member must {constraint}"
            )
        };
        let unsupported = "Requested SigningAlgorithm is not supported. \
                           See the GetWebIdentityToken documentation for supported algorithms";
        let eleven = audiences((0..11).map(|audience| audience.to_string()));
        let long = "a".repeat(1001);
        for (parameters, message) in [
            ("&SigningAlgorithm=RS256".to_owned(), one("null", "audience", "not be null")),
            (
                "&Audience=&SigningAlgorithm=RS256".to_owned(),
                one("'[]'", "audience", "have length greater than or equal to 1"),
            ),
            ("&Audience.member.1=&SigningAlgorithm=RS256".to_owned(), one("'[]'", "audience", LENGTHS)),
            (
                format!("&Audience.member.1={long}&SigningAlgorithm=RS256"),
                one(&format!("'[{long}]'"), "audience", LENGTHS),
            ),
            (
                format!("{eleven}&SigningAlgorithm=RS256"),
                one(
                    "'[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]'",
                    "audience",
                    "have length less than or equal to 10",
                ),
            ),
            ("&Audience.member.1=a".to_owned(), one("null", "signingAlgorithm", "not be null")),
            (
                "&Audience.member.1=a&SigningAlgorithm=none".to_owned(),
                one("'none'", "signingAlgorithm", "have length greater than or equal to 5"),
            ),
            (
                "&Audience.member.1=a&SigningAlgorithm=RS256x".to_owned(),
                one("'RS256x'", "signingAlgorithm", "have length less than or equal to 5"),
            ),
            ("&Audience.member.1=a&SigningAlgorithm=rs256".to_owned(), unsupported.to_owned()),
            (
                "&Audience.member.1=a&SigningAlgorithm=RS256&DurationSeconds=59".to_owned(),
                one("'59'", "durationSeconds", "have value greater than or equal to 60"),
            ),
            (
                "&Audience.member.1=a&SigningAlgorithm=RS256&DurationSeconds=3601".to_owned(),
                one("'3601'", "durationSeconds", "have value less than or equal to 3600"),
            ),
            (
                "&SigningAlgorithm=%3Cnone%26".to_owned(),
                "2 validation errors detected: Value null at 'audience' failed to satisfy constraint: Member must \
                 not be null; Value '&lt;none&amp;' at 'signingAlgorithm' failed to satisfy constraint: Member must \
                 have length less than or equal to 5"
                    .to_owned(),
            ),
        ] {
            let (status, body, entry) = ask(&mut WebIdentity::new().unwrap(), &parameters);

            assert_eq!((status, body), (400, error("Sender", "ValidationError", &message)), "{parameters}");
            assert_eq!(entry.ending, Ending::Refused("ValidationError".to_owned()));
            assert_eq!(entry.message_ids, Vec::<String>::new());
        }
    }

    #[test]
    fn lifetime_that_is_no_number_is_refused() {
        let parameters = "&Audience.member.1=a&SigningAlgorithm=RS256&DurationSeconds=5m";
        let (status, body, _) = ask(&mut WebIdentity::new().unwrap(), parameters);

        assert_eq!((status, body), (400, error("Sender", "MalformedInput", "DurationSeconds is no integer")));
    }

    #[test]
    fn what_is_not_modelled_is_refused_and_not_left_out() {
        for parameters in [
            "&Audience.member.1=a&SigningAlgorithm=ES384",
            "&Audience.member.1=a&SigningAlgorithm=RS256&Tags.member.1.Key=a&Tags.member.1.Value=b",
        ] {
            let (status, body, _) = ask(&mut WebIdentity::new().unwrap(), parameters);

            let message = "Neither ES384 nor tags are modelled here: ask for RS256 without tags.";
            assert_eq!((status, body), (400, error("Sender", "NotModelled", message)));
        }
    }

    #[test]
    fn denial_is_answered_as_aws_answers_it() {
        for (denial, code, message) in [
            (
                Denial::FederationDisabled,
                "OutboundWebIdentityFederationDisabledException",
                "OutboundWebIdentityFederation is disabled.",
            ),
            (
                Denial::NotAllowed,
                "AccessDenied",
                "User: arn:aws:sts::000000000000:assumed-role/worker/session is not authorized to perform: \
                 sts:GetWebIdentityToken on resource: arn:aws:sts::000000000000:self because no identity-based \
                 policy allows the sts:GetWebIdentityToken action",
            ),
            (
                Denial::SessionEndsSooner,
                "SessionDurationEscalationException",
                "Requested token expiry time must be before the original session's expiry time.",
            ),
        ] {
            let mut sts = WebIdentity::new().unwrap();
            sts.denial = Some(denial);

            let (status, body, entry) = ask(&mut sts, "&Audience.member.1=a&SigningAlgorithm=RS256");

            assert_eq!((status, body), (403, error("Sender", code, message)));
            assert_eq!((entry.target.as_str(), entry.ending), ("a", Ending::Refused(code.to_owned())));
        }
    }

    #[test]
    fn other_actions_and_versions_are_unknown_and_leave_no_trace() {
        for (body, message) in [
            (
                "Action=GetCallerIdentity&Version=2011-06-15",
                "Could not find operation GetCallerIdentity for version 2011-06-15",
            ),
            (
                "Action=GetWebIdentityToken",
                "Could not find operation GetWebIdentityToken for version NO_VERSION_SPECIFIED",
            ),
        ] {
            let mut journal = Vec::new();

            let reaction = call(&mut WebIdentity::new().unwrap(), &mut journal, body.as_bytes(), now());

            assert_eq!(answered(reaction), (400, error("Sender", "InvalidAction", message)));
            assert_eq!(journal, []);
        }
    }

    #[test]
    fn fault_decides_what_the_caller_sees() {
        const ASKED: &str = "&Audience.member.1=a&SigningAlgorithm=RS256";
        for (fault, status, party, code, message) in [
            (
                Fault::ServerError,
                500,
                "Receiver",
                "InternalFailure",
                "The request processing has failed because of an unknown error, exception or failure.",
            ),
            (Fault::Throttled, 400, "Sender", "Throttling", "Rate exceeded"),
        ] {
            let mut sts = WebIdentity::new().unwrap();
            sts.faults().plan(Action::GetWebIdentityToken, 1, fault);

            let (answered, body, entry) = ask(&mut sts, ASKED);

            assert_eq!((answered, body), (status, error(party, code, message)));
            assert_eq!((entry.message_ids.len(), entry.ending), (0, Ending::Faulted(fault)));
            assert_eq!(ask(&mut sts, ASKED).0, 200);
        }
        for (fault, issued) in [(Fault::Hang, 0), (Fault::AnswerLost, 1)] {
            let mut sts = WebIdentity::new().unwrap();
            sts.faults().plan(Action::GetWebIdentityToken, 1, fault);

            let (reaction, entry) = react(&mut sts, &format!("{CALL}{ASKED}"));

            assert_eq!(matches!(reaction, Reaction::Hang), fault == Fault::Hang);
            assert_eq!(matches!(reaction, Reaction::Lost), fault == Fault::AnswerLost);
            assert_eq!((entry.message_ids.len(), entry.ending), (issued, Ending::Faulted(fault)));
        }
    }
}
