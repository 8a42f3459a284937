//! From the start of a process to its first request for work: the worker beside the bare runtime, alternately, so that
//! whatever else the machine does hits both alike. `make bench` builds both with one profile and runs this.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use local_aws::RuntimeApi;

/// Starts of each program. Medians of fewer differ from run to run on a busy machine.
const RUNS: usize = 51;

/// Configuration for a worker that is started and never given work.
const ENVIRONMENT: [(&str, &str); 12] = [
    ("AWS_LAMBDA_FUNCTION_NAME", "worker"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "example"),
    ("AWS_SESSION_TOKEN", "example"),
    ("DETACH_QUEUE_URL", "http://127.0.0.1:9/1/requests.fifo"),
    ("DEAD_LETTER_QUEUE_URL", "http://127.0.0.1:9/1/dead-letter.fifo"),
    ("PRIVATELINK_ENDPOINT_URL", "http://127.0.0.1:9"),
    ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI5tSimulatorKey"),
    ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "SimulatorSecret"),
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let worker = PathBuf::from(env!("CARGO_BIN_EXE_worker"));
    let bare = worker.with_file_name("examples").join("bare");
    let mut starts = [Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        for (program, starts) in [&worker, &bare].into_iter().zip(&mut starts) {
            starts.push(start(program).await?);
        }
    }
    let [mut worker_starts, mut bare_starts] = starts;
    println!("{:<8} {:>10} {:>12} {:>22}", "", "binary", "start", "middle half of runs");
    let worker_median = report("worker", &worker, &mut worker_starts)?;
    let bare_median = report("bare", &bare, &mut bare_starts)?;
    println!(
        "start: {:.2} times the bare runtime's, medians of {RUNS} runs each",
        worker_median / bare_median
    );
    Ok(())
}

/// How long a new process takes until it asks for work; then it is killed.
async fn start(program: &Path) -> io::Result<Duration> {
    let api = RuntimeApi::start().await?;
    let mut command = Command::new(program);
    command.env_clear().envs(ENVIRONMENT).env("AWS_LAMBDA_RUNTIME_API", api.address());
    let began = Instant::now();
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let asked = api.first_request().await;
    process.kill()?;
    process.wait()?;
    Ok(asked.duration_since(began))
}

/// Prints a line; the median in milliseconds.
fn report(name: &str, program: &Path, starts: &mut [Duration]) -> io::Result<f64> {
    starts.sort();
    let at = |share: usize| starts[starts.len() * share / 100].as_secs_f64() * 1000.0;
    let kib = std::fs::metadata(program)?.len() / 1024;
    println!("{name:<8} {kib:>6} KiB {:>9.2} ms {:>11.2} to {:.2} ms", at(50), at(25), at(75));
    Ok(at(50))
}
