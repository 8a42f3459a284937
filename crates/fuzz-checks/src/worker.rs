//! The worker's payloads: any payload, and a batch of the queue. The whole function handles each, with Alibaba Cloud
//! and AWS in memory.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use boon::{Compiler, SchemaIndex, Schemas};
use bytes::Bytes;
use http::{Request, Response};
use privatelink_detach::alibaba::client::Client;
use privatelink_detach::alibaba::credentials::{Credentials, CredentialsSource};
use privatelink_detach::alibaba::service_url::ServiceUrl;
use privatelink_detach::aws::bus::EventBridge;
use privatelink_detach::clock::Clock;
use privatelink_detach::completion::reason::RunbookUrl;
use privatelink_detach::config::WorkerConfig;
use privatelink_detach::detach::Limits;
use privatelink_detach::drive::time_budget::TimeLimits;
use privatelink_detach::lambda::Invocation;
use privatelink_detach::transport::NoResponse;
use privatelink_detach::transport::{SendError, Transport};
use privatelink_detach::worker::DeferralLimits;
use privatelink_detach::worker::handler::{self, HandlerError};
use privatelink_detach::worker::queue::Sqs;
use privatelink_detach::worker::{Settings, Worker};
use privatelink_simulator::{AccessKey, Cloud, Endpoint, Seed, Transmission};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::aws::{Aws, Call, DEAD_LETTERS, REQUESTS};
use crate::memory::{Bound, bounded};
use crate::request::rules;
use crate::text::assert_tame;
use crate::virtual_time::{self, beginning};

/// A payload is parsed by its shape, again as a batch, and again as requests; each request may have its own lane, and
/// the AWS client allocates a few kilobytes per call.
const MEMORY: Bound = Bound { base: 512 * 1024, per_byte: 600 };

/// The template's timeout of the function.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The maximum size of an event here, well below the limit of `EventBridge`.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// SQS's maximum size of a message with its attributes, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Alibaba Cloud in memory, on this clock.
struct Alibaba {
    cloud: RefCell<Cloud>,
    clock: Clock,
}

impl Transport for &Alibaba {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Result<Response<Bytes>, SendError> {
        let simulated = self.cloud.borrow_mut().handle(&request, self.clock.wall());
        match simulated.transmission {
            Transmission::Whole { after } => {
                self.clock.sleep_until(self.clock.now() + after).await;
                Ok(simulated.response)
            }
            Transmission::Hang => {
                self.clock.sleep_until(self.clock.now() + timeout).await;
                Err(NoResponse::Timeout.into())
            }
            Transmission::Reset { .. } | Transmission::Truncated { .. } => {
                Err(NoResponse::ConnectionLost.into())
            }
        }
    }
}

pub(crate) fn check_payload(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // The Lambda runtime rejects a payload that is not JSON.
    let Ok(payload) = RawValue::from_string(text.to_owned()) else { return };
    handle(&payload);
}

/// Checks a batch of SQS. Each line of the input is a message: attributes as `name=value`, separated by spaces, then a
/// tab and the body.
pub(crate) fn check_batch(input: &[u8]) {
    let lines = input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(10);
    let records: Vec<_> =
        lines.enumerate().map(|(n, line)| record(n, &String::from_utf8_lossy(line))).collect();
    let payload = json!({ "Records": records }).to_string();
    handle(&RawValue::from_string(payload).expect("JSON"));
}

fn record(number: usize, line: &str) -> Value {
    let (head, body) = line.split_once('\t').unwrap_or(("", line));
    let mut record = json!({
        "messageId": format!("message-{number}"), "receiptHandle": format!("handle-{number}"), "body": body,
        "eventSource": "aws:sqs", "attributes": {}, "messageAttributes": {},
    });
    for (name, value) in head.split(' ').filter_map(|pair| pair.split_once('=')) {
        match name {
            "messageId" => record[name] = value.into(),
            "trigger" | "request_id" => {
                record["messageAttributes"][name] = json!({ "stringValue": value, "dataType": "String" });
            }
            _ => record["attributes"][name] = value.into(),
        }
    }
    record
}

