//! The state of one endpoint over time: its current state, the past states that lagging reads return, and the times
//! at which groups were removed.

use std::{
    collections::{BTreeMap, VecDeque},
    time::SystemTime,
};

use crate::{
    ids::SecurityGroupId,
    seed::{Endpoint, SecurityGroup, Task, Work},
};

/// The maximum number of past states kept for lagging reads. A detach produces three states, so this covers about 20
/// detaches within one lag.
const STATES_MAX: usize = 64;

/// An endpoint and its past states.
#[derive(Clone, Debug)]
pub(crate) struct Tracked {
    current: Option<Endpoint>,
    absent: BTreeMap<SecurityGroupId, SystemTime>,
    /// When the endpoint last lost its last group.
    emptied_at: Option<SystemTime>,
    /// Each state with the time from which it applied, oldest first; never empty.
    states: VecDeque<(SystemTime, Option<Endpoint>)>,
}

impl Tracked {
    /// Tracks an endpoint that has always existed, or (`None`) one that does not exist yet.
    pub(crate) fn new(current: Option<Endpoint>) -> Self {
        let states = VecDeque::from([(SystemTime::UNIX_EPOCH, current.clone())]);
        Self { current, absent: BTreeMap::new(), emptied_at: None, states }
    }

    /// The current state, as of the last [`Self::advance`].
    pub(crate) fn current(&self) -> Option<&Endpoint> {
        self.current.as_ref()
    }

    /// The state at a past time.
    pub(crate) fn state(&self, at: SystemTime) -> Option<&Endpoint> {
        let found = self.states.iter().rev().find(|(since, _)| *since <= at);
        found.or(self.states.front()).and_then(|(_, state)| state.as_ref())
    }

    /// The time since which the group has been absent, if it was on the endpoint before.
    pub(crate) fn absent_since(&self, group: &SecurityGroupId) -> Option<SystemTime> {
        self.absent.get(group).copied()
    }

    /// When the endpoint, while it existed, last lost its last group; `None` if it never did.
    pub(crate) fn emptied_at(&self) -> Option<SystemTime> {
        self.emptied_at
    }

    /// Whether the endpoint cannot change by the passage of time: no task runs, and no read returns an older state.
    pub(crate) fn is_stable(&self) -> bool {
        self.states.len() == 1 && self.current.as_ref().is_none_or(|endpoint| endpoint.task.is_none())
    }

    /// Changes the current state from `at` on.
    pub(crate) fn change(&mut self, at: SystemTime, change: impl FnOnce(&mut Option<Endpoint>)) {
        let before: Vec<_> = groups(self.current.as_ref()).map(|group| group.id.clone()).collect();
        change(&mut self.current);
        for group in groups(self.current.as_ref()) {
            self.absent.remove(&group.id);
        }
        let is_empty = self.current.as_ref().is_some_and(|endpoint| endpoint.security_groups.is_empty());
        if is_empty && !before.is_empty() {
            self.emptied_at = Some(at);
        }
        for id in before {
            if !groups(self.current.as_ref()).any(|group| group.id == id) {
                self.absent.insert(id, at);
            }
        }
        self.states.push_back((at, self.current.clone()));
    }

    /// Applies every task step due by `now` at its own time, and removes the states that only reads before `horizon`
    /// would return.
    pub(crate) fn advance(&mut self, now: SystemTime, horizon: SystemTime) {
        // A task has at most two steps: the end of its work and the end of its lock.
        for _ in 0..2 {
            let Some(task) = self.current.as_ref().and_then(|endpoint| endpoint.task.clone()) else {
                break;
            };
            match task.work {
                Work::Hold {} if task.free_at <= now => {
                    self.change(task.free_at, |current| release(current.as_mut()));
                }
                Work::Attach { .. } | Work::Detach { .. } if task.ends_at <= now => {
                    self.change(task.ends_at, |current| finish(current.as_mut(), &task));
                }
                _ => break,
            }
        }
        while self.states.len() > STATES_MAX || self.states.get(1).is_some_and(|(since, _)| *since <= horizon)
        {
            self.states.pop_front();
        }
    }
}

/// Starts a task: sets the endpoint to `Pending`, and the group to `Attaching` or `Detaching`.
pub(crate) fn start(endpoint: &mut Endpoint, task: Task) {
    "Pending".clone_into(&mut endpoint.endpoint_status);
    match &task.work {
        Work::Attach { security_group_id, .. } => {
            let group = SecurityGroup { id: security_group_id.clone(), status: "Attaching".to_owned() };
            endpoint.security_groups.push(group);
        }
        Work::Detach { security_group_id, .. } => set_status(endpoint, security_group_id, "Detaching"),
        Work::Hold {} => {}
    }
    endpoint.task = Some(task);
}

fn finish(endpoint: Option<&mut Endpoint>, task: &Task) {
    let Some(endpoint) = endpoint else { return };
    match &task.work {
        Work::Attach { security_group_id, fails: false }
        | Work::Detach { security_group_id, fails: true } => {
            set_status(endpoint, security_group_id, "Attached");
        }
        Work::Attach { security_group_id, fails: true }
        | Work::Detach { security_group_id, fails: false } => {
            endpoint.security_groups.retain(|group| group.id != *security_group_id);
        }
        Work::Hold {} => {}
    }
    if task.free_at <= task.ends_at {
        release(Some(endpoint));
    } else {
        endpoint.task = Some(Task { work: Work::Hold {}, ..task.clone() });
    }
}

fn release(endpoint: Option<&mut Endpoint>) {
    let Some(endpoint) = endpoint else { return };
    endpoint.task = None;
    // Keep another status that a test has set in the meantime.
    if endpoint.endpoint_status == "Pending" {
        "Active".clone_into(&mut endpoint.endpoint_status);
    }
}

fn set_status(endpoint: &mut Endpoint, group: &SecurityGroupId, status: &str) {
    if let Some(group) = endpoint.security_groups.iter_mut().find(|present| present.id == *group) {
        status.clone_into(&mut group.status);
    }
}

fn groups(endpoint: Option<&Endpoint>) -> impl Iterator<Item = &SecurityGroup> {
    endpoint.into_iter().flat_map(|endpoint| &endpoint.security_groups)
}
