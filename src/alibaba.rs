//! Alibaba Cloud: the typed operations of PrivateLink, STS and ECS, signed and sent once, with typed results.
//!
//! Nothing here retries, waits or decides. In reading order: [`privatelink`] (operations), [`response`] (their results)
//! with [`records`], [`pages`] (complete lists), [`codes`] (the table of error codes), [`error`] (calls that did not
//! succeed), [`signing`], [`access_key`] (one set of credentials), [`credentials`] (where they come from), [`sts`] (role
//! sessions and identities), [`ecs`] (security groups), [`client`] (one call to PrivateLink, from operation to result),
//! [`services`] (calls to the two others), [`service_url`] and [`service_clock`].

pub mod access_key;
pub mod client;
pub mod codes;
pub mod credentials;
pub mod ecs;
pub mod error;
pub mod pages;
mod percent_encoding;
pub mod privatelink;
pub mod records;
pub mod response;
pub mod service_clock;
pub mod service_url;
pub mod services;
pub mod settling;
mod signed_request;
pub mod signing;
pub mod sts;
