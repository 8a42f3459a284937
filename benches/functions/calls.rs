//! A minimal Lambda function that sends messages to SQS and then returns its payload: what the calls of a function cost by
//! themselves.
//!
//! The first argument is the client: `sdk`, the AWS SDK as the intake uses it, or `plain`, which writes prepared text to
//! one connection. The second is the number of calls: a request, and then a notice.

use std::env;
use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use privatelink_detach::aws;
use privatelink_detach::aws::notice_queue::NoticeSender;
use privatelink_detach::aws::request_queue::{Message, RequestQueue, Sender};
use privatelink_detach::clock::Clock;
use privatelink_detach::config::environment;
use privatelink_detach::intake::SEND_TIME_MAX;
use privatelink_detach::request::Trigger;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// About as long as a request or a notice of chat.
const BODY_LENGTH: usize = 400;

/// Who makes the calls.
enum Client {
    Sdk { requests: Sender, notices: NoticeSender },
    Plain { connection: Mutex<TcpStream>, request: Vec<u8>, notice: Vec<u8> },
}

fn main() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = &Client::new(env::args().nth(1).as_deref() == Some("sdk")).await?;
        let is_notified = env::args().nth(2).as_deref() == Some("2");
        let handle = |event: LambdaEvent<Value>| async move {
            client.request().await?;
            if is_notified {
                client.notify().await?;
            }
            Ok::<_, Error>(event.payload)
        };
        Runtime::new(service_fn(handle)).run().await
    })
}

impl Client {
    async fn new(is_sdk: bool) -> Result<Self, Error> {
        let variable = |name| environment(name).ok_or_else(|| Error::from(format!("{name} is not set")));
        let (requests, notices) = (variable("DETACH_QUEUE_URL")?, variable("NOTICE_QUEUE_URL")?);
        if is_sdk {
            let client = aws_sdk_sqs::Client::new(&aws::config(environment)?);
            let requests = Sender::new(client.clone(), requests);
            return Ok(Self::Sdk { requests, notices: NoticeSender::new(client, notices) });
        }
        let endpoint = variable("AWS_ENDPOINT_URL")?;
        let host = endpoint.trim_start_matches("http://");
        let connection = TcpStream::connect(host).await?;
        connection.set_nodelay(true)?;
        let mut request = json!({ "QueueUrl": requests, "MessageBody": body(), "MessageGroupId": "group" });
        request["MessageDeduplicationId"] = "id".into();
        let notice = json!({ "QueueUrl": notices, "MessageBody": body() });
        let http = |call: &Value| {
            let call = call.to_string();
            let head = format!("POST / HTTP/1.1\r\nhost: {host}\r\nx-amz-target: AmazonSQS.SendMessage");
            format!("{head}\r\ncontent-length: {}\r\n\r\n{call}", call.len()).into_bytes()
        };
        Ok(Self::Plain { request: http(&request), notice: http(&notice), connection: connection.into() })
    }

    async fn request(&self) -> Result<(), Error> {
        match self {
            Self::Sdk { requests, .. } => {
                let message = Message {
                    group: "group".to_owned(),
                    deduplication_id: "id".to_owned(),
                    body: body(),
                    trigger: Trigger::Chat,
                };
                let clock = Clock::start();
                let results = requests.send(&[message], clock.now() + SEND_TIME_MAX, &clock).await;
                Ok(results.into_iter().collect::<Result<(), _>>()?)
            }
            Self::Plain { connection, request, .. } => call(connection, request).await,
        }
    }

    async fn notify(&self) -> Result<(), Error> {
        match self {
            Self::Sdk { notices, .. } => Ok(notices.send(&body(), Duration::ZERO).await?),
            Self::Plain { connection, notice, .. } => call(connection, notice).await,
        }
    }
}

/// Writes a call and reads its response, which arrives at once.
async fn call(connection: &Mutex<TcpStream>, call: &[u8]) -> Result<(), Error> {
    let mut connection = connection.lock().await;
    connection.write_all(call).await?;
    let mut response = [0; 4096];
    let length = connection.read(&mut response).await?;
    let is_complete = response.starts_with(b"HTTP/1.1 200") && response[..length].ends_with(b"}");
    if is_complete { Ok(()) } else { Err(Error::from("a call failed")) }
}

fn body() -> String {
    "x".repeat(BODY_LENGTH)
}
