//! Compares the worker's signed calls with those of Alibaba Cloud's official Python SDK, field by field. The calls to STS
//! and ECS are in [`services`].
//!
//! `tests/python/official_sdk/recording.py` writes the file of the SDK's requests, and a test there compares the file
//! with the SDK. This file lists every expected difference with its reason; any other difference fails the test.

mod services;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{Credentials, CredentialsSource};
use privatelink_detach::alibaba::privatelink::{Action, Call, Target};
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::clock::Clock;
use privatelink_detach::request::{ClientToken, EndpointId, RegionId, SecurityGroupId};
use privatelink_detach::transport::BaseUrl;
use privatelink_detach::transport::NoResponse;
use privatelink_detach::transport::{Https, SendError, Transport};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[derive(Deserialize)]
struct File<I> {
    recordings: Vec<Recording<I>>,
}

#[derive(Deserialize)]
struct Recording<I = Inputs> {
    name: String,
    inputs: I,
    sent: Sent,
    signed_as_the_worker: Signed,
}

#[derive(Deserialize)]
struct Inputs {
    seed: u64,
    nonce: String,
    signed_at: String,
    action: String,
    access_key_id: String,
    access_key_secret: String,
    security_token: Option<String>,
    region_id: String,
    endpoint_id: String,
    security_group_id: Option<String>,
    client_token: Option<String>,
    dry_run: Option<bool>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Sent {
    method: String,
    path: String,
    query: String,
    parameters: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: String,
}

#[derive(Deserialize)]
struct Signed {
    query: String,
    authorization: String,
}

/// The SDK's value and the worker's value of each field that differs.
type Differences = BTreeMap<String, (Option<String>, Option<String>)>;

/// Longer than any call in these tests takes.
const TEST_TIMEOUT: Duration = Duration::from_mins(1);

/// The worker's client token where the recording has none.
const CLIENT_TOKEN: &str = "0c593ea1-3bea-11e9-b96b-88e9fe637760";

#[tokio::test(start_paused = true)]
async fn requests_equal_those_of_the_official_sdk_except_for_listed_differences() {
    let recordings = recordings();
    assert_eq!(recordings.len(), 11);
    let called: std::collections::BTreeSet<_> = recordings.iter().map(|r| r.inputs.action.as_str()).collect();
    assert_eq!(called, Action::ALL.map(Action::name).into());
    for recording in recordings {
        let ours = ours(&recording.inputs).await;
        assert_eq!(ours.headers["x-acs-signature-nonce"], recording.inputs.nonce, "{}", recording.name);
        assert_eq!(
            differences(&recording.sent, &ours),
            expected_differences(&recording),
            "{}",
            recording.name
        );
    }
}

#[tokio::test(start_paused = true)]
async fn signatures_equal_those_of_the_official_sdks_signer() {
    for recording in recordings() {
        let ours = ours(&recording.inputs).await;
        let theirs = recording.signed_as_the_worker;
        assert_eq!(ours.query, theirs.query, "{}", recording.name);
        assert_eq!(ours.headers["authorization"], theirs.authorization, "{}", recording.name);
    }
}

#[tokio::test]
async fn sent_request_has_only_three_unsigned_headers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let received = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        String::from_utf8(head).unwrap()
    });
    let base = BaseUrl {
        scheme: http::uri::Scheme::HTTP,
        authority: http::uri::Authority::try_from(address.as_str()).unwrap(),
    };
    call(&recordings()[0].inputs, Https::new(true).unwrap(), ServiceUrl::Fixed(base)).await;

    let head = received.join().unwrap();
    let mut lines = head.trim_end().lines();
    assert_eq!(
        lines.next(),
        Some("POST /?EndpointId=ep-hp33b2e43fays7s8abcd&MaxResults=50&RegionId=eu-west-1 HTTP/1.1")
    );
    let mut headers: BTreeMap<_, _> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    let authorization = headers.remove("authorization").unwrap();
    let signed = authorization.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap();
    let unsigned: BTreeMap<_, _> =
        headers.into_iter().filter(|(name, _)| signed.split(';').all(|other| other != *name)).collect();
    let user_agent = concat!("privatelink-detach/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        unsigned,
        [("accept", "application/json"), ("content-length", "0"), ("user-agent", user_agent)].into()
    );
}

