//! An error in the configuration.

use serde::Serialize;
use thiserror::Error;

/// An error in one variable. It does not contain the value, which may be a misplaced secret.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize)]
#[error("{variable} {problem}")]
pub struct ConfigError {
    pub variable: &'static str,
    /// Completes the sentence "the variable …".
    pub problem: String,
}