fn handle(payload: &RawValue) {
    let aws = Aws::with_secret("");
    let handling = async |clock: Clock| {
        let alibaba = Alibaba { cloud: RefCell::new(cloud()), clock };
        let worker = worker(&alibaba, &aws);
        let invocation = Invocation {
            clock,
            ends_at: beginning() + TIMEOUT,
            lambda_request_id: "lambda-request".to_owned(),
            xray_trace_id: None,
        };
        let result = handler::handle(&worker, payload, &invocation).await;
        let calls = alibaba.cloud.borrow().counts().calls_total;
        (result, calls, clock.now() - clock.started())
    };
    let (result, calls, took) = bounded(&MEMORY, payload.get().len(), || virtual_time::run(handling));
    assert!(took < TIMEOUT, "the invocation exceeds its timeout: {took:?}");
    let aws_calls = aws.calls();
    match result {
        Ok(response) if response.get("batchItemFailures").is_some() => {
            check_batch_response(&response, &aws_calls, payload);
        }
        Ok(detail) => {
            assert_eq!(
                operations(&aws_calls),
                ["PutEvents"],
                "a direct invocation publishes one event and makes no other call"
            );
            assert_eq!(published(&aws_calls), [detail], "a direct invocation returns its event");
        }
        Err(error) => {
            assert!(aws_calls.is_empty() && calls == 0, "calls were made for a payload that fails: {error}");
            let is_of_the_payload =
                matches!(error, HandlerError::Batch(_) | HandlerError::UnsupportedPayload);
            assert!(is_of_the_payload, "{error}");
            assert_tame(&error.to_string(), 200);
        }
    }
    let events = published(&aws_calls);
    events.iter().for_each(check_event);
    aws_calls
        .iter()
        .filter(|call| call.operation == "SendMessage")
        .for_each(|call| check_dead_letter(&call.body));
    let rejected = events.iter().filter(|event| event["outcome"] == "rejected").count();
    assert!(
        calls == 0 || rejected < events.len() || events.is_empty(),
        "Alibaba Cloud was called for a rejected request"
    );
}

/// Checks that every message is either deleted or returned to the queue.
fn check_batch_response(response: &Value, aws_calls: &[Call], payload: &RawValue) {
    // `Value` rejects half a surrogate pair in a field that the worker ignores. The worker accepts such a payload.
    let Ok(batch) = serde_json::from_str::<Value>(payload.get()) else { return };
    let records = batch.get("Records").unwrap_or(&batch);
    let records = records.as_array().expect("a batch response is for a batch");
    let mut ids: Vec<&str> =
        records.iter().map(|record| record["messageId"].as_str().expect("an id")).collect();
    // A message that is twice in a batch is processed once.
    ids.sort_unstable();
    ids.dedup();
    assert!(
        ids.iter().all(|id| !id.is_empty()),
        "a record without an id cannot be reported and must fail the batch"
    );
    let failures = response["batchItemFailures"].as_array().expect("failures");
    for failure in failures {
        let id = failure["itemIdentifier"].as_str().expect("an id");
        let index = ids.iter().position(|other| *other == id);
        ids.swap_remove(index.expect("an id of the batch, once"));
    }
    let count = |operation: &str| aws_calls.iter().filter(|call| call.operation == operation).count();
    assert_eq!(count("DeleteMessage"), ids.len(), "every message that is not a failure is deleted");
    assert_eq!(count("PutEvents"), ids.len(), "every deleted message has its event");
    let changes = aws_calls.iter().filter(|call| call.operation == "ChangeMessageVisibilityBatch");
    let deferred = changes.map(|call| call.body["Entries"].as_array().map_or(0, Vec::len)).sum::<usize>();
    assert_eq!(deferred, failures.len(), "every failure is returned to the queue with a delay");
}

