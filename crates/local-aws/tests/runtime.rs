//! The real Lambda runtime, in a separate process, against the runtime API on loopback.
//!
//! The function process is the example `function`, which cargo builds with the tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a test compares a measured time with the current time")]

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local_aws::mapping::{Failure, Success, Verdict};
use local_aws::queues::Counts;
use local_aws::{InvocationResult, LocalAws, NewMessage, Poller, QueueSettings, RuntimeApi};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_mins(1);

/// The path of the example, relative to the directory of this test's own program.
fn function_program() -> io::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(2).ok_or(io::ErrorKind::NotFound)?;
    Ok(target.join("examples").join("function"))
}

/// A function process that ends with its test.
struct Function(Child);

impl Function {
    fn start(api: &RuntimeApi) -> io::Result<Self> {
        let process = Command::new(function_program()?)
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", "worker")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(process))
    }

    /// Ends the process with SIGKILL and waits for it.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Compiles only for a future that a multi-threaded runtime accepts.
fn spawnable<F: Future + Send>(future: F) -> F {
    future
}

fn response(result: InvocationResult) -> Value {
    let (InvocationResult::Response(body) | InvocationResult::Error(body)) = result;
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn process_handles_consecutive_invocations() {
    let api = RuntimeApi::start().await.unwrap();
    let started = Instant::now();
    let _function = Function::start(&api).unwrap();
    assert!(api.first_request().await > started);

    let first = api.invoke("1", TIMEOUT);
    let second = api.invoke("2", TIMEOUT);
    let (first, second) = (response(first.await), response(second.await));

    assert_eq!((&first["payload"], &second["payload"]), (&json!(1), &json!(2)));
    assert!(first["deadline"].as_u64() <= second["deadline"].as_u64());
    api.nth_request(3).await;
    assert_eq!((api.request_count(), api.results().len()), (3, 2));
}

#[tokio::test]
async fn function_error_does_not_affect_the_next_invocation() {
    let api = RuntimeApi::start().await.unwrap();
    let _function = Function::start(&api).unwrap();

    let failed = api.invoke(r#""fail""#, TIMEOUT).await;
    assert!(matches!(failed, InvocationResult::Error(_)));
    assert_eq!(response(failed)["errorMessage"], "requested failure");
    assert_eq!(response(api.invoke("7", TIMEOUT).await)["payload"], 7);
}

#[tokio::test]
async fn killed_process_loses_only_its_own_invocation() {
    let api = RuntimeApi::start().await.unwrap();
    let mut function = Function::start(&api).unwrap();
    api.first_request().await;

    let mut lost = Box::pin(api.invoke(r#""hang""#, TIMEOUT));
    let next = api.invoke("8", TIMEOUT);
    // After the pause, the process has fetched the invocation and sends no further request.
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut lost).await.is_err());
    function.kill();
    drop(lost);

    let _function = Function::start(&api).unwrap();
    assert_eq!(response(next.await)["payload"], 8);
}

#[tokio::test]
async fn process_killed_while_waiting_receives_no_invocation() {
    let api = RuntimeApi::start().await.unwrap();
    let mut function = Function::start(&api).unwrap();
    api.first_request().await;
    function.kill();

    let result = api.invoke("9", TIMEOUT);
    let _function = Function::start(&api).unwrap();

    assert_eq!(response(result.await)["payload"], 9);
}

#[tokio::test]
async fn dropped_invocation_is_not_delivered() {
    let api = RuntimeApi::start().await.unwrap();
    drop(api.invoke(r#""hang""#, TIMEOUT));
    let wanted = api.invoke("10", TIMEOUT);
    let _function = Function::start(&api).unwrap();

    assert_eq!(response(wanted.await)["payload"], 10);
}

#[tokio::test]
async fn poller_deletes_succeeded_messages_and_keeps_the_others() {
    const QUEUE: &str = "requests.fifo";
    let (aws, api) = (LocalAws::start().await.unwrap(), RuntimeApi::start().await.unwrap());
    let _function = Function::start(&api).unwrap();
    aws.queues().create(QUEUE, QueueSettings::fifo()).unwrap();
    let send = |group: &str, body: &str| {
        let message = NewMessage::fifo(body, group, &format!("{group}{body}"));
        aws.queues().send(QUEUE, message, aws.now()).unwrap().message_id
    };
    let poller =
        Poller { aws: &aws, runtime_api: &api, queue: QUEUE.to_owned(), batch_max: 10, timeout: TIMEOUT };

    // The poller waits first and wakes when the messages arrive.
    let (round, ids) =
        tokio::join!(spawnable(poller.round()), async { [send("a", "done"), send("b", "fail-message")] });
    let round = round.unwrap();
    assert_eq!(round.verdict, Verdict::SomeFailed([ids[1].to_string()].into()));
    assert_eq!(aws.queues().counts(QUEUE, aws.now()).unwrap(), Counts { in_flight: 1, ..Counts::default() });

    // The message becomes visible again only because the clock is advanced.
    let (round, ()) = tokio::join!(poller.round(), async { aws.advance(Duration::from_secs(30)) });
    assert_eq!(round.unwrap().batch[0].message.receive_count, 2);

    send("c", "empty-id");
    assert_eq!(poller.round().await.unwrap().verdict, Verdict::BatchFailed(Failure::EmptyIdentifier));
    send("d", "done");
    assert_eq!(poller.round().await.unwrap().verdict, Verdict::AllSucceeded(Success::EmptyList));
    assert_eq!(aws.queues().counts(QUEUE, aws.now()).unwrap(), Counts { in_flight: 2, ..Counts::default() });
}
