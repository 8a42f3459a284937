//! One endpoint through time: what is true of it now, what a lagging read still shows, and when its groups went.

use std::{
    collections::{BTreeMap, VecDeque},
    time::SystemTime,
};

use crate::{
    ids::SecurityGroupId,
    seed::{Endpoint, SecurityGroup, Task, Work},
};

/// How many past states are kept for lagging reads. A detach makes three, so this is some twenty of them within one lag.
const VIEWS_MAX: usize = 64;

/// An endpoint, and its past.
#[derive(Clone, Debug)]
pub(crate) struct Tracked {
    truth: Option<Endpoint>,
    gone: BTreeMap<SecurityGroupId, SystemTime>,
    /// Each state with the time from which it held, oldest first, never empty.
    views: VecDeque<(SystemTime, Option<Endpoint>)>,
}

impl Tracked {
    /// An endpoint that has been there for ever, or (`None`) has not been there yet.
    pub(crate) fn since_ever(truth: Option<Endpoint>) -> Self {
        let views = VecDeque::from([(SystemTime::UNIX_EPOCH, truth.clone())]);
        Self { truth, gone: BTreeMap::new(), views }
    }

    /// What is true, as of the last [`Self::settle`].
    pub(crate) fn truth(&self) -> Option<&Endpoint> {
        self.truth.as_ref()
    }

    /// What was true at that time.
    pub(crate) fn view(&self, at: SystemTime) -> Option<&Endpoint> {
        let held = self.views.iter().rev().find(|(since, _)| *since <= at);
        held.or(self.views.front()).and_then(|(_, view)| view.as_ref())
    }

    /// Since when the group has been off the endpoint, if it was on it before.
    pub(crate) fn gone_since(&self, group: &SecurityGroupId) -> Option<SystemTime> {
        self.gone.get(group).copied()
    }

    /// Whether nothing will change by itself: no task runs, and no read shows an older state.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.views.len() == 1 && self.truth.as_ref().is_none_or(|endpoint| endpoint.task.is_none())
    }

    /// Changes what is true from `at` on.
    pub(crate) fn change(&mut self, at: SystemTime, change: impl FnOnce(&mut Option<Endpoint>)) {
        let before: Vec<_> = groups(self.truth.as_ref()).map(|group| group.id.clone()).collect();
        change(&mut self.truth);
        for group in groups(self.truth.as_ref()) {
            self.gone.remove(&group.id);
        }
        for id in before {
            if !groups(self.truth.as_ref()).any(|group| group.id == id) {
                self.gone.insert(id, at);
            }
        }
        self.views.push_back((at, self.truth.clone()));
    }

    /// Ends what is due by `now`, each thing at its own time, and forgets the states that no read since `horizon` shows.
    pub(crate) fn settle(&mut self, now: SystemTime, horizon: SystemTime) {
        // A task has two ends at most: that of its work and that of its lock.
        for _ in 0..2 {
            let Some(task) = self.truth.as_ref().and_then(|endpoint| endpoint.task.clone()) else {
                break;
            };
            match task.work {
                Work::Hold {} if task.free_at <= now => {
                    self.change(task.free_at, |truth| release(truth.as_mut()));
                }
                Work::Attach { .. } | Work::Detach { .. } if task.ends_at <= now => {
                    self.change(task.ends_at, |truth| finish(truth.as_mut(), &task));
                }
                _ => break,
            }
        }
        while self.views.len() > VIEWS_MAX || self.views.get(1).is_some_and(|(since, _)| *since <= horizon) {
            self.views.pop_front();
        }
    }
}

/// Starts a task: the endpoint is `Pending`, and the group in between.
pub(crate) fn begin(endpoint: &mut Endpoint, task: Task) {
    "Pending".clone_into(&mut endpoint.endpoint_status);
    match &task.work {
        Work::Attach { security_group_id } => {
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
        Work::Attach { security_group_id } | Work::Detach { security_group_id, fails: true } => {
            set_status(endpoint, security_group_id, "Attached");
        }
        Work::Detach { security_group_id, fails: false } => {
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
    // Whatever else somebody has made of the endpoint in the meantime stays.
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
