//! The time of a signed webhook from the invocation to the response, compared with the bare runtime.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use local_aws::queues;
use privatelink_detach::aws;
use privatelink_detach::aws::request_queue::{Message, RequestQueue, SendError, Sender};
use privatelink_detach::clock::Clock;
use privatelink_detach::intake::SEND_TIME_MAX;
use privatelink_detach::request::Trigger;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::account::{Account, SECRET};
use crate::process::{Process, Program};
use crate::targets::Targets;
use crate::times::{Values, digits};
use crate::work::check;

/// Unmeasured turns, which open connections and fill caches.
const WARM_UP: usize = 200;

/// Turns without a pause. Twenty of them are above p99.
const TURNS: usize = 2000;

/// Turns with pauses. Most of the benchmark's time is pauses.
const TURNS_WITH_PAUSES: usize = 1000;

/// The pause before each call. Four programs run in turn, so each is idle for two periods of its CPU limit, and calls
/// do not affect each other.
const PAUSE: Duration = Duration::from_millis(10);

/// Longest p50 of the intake, as a multiple of the bare function's, without the time of the queue: the intake's time is at
/// most this multiple of the bare function's and the queue's own time.
const OWN_TIME_MAX: f64 = 1.5;

/// An event of a function URL. Each call gets a new id and signature.
const SAMPLE: &str = include_str!("../../events/webhook-single.json");

/// The intake, the bare runtime, their account, and a sender that measures the queue by itself.
struct Setup {
    account: Account,
    intake: Process,
    bare: Process,
    queue_sender: QueueSender,
    turns: usize,
}

/// The times of one turn.
struct Turn {
    intake: Duration,
    bare: Duration,
    queue: Duration,
}

/// The intake's sender code on its own thread of this process. Each call passes between two threads, as the intake's
/// calls pass between two processes.
struct QueueSender(mpsc::UnboundedSender<(Message, oneshot::Sender<Sent>)>);

/// The time to send a message.
type Sent = Result<Duration, SendError>;

/// Prints the times without and with pauses, and with the CPU limit of a small function if this machine supports it.
pub(crate) async fn measure(targets: &mut Targets) -> io::Result<()> {
    let (mut unlimited, mut limited) = (Setup::start().await?, Setup::start().await?);
    for _ in 0..WARM_UP {
        unlimited.turn(Duration::ZERO).await?;
        limited.turn(Duration::ZERO).await?;
    }
    println!(
        "A signed webhook, from the invocation to its response over the Runtime API on loopback, warm.\n"
    );
    println!("| | p50, ms | p99, ms |\n| --- | --- | --- |");
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        turns.push(unlimited.turn(Duration::ZERO).await?);
    }
    let [intake, queue, bare] = report("one call after the other", &turns);
    let what = "webhook, p50 of one call after the other: (intake - the queue's part) / bare";
    targets.at_most(OWN_TIME_MAX, what, (intake - queue) / bare);
    let limit = limited.intake.limit().and_then(|()| limited.bare.limit());
    let (mut unlimited_turns, mut limited_turns) = (Vec::new(), Vec::new());
    for _ in 0..TURNS_WITH_PAUSES {
        unlimited_turns.push(unlimited.turn(PAUSE).await?);
        limited_turns.push(limited.turn(PAUSE).await?);
    }
    report("a pause before each call", &unlimited_turns);
    match limit {
        Ok(()) => {
            report("a pause, and 128/1769 of a CPU for each program", &limited_turns);
        }
        Err(error) => {
            println!("\nNot measured with 128/1769 of a CPU: a control group cannot be created ({error})");
        }
    }
    println!(
        "\nThe intake's time includes sending to the queue. The separate value is the same message, sent"
    );
    println!("by the same code from an unlimited thread to a simulated SQS on loopback. The network to the");
    println!("real SQS takes longer.");
    unlimited.check_calls()?;
    limited.check_calls()
}

impl Setup {
    async fn start() -> io::Result<Self> {
        let account = Account::start().await?;
        let intake = Process::start(Program::Intake, &account).await?;
        let bare = Process::start(Program::Bare, &account).await?;
        let queue_sender = QueueSender::start(account.client_environment(), account.queue_url());
        Ok(Self { account, intake, bare, queue_sender, turns: 0 })
    }

