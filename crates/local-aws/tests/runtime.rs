//! The real Lambda runtime, in a process of its own, against the runtime API on loopback.
//!
//! The function process is the example `function`, which cargo builds with the tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a test compares a measured time with its own")]

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local_aws::mapping::{Failure, Success, Verdict};
use local_aws::queues::Counts;
use local_aws::{InvocationAnswer, LocalAws, NewMessage, Poller, QueueSettings, RuntimeApi};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_mins(1);

/// Beside the directory of this test's own program.
fn function_program() -> io::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test.ancestors().nth(2).ok_or(io::ErrorKind::NotFound)?;
    Ok(target.join("examples").join("function"))
}

/// A function process that does not outlive its test.
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

    /// SIGKILL, and the process is gone.
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

/// Compiles only for a future that a multi-threaded runtime would take.
fn spawnable<F: Future + Send>(future: F) -> F {
    future
}

fn response(answer: InvocationAnswer) -> Value {
    let (InvocationAnswer::Response(body) | InvocationAnswer::Error(body)) = answer;
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn process_answers_one_invocation_after_another() {
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
    assert_eq!((api.request_count(), api.answers().len()), (3, 2));
}

#[tokio::test]
async fn failure_of_the_function_is_an_error_and_the_next_invocation_goes_on() {
    let api = RuntimeApi::start().await.unwrap();
    let _function = Function::start(&api).unwrap();

    let failed = api.invoke(r#""fail""#, TIMEOUT).await;
    assert!(matches!(failed, InvocationAnswer::Error(_)));
    assert_eq!(response(failed)["errorMessage"], "told to fail");
    assert_eq!(response(api.invoke("7", TIMEOUT).await)["payload"], 7);
}

#[tokio::test]
async fn killed_process_takes_only_its_own_invocation_with_it() {
    let api = RuntimeApi::start().await.unwrap();
    let mut function = Function::start(&api).unwrap();
    api.first_request().await;

    let mut lost = Box::pin(api.invoke(r#""hang""#, TIMEOUT));
    let next = api.invoke("8", TIMEOUT);
    // The process holds the invocation once nothing of it is left to send; it will not ask again.
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut lost).await.is_err());
    function.kill();
    drop(lost);

    let _function = Function::start(&api).unwrap();
    assert_eq!(response(next.await)["payload"], 8);
}

#[tokio::test]
async fn process_killed_while_it_waited_for_work_is_given_none() {
    let api = RuntimeApi::start().await.unwrap();
    let mut function = Function::start(&api).unwrap();
    api.first_request().await;
    function.kill();

    let answer = api.invoke("9", TIMEOUT);
    let _function = Function::start(&api).unwrap();

    assert_eq!(response(answer.await)["payload"], 9);
}

#[tokio::test]
async fn invocation_nobody_waits_for_is_not_given_to_a_process() {
    let api = RuntimeApi::start().await.unwrap();
    drop(api.invoke(r#""hang""#, TIMEOUT));
    let wanted = api.invoke("10", TIMEOUT);
    let _function = Function::start(&api).unwrap();

    assert_eq!(response(wanted.await)["payload"], 10);
}

#[tokio::test]
async fn poller_deletes_what_succeeded_and_leaves_the_rest_to_its_visibility_timeout() {
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

    // The poller waits first, and wakes when the messages come.
    let (round, ids) =
        tokio::join!(spawnable(poller.round()), async { [send("a", "done"), send("b", "hand-back")] });
    let round = round.unwrap();
    assert_eq!(round.verdict, Verdict::SomeFailed([ids[1].to_string()].into()));
    assert_eq!(aws.queues().counts(QUEUE, aws.now()).unwrap(), Counts { in_flight: 1, ..Counts::default() });

    // Only the moved clock makes the message visible again.
    let (round, ()) = tokio::join!(poller.round(), async { aws.advance(Duration::from_secs(30)) });
    assert_eq!(round.unwrap().batch[0].message.receive_count, 2);

    send("c", "empty-id");
    assert_eq!(poller.round().await.unwrap().verdict, Verdict::BatchFailed(Failure::EmptyIdentifier));
    send("d", "done");
    assert_eq!(poller.round().await.unwrap().verdict, Verdict::AllSucceeded(Success::EmptyList));
    assert_eq!(aws.queues().counts(QUEUE, aws.now()).unwrap(), Counts { in_flight: 2, ..Counts::default() });
}
