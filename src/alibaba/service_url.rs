//! Where Alibaba Cloud's services are.

use http::uri::{Authority, Scheme};

use crate::request::RegionId;

/// A service's address: scheme and host. None of its calls has a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// `https`, or `http` on loopback.
    pub scheme: Scheme,
    /// Host, and port if it is not the scheme's own.
    pub authority: Authority,
}

impl BaseUrl {
    /// Alibaba Cloud's STS for the whole world. It is not derived from a region of PrivateLink: some have none.
    #[must_use]
    pub fn sts() -> Self {
        Self { scheme: Scheme::HTTPS, authority: Authority::from_static("sts.aliyuncs.com") }
    }

    /// Whether it is on this machine, where no proxy can lead to it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.authority.host())
    }
}

/// Whether a URL's host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// Where PrivateLink is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceUrl {
    /// `https://privatelink.{region}.aliyuncs.com`, without exception in every region.
    Regional,
    /// One address for all regions: a test, a private gateway.
    Fixed(BaseUrl),
}

impl ServiceUrl {
    /// Whether it is on this machine, where no proxy can lead to it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Regional => false,
            Self::Fixed(url) => url.is_loopback(),
        }
    }

    /// Scheme and host of the calls about a region.
    pub(super) fn parts(&self, region: &RegionId) -> (&str, String) {
        match self {
            Self::Regional => ("https", format!("privatelink.{region}.aliyuncs.com")),
            Self::Fixed(url) => (url.scheme.as_str(), url.authority.to_string()),
        }
    }
}
