//! A Lambda function controlled by its payload, for the tests of the runtime API and the poller.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

/// Returns the payload and the deadline; fails or hangs if the payload says so. For a batch, reports each message
/// with the body `fail-message` as failed, and adds an empty id for each message with the body `empty-id`.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let handler = service_fn(async |event: LambdaEvent<Value>| match event.payload.as_str() {
        Some("fail") => Err(Error::from("requested failure")),
        Some("hang") => std::future::pending().await,
        None if event.payload["Records"].is_array() => Ok(batch_response(&event.payload)),
        _ => Ok(json!({ "payload": event.payload, "deadline": event.context.deadline })),
    });
    lambda_runtime::run(handler).await
}

fn batch_response(event: &Value) -> Value {
    let records = event["Records"].as_array().into_iter().flatten();
    let failures = records.filter_map(|record| match record["body"].as_str() {
        Some("fail-message") => Some(json!({ "itemIdentifier": record["messageId"] })),
        Some("empty-id") => Some(json!({ "itemIdentifier": "" })),
        _ => None,
    });
    json!({ "batchItemFailures": failures.collect::<Vec<_>>() })
}