/// The expected differences of a recording, with their reasons.
fn expected_differences(recording: &Recording) -> Differences {
    let Recording { inputs, sent, .. } = recording;
    let session = inputs.security_token.as_ref().map(|_| &*inputs.access_key_id);
    let mut expected = expected_header_differences(session);
    let mut list = |field: &str, theirs: Option<&str>, ours: Option<&str>| {
        expected.insert(field.to_owned(), (theirs.map(str::to_owned), ours.map(str::to_owned)));
    };

    // The SDK signs `%20` for a space, as documented, and then sends `+`, which means a space only to a server that
    // decodes a query as a form. The worker sends exactly what it signs.
    let spaced = |text: &str| text.contains(' ').then(|| text.to_owned());
    for (name, value) in [("NextToken", &inputs.next_token), ("ClientToken", &inputs.client_token)] {
        if value.as_deref().and_then(spaced).is_some() {
            let theirs = encoded(&sent.query, name).unwrap();
            list(&format!("parameter {name} as sent"), Some(theirs), Some(&theirs.replace('+', "%20")));
        }
    }
    // Python's spelling of booleans. The documentation and Alibaba Cloud's other SDKs use true and false.
    match inputs.dry_run {
        Some(true) => {
            list("parameter DryRun", Some("True"), Some("true"));
            list("parameter DryRun as sent", Some("True"), Some("true"));
        }
        Some(false) => {
            list("parameter DryRun", Some("False"), Some("false"));
            list("parameter DryRun as sent", Some("False"), Some("false"));
        }
        None => {}
    }
    // The worker does not rely on defaults of the service: it always sends the page size, the dry run flag and the
    // client token.
    let mut always_sent = |name: &str, value: &str| {
        if !sent.parameters.contains_key(name) {
            list(&format!("parameter {name}"), None, Some(value));
            list(&format!("parameter {name} as sent"), None, Some(value));
        }
    };
    if [Action::Detach, Action::Attach].map(Action::name).contains(&&*inputs.action) {
        always_sent("ClientToken", CLIENT_TOKEN);
        always_sent("DryRun", "false");
    } else {
        always_sent("MaxResults", "50");
    }
    expected
}

/// The expected differences of the headers, with their reasons. `session` is the access key id of a session.
fn expected_header_differences(session: Option<&str>) -> Differences {
    let mut expected = Differences::new();
    let mut list = |field: &str, theirs: Option<&str>, ours: Option<&str>| {
        expected.insert(field.to_owned(), (theirs.map(str::to_owned), ours.map(str::to_owned)));
    };
    // The documentation asks for signatures over host, every x-acs header and content-type. The SDK signs all headers.
    list("header user-agent", Some("AlibabaCloud (Linux; x86_64) Python/3.10.0 Core/0.4.0 TeaDSL/2"), None);
    // Statistics of the SDK: the source of the credentials. The documentation does not mention this header.
    let provider = if session.is_some() { "static_sts" } else { "static_ak" };
    list("header x-acs-credentials-provider", Some(provider), None);
    let mut theirs = "accept;host;user-agent;x-acs-action;x-acs-content-sha256;x-acs-credentials-provider;x-acs-date;\
        x-acs-signature-nonce;x-acs-version";
    let mut ours = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";
    if let Some(access_key_id) = session {
        // From an older signature version. The authorization already contains the access key id, and the documentation
        // requires only the security token.
        list("header x-acs-accesskey-id", Some(access_key_id), None);
        theirs = "accept;host;user-agent;x-acs-accesskey-id;x-acs-action;x-acs-content-sha256;\
            x-acs-credentials-provider;x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version";
        ours = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;x-acs-signature-nonce;\
            x-acs-version";
    }
    list("signed headers", Some(theirs), Some(ours));
    // Set by the SDK's HTTP client, which accepts no compressed responses.
    list("header accept-encoding", Some("identity"), None);
    expected
}

/// The fields in which two requests differ. Signatures are not compared, because they cover different headers; another
/// test compares signatures over the same headers and parameters.
fn differences(theirs: &Sent, ours: &Sent) -> Differences {
    let (theirs, ours) = (fields(theirs), fields(ours));
    let names = theirs.keys().chain(ours.keys());
    let pairs = names.map(|name| (name.clone(), (theirs.get(name).cloned(), ours.get(name).cloned())));
    pairs.filter(|(_, (theirs, ours))| theirs != ours).collect()
}

