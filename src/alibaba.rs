//! Alibaba Cloud: PrivateLink's typed operations, signed and sent once, with typed results.
//!
//! Nothing here retries, waits or decides. In reading order: [`privatelink`] (operations), [`response`] (their results)
//! with [`records`], [`pages`] (complete lists), [`codes`] (the table of error codes), [`error`] (calls that did not
//! succeed), [`signing`], [`access_key`] (one set of credentials), [`credentials`] (where they come from), [`sts`] (a
//! session for a token), [`client`] (one call, from operation to result), [`service_url`], [`service_clock`],
//! [`transport`] (bytes over HTTPS) and [`cause`] (what happened to a connection).

pub mod access_key;
pub mod cause;
pub mod client;
pub mod codes;
pub mod credentials;
pub mod error;
pub mod pages;
mod percent_encoding;
pub mod privatelink;
pub mod records;
pub mod response;
pub mod service_clock;
pub mod service_url;
pub mod settling;
pub mod signing;
pub mod sts;
pub mod transport;