    /// Sends one webhook to the intake, its message to the queue, and its event to the bare runtime, and checks each.
    async fn turn(&mut self, pause: Duration) -> io::Result<Turn> {
        self.turns += 1;
        self.account.empty_queue()?;
        wait(pause).await;
        let event = signed(&format!("msg_{:032x}", self.turns))?;
        let (response, intake) = self.intake.invoke(&event).await?;
        check(response["statusCode"] == 202, "the intake did not accept a webhook")?;
        let message = self.account.only_message()?;
        self.account.empty_queue()?;
        let queue = self.queue_sender.send(message).await?;
        self.account.only_message()?;
        wait(pause).await;
        let (response, bare) = self.bare.invoke(&event).await?;
        check(response == event, "the bare runtime did not return its payload")?;
        Ok(Turn { intake, bare, queue })
    }

    /// Checks that each webhook made one AWS call. The other calls are one read of the secret and those of the queue
    /// sender.
    fn check_calls(&self) -> io::Result<()> {
        let expected = (2 * self.turns + 1, 2 * self.turns);
        check(self.account.calls() == expected, "a webhook made more than one AWS call")
    }
}

impl QueueSender {
    fn start(
        environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        queue_url: String,
    ) -> Self {
        let (requests, mut receiver) = mpsc::unbounded_channel::<(Message, oneshot::Sender<Sent>)>();
        let serve = async move {
            let sdk = aws::config(environment).map_err(io::Error::other)?;
            let sender = Sender::new(aws_sdk_sqs::Client::new(&sdk), queue_url);
            while let Some((message, done)) = receiver.recv().await {
                let began = Instant::now();
                let clock = Clock::start();
                let results = sender.send(&[message], clock.now() + SEND_TIME_MAX, &clock).await;
                let took = began.elapsed();
                // An error means that the benchmark no longer waits for the result.
                let _ = done.send(results.into_iter().collect::<Result<(), _>>().map(|()| took));
            }
            Ok::<_, io::Error>(())
        };
        // The thread ends when the channel closes or at an error, which makes the next send fail.
        std::thread::spawn(|| {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve)
        });
        Self(requests)
    }

    /// Sends a message and returns the time that it takes.
    async fn send(&self, message: queues::Message) -> io::Result<Duration> {
        let message = Message {
            group: message.group.unwrap_or_default(),
            deduplication_id: message.deduplication_id.unwrap_or_default(),
            body: message.body,
            trigger: Trigger::Webhook,
        };
        let (done, sent) = oneshot::channel();
        self.0.send((message, done)).map_err(io::Error::other)?;
        sent.await.map_err(io::Error::other)?.map_err(io::Error::other)
    }
}

/// The sample with this id, signed now.
fn signed(id: &str) -> io::Result<Value> {
    let mut event: Value = serde_json::from_str(SAMPLE)?;
    let seconds =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?.as_secs();
    let timestamp = i64::try_from(seconds).map_err(io::Error::other)?;
    let body = event["body"].as_str().unwrap_or_default().as_bytes();
    let webhook = Webhook::new(SECRET).map_err(io::Error::other)?;
    let signature = webhook.sign(id, timestamp, body).map_err(io::Error::other)?;
    event["requestContext"]["timeEpoch"] = (timestamp * 1000).into();
    event["headers"]["webhook-id"] = id.into();
    event["headers"]["webhook-timestamp"] = timestamp.to_string().into();
    event["headers"]["webhook-signature"] = signature.into();
    Ok(event)
}

/// Sleeps, unless the pause is zero: the timer would still take a millisecond.
pub(crate) async fn wait(pause: Duration) {
    if !pause.is_zero() {
        sleep(pause).await;
    }
}

/// Prints a line for each program and one for the queue. Returns the p50 of the intake, the queue and the bare runtime.
fn report(conditions: &str, turns: &[Turn]) -> [f64; 3] {
    let times = |of: fn(&Turn) -> Duration| {
        let times = Values::times(&turns.iter().map(of).collect::<Vec<_>>());
        [times.percentile(50), times.percentile(99)]
    };
    let (intake, bare) = (times(|turn| turn.intake), times(|turn| turn.bare));
    let queue = times(|turn| turn.queue);
    println!("| *{} of each in turn, {conditions}* | | |", turns.len());
    for (name, [median, p99]) in [
        ("intake", intake),
        ("sending to the queue, separately", queue),
        ("bare, with the same payload", bare),
        ("intake to bare", [0, 1].map(|which| intake[which] / bare[which])),
    ] {
        println!("| {name} | {} | {} |", digits(median), digits(p99));
    }
    [intake, queue, bare].map(|[median, _]| median)
}