fn fields(sent: &Sent) -> BTreeMap<String, String> {
    let mut fields: BTreeMap<String, String> = [
        ("method".to_owned(), sent.method.clone()),
        ("path".to_owned(), sent.path.clone()),
        ("body".to_owned(), sent.body.clone()),
    ]
    .into();
    for (name, value) in &sent.parameters {
        fields.insert(format!("parameter {name}"), value.clone());
        fields.insert(format!("parameter {name} as sent"), encoded(&sent.query, name).unwrap().to_owned());
    }
    for (name, value) in &sent.headers {
        if name != "authorization" {
            fields.insert(format!("header {name}"), value.clone());
        }
    }
    let (algorithm, parts) = sent.headers["authorization"].split_once(' ').unwrap();
    fields.insert("algorithm".to_owned(), algorithm.to_owned());
    for part in parts.split(',') {
        match part.split_once('=').unwrap() {
            ("Credential", id) => fields.insert("credential".to_owned(), id.to_owned()),
            ("SignedHeaders", names) => fields.insert("signed headers".to_owned(), names.to_owned()),
            ("Signature", signature) => {
                fields.insert("signature's length".to_owned(), signature.len().to_string())
            }
            (other, _) => panic!("unexpected part of an authorization: {other}"),
        };
    }
    fields
}

/// The encoded value of a query parameter.
fn encoded<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn recordings() -> Vec<Recording> {
    let file: File<_> = serde_json::from_str(include_str!("../vectors/official-sdk.json")).unwrap();
    file.recordings
}

/// Makes the call of these inputs with the worker's client.
async fn call<T: Transport>(inputs: &Inputs, transport: T, url: ServiceUrl) {
    let Inputs { access_key_id, access_key_secret, security_token, .. } = inputs;
    let credentials =
        Credentials::new(access_key_id.clone(), access_key_secret.clone(), security_token.clone());
    let source = CredentialsSource::Fixed(Rc::new(credentials));
    let client = Client::new(transport, source, url, inputs.seed);
    let group = inputs.security_group_id.as_deref().unwrap_or("sg-a");
    let is_attach = inputs.action == Action::Attach.name();
    let target = Target {
        region_id: RegionId::parse(&inputs.region_id).unwrap(),
        endpoint_id: EndpointId::parse(&inputs.endpoint_id).unwrap(),
        // An attach is of another group than the target's.
        security_group_id: SecurityGroupId::parse(if is_attach { "sg-a" } else { group }).unwrap(),
    };
    let next_token = inputs.next_token.clone();
    let client_token = ClientToken::parse(inputs.client_token.as_deref().unwrap_or(CLIENT_TOKEN)).unwrap();
    let dry_run = inputs.dry_run.unwrap_or_default();
    let call = match inputs.action.as_str() {
        "DetachSecurityGroupFromVpcEndpoint" => Call::Detach { client_token, dry_run },
        "AttachSecurityGroupToVpcEndpoint" => {
            Call::Attach { security_group_id: SecurityGroupId::parse(group).unwrap(), client_token, dry_run }
        }
        "ListVpcEndpointSecurityGroups" => Call::ListSecurityGroups { next_token },
        "ListVpcEndpoints" => Call::ListEndpoints { next_token },
        other => panic!("the worker does not call {other}"),
    };
    let clock = Clock::starting_at(OffsetDateTime::parse(&inputs.signed_at, &Rfc3339).unwrap().into());
    client.call(&call.request(&target), &clock, TEST_TIMEOUT).await;
}

/// The request that the worker's client sends for these inputs.
async fn ours(inputs: &Inputs) -> Sent {
    let transport = InMemory::default();
    call(inputs, &transport, ServiceUrl::Regional).await;
    transport.sent()
}

/// Records the last request instead of sending it. The earlier ones get responses.
#[derive(Default)]
struct InMemory {
    sent: RefCell<Option<http::Request<Bytes>>>,
    responses: RefCell<Vec<http::Response<Bytes>>>,
}

impl InMemory {
    fn sent(&self) -> Sent {
        let request = self.sent.take().unwrap();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        assert_eq!(request.uri().scheme_str(), Some("https"));
        assert_eq!(request.uri().host(), request.headers()["host"].to_str().ok());
        Sent {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            parameters: pairs.map(|(name, value)| (decoded(name), decoded(value))).collect(),
            headers: request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
            body: String::from_utf8(request.body().to_vec()).unwrap(),
            query,
        }
    }
}

impl Transport for &InMemory {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, SendError> {
        self.sent.replace(Some(request));
        self.responses.borrow_mut().pop().ok_or_else(|| NoResponse::ConnectionLost.into())
    }
}
