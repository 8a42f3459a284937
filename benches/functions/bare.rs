//! A minimal Lambda function in Rust, the baseline of the other programs.

use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use serde_json::Value;

fn main() -> Result<(), Error> {
    let handle = |event: LambdaEvent<Value>| async move { Ok::<_, Error>(event.payload) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Runtime::new(service_fn(handle)).run())
}
