//! The time of a chat command and of an approving click from the invocation to the response, compared with the bare
//! runtime: warm, and the first invocation of a process. The same for their calls to SQS alone.

use std::io;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use local_chat::slack::{self, Slack};
use privatelink_detach::aws::secret::SecretValue;
use privatelink_detach::chat::command::{self, Command};
use privatelink_detach::chat::identity::{Conversation, Person};
use privatelink_detach::chat::request::{ChatRequest, id_of};
use privatelink_detach::chat::signed::{self, ChatKeys};
use privatelink_detach::chat::texts::Language;
use serde_json::{Map, Value, json};

use crate::account::{Account, CHAT_KEYS};
use crate::process::{Process, Program};
use crate::targets::Targets;
use crate::times::{Values, digits};
use crate::webhook::wait;
use crate::work::check;

/// Unmeasured turns, which open connections and fill caches.
const WARM_UP: usize = 200;

/// Warm turns. Ten of them are above p99. Most of the benchmark's time is pauses.
const TURNS: usize = 1000;

/// The pause before each warm call, so that calls do not affect each other: people do not type faster.
const PAUSE: Duration = Duration::from_millis(10);

/// Processes of each program, each with one first invocation.
const RUNS: usize = 11;

/// What a person types.
const TEXT: &str = "detach sg-vendor ep-region0-lane0 eu-west-1 deadline=2h ticket=CHG0031042";

/// What a person does.
#[derive(Clone, Copy)]
enum Act {
    /// A command: one message of the request queue.
    Command,
    /// An approving click: one message of the request queue, and one notice.
    Click,
}

impl Act {
    fn name(self) -> &'static str {
        match self {
            Self::Command => "a command",
            Self::Click => "an approving click",
        }
    }

    /// The intake, and programs that only make its calls.
    fn programs(self) -> [Program; 3] {
        let calls = match self {
            Self::Command => "1",
            Self::Click => "2",
        };
        [Program::IntakeWithChat, Program::SdkCalls(calls), Program::PlainCalls(calls)]
    }
}

/// A program, and the bare runtime that takes turns with it.
struct Pair {
    program: Process,
    bare: Process,
}

/// Prints the first and the warm invocations of both acts.
pub(crate) async fn measure(targets: &mut Targets) -> io::Result<()> {
    println!("A chat call, from the invocation to its response over the Runtime API on loopback.\n");
    println!("| | first, ms | p50 warm, ms | p99 warm, ms |\n| --- | --- | --- | --- |");
    let slack = Slack::start().await?;
    for act in [Act::Command, Act::Click] {
        println!(
            "| *{}: {RUNS} processes, {TURNS} warm calls, each in turn, a pause before each warm call* | | | |",
            act.name()
        );
        for program in act.programs() {
            let (first, warm) = measure_pair(act, program, &slack).await?;
            report(act, program, targets, &first, &warm);
        }
    }
    Ok(())
}

/// The first and the warm invocations of a program and of the bare runtime, in turn.
async fn measure_pair(
    act: Act,
    program: Program,
    slack: &Slack,
) -> io::Result<([Vec<Duration>; 2], [Vec<Duration>; 2])> {
    let account = Account::start().await?;
    let (mut first, mut warm) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut last = None;
    for _ in 0..RUNS {
        let program = Process::start(program, &account).await?;
        let mut pair = Pair { program, bare: Process::start(Program::Bare, &account).await? };
        let turn = pair.turn(act, Duration::ZERO, slack, &account).await?;
        first.iter_mut().zip(turn).for_each(|(times, time)| times.push(time));
        last = Some(pair);
    }
    let mut pair = last.ok_or_else(|| io::Error::other("no run"))?;
    for number in 0..WARM_UP + TURNS {
        let pause = if number < WARM_UP { Duration::ZERO } else { PAUSE };
        let turn = pair.turn(act, pause, slack, &account).await?;
        if number >= WARM_UP {
            warm.iter_mut().zip(turn).for_each(|(times, time)| times.push(time));
        }
    }
    Ok((first, warm))
}

