//! The configuration of every program: its environment variables, with defaults and limits.
//!
//! It is read once at start, and nothing else reads the environment. Required variables have no default, and all errors
//! are reported together.

mod chat;
#[cfg(feature = "cli")]
mod cli;
mod credentials;
mod error;
mod intake;
mod messenger;
mod network;
mod reader;
mod sweeper;
mod worker;

use crate::telemetry::Level;

pub use chat::ChatConfig;
#[cfg(feature = "cli")]
pub use cli::CliConfig;
pub use error::ConfigError;
pub use intake::{EventSource, IntakeConfig};
pub use messenger::MessengerConfig;
pub use sweeper::SweeperConfig;
pub use worker::WorkerConfig;

/// The variables of Lambda that the runtime and the AWS clients require.
const LAMBDA_VARIABLES: [&str; 5] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    REGION,
];

const REGION: &str = "AWS_REGION";

/// The region, where [`REGION`] is not set.
const REGION_DEFAULT: &str = "AWS_DEFAULT_REGION";

/// The value of a variable in the process's environment.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this file owns the environment")]
pub fn environment(name: &str) -> Option<String> {
    // An invalid Unicode value must not count as unset: the replacement character fails every check.
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The log level: `RUST_LOG`, else `AWS_LAMBDA_LOG_LEVEL`, else `info`.
pub fn log_level(environment: impl Fn(&str) -> Option<String>) -> Result<Level, ConfigError> {
    for variable in ["RUST_LOG", "AWS_LAMBDA_LOG_LEVEL"] {
        if let Some(name) = environment(variable).filter(|name| !name.is_empty()) {
            let problem = || {
                "must be one word: error, warn, info, debug or trace, without directives such as hyper=debug"
                    .to_owned()
            };
            return Level::parse(&name).ok_or_else(|| ConfigError { variable, problem: problem() });
        }
    }
    Ok(Level::default())
}

/// An error for each missing variable of Lambda.
pub fn check_lambda(environment: impl Fn(&str) -> Option<String>) -> Vec<ConfigError> {
    let is_set = |name: &str| environment(name).is_some_and(|value| !value.is_empty());
    let is_missing = |name: &&str| !(is_set(name) || *name == REGION && is_set(REGION_DEFAULT));
    let missing = LAMBDA_VARIABLES.into_iter().filter(is_missing);
    let problem = "is not set: this program runs on AWS Lambda; run `make demo` to try it locally";
    missing.map(|variable| ConfigError { variable, problem: problem.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_level_is_a_single_word() {
        let level = |value: &str| log_level(|name| (name == "RUST_LOG").then(|| value.to_owned()));
        assert_eq!(level("DEBUG").unwrap(), Level::parse("debug").unwrap());
        assert_eq!(level("").unwrap(), Level::default());
        for directives in ["hyper=trace", "info,hyper=debug", "info,", "info debug"] {
            let error = level(directives).unwrap_err();
            assert!(error.variable == "RUST_LOG" && error.problem.contains("one word"), "{error}");
        }
        assert!(log_level(|name| (name == "AWS_LAMBDA_LOG_LEVEL").then(|| "FATAL".to_owned())).is_ok());
    }

    #[test]
    fn every_missing_lambda_variable_is_reported() {
        assert_eq!(check_lambda(|_| None).len(), LAMBDA_VARIABLES.len());
        assert_eq!(check_lambda(|_| Some("x".to_owned())), []);
    }

    #[test]
    fn region_is_in_one_of_two_variables() {
        let missing = |region: Option<&str>, default: Option<&str>| {
            let errors = check_lambda(|name| match name {
                "AWS_REGION" => region.map(str::to_owned),
                "AWS_DEFAULT_REGION" => default.map(str::to_owned),
                _ => Some("x".to_owned()),
            });
            errors.into_iter().map(|error| error.variable).collect::<Vec<_>>()
        };
        assert_eq!(missing(None, None), ["AWS_REGION"]);
        assert_eq!(missing(Some(""), Some("")), ["AWS_REGION"]);
        assert_eq!(missing(Some(""), Some("eu-west-1")), [""; 0]);
        assert_eq!(missing(Some("eu-west-1"), None), [""; 0]);
    }
}
