//! An AWS account on loopback: the request queue, the signing secret, and the variables of the functions in it.

use std::io;

use local_aws::queues::Message;
use local_aws::wire::{REGION, secret_arn};
use local_aws::{Action, LocalAws, QueueSettings, Queues};

/// The live signing secret, the one that the scheme's documentation uses.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const REQUESTS: &str = "requests.fifo";
const SECRETS: &str = "webhook-secrets";
const KEYS: &str = "alibaba-keys";

/// Queue and secret, served by this process.
pub(crate) struct Account(LocalAws);

impl Account {
    pub(crate) async fn start() -> io::Result<Self> {
        let account = Self(LocalAws::start().await?);
        account.0.secrets().put(SECRETS, format!("[\"{SECRET}\"]"));
        let keys = r#"{"access_key_id":"LTAI5tSimulatorKey","access_key_secret":"SimulatorSecret"}"#;
        account.0.secrets().put(KEYS, keys);
        account.empty_queue()?;
        Ok(account)
    }

    /// The variables that lead a client of AWS here.
    pub(crate) fn client_environment(&self) -> impl Fn(&str) -> Option<String> + Send + Sync + use<> {
        self.0.environment()
    }

    pub(crate) fn queue_url(&self) -> String {
        self.0.queue_url(REQUESTS)
    }

    /// A new queue in the old one's place. The model looks at every deduplication id it remembers when a message comes,
    /// so that each message would take longer than the one before.
    pub(crate) fn empty_queue(&self) -> io::Result<()> {
        let mut queues = Queues::default();
        queues.create(REQUESTS, QueueSettings::fifo()).map_err(io::Error::other)?;
        *self.0.queues() = queues;
        Ok(())
    }

    /// The message in the queue, which must be alone there.
    pub(crate) fn only_message(&self) -> io::Result<Message> {
        match self.0.queues().messages(REQUESTS).map_err(io::Error::other)? {
            [message] => Ok(message.clone()),
            messages => Err(io::Error::other(format!("not one message but {}", messages.len()))),
        }
    }

    /// How often AWS was called, and how often of that to send messages.
    pub(crate) fn calls(&self) -> (usize, usize) {
        let journal = self.0.journal();
        let sends = journal.iter().filter(|entry| entry.action == Action::SendMessageBatch).count();
        (journal.len(), sends)
    }

    /// Configuration for the worker and the intake alike, but for the worker's keys. Nothing listens where the worker would
    /// find Alibaba Cloud: it is never given work.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_LAMBDA_FUNCTION_NAME", "function".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "example".to_owned()),
            ("AWS_SESSION_TOKEN", "example".to_owned()),
            ("AWS_ENDPOINT_URL", self.0.url()),
            ("DETACH_QUEUE_URL", self.queue_url()),
            ("DEAD_LETTER_QUEUE_URL", self.0.queue_url("dead-letter.fifo")),
            ("WEBHOOK_SECRETS_ARN", secret_arn(SECRETS)),
            ("PRIVATELINK_ENDPOINT_URL", "http://127.0.0.1:9".to_owned()),
        ]
    }
}

/// Where the worker's keys for Alibaba Cloud are: in a secret, or beside this.
pub(crate) fn keys(is_in_secret: bool) -> Vec<(&'static str, String)> {
    if is_in_secret {
        return vec![("ALIBABA_CREDENTIALS_SECRET_ARN", secret_arn(KEYS))];
    }
    vec![
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAI5tSimulatorKey".to_owned()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "SimulatorSecret".to_owned()),
    ]
}
