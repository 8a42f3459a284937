//! The credentials that sign calls to Alibaba Cloud, and their sources. The worker has three: the environment, a secret in
//! AWS Secrets Manager, and a role session that Alibaba Cloud's STS issues for the function's AWS identity (OIDC
//! federation). Another program can have a [source of its own](SessionSource).
//!
//! Credentials from another service are cached until they are about to expire or are refused; one read serves all
//! lanes. Nothing here sleeps: a caller gets the credentials, or the reason why there are none.

mod advice;
mod error;
mod exchange;
mod oidc;
mod refresh;
mod secret;
mod source;

pub use super::access_key::{Credentials, is_one_word};
pub use advice::{ADVICE, Advice};
pub use error::{CredentialError, CredentialProblem, SessionError, UnusableSecret};
pub use exchange::TokenExchange;
pub use oidc::{OidcConfig, Permissions};
pub use refresh::Cached;
pub use source::{CredentialsConfig, CredentialsSource, Refreshed, SessionSource};
