//! The progress of detaches, on standard error: on a terminal one line for each detach under way, elsewhere one line for
//! each change.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::alibaba::privatelink::Write;
use crate::alibaba::records::GroupStatus;
use crate::cli::output::terminal::Terminal;
use crate::cli::output::{columns, streams};
use crate::detach::Evidence;
use crate::detach::assessment::Presence;
use crate::drive::observer::Event;
use crate::request::{RequestId, SecurityGroupId};

/// How often the time of a line changes, at least.
const TICK: Duration = Duration::from_millis(500);

/// The lines of some detaches.
#[derive(Debug)]
pub(in crate::cli) struct Progress {
    /// The lines of a terminal, which are redrawn.
    bars: Option<MultiProgress>,
    width: Option<u16>,
    lines: RefCell<HashMap<RequestId, Line>>,
    total: usize,
    ended: Cell<usize>,
}

/// One detach under way.
#[derive(Debug)]
struct Line {
    label: String,
    state: String,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// The progress of this number of detaches.
    pub(in crate::cli) fn new(total: usize, terminal: &Terminal) -> Self {
        let bars = terminal.can_redraw.then(MultiProgress::new);
        let width = terminal.stderr_width;
        Self { bars, width, lines: RefCell::default(), total, ended: Cell::new(0) }
    }

    /// Adds the line of a detach.
    pub(in crate::cli) fn begin(&self, id: &RequestId, label: String) {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::no_length().with_style(style()));
            bar.set_message(format!("{label}: reading"));
            bar.enable_steady_tick(TICK);
            bar
        });
        self.lines.borrow_mut().insert(id.clone(), Line { label, state: String::new(), bar });
    }

    /// Shows what happened to a detach.
    pub(in crate::cli) fn observe(&self, id: &RequestId, event: &Event<'_>) {
        let Some(state) = state(event) else { return };
        if let Some(line) = self.lines.borrow_mut().get_mut(id)
            && line.state != state
        {
            line.state = state;
            let text = format!("{}: {}", line.label, line.state);
            match &line.bar {
                Some(bar) => bar.set_message(text),
                None => streams::note(columns::paragraph(&text, self.width)),
            }
        }
    }

    /// Removes the line of a detach, and writes its outcome; `None` if it did not end.
    pub(in crate::cli) fn end(&self, id: &RequestId, outcome: Option<&str>) {
        let Some(line) = self.lines.borrow_mut().remove(id) else { return };
        if let Some(bar) = &line.bar {
            bar.finish_and_clear();
        }
        if let Some(outcome) = outcome {
            self.ended.set(self.ended.get() + 1);
            let count = if self.total > 1 {
                format!("{} of {}: ", self.ended.get(), self.total)
            } else {
                String::new()
            };
            self.note(&format!("{count}{}: {outcome}", line.label));
        }
    }

    /// Writes a line above the lines that are redrawn.
    pub(in crate::cli) fn note(&self, text: &str) {
        let write = || {
            streams::note(columns::paragraph(text, self.width));
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}

/// Removes the lines of detaches that did not end.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            // An error leaves the lines on the terminal.
            let _ = bars.clear();
        }
    }
}

/// Everything but the time is in the message, which is cut to the width of the terminal.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{elapsed:>4} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// The text for an event; `None` if it is not shown.
fn state(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::Read { evidence, .. } => read(evidence)?,
        Event::Accepted { write: Write::Detach, .. } => "detach accepted; polling".to_owned(),
        Event::Accepted { write: Write::Attach, evidence, .. } => {
            format!("attach of {} accepted; polling", replacement(evidence))
        }
        Event::DryRunPassed { .. } => "dry run passed".to_owned(),
        Event::CallFailed { error, wait: Some(Duration::ZERO), .. } => format!("{}; retrying", error.code),
        Event::CallFailed { error, wait: Some(wait), .. } => {
            format!("{}; retrying in {}", error.code, seconds(*wait))
        }
        Event::CallFailed { error, wait: None, .. } => error.code.to_string(),
        Event::RegionThrottled { region_id, wait } => {
            format!("{region_id} throttled; waiting {}", seconds(*wait))
        }
        Event::Received { .. }
        | Event::ShareUsedUp { .. }
        | Event::Deferred { .. }
        | Event::Completed { .. } => {
            return None;
        }
    })
}

fn read(evidence: &Evidence) -> Option<String> {
    let group = evidence.group?;
    let is_accepted = evidence.detach_accepted > 0;
    let is_attach_accepted = evidence.attach_accepted > 0;
    Some(match group {
        Presence::Absent => "group absent; confirming".to_owned(),
        Presence::Listed(status) if is_accepted => format!("detach accepted; group {}", status.as_str()),
        Presence::Listed(_) if is_attach_accepted => {
            let status = replacement_status(evidence).map_or("not listed yet", GroupStatus::as_str);
            format!("attach accepted; {} {status}", replacement(evidence))
        }
        Presence::Listed(status) => format!("group {}", status.as_str()),
    })
}

/// The replacement, which is attached first.
fn replacement(evidence: &Evidence) -> &str {
    evidence.replacement_security_group_id.as_ref().map_or("the replacement", SecurityGroupId::as_str)
}

fn replacement_status(evidence: &Evidence) -> Option<GroupStatus> {
    evidence.status_of(evidence.replacement_security_group_id.as_ref()?)
}

fn seconds(wait: Duration) -> String {
    format!("{:.1} s", wait.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alibaba::error::CallError;
    use crate::alibaba::privatelink::Action;
    use crate::transport::NoResponse;

    #[test]
    fn state_names_the_group_and_the_wait() {
        let evidence = |group, detach_accepted| {
            let mut evidence = Evidence::default();
            (evidence.group, evidence.detach_accepted) = (group, detach_accepted);
            evidence
        };
        let read = |evidence: &Evidence| {
            state(&Event::Read { action: Action::ListSecurityGroups, evidence, wait: None })
        };
        let attached = Some(Presence::Listed(GroupStatus::Attached));
        let detaching = Some(Presence::Listed(GroupStatus::Detaching));
        assert_eq!(read(&evidence(None, 0)), None);
        assert_eq!(read(&evidence(attached, 0)).unwrap(), "group Attached");
        assert_eq!(read(&evidence(detaching, 1)).unwrap(), "detach accepted; group Detaching");
        assert_eq!(read(&evidence(Some(Presence::Absent), 1)).unwrap(), "group absent; confirming");
        let mut attaching = evidence(attached, 0);
        attaching.attach_accepted = 1;
        attaching.replacement_security_group_id = SecurityGroupId::parse("sg-spare");
        assert_eq!(read(&attaching).unwrap(), "attach accepted; sg-spare not listed yet");
        attaching.security_groups_after = Some(vec!["sg-a".to_owned(), "sg-spare".to_owned()]);
        attaching.statuses_after = vec![GroupStatus::Attached, GroupStatus::Attaching];
        assert_eq!(read(&attaching).unwrap(), "attach accepted; sg-spare Attaching");
        let accepted =
            Event::Accepted { write: Write::Attach, evidence: &attaching, api_request_id: None, wait: None };
        assert_eq!(state(&accepted).unwrap(), "attach of sg-spare accepted; polling");
        let error = CallError::no_response(Action::Detach, NoResponse::Timeout);
        let failed = Event::CallFailed {
            error: &error,
            api_request_id: None,
            wait: Some(Duration::from_millis(1250)),
        };
        assert_eq!(state(&failed).unwrap(), "Timeout; retrying in 1.2 s");
    }
}
