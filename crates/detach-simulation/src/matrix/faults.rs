//! Every fault of the matrix: all codes that are known, some that are not, codes in unusual dress, and every way in which
//! an answer can be lost or spoilt.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use privatelink_simulator::{Effect, ErrorFormat, codes};

/// One fault.
#[derive(Debug, Clone)]
pub(super) struct Ill {
    /// How it is called in the matrix.
    pub(super) name: String,
    /// What the service does.
    pub(super) effect: Effect,
    /// How it writes its errors.
    pub(super) format: ErrorFormat,
}

impl Ill {
    fn new(name: impl Into<String>, effect: Effect) -> Self {
        Self { name: name.into(), effect, format: ErrorFormat::Json }
    }
}

/// The beginnings of codes that only STS sends. One stands for all of them: to PrivateLink they are unknown.
const OF_STS: [&str; 4] = ["AuthenticationFail.", "MissingParameter", "InvalidParameter.", "EntityNotExist."];
const OF_STS_KEPT: &str = "AuthenticationFail.NoPermission";

/// Codes that are in no table, and codes of the table under another status.
const OTHERS: [(&str, u16); 16] = [
    ("NeverHeardOf", 400),
    ("NeverHeardOf", 502),
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

/// Statuses under which a proxy's page comes.
const PAGES: [u16; 6] = [200, 400, 403, 404, 429, 502];

/// All of them.
pub(super) fn all() -> Vec<Ill> {
    let mut all: Vec<Ill> = documented().chain(others()).collect();
    all.extend(dressed());
    all.extend(transport());
    all
}

fn documented() -> impl Iterator<Item = Ill> {
    let is_ours =
        |name: &str| name == OF_STS_KEPT || !OF_STS.iter().any(|beginning| name.starts_with(beginning));
    let codes = codes::ALL.iter().filter(move |code| is_ours(code.name));
    codes.map(|code| Ill::new(code.name, Effect::code(code.name)))
}

fn others() -> impl Iterator<Item = Ill> {
    OTHERS.iter().map(|(code, number)| {
        Ill::new(format!("{code} with {number}"), Effect::code_with_status(*code, status(*number)))
    })
}

/// The same codes in every form in which a body may come, and with misleading words beside them.
fn dressed() -> Vec<Ill> {
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
    let mut dressed = vec![
        Ill::new("Throttling.User with a hint", Effect::throttled(Duration::from_secs(5))),
        Ill::new("Throttling.Api with an older hint", limited),
        Ill::new(
            "InvalidParameter that speaks of others",
            saying("InvalidParameter", "EndpointLocked, SystemBusy, Throttling.User: try again later"),
        ),
        Ill::new(
            "SystemBusy that speaks of others",
            saying("SystemBusy", "NoPermission, Forbidden.RAM, EndpointNotFound: you may not do this"),
        ),
    ];
    for (format, form) in [(ErrorFormat::JsonLowerCamel, "lower camel"), (ErrorFormat::Xml, "XML")] {
        for code in ["EndpointLocked", "EndpointServiceDeleted", "Forbidden.RAM"] {
            dressed.push(Ill { format, ..Ill::new(format!("{code} in {form}"), Effect::code(code)) });
        }
    }
    dressed
}

fn transport() -> Vec<Ill> {
    let json =
        |number: u16, body: &str| Effect::NonJson { status: status(number), body: Some(body.to_owned()) };
    let mut all = vec![
        Ill::new("Hang", Effect::Hang),
        Ill::new("Reset", Effect::Reset),
        Ill::new("Truncated", Effect::Truncated),
        Ill::new("Empty", Effect::Empty),
        Ill::new("Oversized", Effect::Oversized { bytes: 1_100_000 }),
        Ill::new("Redirect", Effect::Redirect { location: HeaderValue::from_static("https://example.com/") }),
        Ill::new(
            "JSON without a code with 400",
            json(400, r#"{"RequestId":"R","Message":"EndpointNotFound"}"#),
        ),
        Ill::new("JSON with an odd code with 403", json(403, r#"{"RequestId":"R","Code":{"a":1}}"#)),
        Ill::new("RepeatNextToken", Effect::RepeatNextToken),
        Ill::new("OverstatedTotal", Effect::OverstatedTotal { by: 1 }),
        Ill::new("RepeatedItem", Effect::RepeatedItem),
        Ill::new("AcceptedWithoutEffect", Effect::AcceptedWithoutEffect),
        Ill::new("AcceptedThenFails", Effect::AcceptedThenFails),
    ];
    all.extend(PAGES.map(|number| Ill::new(format!("HTML with {number}"), Effect::html(status(number)))));
    all
}

fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).expect("a status")
}
