//! The access key of the workers and the sweepers in a secret of AWS. A read takes the time of a call to AWS.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use privatelink_detach::alibaba::credentials::{
    Cached, CredentialError, SessionError, SessionSource, UnusableSecret,
};
use privatelink_detach::alibaba::service_clock::ServiceClock;
use privatelink_detach::clock::Clock;

use crate::world::World;

/// How long a read of a secret that does not respond takes: production's timeout of a call to AWS.
const NO_RESPONSE: Duration = Duration::from_secs(3);

/// What a read of the secret results in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SecretState {
    /// The key that the functions sign with.
    #[default]
    Readable,
    /// A text without a key.
    Unusable,
    /// No response in time.
    Silent,
}

/// The secret as the source of one process's credentials.
pub(crate) struct Secret {
    world: Rc<World>,
    service_clock: Rc<ServiceClock>,
}

impl Secret {
    pub(crate) fn new(world: &Rc<World>) -> Self {
        Self { world: Rc::clone(world), service_clock: Rc::default() }
    }

    async fn read_once(&self) -> Result<Cached, CredentialError> {
        let world = &self.world;
        match world.call_aws(|world| world.secret.get()).await {
            SecretState::Readable => Ok(Cached::permanent(world.credentials())),
            SecretState::Unusable => Err(UnusableSecret::WrongFormat.into()),
            SecretState::Silent => {
                world.time.sleep(NO_RESPONSE).await;
                let (message, advice) = ("the secret was not read in time".to_owned(), "wait".to_owned());
                Err(SessionError { code: "Timeout".into(), message, is_transient: true, advice }.into())
            }
        }
    }
}

impl SessionSource for Secret {
    fn read<'a>(&'a self, _: &'a Clock) -> LocalBoxFuture<'a, Result<Cached, CredentialError>> {
        self.world.secret_reads.set(self.world.secret_reads.get() + 1);
        self.read_once().boxed_local()
    }

    fn name(&self) -> &'static str {
        "Secrets Manager"
    }

    fn advice(&self) -> &'static str {
        "put a valid AccessKey into the secret"
    }

    fn service_clock(&self) -> &Rc<ServiceClock> {
        &self.service_clock
    }
}

impl fmt::Debug for Secret {
    /// Omits the world, which is not part of the worker's state.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}
