//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use thiserror::Error;

pub(crate) const USAGE: &str = "\
Usage: make demo [EVENT-FILE.json...] [ARGS=\"[OPTION...] [EVENT-FILE...]\"]

Runs the code of the Lambda functions on this machine and prints what happens
to each request. Alibaba Cloud and the AWS services are simulated. Without an
event file the demo sends events/webhook-several.json and
events/queue-batch.json.

An event file contains what AWS Lambda passes to one of the functions. The demo
delivers it the way it is delivered in production:

  HTTP request of a function URL or HTTP API  over HTTP to the intake
  EventBridge event, SNS notification         invokes the intake
  list of requests, or one request in a file  invokes the intake, as a schedule
    whose name begins with \"schedule\"           does
  SQS event                                   message by message through the
                                              queue to the worker
  sweep: an object with security_group_ids    invokes the sweeper; the worker
                                              carries out its requests
  one request in any other file               invokes the worker directly

An HTTP request is sent with the current time. A signed request is signed again
with the secret of the samples, and sent twice: the second delivery must not
enqueue anything. A file whose name contains \"forged\" keeps its own signature.
A request that AWS IAM authenticated is treated as authenticated again. Each
sweep starts with the initial state of the simulated Alibaba Cloud.

Options:
  --seed FILE  initial state of the simulated Alibaba Cloud, as JSON; the
               default is examples/demo/world.json
  --help       print this help

Exit status: 0 if intake and sweeper responded to every call, event and sweep,
refusals included, and every accepted request has an outcome, failures included;
1 if not; 2 for invalid arguments or files.";

/// The parsed command line.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Run(Arguments),
}

#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) seed: Option<PathBuf>,
    pub(crate) events: Vec<PathBuf>,
}

#[derive(Debug, Error)]
pub(crate) enum ArgumentError {
    #[error("unknown option {0}")]
    Unknown(String),
    #[error("--seed needs a file")]
    NoSeedFile,
    #[error("--seed is given twice")]
    SeedTwice,
}

impl Command {
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, ArgumentError> {
        let mut words = words.into_iter();
        let mut arguments = Arguments::default();
        while let Some(word) = words.next() {
            let text = word.to_string_lossy();
            match text.as_ref() {
                "--help" | "-h" => return Ok(Self::Help),
                "--seed" => arguments.seed(words.next())?,
                "--" => arguments.events.extend(words.by_ref().map(PathBuf::from)),
                _ => match text.strip_prefix("--seed=") {
                    Some(file) => arguments.seed(Some(file.into()))?,
                    None if text.starts_with('-') => return Err(ArgumentError::Unknown(text.into_owned())),
                    None => arguments.events.push(word.into()),
                },
            }
        }
        Ok(Self::Run(arguments))
    }
}

impl Arguments {
    fn seed(&mut self, file: Option<OsString>) -> Result<(), ArgumentError> {
        let file = file.filter(|file| !file.is_empty()).ok_or(ArgumentError::NoSeedFile)?;
        match self.seed.replace(file.into()) {
            None => Ok(()),
            Some(_) => Err(ArgumentError::SeedTwice),
        }
    }
}
