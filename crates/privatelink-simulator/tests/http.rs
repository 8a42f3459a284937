//! The simulator over a socket: signed HTTP from a client that works on bytes.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and real sockets need real time"
)]

mod issuer;

use std::{
    fmt::Write as _,
    io::ErrorKind,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use privatelink_simulator::{
    Action, Cloud, Effect, Endpoint, Fault, OidcProvider, Role, STS_VERSION, Seed, Server, VERSION, sign,
};
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::format_description};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const DETACH: Action = Action::DetachSecurityGroupFromVpcEndpoint;
const GROUPS: Action = Action::ListVpcEndpointSecurityGroups;
const SHOP: &str = "RegionId=eu-west-1&EndpointId=ep-shop";
const DETACH_OLD: &str = "RegionId=eu-west-1&EndpointId=ep-shop&SecurityGroupId=sg-old";

/// A timeout longer than any call in these tests takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn signed_detach_is_executed_and_visible_in_the_list() {
    let server = server().await;
    server.cloud().change_settings(|settings| settings.detach_takes = Duration::ZERO);
    let accepted = call(&server, DETACH, DETACH_OLD).await;
    assert_eq!(accepted.status, 200);
    let listed = call(&server, GROUPS, SHOP).await.json();
    assert_eq!(
        listed["SecurityGroups"],
        json!([{ "SecurityGroupId": "sg-web", "SecurityGroupStatus": "Attached" }])
    );
    assert_eq!(server.cloud().counts().of(DETACH), 1);
}

#[tokio::test]
async fn several_calls_share_a_connection() {
    let server = server().await;
    let mut stream = connect(&server).await;
    for _ in 0..3 {
        send(&mut stream, &signed(&server, GROUPS, SHOP)).await;
        assert_eq!(receive(&mut stream).await.unwrap().status, 200);
    }
    assert_eq!(server.cloud().counts().signatures_rejected, 0);
}

#[tokio::test]
async fn replayed_or_changed_request_is_refused() {
    let server = server().await;
    let request = signed(&server, GROUPS, SHOP);
    assert_eq!(exchange(&server, &request).await.unwrap().status, 200);
    assert_eq!(exchange(&server, &request).await.unwrap().json()["Code"], "SignatureNonceUsed");

    let mut other_host = signed(&server, GROUPS, SHOP);
    other_host.headers_mut().insert("host", HeaderValue::from_static("privatelink.eu-west-1.aliyuncs.com"));
    assert_eq!(exchange(&server, &other_host).await.unwrap().json()["Code"], "SignatureDoesNotMatch");
    assert_eq!(server.cloud().counts().signatures_rejected, 2);
}

#[tokio::test]
async fn client_can_correct_its_clock_by_the_date_header() {
    let server = server().await;
    server.cloud().change_settings(|settings| settings.clock_offset_ms = -3_600_000);
    let refused = call(&server, GROUPS, SHOP).await;
    assert_eq!(refused.json()["Code"], "InvalidTimeStamp.Expired");
    let date = refused.header("date").unwrap();
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let date = time::PrimitiveDateTime::parse(&date, format).unwrap().assume_utc();
    let request = signed_at(&server, GROUPS, SHOP, date.into());
    assert_eq!(exchange(&server, &request).await.unwrap().status, 200);
}

#[tokio::test]
async fn session_from_a_token_signs_calls() {
    let server = server().await;
    server.cloud().set_oidc_provider(issuer::provider()).unwrap();
    server.cloud().set_role(issuer::role()).unwrap();
    let response = exchange(&server, &assume_role_request(&server, SystemTime::now())).await.unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    let credentials = response.json()["Credentials"].clone();
    let key = |name: &str| credentials[name].as_str().unwrap();

    let mut request = signed(&server, GROUPS, SHOP);
    let token = HeaderValue::try_from(key("SecurityToken")).unwrap();
    request.headers_mut().insert("x-acs-security-token", token);
    sign(&mut request, key("AccessKeyId"), key("AccessKeySecret"));
    assert_eq!(exchange(&server, &request).await.unwrap().status, 200);

    let counts = control(&server, "GET", "counts", "").await.json();
    assert_eq!(counts["calls"]["AssumeRoleWithOIDC"], 1);
    assert_eq!(counts["signatures_rejected"], 0);
    let journal = control(&server, "GET", "journal", "").await;
    assert_eq!(journal.json()[0]["session_name"], "worker");
    assert!(!journal.body.contains(key("SecurityToken")) && !journal.body.contains("eyJ"), "{journal:?}");
}

