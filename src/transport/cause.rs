//! What happened to the connection of a request that got no complete response, for the log: a class, and the error's
//! own text without the request's URL.

use std::error::Error;
use std::fmt;
use std::io;

use crate::telemetry;
use crate::text::shortened;

/// Why a connection could not be opened, or did not deliver a complete response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    pub class: CauseClass,
    /// The texts of the error and its sources, shortened, without the URL.
    pub text: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class.as_str(), self.text)
    }
}

/// The class of a cause. It is only shown: every class is retried in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseClass {
    /// The name of the host has no address.
    Dns,
    /// No program accepts connections at the address: that of the service, or of the proxy.
    Refused,
    /// There is no route to the address.
    Unreachable,
    /// The handshake failed, for example because a certificate is not trusted.
    Tls,
    /// The proxy did not open a connection to the service.
    Proxy,
    /// The time for the call passed.
    Timeout,
    /// The connection ended before the response was complete.
    Reset,
    Other,
}

impl CauseClass {
    /// The class as the log names it, before the text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "DNS",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Tls => "TLS",
            Self::Proxy => "proxy",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Other => "other",
        }
    }

    /// Whether there was no connection to the service, so that it did not receive the request.
    #[must_use]
    pub fn is_without_connection(self) -> bool {
        match self {
            Self::Dns | Self::Refused | Self::Unreachable | Self::Proxy => true,
            Self::Tls | Self::Timeout | Self::Reset | Self::Other => false,
        }
    }

    fn of(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        if error.is_dns() {
            return Self::Dns;
        }
        let mut source = error.source();
        while let Some(error) = source {
            if let Some(class) = Self::of_source(error) {
                return class;
            }
            source = error.source();
        }
        // A connection that was open can only have ended.
        if error.is_connect() { Self::Other } else { Self::Reset }
    }

    fn of_source(source: &(dyn Error + 'static)) -> Option<Self> {
        // The client has no public type for a proxy's refusal; this is the beginning of its text.
        if source.to_string().starts_with("tunnel error") {
            return Some(Self::Proxy);
        }
        if source.is::<rustls::Error>() {
            return Some(Self::Tls);
        }
        let error = source.downcast_ref::<io::Error>()?;
        // The source of an I/O error skips the error that it wraps.
        if let Some(class) = error.get_ref().and_then(|inner| Self::of_source(inner)) {
            return Some(class);
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Some(Self::Refused),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => Some(Self::Unreachable),
            io::ErrorKind::TimedOut => Some(Self::Timeout),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Some(Self::Reset),
            _ => None,
        }
    }
}

impl Cause {
    /// The cause of an error of the HTTP client. The URL is dropped: its query names the request's endpoint and group.
    #[must_use]
    pub fn of(error: reqwest::Error) -> Self {
        let class = CauseClass::of(&error);
        Self { class, text: shortened(&telemetry::cause(&error.without_url())) }
    }
}
