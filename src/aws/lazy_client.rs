//! An AWS client that is built on its first use.
//!
//! The first client of a service parses the SDK's table of partitions (`docs/performance.md`, "Where the time goes"). A
//! function builds such a client while it waits for the network, not earlier.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use aws_types::SdkConfig;

/// A client that is built on its first use; its clones share it.
#[derive(Clone)]
pub struct LazyClient<C>(Arc<Lazy<C>>);

struct Lazy<C> {
    client: OnceLock<C>,
    build: Box<dyn Fn() -> C + Send + Sync>,
}

impl<C> LazyClient<C> {
    /// A client with this configuration, which `build` builds when it is first used: the service's `Client::new`. After a
    /// panic in `build`, the next use builds it.
    #[must_use]
    pub fn new(config: &SdkConfig, build: fn(&SdkConfig) -> C) -> Self
    where
        C: 'static,
    {
        let config = config.clone();
        Self(Arc::new(Lazy { client: OnceLock::new(), build: Box::new(move || build(&config)) }))
    }

    /// Builds the client now, if no use has built it yet.
    pub fn build(&self) {
        let _: &C = self;
    }
}

impl<C> Deref for LazyClient<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.0.client.get_or_init(&self.0.build)
    }
}

/// A client that is built already.
impl<C: Clone + Send + Sync + 'static> From<C> for LazyClient<C> {
    fn from(client: C) -> Self {
        let build = client.clone();
        Self(Arc::new(Lazy { client: client.into(), build: Box::new(move || build.clone()) }))
    }
}

impl<C> fmt::Debug for LazyClient<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LazyClient")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn client_is_built_once_and_not_before_its_first_use() {
        static BUILDS: AtomicU32 = AtomicU32::new(0);
        let builds = || BUILDS.load(Ordering::Relaxed);
        let config = SdkConfig::builder().build();
        let client = LazyClient::new(&config, |_| BUILDS.fetch_add(1, Ordering::Relaxed).to_string());
        let clone = client.clone();
        assert_eq!((format!("{client:?}"), builds()), ("LazyClient".to_owned(), 0));
        client.build();
        assert_eq!(builds(), 1);
        assert_eq!((client.as_str(), clone.as_str(), builds()), ("0", "0", 1));
    }

    #[test]
    fn client_whose_build_panicked_is_built_by_the_next_use() {
        static BUILDS: AtomicU32 = AtomicU32::new(0);
        let client = LazyClient::new(&SdkConfig::builder().build(), |_| {
            assert!(BUILDS.fetch_add(1, Ordering::Relaxed) > 0, "a planned panic");
            "client".to_owned()
        });
        let first = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.build()));
        assert!(first.is_err());
        assert_eq!(client.as_str(), "client");
    }

    #[test]
    fn client_that_is_not_built_in_advance_is_built_by_its_use() {
        let client = LazyClient::new(&SdkConfig::builder().build(), |_| "client".to_owned());
        assert_eq!(client.as_str(), "client");
        assert_eq!(LazyClient::from("client".to_owned()).as_str(), "client");
    }
}
