//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use thiserror::Error;

pub(crate) const USAGE: &str = "\
Usage: make serve [ARGS=\"OPTION...\"]

Runs the programs of the Lambda functions on this machine until Ctrl-C, with
local AWS services, a simulated Alibaba Cloud and simulated chat platforms, and
prints the commands to send requests and to read the results. Everything listens
on 127.0.0.1.

Options:
  --webhook-port PORT  the intake's function URL, default 4020; 0 takes a free
                       port, also below
  --aws-port PORT      SQS, EventBridge, Secrets Manager, STS and Lambda Invoke,
                       default 4021
  --alibaba-port PORT  the simulated Alibaba Cloud, default 4022
  --seed FILE          its initial state, default examples/serve/endpoints.json
  --slack-port PORT    the simulated Slack, default 4023
  --dingtalk-port PORT the simulated DingTalk, default 4024
  --feishu-port PORT   the simulated Feishu, default 4025
  --log-level LEVEL    which log lines of the functions are printed: error,
                       warn (the default), info, debug or trace
  --help               print this help

Exit status: 0 after Ctrl-C or SIGTERM; 1 if a port is in use or a program does
not start; 2 for invalid arguments or an invalid seed.";

/// The levels that the functions know.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The parsed command line.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Serve(Arguments),
}

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) webhook_port: u16,
    pub(crate) aws_port: u16,
    pub(crate) alibaba_port: u16,
    pub(crate) slack_port: u16,
    pub(crate) dingtalk_port: u16,
    pub(crate) feishu_port: u16,
    pub(crate) seed: Option<PathBuf>,
    pub(crate) log_level: String,
}

#[derive(Debug, Error)]
pub(crate) enum ArgumentError {
    #[error("unknown argument {0}")]
    Unknown(String),
    #[error("{0} needs a value")]
    NoValue(String),
    #[error("{0} must be a port, from 0 to 65535")]
    Port(String),
    #[error("--log-level must be error, warn, info, debug or trace")]
    Level,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            webhook_port: 4020,
            aws_port: 4021,
            alibaba_port: 4022,
            slack_port: 4023,
            dingtalk_port: 4024,
            feishu_port: 4025,
            seed: None,
            log_level: "warn".to_owned(),
        }
    }
}

impl Command {
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, ArgumentError> {
        let mut words = words.into_iter();
        let mut arguments = Arguments::default();
        while let Some(word) = words.next() {
            let word = word.to_string_lossy().into_owned();
            let (name, attached) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(OsString::from(value))),
                None => (word, None),
            };
            let mut value = || {
                let value = attached.clone().or_else(|| words.next()).filter(|value| !value.is_empty());
                value.ok_or_else(|| ArgumentError::NoValue(name.clone()))
            };
            match name.as_str() {
                "--help" | "-h" => return Ok(Self::Help),
                "--webhook-port" => arguments.webhook_port = port(&name, &value()?)?,
                "--aws-port" => arguments.aws_port = port(&name, &value()?)?,
                "--alibaba-port" => arguments.alibaba_port = port(&name, &value()?)?,
                "--slack-port" => arguments.slack_port = port(&name, &value()?)?,
                "--dingtalk-port" => arguments.dingtalk_port = port(&name, &value()?)?,
                "--feishu-port" => arguments.feishu_port = port(&name, &value()?)?,
                "--seed" => arguments.seed = Some(value()?.into()),
                "--log-level" => {
                    let level = value()?.to_string_lossy().to_ascii_lowercase();
                    if !LEVELS.contains(&level.as_str()) {
                        return Err(ArgumentError::Level);
                    }
                    arguments.log_level = level;
                }
                _ => return Err(ArgumentError::Unknown(name)),
            }
        }
        Ok(Self::Serve(arguments))
    }
}

fn port(name: &str, value: &OsString) -> Result<u16, ArgumentError> {
    let port = value.to_str().and_then(|value| value.parse().ok());
    port.ok_or_else(|| ArgumentError::Port(name.to_owned()))
}