#[tokio::test]
async fn reset_fault_resets_the_connection() {
    let server = server().await;
    server.cloud().inject(Fault::on(DETACH, Effect::Reset).nth(1).after_execution());
    let error = exchange(&server, &signed(&server, DETACH, DETACH_OLD)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.cloud().counts().endpoint("ep-shop").detaches_accepted, 1);
}

#[tokio::test]
async fn truncated_response_ends_before_its_content_length() {
    let server = server().await;
    server.cloud().inject(Fault::on(GROUPS, Effect::Truncated).nth(1));
    let mut stream = connect(&server).await;
    send(&mut stream, &signed(&server, GROUPS, SHOP)).await;
    let mut bytes = Vec::new();
    timeout(TIMEOUT, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let content_length: usize =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    assert!(!body.is_empty() && body.len() < content_length, "{text}");
}

#[tokio::test]
async fn hung_call_gets_no_response_and_blocks_no_other_call() {
    let server = server().await;
    server.cloud().inject(Fault::on(GROUPS, Effect::Hang).nth(1));
    let mut hung = connect(&server).await;
    send(&mut hung, &signed(&server, GROUPS, SHOP)).await;
    assert_eq!(wait_for_journal(&server, 1).await, 1);
    assert_eq!(call(&server, GROUPS, SHOP).await.status, 200);
    let mut byte = [0];
    assert_eq!(hung.try_read(&mut byte).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(server);
    assert!(matches!(timeout(TIMEOUT, hung.read(&mut byte)).await.unwrap(), Ok(0) | Err(_)));
}

#[tokio::test]
async fn response_faults_reach_the_client() {
    let server = server().await;
    let location = HeaderValue::from_static("https://elsewhere.example/");
    for effect in [
        Effect::Oversized { bytes: 1_500_000 },
        Effect::html(StatusCode::BAD_GATEWAY),
        Effect::Redirect { location },
        Effect::Empty,
        Effect::throttled(Duration::from_millis(1500)),
    ] {
        server.cloud().inject(Fault::on(GROUPS, effect).next(1));
    }
    let delay = Duration::from_millis(30);
    server.cloud().inject(Fault::on(GROUPS, Effect::ActualResponse).next(1).delayed(delay));

    assert!(call(&server, GROUPS, SHOP).await.body.len() > 1_500_000);
    let html = call(&server, GROUPS, SHOP).await;
    assert!(html.status == 502 && html.body.starts_with("<html>"));
    let redirect = call(&server, GROUPS, SHOP).await;
    assert_eq!(
        (redirect.status, redirect.header("location").as_deref()),
        (302, Some("https://elsewhere.example/"))
    );
    let empty = call(&server, GROUPS, SHOP).await;
    assert_eq!((empty.status, empty.body.as_str()), (200, ""));
    let throttled = call(&server, GROUPS, SHOP).await;
    assert_eq!((throttled.status, throttled.header("x-acs-retry-after").as_deref()), (400, Some("1500")));
    let started = Instant::now();
    assert_eq!(call(&server, GROUPS, SHOP).await.status, 200);
    assert!(started.elapsed() >= delay);
}

#[tokio::test]
async fn control_endpoints_read_and_write_the_state() {
    let server = server().await;
    let state = control(&server, "GET", "state", "").await;
    assert_eq!(state.json()["endpoints"][0]["endpoint_id"], "ep-shop");

    let fault =
        r#"{"action": "ListVpcEndpointSecurityGroups", "fault": {"kind": "code", "code": "SystemBusy"}}"#;
    assert_eq!(control(&server, "POST", "faults", fault).await.json(), json!({ "injected": 1 }));
    assert_eq!(call(&server, GROUPS, SHOP).await.json()["Code"], "SystemBusy");
    assert_eq!(control(&server, "GET", "counts", "").await.json()["faults"], 1);
    assert_eq!(control(&server, "GET", "journal", "").await.json()[0]["code"], "SystemBusy");
    assert_eq!(control(&server, "DELETE", "faults", "").await.status, 200);

    assert_eq!(control(&server, "PUT", "state", &state.body).await.json(), state.json());
    assert_eq!(control(&server, "GET", "counts", "").await.json()["calls_total"], 0);
    for (method, path, body, status) in [
        ("PUT", "state", "{\"endpoint\": []}", 400),
        ("POST", "faults", "[{\"call\": 0}]", 400),
        ("POST", "faults", "{\"fault\": {\"kind\": \"sulk\"}}", 400),
        ("POST", "counts", "", 405),
        ("GET", "nothing", "", 404),
    ] {
        let response = control(&server, method, path, body).await;
        assert_eq!(response.status, status, "{method} {path}");
        assert!(response.json()["error"].is_string());
    }
}

#[tokio::test]
async fn non_loopback_address_is_rejected() {
    let cloud = Cloud::new(Seed::default()).unwrap();
    let error = Server::start(cloud, ([0, 0, 0, 0], 0).into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn dropped_server_closes_its_port() {
    let server = server().await;
    let address = server.address();
    drop(server);
    // The port is closed when the runtime next polls the aborted task.
    let closed = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(TIMEOUT, closed).await.unwrap();
}

#[derive(Debug)]
struct Received {
    status: u16,
    head: String,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn server() -> Server {
    let endpoints = vec![Endpoint::new("eu-west-1", "ep-shop", ["sg-old", "sg-web"])];
    let cloud = Cloud::new(Seed { endpoints, ..Seed::default() }).unwrap();
    Server::start(cloud, ([127, 0, 0, 1], 0).into()).await.unwrap()
}

async fn call(server: &Server, action: Action, query: &str) -> Received {
    exchange(server, &signed(server, action, query)).await.unwrap()
}

async fn control(server: &Server, method: &str, path: &str, body: &str) -> Received {
    let request = Request::builder()
        .method(method)
        .uri(format!("/_simulator/{path}"))
        .header("host", server.address().to_string())
        .body(Bytes::from(body.to_owned()))
        .unwrap();
    exchange(server, &request).await.unwrap()
}

async fn exchange(server: &Server, request: &Request<Bytes>) -> std::io::Result<Received> {
    let mut stream = connect(server).await;
    send(&mut stream, request).await;
    receive(&mut stream).await
}

async fn connect(server: &Server) -> TcpStream {
    timeout(TIMEOUT, TcpStream::connect(server.address())).await.unwrap().unwrap()
}

async fn send(stream: &mut TcpStream, request: &Request<Bytes>) {
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        write!(text, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
    }
    write!(text, "content-length: {}\r\n\r\n", request.body().len()).unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.write_all(request.body()).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> std::io::Result<Received> {
    timeout(TIMEOUT, async {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(bytes).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut received = Received { status, head, body: String::new() };
        let length = received.header("content-length").unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        received.body = String::from_utf8(body).unwrap();
        Ok(received)
    })
    .await
    .unwrap()
}

/// Waits until the journal contains this number of calls, and returns the actual number.
async fn wait_for_journal(server: &Server, calls: usize) -> usize {
    timeout(TIMEOUT, async {
        while server.cloud().journal().len() < calls {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    server.cloud().journal().len()
}

/// A correct `AssumeRoleWithOIDC` call, sent at this time.
fn assume_role_request(server: &Server, at: SystemTime) -> Request<Bytes> {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let token = issuer::token(&issuer::header(), &issuer::claims(seconds));
    let form = [
        ("OIDCProviderArn", issuer::PROVIDER),
        ("OIDCToken", &token),
        ("RoleArn", issuer::ROLE),
        ("RoleSessionName", "worker"),
    ];
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let form = form.map(|(name, value)| format!("{name}={}", encoded(value))).join("&");
    let timestamp = encoded(&acs_date(at));
    Request::post(format!("/?Action=AssumeRoleWithOIDC&Version={STS_VERSION}&Timestamp={timestamp}"))
        .header("host", server.address().to_string())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from(form))
        .unwrap()
}

fn acs_date(at: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    OffsetDateTime::from(at).format(format).unwrap()
}

fn signed(server: &Server, action: Action, query: &str) -> Request<Bytes> {
    signed_at(server, action, query, SystemTime::now())
}

fn signed_at(server: &Server, action: Action, query: &str, date: SystemTime) -> Request<Bytes> {
    static NONCES: AtomicU64 = AtomicU64::new(0);
    let mut request = Request::post(format!("/?{query}"))
        .header("host", server.address().to_string())
        .header("x-acs-action", action.name())
        .header("x-acs-version", VERSION)
        .header("x-acs-date", acs_date(date))
        .header("x-acs-signature-nonce", format!("nonce-{}", NONCES.fetch_add(1, Ordering::Relaxed)))
        .body(Bytes::new())
        .unwrap();
    sign(&mut request, "LTAI5tSimulatorKey", "SimulatorSecret");
    request
}
