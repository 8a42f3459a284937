//! An operator's machine: a home directory, an environment, and a simulator as the cloud.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use privatelink_simulator::{AccessKey, Cloud, Endpoint, Seed, Server};
use serde_json::{Value, json};

use crate::program::{Ended, command, run};

/// The region of every endpoint.
pub(crate) const REGION: &str = "eu-west-1";

/// Gives every directory its own name.
static DIRECTORIES: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Operator {
    pub(crate) cloud: Server,
    home: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Operator {
    /// A machine without credentials, and one endpoint with two groups.
    pub(crate) async fn new() -> Self {
        let endpoints = vec![Endpoint::new(REGION, "ep-a", ["sg-a", "sg-b"])];
        Self::with(Seed { endpoints, ..Seed::default() }).await
    }

    pub(crate) async fn with(seed: Seed) -> Self {
        let cloud = Server::start(Cloud::new(seed).unwrap(), (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let name = format!("home-{}-{}", std::process::id(), DIRECTORIES.fetch_add(1, Ordering::Relaxed));
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(home.join(".aliyun")).unwrap();
        let variables = BTreeMap::from([("HOME".to_owned(), home.display().to_string())]);
        Self { cloud, home, variables }
    }

    /// The `AccessKey` of the simulator in the environment.
    pub(crate) fn with_access_key(self) -> Self {
        let key = AccessKey::default();
        self.set("ALIBABA_CLOUD_ACCESS_KEY_ID", key.access_key_id.as_str())
            .set("ALIBABA_CLOUD_ACCESS_KEY_SECRET", &key.access_key_secret)
    }

    /// A variable of the environment.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// Writes the official CLI's file; its current profile is the first one.
    pub(crate) fn profiles(self, profiles: &[Value]) -> Self {
        let file = json!({ "current": profiles[0]["name"], "profiles": profiles });
        self.write(".aliyun/config.json", &file.to_string());
        self
    }

    /// Writes a file into the home directory; its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.home.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// Runs the program against the simulator.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        let url = self.cloud.url();
        self.run_at(&url, arguments).await
    }

    /// The program with these arguments and this address.
    pub(crate) fn command(&self, url: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = command(arguments);
        command.args(["--endpoint-url", url]).envs(&self.variables);
        command
    }

    /// Runs the program against another address.
    pub(crate) async fn run_at(&self, url: &str, arguments: &[&str]) -> Ended {
        let mut command = self.command(url, arguments);
        let ended = tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
        self.check_secrets(&ended);
        ended
    }

    /// No part of any credentials may be in the output, but for the ids that the operator knows.
    fn check_secrets(&self, ended: &Ended) {
        let output = format!("{}{}", ended.stdout, ended.stderr);
        let default = AccessKey::default();
        let sessions: Vec<_> = self.cloud.cloud().sessions().cloned().collect();
        for key in sessions.iter().chain([&default]) {
            let parts = [Some(&key.access_key_secret), key.security_token.as_ref()];
            for part in parts.into_iter().flatten() {
                assert!(!output.contains(part.as_str()), "{output}");
            }
        }
        assert!(!output.contains("s3cret"), "{output}");
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}
