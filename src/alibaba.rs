//! Alibaba Cloud as the worker sees it: PrivateLink's typed operations, signed, sent once, and every answer named.
//!
//! Nothing here retries, waits or decides. In reading order: [`privatelink`] (what is called and what it answers),
//! [`pages`] (many pages or nothing), [`error`] (what a fault means), [`signing`], [`credentials`]
//! (where keys come from), [`sts`] (a session for a token), [`client`] (one call, from operation to answer),
//! [`service_url`], [`service_clock`] and [`transport`] (bytes over HTTPS).

pub mod client;
pub mod credentials;
pub mod error;
pub mod pages;
pub mod privatelink;
pub mod service_clock;
pub mod service_url;
pub mod signing;
pub mod sts;
pub mod transport;
