//! A signed webhook, from the invocation to the answer, beside the bare runtime's answer to the same payload.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use local_aws::queues;
use privatelink_detach::aws;
use privatelink_detach::clock::Clock;
use privatelink_detach::intake::sender::{Message, SEND_TIME_MAX, SendError, Sender};
use privatelink_detach::request::Trigger;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::account::{Account, SECRET};
use crate::process::{Process, Program};
use crate::times::{Values, digits};
use crate::work::check;

/// Turns before the first that counts: connections are open and caches filled.
const WARM_UP: usize = 200;

/// Turns without a pause. At p99 this leaves twenty that took longer.
const TURNS: usize = 2000;

/// Turns with pauses, which make up most of the time that this takes.
const TURNS_WITH_PAUSES: usize = 1000;

/// Time before each call. Four programs take turns, so each of them rests for two periods of its share: no call pays for
/// the one before.
const PAUSE: Duration = Duration::from_millis(10);

/// A Function URL's event, to be signed anew for each call.
const SAMPLE: &str = include_str!("../../events/webhook-single.json");

/// The intake and the bare runtime, an account for both, and who sends to the queue besides.
struct Stage {
    account: Account,
    intake: Process,
    bare: Process,
    other_sender: OtherSender,
    turns: usize,
}

/// How long each took in one turn.
struct Turn {
    intake: Duration,
    bare: Duration,
    queue: Duration,
}

/// The intake's own sender, on a thread of this process that does nothing else: a call passes from one thread to another
/// and back, as the intake's passes between processes.
struct OtherSender(mpsc::UnboundedSender<(Message, oneshot::Sender<Sent>)>);

/// How long the queue took to take a message.
type Sent = Result<Duration, SendError>;

/// Prints the times without and with pauses, and at a small function's share of a processor if that can be had.
pub(crate) async fn measure() -> io::Result<()> {
    let (mut whole, mut limited) = (Stage::set().await?, Stage::set().await?);
    for _ in 0..WARM_UP {
        whole.turn(Duration::ZERO).await?;
        limited.turn(Duration::ZERO).await?;
    }
    println!("A signed webhook, from the invocation to its answer over the runtime API on loopback; warm.\n");
    println!("| | p50, ms | p99, ms |\n| --- | --- | --- |");
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        turns.push(whole.turn(Duration::ZERO).await?);
    }
    report("one call after the other", &turns);
    let share = limited.intake.limit().and_then(|()| limited.bare.limit());
    let (mut of_whole, mut of_limited) = (Vec::new(), Vec::new());
    for _ in 0..TURNS_WITH_PAUSES {
        of_whole.push(whole.turn(PAUSE).await?);
        of_limited.push(limited.turn(PAUSE).await?);
    }
    report("a pause before each call", &of_whole);
    match share {
        Ok(()) => report("a pause, and 128/1769 of a processor for each program", &of_limited),
        Err(error) => {
            println!("\nNot measured with 128/1769 of a processor: there is no control group ({error})");
        }
    }
    println!("\nThe intake's time contains the queue's part. By itself that is the same message, sent by");
    println!("the same code from another thread, which no share limits, to the model of SQS on loopback.");
    println!("SQS is farther away.");
    whole.check_calls()?;
    limited.check_calls()
}

impl Stage {
    async fn set() -> io::Result<Self> {
        let account = Account::start().await?;
        let intake = Process::start(Program::Intake, &account).await?;
        let bare = Process::start(Program::Bare, &account).await?;
        let other_sender = OtherSender::start(account.client_environment(), account.queue_url());
        Ok(Self { account, intake, bare, other_sender, turns: 0 })
    }

    /// One webhook: to the intake, to the queue alone, and to the bare runtime. Each of them is checked.
    async fn turn(&mut self, pause: Duration) -> io::Result<Turn> {
        self.turns += 1;
        self.account.empty_queue()?;
        rest(pause).await;
        let event = signed(&format!("msg_{:032x}", self.turns))?;
        let (answer, intake) = self.intake.invoke(&event).await?;
        check(answer["statusCode"] == 202, "the intake did not accept a webhook")?;
        let message = self.account.only_message()?;
        self.account.empty_queue()?;
        let queue = self.other_sender.send(message).await?;
        self.account.only_message()?;
        rest(pause).await;
        let (answer, bare) = self.bare.invoke(&event).await?;
        check(answer == event, "the bare runtime did not answer with its payload")?;
        Ok(Turn { intake, bare, queue })
    }

    /// Checks that each webhook made one call of AWS: besides it, the secret was read once, and the other sender sent as
    /// often.
    fn check_calls(&self) -> io::Result<()> {
        let expected = (2 * self.turns + 1, 2 * self.turns);
        check(self.account.calls() == expected, "a webhook made other calls than one of the queue")
    }
}

impl OtherSender {
    fn start(
        environment: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        queue_url: String,
    ) -> Self {
        let (orders, mut ordered) = mpsc::unbounded_channel::<(Message, oneshot::Sender<Sent>)>();
        let serve = async move {
            let sdk = aws::config(environment).map_err(io::Error::other)?;
            let sender = Sender::new(aws_sdk_sqs::Client::new(&sdk), queue_url);
            while let Some((message, done)) = ordered.recv().await {
                let began = Instant::now();
                let clock = Clock::start();
                let results = sender.send(&[message], clock.now() + SEND_TIME_MAX, &clock).await;
                let took = began.elapsed();
                // Whoever dropped the order does not want to know.
                let _ = done.send(results.into_iter().collect::<Result<(), _>>().map(|()| took));
            }
            Ok::<_, io::Error>(())
        };
        // It ends when the orders do, or with its own failure, which the next order notices.
        std::thread::spawn(|| {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve)
        });
        Self(orders)
    }

    /// How long the queue takes to take a message.
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

/// The sample under this id, signed at this moment.
fn signed(id: &str) -> io::Result<Value> {
    let mut event: Value = serde_json::from_str(SAMPLE)?;
    let seconds =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?.as_secs();
    let timestamp = i64::try_from(seconds).map_err(io::Error::other)?;
    let body = event["body"].as_str().unwrap_or_default().as_bytes();
    let webhook = Webhook::new(SECRET).map_err(io::Error::other)?;
    let signature = webhook.sign(id, timestamp, body).map_err(io::Error::other)?;
    event["headers"]["webhook-id"] = id.into();
    event["headers"]["webhook-timestamp"] = timestamp.to_string().into();
    event["headers"]["webhook-signature"] = signature.into();
    Ok(event)
}

/// Not even the timer's millisecond if there is no pause.
async fn rest(pause: Duration) {
    if !pause.is_zero() {
        sleep(pause).await;
    }
}

/// Prints a line for each program and one for the queue.
fn report(circumstances: &str, turns: &[Turn]) {
    let times = |of: fn(&Turn) -> Duration| {
        let times = Values::times(&turns.iter().map(of).collect::<Vec<_>>());
        [times.percentile(50), times.percentile(99)]
    };
    let (intake, bare) = (times(|turn| turn.intake), times(|turn| turn.bare));
    println!("| *{} of each in turn, {circumstances}* | | |", turns.len());
    for (name, [median, p99]) in [
        ("intake", intake),
        ("the queue's part of it, by itself", times(|turn| turn.queue)),
        ("bare, with the same payload", bare),
        ("intake to bare", [0, 1].map(|which| intake[which] / bare[which])),
    ] {
        println!("| {name} | {} | {} |", digits(median), digits(p99));
    }
}
