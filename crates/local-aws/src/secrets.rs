//! A model of Secrets Manager as a reader sees it: secrets by name, each with one version, the current one.
//!
//! No clock, no I/O. Earlier versions are forgotten, and when a version was made is made up.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::faults::Faults;
use crate::wire::secret_arn;

/// When the first version of all was made, in seconds since 1970. Each further one follows a second later: made up, but
/// the same calls give the same answers.
const FIRST_CREATED_SECONDS: u64 = 1_700_000_000;

/// The secrets of one account in one region.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    by_name: BTreeMap<String, Secret>,
    versions_made: u64,
    faults: Faults,
}

/// A secret in its current version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The name under which it was put.
    pub name: String,
    /// What is secret, as text.
    pub value: String,
    /// The id of this version; a new one with every put.
    pub version_id: String,
    /// When this version was made.
    pub created_at: SystemTime,
}

impl Secrets {
    /// Makes a secret, or a new version of it. `id` is its name or its ARN.
    pub fn put(&mut self, id: &str, value: impl Into<String>) {
        let name = name_of(id).to_owned();
        let created_at =
            SystemTime::UNIX_EPOCH + Duration::from_secs(FIRST_CREATED_SECONDS + self.versions_made);
        self.versions_made += 1;
        let secret = Secret {
            name: name.clone(),
            value: value.into(),
            version_id: format!("00000000-0000-4000-8000-{:012x}", self.versions_made),
            created_at,
        };
        self.by_name.insert(name, secret);
    }

    /// Takes a secret away.
    pub fn remove(&mut self, id: &str) {
        self.by_name.remove(name_of(id));
    }

    /// The secret of this name or ARN.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Secret> {
        self.by_name.get(name_of(id))
    }

    /// The faults that coming calls will suffer. The calls of this model do not look at them: whoever serves it does.
    pub fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }
}

impl Secret {
    /// The ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        secret_arn(&self.name)
    }
}

/// The name in an ARN of this account and region; anything else is a name already.
pub(crate) fn name_of(id: &str) -> &str {
    id.strip_prefix(secret_arn("").as_str()).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_found_by_name_and_by_arn_until_it_is_removed() {
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
