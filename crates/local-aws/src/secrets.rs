//! A model of Secrets Manager from a reader's point of view: secrets by name, each with one version, the current
//! one.
//!
//! No clock, no I/O. Earlier versions are not stored, and creation times are synthetic.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::faults::Faults;
use crate::wire::secret_arn;

/// The creation time of the first version, in seconds since 1970. Each later version follows one second after the
/// previous one, so that the same calls return the same responses.
const FIRST_CREATED_SECONDS: u64 = 1_700_000_000;

#[derive(Clone, Debug, Default)]
pub struct Secrets {
    by_name: BTreeMap<String, Secret>,
    versions_created: u64,
    faults: Faults,
}

/// A secret with its current version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    pub name: String,
    pub value: String,
    /// The id of the current version; every `put` creates a new one.
    pub version_id: String,
    /// The creation time of the current version.
    pub created_at: SystemTime,
}

impl Secrets {
    /// Creates a secret, or a new version of it. `id` is the name or the ARN.
    pub fn put(&mut self, id: &str, value: impl Into<String>) {
        let name = name_of(id).to_owned();
        let created_at =
            SystemTime::UNIX_EPOCH + Duration::from_secs(FIRST_CREATED_SECONDS + self.versions_created);
        self.versions_created += 1;
        let secret = Secret {
            name: name.clone(),
            value: value.into(),
            version_id: format!("00000000-0000-4000-8000-{:012x}", self.versions_created),
            created_at,
        };
        self.by_name.insert(name, secret);
    }

    /// Removes a secret. `id` is the name or the ARN.
    pub fn remove(&mut self, id: &str) {
        self.by_name.remove(name_of(id));
    }

    /// The secret with this name or ARN.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Secret> {
        self.by_name.get(name_of(id))
    }

    /// The faults to inject into the next calls. The code that serves this model applies them, not its methods.
    pub fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }
}

impl Secret {
    #[must_use]
    pub fn arn(&self) -> String {
        secret_arn(&self.name)
    }
}

/// Extracts the name from an ARN of this account and region; returns any other id unchanged.
pub(crate) fn name_of(id: &str) -> &str {
    id.strip_prefix(secret_arn("").as_str()).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_found_by_name_and_arn_until_it_is_removed() {
        let mut secrets = Secrets::default();
        secrets.put("webhooks", "old");
        let old = secrets.get("webhooks").unwrap().clone();
        secrets.put(&secret_arn("webhooks"), "new");

        let new = secrets.get(&old.arn()).unwrap();
        assert_eq!(new, secrets.get("webhooks").unwrap());
        assert_eq!((old.value.as_str(), new.value.as_str()), ("old", "new"));
        assert_ne!(old.version_id, new.version_id);
        assert_eq!(new.created_at, old.created_at + Duration::from_secs(1));
        assert_eq!(secrets.get(&new.arn().replace("us-east-1", "eu-west-1")), None);

        secrets.remove("webhooks");
        assert_eq!(secrets.get("webhooks"), None);
    }
}
