//! The configuration: every environment variable, its default and its bounds. The only file that reads them.
//!
//! Read once at start. Whatever must be set has no silent default, and all faults are reported together.

mod credentials;
mod intake;
mod reader;
mod worker;

use std::fmt;

use serde::Serialize;

use crate::telemetry::Level;

pub use intake::IntakeConfig;
pub use worker::WorkerConfig;

/// What the Lambda runtime needs; without them the process does not run on Lambda.
const LAMBDA_VARIABLES: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
];

/// One variable, and what is wrong with it. Its value is not repeated: it may be a secret in the wrong place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong; it completes the sentence "the variable …".
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.problem)
    }
}

/// The process's environment.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this file owns the environment")]
pub fn environment(name: &str) -> Option<String> {
    // What is no Unicode becomes something that no check lets through, and not something unset.
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The log level: `RUST_LOG`, else `AWS_LAMBDA_LOG_LEVEL`, else `info`.
pub fn log_level(environment: impl Fn(&str) -> Option<String>) -> Result<Level, ConfigError> {
    for variable in ["RUST_LOG", "AWS_LAMBDA_LOG_LEVEL"] {
        if let Some(name) = environment(variable).filter(|name| !name.is_empty()) {
            let problem = || "must be error, warn, info, debug or trace".to_owned();
            return Level::parse(&name).ok_or_else(|| ConfigError { variable, problem: problem() });
        }
    }
    Ok(Level::default())
}

/// What the Lambda runtime would miss, as faults.
pub fn check_lambda(environment: impl Fn(&str) -> Option<String>) -> Vec<ConfigError> {
    let missing =
        LAMBDA_VARIABLES.into_iter().filter(|name| environment(name).is_none_or(|value| value.is_empty()));
    let problem = "is not set: this program runs on AWS Lambda; to try it on one machine, run `make demo`";
    missing.map(|variable| ConfigError { variable, problem: problem.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_level_is_one_word_and_nothing_else() {
        let level = |value: &str| log_level(|name| (name == "RUST_LOG").then(|| value.to_owned()));
        assert_eq!(level("DEBUG").unwrap(), Level::parse("debug").unwrap());
        assert_eq!(level("").unwrap(), Level::default());
        assert_eq!(level("hyper=trace").unwrap_err().variable, "RUST_LOG");
        assert!(log_level(|name| (name == "AWS_LAMBDA_LOG_LEVEL").then(|| "FATAL".to_owned())).is_ok());
    }

    #[test]
    fn outside_lambda_every_missing_variable_is_named() {
        assert_eq!(check_lambda(|_| None).len(), LAMBDA_VARIABLES.len());
        assert_eq!(check_lambda(|_| Some("x".to_owned())), []);
    }
}
