//! Loopback addresses: only they may be called without TLS, and no proxy can reach them.

/// Loopback in the form of `NO_PROXY`.
pub(crate) const NO_PROXY: &str = "localhost,127.0.0.0/8,::1";

/// Whether a URL's host is a loopback address.
pub(crate) fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}
