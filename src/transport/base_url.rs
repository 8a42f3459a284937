//! The address of a service.

use http::uri::{Authority, Scheme};

use crate::loopback::is_loopback;

/// The address of a service: scheme and host. No call has a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// `https`, or `http` on loopback.
    pub scheme: Scheme,
    /// Host, and port unless it is the scheme's default.
    pub authority: Authority,
}

impl BaseUrl {
    /// Whether it is a loopback address, which is called without a proxy.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.authority.host())
    }
}