fn operations(aws_calls: &[Call]) -> Vec<&str> {
    aws_calls.iter().map(|call| call.operation.as_str()).filter(|name| *name != "DescribeEventBus").collect()
}

fn published(aws_calls: &[Call]) -> Vec<Value> {
    let detail = |call: &Call| {
        let detail = call.body["Entries"][0]["Detail"].as_str().expect("a detail");
        assert!(detail.len() <= EVENT_BYTES_MAX, "{} bytes", detail.len());
        serde_json::from_str(detail).expect("JSON")
    };
    aws_calls.iter().filter(|call| call.operation == "PutEvents").map(detail).collect()
}

fn check_event(detail: &Value) {
    thread_local! {
        static SCHEMA: (Schemas, SchemaIndex) = {
            let schema = include_str!("../../../docs/completion-event.schema.json");
            let schema = serde_json::from_str(schema).expect("JSON");
            let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
            compiler.enable_format_assertions();
            compiler.add_resource("urn:event", schema).expect("a schema");
            let index = compiler.compile("urn:event", &mut schemas).expect("a schema");
            (schemas, index)
        };
    }
    SCHEMA.with(|(schemas, index)| {
        if let Err(violations) = schemas.validate(detail, *index) {
            panic!("{violations:#}\n{detail:#}");
        }
    });
}

/// Checks that SQS accepts the copy.
fn check_dead_letter(dead_letter: &Value) {
    let is_accepted = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    let body = dead_letter["MessageBody"].as_str().expect("a body");
    assert!(!body.is_empty());
    let mut bytes = body.len();
    if let Some(attributes) = dead_letter["MessageAttributes"].as_object() {
        assert!(attributes.len() <= 10);
        for (name, attribute) in attributes {
            let value = attribute["StringValue"].as_str().expect("text");
            assert!(!value.is_empty(), "{name}");
            // SQS supplies the message's id.
            assert!(name == "source_message_id" || value.chars().all(is_accepted), "{name}: {value:?}");
            bytes += name.len() + "String".len() + value.len();
        }
        let message = attributes["reason_message"]["StringValue"].as_str().expect("text");
        assert_tame(message, 256);
    }
    assert!(bytes <= MESSAGE_BYTES_MAX.max(body.len()), "{bytes} bytes");
}

fn cloud() -> Cloud {
    let endpoints = [
        ("ep-hp3shop", ["sg-hp3vendor", "sg-hp3own"]),
        ("ep-hp3cart", ["sg-hp3vendor", "sg-hp3own"]),
        ("ep-a", ["sg-a", "sg-b"]),
    ];
    let endpoints = endpoints.map(|(id, groups)| Endpoint::new("eu-west-1", id, groups)).to_vec();
    Cloud::new(Seed { endpoints, ..Seed::default() }).expect("a valid seed")
}

fn worker<'a>(alibaba: &'a Alibaba, aws: &Aws) -> Worker<&'a Alibaba, Sqs, EventBridge> {
    let key = AccessKey::default();
    let credentials = Credentials::new(key.access_key_id.to_string(), key.access_key_secret, None);
    let client =
        Client::new(alibaba, CredentialsSource::Fixed(Rc::new(credentials)), ServiceUrl::Regional, 7);
    let queue = Sqs::new(aws_sdk_sqs::Client::new(&aws.config), REQUESTS.to_owned(), DEAD_LETTERS.to_owned());
    let bus = EventBridge::new(aws_sdk_eventbridge::Client::new(&aws.config), "default".to_owned());
    let settings = Settings {
        runbook_url: RunbookUrl::default(),
        rules: rules(),
        deadline: Duration::from_secs(WorkerConfig::DEADLINE_SECONDS_DEFAULT),
        concurrency: WorkerConfig::CONCURRENCY_DEFAULT,
        limits: Limits::default(),
        time: TimeLimits::default(),
        deferral: DeferralLimits::default(),
    };
    Worker::new(client, queue, bus, settings, 7)
}
