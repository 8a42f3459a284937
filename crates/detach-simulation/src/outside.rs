//! Actions from outside: what other clients and operators do to the endpoints, the account and the queues.

use std::time::{Duration, SystemTime};

use local_aws::NewMessage;
use privatelink_simulator::{AccessKey, Action, Endpoint, Fault, SecurityGroup, Settings, Task, Work};

use crate::secret::SecretState;
use crate::world::World;

/// One action from outside.
#[derive(Debug, Clone)]
pub enum Outside {
    /// Sends a request.
    Send(Box<NewMessage>),
    /// Attaches a group.
    Attach { endpoint: String, group: String, takes: Duration },
    /// Detaches a group.
    Detach {
        endpoint: String,
        group: String,
        takes: Duration,
        /// Whether the task fails at its end.
        fails: bool,
    },
    /// Holds the endpoint's lock with another task.
    Hold { endpoint: String, takes: Duration },
    /// Deletes an endpoint.
    Remove { endpoint: String },
    /// Creates an endpoint, or replaces it.
    Create { endpoint: Box<Endpoint> },
    /// Changes the endpoint's status.
    Status {
        endpoint: String,
        /// The new `EndpointStatus`.
        status: &'static str,
    },
    /// Changes the connection's status.
    Connection {
        endpoint: String,
        /// The new `ConnectionStatus`.
        status: &'static str,
    },
    /// Does not pay, or pays.
    Business {
        endpoint: String,
        /// The new `EndpointBusinessStatus`.
        status: &'static str,
    },
    /// Injects a fault into Alibaba Cloud.
    Fault(Box<Fault>),
    /// Disables the worker's access key, or enables it again.
    Key { is_disabled: bool },
    /// Changes what a read of the secret with the functions' access key results in.
    Secret(SecretState),
    /// Removes permissions, or restores them.
    Permissions {
        /// The denied actions.
        denied: Vec<Action>,
    },
    /// Moves all messages of the dead-letter queue back to the request queue.
    Redrive,
    /// Ends all faults and repairs every endpoint. No action from outside follows.
    FaultsEnd,
}

/// The longest task after the faults have ended.
const TASK_AFTER_FAULTS_MAX: Duration = Duration::from_secs(3);

impl Outside {
    /// The endpoint that it changes; none if it may affect all.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        match self {
            Self::Attach { endpoint, .. }
            | Self::Detach { endpoint, .. }
            | Self::Hold { endpoint, .. }
            | Self::Remove { endpoint }
            | Self::Status { endpoint, .. }
            | Self::Connection { endpoint, .. }
            | Self::Business { endpoint, .. } => Some(endpoint),
            Self::Create { endpoint } => Some(endpoint.endpoint_id.as_str()),
            Self::Send(_)
            | Self::Fault(_)
            | Self::Key { .. }
            | Self::Secret(_)
            | Self::Permissions { .. }
            | Self::Redrive
            | Self::FaultsEnd => None,
        }
    }

    pub(crate) fn apply(&self, world: &World) {
        let now = world.now();
        let mut cloud = world.cloud.borrow_mut();
        match self {
            Self::Send(message) => {
                drop(cloud);
                world.send_message((**message).clone());
            }
            Self::Attach { endpoint, group, takes } => {
                let ends_at = now + *takes;
                cloud.change_endpoint(endpoint.as_str(), now, |endpoint| attach(endpoint, group, ends_at));
            }
            Self::Detach { endpoint, group, takes, fails } => {
                let ends_at = now + *takes;
                cloud.change_endpoint(endpoint.as_str(), now, |endpoint| {
                    detach(endpoint, group, ends_at, *fails);
                });
            }
            Self::Hold { endpoint, takes } => {
                cloud.hold_endpoint(endpoint.as_str(), *takes, now);
            }
            Self::Remove { endpoint } => {
                cloud.remove_endpoint(endpoint.as_str(), now);
            }
            Self::Create { endpoint } => {
                cloud.set_endpoint((**endpoint).clone(), now).expect("a valid endpoint");
            }
            Self::Status { endpoint, status } => {
                cloud.change_endpoint(endpoint.as_str(), now, |endpoint| {
                    (*status).clone_into(&mut endpoint.endpoint_status);
                });
            }
            Self::Connection { endpoint, status } => {
                cloud.change_endpoint(endpoint.as_str(), now, |endpoint| {
                    (*status).clone_into(&mut endpoint.connection_status);
                });
            }
            Self::Business { endpoint, status } => {
                cloud.change_endpoint(endpoint.as_str(), now, |endpoint| {
                    (*status).clone_into(&mut endpoint.business_status);
                });
            }
            Self::Fault(fault) => cloud.inject((**fault).clone()),
            Self::Key { is_disabled } => {
                cloud.set_access_key(AccessKey { inactive: *is_disabled, ..world.key() });
            }
            Self::Secret(state) => world.secret.set(*state),
            Self::Permissions { denied } => {
                let denied_actions = denied.iter().copied().collect();
                cloud.set_access_key(AccessKey { denied_actions, ..world.key() });
            }
            Self::Redrive => {
                drop(cloud);
                world.redrive();
            }
            Self::FaultsEnd => {
                drop(cloud);
                end_faults(world);
            }
        }
    }
}

