//! The configuration of both functions: their environment variables, with defaults and limits.
//!
//! It is read once at start, and nothing else reads the environment. Required variables have no default, and all errors
//! are reported together.

mod credentials;
mod error;
mod intake;
mod network;
mod reader;
mod worker;

use crate::telemetry::Level;

pub use error::ConfigError;
pub use intake::{EventSource, IntakeConfig};
pub use worker::WorkerConfig;

/// The variables that the Lambda runtime requires.
const LAMBDA_VARIABLES: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
];

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

/// An error for each missing variable that the Lambda runtime requires.
pub fn check_lambda(environment: impl Fn(&str) -> Option<String>) -> Vec<ConfigError> {
    let missing =
        LAMBDA_VARIABLES.into_iter().filter(|name| environment(name).is_none_or(|value| value.is_empty()));
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
}
