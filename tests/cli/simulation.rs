//! The simulator beside the program, and what the tests read from it.

use std::net::Ipv4Addr;
use std::time::Duration;

use privatelink_simulator::{AccessKey, Action, Cloud, Endpoint, Seed, Server};

use crate::program::{Ended, command, run};

/// The region of every endpoint, unless a test needs another one.
pub(crate) const REGION: &str = "eu-west-1";

/// A simulated service whose detaches take this long. Dropping it closes its port.
#[derive(Debug)]
pub(crate) struct Simulation {
    runtime: tokio::runtime::Runtime,
    server: Server,
}

impl Simulation {
    /// The service with this seed.
    pub(crate) fn start(seed: Seed) -> Self {
        // It serves while a test waits for the program.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let cloud = Cloud::new(seed).unwrap();
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let server = runtime.block_on(Server::start(cloud, address)).unwrap();
        Self { runtime, server }
    }

    /// The service with these endpoints, whose detaches take no time.
    pub(crate) fn of(endpoints: Vec<Endpoint>) -> Self {
        Self::start(seed(endpoints))
    }

    /// Changes the service.
    pub(crate) fn cloud(&self) -> std::sync::MutexGuard<'_, Cloud> {
        self.server.cloud()
    }

    /// Waits until a condition holds, checked after every call.
    pub(crate) fn until(&self, condition: impl FnMut(&Cloud) -> bool) {
        self.runtime.block_on(self.server.until(condition));
    }

    /// The program with these arguments, the address of the service, and valid credentials.
    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Command {
        let key = AccessKey::default();
        let mut command = command(arguments);
        command.args(["--endpoint-url", &self.server.url()]);
        command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", key.access_key_id.as_str());
        command.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", key.access_key_secret);
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        run(&mut self.command(arguments))
    }

    /// The groups of an endpoint, attached or not.
    pub(crate) fn groups(&self, endpoint: &str) -> Vec<String> {
        let snapshot = self.cloud().snapshot(std::time::SystemTime::now());
        let endpoint = snapshot.endpoints.into_iter().find(|other| other.endpoint_id.as_str() == endpoint);
        let groups = endpoint.map(|endpoint| endpoint.security_groups).unwrap_or_default();
        groups.into_iter().map(|group| group.id.to_string()).collect()
    }

    /// Disables the program's credentials.
    pub(crate) fn disable_key(&self) {
        self.cloud().set_access_key(AccessKey { inactive: true, ..AccessKey::default() });
    }

    /// The number of calls that write, refused or not.
    pub(crate) fn detaches(&self) -> u64 {
        self.cloud().counts().of(Action::DetachSecurityGroupFromVpcEndpoint)
    }
}

/// These endpoints, with detaches that take no time.
pub(crate) fn seed(endpoints: Vec<Endpoint>) -> Seed {
    let mut seed = Seed { endpoints, ..Seed::default() };
    seed.settings.detach_takes = Duration::ZERO;
    seed
}

/// An endpoint of [`REGION`] with these groups.
pub(crate) fn endpoint<const N: usize>(id: &str, groups: [&str; N]) -> Endpoint {
    Endpoint::new(REGION, id, groups)
}
