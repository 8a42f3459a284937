//! The addresses of Alibaba Cloud's services.

use http::uri::{Authority, Scheme};

use crate::request::RegionId;
use crate::transport::BaseUrl;

impl BaseUrl {
    /// Alibaba Cloud's global STS endpoint. Some PrivateLink regions have no regional one.
    #[must_use]
    pub fn sts() -> Self {
        Self { scheme: Scheme::HTTPS, authority: Authority::from_static("sts.aliyuncs.com") }
    }

    /// The STS endpoint of one region.
    #[must_use]
    #[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a region id is part of a host name")]
    pub fn sts_in(region: &RegionId) -> Self {
        let host = format!("sts.{region}.aliyuncs.com");
        let authority = Authority::try_from(host).expect("a region id is letters, digits and `-`");
        Self { scheme: Scheme::HTTPS, authority }
    }
}

/// The address of a product that has one in every region, such as PrivateLink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceUrl {
    /// `https://{product}.{region}.aliyuncs.com`
    Regional,
    /// One address for all regions, of a test or a private gateway.
    Fixed(BaseUrl),
}

impl ServiceUrl {
    /// Whether it is a loopback address, which is called without a proxy.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Regional => false,
            Self::Fixed(url) => url.is_loopback(),
        }
    }

    /// The address of another product, derived from this address of `PrivateLink`: a simulator on loopback serves every
    /// product; a gateway serves `PrivateLink` only.
    #[must_use]
    pub fn of_another_product(&self) -> Self {
        if self.is_loopback() { self.clone() } else { Self::Regional }
    }

    /// Scheme and host for calls to a product in a region.
    pub(super) fn parts(&self, product: &str, region: &RegionId) -> (&str, String) {
        match self {
            Self::Regional => ("https", format!("{product}.{region}.aliyuncs.com")),
            Self::Fixed(url) => (url.scheme.as_str(), url.authority.to_string()),
        }
    }
}