impl Pair {
    /// Sends one call to the program and the same event to the bare runtime. Returns both times.
    async fn turn(
        &mut self,
        act: Act,
        pause: Duration,
        slack: &Slack,
        account: &Account,
    ) -> io::Result<[Duration; 2]> {
        account.empty_queue()?;
        wait(pause).await;
        let event = event(act, slack)?;
        let (response, of_program) = self.program.invoke(&event).await?;
        if self.program.program == Program::IntakeWithChat {
            check(response["statusCode"] == 200, "the intake did not accept a chat call")?;
        } else {
            check(response == event, "a program did not return its payload")?;
        }
        account.only_message()?;
        wait(pause).await;
        let (response, of_bare) = self.bare.invoke(&event).await?;
        check(response == event, "the bare runtime did not return its payload")?;
        Ok([of_program, of_bare])
    }
}

/// The call of an act as an event of a function URL, signed now.
fn event(act: Act, slack: &Slack) -> io::Result<Value> {
    let body = match act {
        Act::Command => slack.command(TEXT, slack::REQUESTER, slack::CHANNEL).map_err(io::Error::other)?.body,
        Act::Click => {
            let payload = json!({
                "type": "block_actions",
                "team": { "id": slack::TEAM },
                "user": { "id": slack::APPROVER, "team_id": slack::TEAM },
                "channel": { "id": slack::CHANNEL },
                "container": { "type": "message", "message_ts": "1795330800.000100" },
                "actions": [{ "action_id": "approve", "value": button()? }],
            });
            form_urlencoded::Serializer::new(String::new())
                .append_pair("payload", &payload.to_string())
                .finish()
        }
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
    let headers = slack.sign(&body, now.as_secs());
    let headers: Map<String, Value> =
        headers.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    Ok(json!({
        "version": "2.0", "rawPath": "/chat/slack", "headers": headers, "isBase64Encoded": true,
        "body": BASE64_STANDARD.encode(body),
        "requestContext": {
            "http": { "method": "POST", "sourceIp": "192.0.2.1" }, "requestId": "aws-1",
            "timeEpoch": u64::try_from(now.as_millis()).map_err(io::Error::other)?,
        },
    }))
}

/// The value of a button that never expires.
fn button() -> io::Result<String> {
    let invalid = || io::Error::other("the command, the person or the channel is not valid");
    let Ok(Command::Detach(detach)) = command::parse(TEXT).result else { return Err(invalid()) };
    let requester = format!("slack:{}/{}", slack::TEAM, slack::REQUESTER);
    let requester = Person::parse(&requester).ok_or_else(invalid)?;
    let conversation = format!("slack:{}/{}", slack::TEAM, slack::CHANNEL);
    let conversation = Conversation::parse(&conversation).ok_or_else(invalid)?;
    let id = id_of(&conversation.tenant, "trigger");
    let request = ChatRequest::of_command(detach, id, &requester, conversation, Language::En, u64::MAX);
    Ok(signed::button(&request, &ChatKeys::parse(CHAT_KEYS).map_err(io::Error::other)?))
}

fn report(
    act: Act,
    program: Program,
    targets: &mut Targets,
    first: &[Vec<Duration>; 2],
    warm: &[Vec<Duration>; 2],
) {
    let of = |which: usize| {
        let (first, warm) = (Values::times(&first[which]), Values::times(&warm[which]));
        [first.median(), warm.percentile(50), warm.percentile(99)]
    };
    let (times, bare) = (of(0), of(1));
    let ratios = [0, 1, 2].map(|which| times[which] / bare[which]);
    let name = program.name();
    for (name, [first, median, p99]) in [
        (name, times),
        ("bare, with the same payload, in turn with it", bare),
        (&format!("{name}, to bare"), ratios),
    ] {
        println!("| {name} | {} | {} | {} |", digits(first), digits(median), digits(p99));
    }
    if program == Program::IntakeWithChat {
        targets.at_most(3.0, &format!("{}, p99 warm, intake to bare", act.name()), ratios[2]);
    }
}
