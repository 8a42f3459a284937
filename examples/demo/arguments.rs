//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use thiserror::Error;

pub(crate) const USAGE: &str = "\
Usage: local [--seed FILE] [EVENT-FILE...]
       local --live EVENT-FILE...

Runs the functions' own code on this machine, fed with events from files, and shows what happens to each request.
An event file holds what Lambda gives to one of the functions:

  for the intake   an HTTP call of a Function URL or an HTTP API, an event of EventBridge or SNS, or a schedule's list
                   of requests
  for the worker   an event of SQS, or one bare request, which invokes it directly

An HTTP call goes over the wire again. If it is signed it gets a new time and a new signature, with the secret that
the samples have, or only a new time if the file's name has \"forged\" in it; and it is sent twice, which must do no
harm. One that AWS IAM let through is let through again. What reaches the queue is worked off by the worker.
Without a file it is events/webhook-several.json and events/queue-batch.json.

  --seed FILE  the simulated Alibaba Cloud to start with, as JSON; without it examples/demo/world.json
  --live       call the real Alibaba Cloud, and really detach; only what is AWS's is local. It needs
               ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET (for a session also
               ALIBABA_CLOUD_SECURITY_TOKEN), since a secret or a role's session would need the real AWS, and heeds
               the functions' other variables, such as PROTECTED_ENDPOINTS
  --help       this text

Exit status: 0 if every call and event was answered, a refusal being an answer, and every request that was accepted
got its outcome, a failure being one; 1 if not; 2 for arguments or files that make no sense.";

/// What the process is to do.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Run(Arguments),
}

#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) is_live: bool,
    pub(crate) seed: Option<PathBuf>,
    pub(crate) events: Vec<PathBuf>,
}

#[derive(Debug, Error)]
pub(crate) enum ArgumentError {
    #[error("{0} is no option")]
    Unknown(String),
    #[error("--seed needs a file")]
    NoSeedFile,
    #[error("--seed is given twice")]
    SeedTwice,
    #[error("--seed is for the simulator, and --live calls the real Alibaba Cloud: choose one")]
    SeedAndLive,
    #[error("--live detaches for real, so it needs the event files named")]
    LiveWithoutEvents,
}

impl Command {
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, ArgumentError> {
        let mut words = words.into_iter();
        let mut arguments = Arguments::default();
        while let Some(word) = words.next() {
            let text = word.to_string_lossy();
            match text.as_ref() {
                "--help" | "-h" => return Ok(Self::Help),
                "--live" => arguments.is_live = true,
                "--seed" => arguments.seed(words.next())?,
                "--" => arguments.events.extend(words.by_ref().map(PathBuf::from)),
                _ => match text.strip_prefix("--seed=") {
                    Some(file) => arguments.seed(Some(file.into()))?,
                    None if text.starts_with('-') => return Err(ArgumentError::Unknown(text.into_owned())),
                    None => arguments.events.push(word.into()),
                },
            }
        }
        match (arguments.is_live, &arguments.seed, arguments.events.as_slice()) {
            (true, Some(_), _) => Err(ArgumentError::SeedAndLive),
            (true, None, []) => Err(ArgumentError::LiveWithoutEvents),
            _ => Ok(Self::Run(arguments)),
        }
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
