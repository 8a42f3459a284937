//! The messenger in the test process, with local AWS services behind it and the queue of notices in front of it.

use std::cell::Cell;
use std::time::Duration;

use detach_simulation::log;
use local_aws::mapping::{evaluate_response, event};
use local_aws::queues::{Message, ReceivedMessage};
use local_aws::{Action, LocalAws, NewMessage, QueueSettings};
use privatelink_detach::aws;
use privatelink_detach::clock::Clock;
use privatelink_detach::config::MessengerConfig;
use privatelink_detach::lambda::Invocation;
use privatelink_detach::messenger::{Messenger, MessengerError};
use privatelink_detach::random::Random;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::notices::{KEY, keys_secret, now};
use crate::server::Server;

pub(crate) const NOTICES: &str = "notices";
pub(crate) const DEAD_LETTERS: &str = "notices-dead-letter";

pub(crate) const SIGNING: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:signing";
pub(crate) const TOKENS: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:tokens";

/// The bot token of the workspace `T04`.
pub(crate) const TOKEN: &str = "xoxb-bot-t0ken";

/// The visibility timeout of the queue of notices in the template.
pub(crate) const QUEUE_VISIBILITY: Duration = Duration::from_mins(3);

/// The function's timeout in the template.
pub(crate) const FUNCTION_TIMEOUT: Duration = Duration::from_secs(30);

/// The secrets of the apps of `DingTalk` and Feishu.
pub(crate) const APP_SECRETS: [&str; 2] = ["dingtalk-app-s3cret-0123", "feishu-app-s3cret-0123"];

/// The secret with the bot token, and with an app of each other platform.
pub(crate) fn tokens_secret() -> String {
    json!({
        "slack": { "bot_tokens": { "T04": TOKEN } },
        "dingtalk": { "apps": { "ding04": {
            "app_key": "ding-app-key", "app_secret": APP_SECRETS[0], "robot_code": "ding-robot",
            "card_template_id": "template.schema",
        }}},
        "feishu": { "apps": { "tenant04": { "app_id": "cli_app04", "app_secret": APP_SECRETS[1] } } },
    })
    .to_string()
}

/// Local AWS services with both queues and both secrets.
pub(crate) async fn local_aws() -> LocalAws {
    let aws = LocalAws::start().await.unwrap();
    aws.queues().create(DEAD_LETTERS, QueueSettings::standard()).unwrap();
    let notices = QueueSettings::standard().visibility_timeout(QUEUE_VISIBILITY).redrive(20, DEAD_LETTERS);
    aws.queues().create(NOTICES, notices).unwrap();
    aws.secrets().put(SIGNING, keys_secret(&[KEY]));
    aws.secrets().put(TOKENS, tokens_secret());
    aws
}