/// Starts to attach, as the API does, unless the API would refuse.
fn attach(endpoint: &mut Endpoint, group: &str, ends_at: SystemTime) {
    if endpoint.task.is_some() || endpoint.group(&group.into()).is_some() {
        return;
    }
    "Pending".clone_into(&mut endpoint.endpoint_status);
    endpoint.security_groups.push(SecurityGroup { id: group.into(), status: "Attaching".to_owned() });
    let work = Work::Attach { security_group_id: group.into(), fails: false };
    endpoint.task = Some(Task { work, ends_at, free_at: ends_at });
}

/// Starts to detach, as the API does, unless the API would refuse.
fn detach(endpoint: &mut Endpoint, group: &str, ends_at: SystemTime, fails: bool) {
    let is_last = endpoint.security_groups.len() == 1;
    let is_free = endpoint.task.is_none() && !is_last;
    let Some(found) = endpoint.security_groups.iter_mut().find(|found| found.id.as_str() == group) else {
        return;
    };
    if is_free {
        "Detaching".clone_into(&mut found.status);
        "Pending".clone_into(&mut endpoint.endpoint_status);
        let work = Work::Detach { security_group_id: group.into(), fails };
        endpoint.task = Some(Task { work, ends_at, free_at: ends_at });
    }
}

/// Ends all faults; tasks that are running continue, but end soon.
fn end_faults(world: &World) {
    world.injector.borrow_mut().end();
    world.secret.set(SecretState::Readable);
    let now = world.now();
    let mut cloud = world.cloud.borrow_mut();
    cloud.clear_faults();
    cloud.set_access_key(world.key());
    cloud.set_quotas(std::collections::BTreeMap::new());
    cloud.change_settings(|settings| {
        *settings = Settings {
            detach_takes: settings.detach_takes.min(TASK_AFTER_FAULTS_MAX),
            page_size_max: settings.page_size_max,
            error_format: settings.error_format,
            omit_group_status: settings.omit_group_status,
            ..Settings::default()
        };
    });
    for endpoint in cloud.snapshot(now).endpoints {
        cloud.change_endpoint(endpoint.endpoint_id, now, |endpoint| repair(endpoint, now));
    }
}

fn repair(endpoint: &mut Endpoint, now: SystemTime) {
    "Normal".clone_into(&mut endpoint.business_status);
    "Connected".clone_into(&mut endpoint.connection_status);
    if let Some(task) = &mut endpoint.task {
        "Pending".clone_into(&mut endpoint.endpoint_status);
        task.ends_at = task.ends_at.min(now + TASK_AFTER_FAULTS_MAX);
        task.free_at = task.free_at.min(now + TASK_AFTER_FAULTS_MAX);
    } else {
        "Active".clone_into(&mut endpoint.endpoint_status);
        for group in &mut endpoint.security_groups {
            "Attached".clone_into(&mut group.status);
        }
    }
}
