//! Calls of STS as a client sends them, with synthetic times.

use super::*;

const CALL: &str = "Action=GetWebIdentityToken&Version=2011-06-15";
const REQUEST_ID: &str = "00000000-0000-4000-8000-000000000001";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::milliseconds(1_700_000_000_507)
}

fn call_once(sts: &mut WebIdentity, body: &str) -> (Reaction, JournalEntry) {
    let mut journal = Vec::new();
    let reaction = call(sts, &mut journal, body.as_bytes(), now());
    (reaction, journal.remove(0))
}

#[track_caller]
fn response_of(reaction: Reaction) -> (u16, String) {
    let Reaction::Respond(response) = reaction else { panic!("{reaction:?}") };
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/xml");
    assert_eq!(response.headers()["x-amzn-requestid"], REQUEST_ID);
    (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
}

/// The status and body of the response to a call with these parameters, and its journal entry.
#[track_caller]
fn respond_to(sts: &mut WebIdentity, parameters: &str) -> (u16, String, JournalEntry) {
    let (reaction, entry) = call_once(sts, &format!("{CALL}{parameters}"));
    let (status, body) = response_of(reaction);
    (status, body, entry)
}

fn audiences(audiences: impl Iterator<Item = String>) -> String {
    let members =
        audiences.enumerate().map(|(index, audience)| format!("&Audience.member.{}={audience}", index + 1));
    members.collect::<Vec<_>>().concat()
}

fn error(party: &str, code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>{party}</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
    )
}

#[test]
fn response_contains_token_and_expiration() {
    let mut sts = WebIdentity::new().unwrap();
    let audiences = ["https://ram.example/?a=b c".to_owned(), "b".to_owned()];
    for (parameters, lifetime, expiration) in [
        ("&DurationSeconds=60", Duration::seconds(60), "2023-11-14T22:14:20.507Z"),
        ("", Duration::seconds(300), "2023-11-14T22:18:20.507Z"),
    ] {
        let expected = sts.clone().issue(&audiences, lifetime, now()).unwrap();

        let (status, body, entry) = respond_to(
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
fn parameters_at_their_limits_are_accepted() {
    let audience = "a".repeat(1000);
    let ten = audiences((0..10).map(|_| audience.clone()));
    for seconds in [60, 3600] {
        let parameters = format!("{ten}&SigningAlgorithm=RS256&DurationSeconds={seconds}");
        assert_eq!(respond_to(&mut WebIdentity::new().unwrap(), &parameters).0, 200);
    }
}

#[test]
fn parameters_out_of_bounds_are_refused_in_the_wording_of_aws() {
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
        let (status, body, entry) = respond_to(&mut WebIdentity::new().unwrap(), &parameters);

        assert_eq!((status, body), (400, error("Sender", "ValidationError", &message)), "{parameters}");
        assert_eq!(entry.ending, Ending::Refused("ValidationError".to_owned()));
        assert_eq!(entry.message_ids, Vec::<String>::new());
    }
}

#[test]
fn non_numeric_lifetime_is_refused() {
    let parameters = "&Audience.member.1=a&SigningAlgorithm=RS256&DurationSeconds=5m";
    let (status, body, _) = respond_to(&mut WebIdentity::new().unwrap(), parameters);

    assert_eq!((status, body), (400, error("Sender", "MalformedInput", "DurationSeconds is not an integer")));
}

#[test]
fn unmodeled_parameter_is_refused() {
    for parameters in [
        "&Audience.member.1=a&SigningAlgorithm=ES384",
        "&Audience.member.1=a&SigningAlgorithm=RS256&Tags.member.1.Key=a&Tags.member.1.Value=b",
    ] {
        let (status, body, _) = respond_to(&mut WebIdentity::new().unwrap(), parameters);

        let message = "ES384 and tags are not modeled: request RS256 without tags.";
        assert_eq!((status, body), (400, error("Sender", "NotModelled", message)));
    }
}

#[test]
fn denial_has_the_error_of_aws() {
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

        let (status, body, entry) = respond_to(&mut sts, "&Audience.member.1=a&SigningAlgorithm=RS256");

        assert_eq!((status, body), (403, error("Sender", code, message)));
        assert_eq!((entry.target.as_str(), entry.ending), ("a", Ending::Refused(code.to_owned())));
    }
}

#[test]
fn unknown_action_or_version_is_refused_and_not_journaled() {
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

        assert_eq!(response_of(reaction), (400, error("Sender", "InvalidAction", message)));
        assert_eq!(journal, []);
    }
}

#[test]
fn fault_determines_the_response() {
    const PARAMETERS: &str = "&Audience.member.1=a&SigningAlgorithm=RS256";
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

        let (response_status, body, entry) = respond_to(&mut sts, PARAMETERS);

        assert_eq!((response_status, body), (status, error(party, code, message)));
        assert_eq!((entry.message_ids.len(), entry.ending), (0, Ending::Faulted(fault)));
        assert_eq!(respond_to(&mut sts, PARAMETERS).0, 200);
    }
    for (fault, issued) in [(Fault::Hang, 0), (Fault::ResponseLost, 1)] {
        let mut sts = WebIdentity::new().unwrap();
        sts.faults().plan(Action::GetWebIdentityToken, 1, fault);

        let (reaction, entry) = call_once(&mut sts, &format!("{CALL}{PARAMETERS}"));

        assert_eq!(matches!(reaction, Reaction::Hang), fault == Fault::Hang);
        assert_eq!(matches!(reaction, Reaction::Reset), fault == Fault::ResponseLost);
        assert_eq!((entry.message_ids.len(), entry.ending), (issued, Ending::Faulted(fault)));
    }
}
