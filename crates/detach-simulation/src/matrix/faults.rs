//! Every fault of the matrix: all known codes, some unknown ones, codes in unusual formats, and every way in which a
//! response can be lost or damaged.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use privatelink_simulator::{Effect, ErrorFormat, codes};

#[derive(Debug, Clone)]
pub(super) struct NamedFault {
    pub(super) name: String,
    pub(super) effect: Effect,
    /// The format of its error bodies.
    pub(super) format: ErrorFormat,
}

impl NamedFault {
    fn new(name: impl Into<String>, effect: Effect) -> Self {
        Self { name: name.into(), effect, format: ErrorFormat::Json }
    }
}

/// Prefixes of codes that only STS returns. One represents all of them: to PrivateLink they are unknown.
const OF_STS: [&str; 4] = ["AuthenticationFail.", "MissingParameter", "InvalidParameter.", "EntityNotExist."];
const OF_STS_SAMPLE: &str = "AuthenticationFail.NoPermission";

/// Codes in no table, and codes of the table with another status.
const OTHERS: [(&str, u16); 21] = [
    ("UnknownCode", 400),
    ("UnknownCode", 401),
    ("UnknownCode", 403),
    ("UnknownCode", 408),
    ("UnknownCode", 409),
    ("UnknownCode", 502),
    ("MissingNextToken.Format", 400),
    ("Throttling.Something", 400),
    ("Forbidden.Something", 403),
    ("InvalidSecurityToken.Something", 400),
    ("InvalidAccessKeyId.Something", 403),
    ("EndpointLockedForMaintenance", 400),
    ("ThrottlingForEver", 400),
    ("EndpointLocked", 404),
    ("EndpointLocked", 429),
    ("NoPermission", 503),
    ("EndpointMustContainSecurityGroup", 404),
    ("EndpointMustContainSecurityGroup", 429),
    ("EndpointMustContainSecurityGroup", 500),
    ("EndpointNotFound", 404),
    ("NoPermission", 302),
];

/// Statuses with which a proxy's page is returned.
const PAGES: [u16; 6] = [200, 400, 403, 404, 429, 502];

pub(super) fn all() -> Vec<NamedFault> {
    let mut all: Vec<NamedFault> = documented().chain(others()).collect();
    all.extend(formatted());
    all.extend(transport());
    all
}

fn documented() -> impl Iterator<Item = NamedFault> {
    let is_of_privatelink =
        |name: &str| name == OF_STS_SAMPLE || !OF_STS.iter().any(|prefix| name.starts_with(prefix));
    let codes = codes::ALL.iter().filter(move |code| is_of_privatelink(code.name));
    codes.map(|code| NamedFault::new(code.name, Effect::code(code.name)))
}

fn others() -> impl Iterator<Item = NamedFault> {
    OTHERS.iter().map(|(code, number)| {
        NamedFault::new(format!("{code} with {number}"), Effect::code_with_status(*code, status(*number)))
    })
}

/// The same codes in every body format, and with misleading messages.
fn formatted() -> Vec<NamedFault> {
    let saying = |code: &str, message: &str| Effect::Code {
        code: code.to_owned(),
        status: None,
        message: Some(message.to_owned()),
        headers: HeaderMap::new(),
    };
    let mut older = HeaderMap::new();
    older.insert(
        "x-ratelimit-user-api",
        HeaderValue::from_static("Limit:1,Remain:0,TimeLeft:4000,Reset:1234"),
    );
    let limited = Effect::Code {
        code: "Throttling.Api".to_owned(),
        status: Some(StatusCode::TOO_MANY_REQUESTS),
        message: None,
        headers: older,
    };
    let mut formatted = vec![
        NamedFault::new("Throttling.User with a hint", Effect::throttled(Duration::from_secs(5))),
        NamedFault::new("Throttling.Api with an older hint", limited),
        NamedFault::new(
            "InvalidParameter that quotes other codes",
            saying("InvalidParameter", "EndpointLocked, SystemBusy, Throttling.User: try again later"),
        ),
        NamedFault::new(
            "SystemBusy that quotes other codes",
            saying("SystemBusy", "NoPermission, Forbidden.RAM, EndpointNotFound: you may not do this"),
        ),
    ];
    for (format, form) in [(ErrorFormat::JsonLowerCamel, "lower camel"), (ErrorFormat::Xml, "XML")] {
        for code in ["EndpointLocked", "EndpointServiceDeleted", "Forbidden.RAM"] {
            formatted.push(NamedFault {
                format,
                ..NamedFault::new(format!("{code} in {form}"), Effect::code(code))
            });
        }
    }
    formatted
}

fn transport() -> Vec<NamedFault> {
    let json =
        |number: u16, body: &str| Effect::NonJson { status: status(number), body: Some(body.to_owned()) };
    let field =
        |field: &str, value: &str| Effect::ItemField { field: field.to_owned(), value: value.to_owned() };
    let mut all = vec![
        NamedFault::new("Hang", Effect::Hang),
        NamedFault::new("Reset", Effect::Reset),
        NamedFault::new("Truncated", Effect::Truncated),
        NamedFault::new("Empty", Effect::Empty),
        NamedFault::new("Oversized", Effect::Oversized { bytes: 1_100_000 }),
        NamedFault::new(
            "Redirect",
            Effect::Redirect { location: HeaderValue::from_static("https://example.com/") },
        ),
        NamedFault::new(
            "JSON without a code with 400",
            json(400, r#"{"RequestId":"R","Message":"EndpointNotFound"}"#),
        ),
        NamedFault::new("JSON with an odd code with 403", json(403, r#"{"RequestId":"R","Code":{"a":1}}"#)),
        NamedFault::new("RepeatNextToken", Effect::RepeatNextToken),
        NamedFault::new("OverstatedTotal", Effect::OverstatedTotal { by: 1 }),
        NamedFault::new("RepeatedItem", Effect::RepeatedItem),
        NamedFault::new("Unsuccessful", Effect::Unsuccessful),
        NamedFault::new("SystemBusy with 200", Effect::code_with_status("SystemBusy", StatusCode::OK)),
        NamedFault::new("Unknown status", field("EndpointStatus", "Modifying")),
        NamedFault::new("Status in lower case", field("EndpointStatus", "active")),
        NamedFault::new("Other region", field("RegionId", "us-east-1")),
        NamedFault::new("AcceptedWithoutEffect", Effect::AcceptedWithoutEffect),
        NamedFault::new("AcceptedThenFails", Effect::AcceptedThenFails),
    ];
    all.extend(
        PAGES.map(|number| NamedFault::new(format!("HTML with {number}"), Effect::html(status(number)))),
    );
    all
}

fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).expect("a status")
}