/// The messenger's variables.
pub(crate) fn variables(aws: &LocalAws) -> [(&'static str, String); 4] {
    [
        ("NOTICE_QUEUE_URL", aws.queue_url(NOTICES)),
        ("DEAD_LETTER_QUEUE_URL", aws.queue_url(DEAD_LETTERS)),
        ("CHAT_TOKEN_SECRET_ARN", TOKENS.to_owned()),
        ("CHAT_SIGNING_SECRET_ARN", SIGNING.to_owned()),
    ]
}

pub(crate) struct Deployment {
    pub(crate) aws: LocalAws,
    pub(crate) server: Server,
    messenger: Messenger<Server>,
    /// The wall clock. Time passes as in the test, and by what the test adds.
    clock: Clock,
    added: Cell<Duration>,
    /// The number of lines that the test had logged before.
    lines_before: usize,
}

/// The time between the moment before an invocation and the one at which a message becomes visible; the second is from
/// the moment after the invocation.
#[derive(Debug)]
pub(crate) struct Hidden {
    at_most: Duration,
    at_least: Duration,
}

impl Hidden {
    /// Whether the message became invisible for this many seconds, at some moment of the invocation.
    pub(crate) fn is_within(&self, seconds: std::ops::RangeInclusive<u64>) -> bool {
        let second = Duration::from_secs(1);
        self.at_most >= Duration::from_secs(*seconds.start())
            && self.at_least <= Duration::from_secs(*seconds.end()) + second
    }
}

impl Deployment {
    pub(crate) async fn new() -> Self {
        Self::with_aws(local_aws().await)
    }

    pub(crate) fn with_aws(aws: LocalAws) -> Self {
        log::start_verbose();
        let variables = variables(&aws);
        let config = MessengerConfig::read(|name| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.clone())
        });
        let server = Server::default();
        let sdk = aws::config(aws.environment()).unwrap();
        let messenger = Messenger::new(config.unwrap(), &sdk, server.clone(), &Random::from(1));
        Self {
            aws,
            server,
            messenger,
            clock: Clock::starting_at(now()),
            added: Cell::default(),
            lines_before: lines().len(),
        }
    }

    /// Moves the clocks of SQS and of the next invocation.
    pub(crate) fn advance(&self, by: Duration) {
        self.aws.advance(by);
        self.added.set(self.added.get() + by);
    }

    pub(crate) fn send(&self, body: impl Into<String>) {
        let now = self.aws.now();
        self.aws.queues().send(NOTICES, NewMessage::new(body), now).unwrap();
    }

    /// Makes one invocation.
    pub(crate) async fn invoke(&self, payload: &str) -> Result<Value, MessengerError> {
        self.invoke_for(payload, FUNCTION_TIMEOUT).await
    }

    async fn invoke_for(&self, payload: &str, timeout: Duration) -> Result<Value, MessengerError> {
        let wall = self.clock.wall() + self.added.get();
        let invocation = Invocation {
            clock: Clock::starting_at(wall),
            ends_at: wall + timeout,
            lambda_request_id: "lambda-request".to_owned(),
            xray_trace_id: None,
        };
        let payload: Box<RawValue> = serde_json::from_str(payload).unwrap();
        self.messenger.handle(&payload, &invocation).await
    }

    /// Delivers every visible message in one batch, and deletes those that succeed. Returns the number of messages that
    /// were reported as failed.
    pub(crate) async fn round(&self) -> usize {
        self.round_for(FUNCTION_TIMEOUT).await
    }

    /// The same with an invocation that Lambda ends after `timeout`.
    pub(crate) async fn round_for(&self, timeout: Duration) -> usize {
        let now = self.aws.now();
        let batch: Vec<ReceivedMessage> = self.aws.queues().receive(NOTICES, 10, None, now).unwrap();
        assert!(!batch.is_empty(), "a message is visible");
        let response = self.invoke_for(&event(NOTICES, &batch).to_string(), timeout).await.unwrap();
        let verdict = evaluate_response(&batch, response.to_string().as_bytes());
        let deleted: Vec<_> = verdict.deleted(&batch).collect();
        for received in &deleted {
            self.aws.queues().delete(NOTICES, &received.receipt_handle, now).unwrap();
        }
        batch.len() - deleted.len()
    }

    /// Delivers the only message, which returns to the queue. Returns for how long.
    pub(crate) async fn returned(&self) -> Hidden {
        let before = self.aws.now();
        assert_eq!(self.round().await, 1, "the message is reported as failed");
        let after = self.aws.now();
        let [message] = <[Message; 1]>::try_from(self.messages(NOTICES)).unwrap();
        let until = |from| message.visible_at.duration_since(from).unwrap_or_default();
        Hidden { at_most: until(before), at_least: until(after) }
    }

    pub(crate) fn messages(&self, queue: &str) -> Vec<Message> {
        self.aws.queues().messages(queue).unwrap().to_vec()
    }

    /// The numbers of messages in the queue of notices and in its dead-letter queue.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.messages(NOTICES).len(), self.messages(DEAD_LETTERS).len())
    }

    /// The number of reads of secrets.
    pub(crate) fn secret_reads(&self) -> usize {
        self.aws.journal().iter().filter(|entry| entry.action == Action::GetSecretValue).count()
    }

    /// The lines of the log.
    pub(crate) fn log(&self) -> Vec<Value> {
        lines().split_off(self.lines_before)
    }

    /// The only line of the log at this level.
    pub(crate) fn line(&self, level: &str) -> Value {
        let lines: Vec<Value> = self.log().into_iter().filter(|line| line["level"] == level).collect();
        let [line] = <[Value; 1]>::try_from(lines).unwrap_or_else(|lines| panic!("{lines:#?}"));
        line
    }
}

/// The lines that this thread has logged.
fn lines() -> Vec<Value> {
    log::written().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
