//! The observer of a run of detaches: shows its progress, and stops the run when Alibaba Cloud rejects the credentials.

use std::cell::RefCell;

use super::output::progress::detaches::Progress;
use crate::alibaba::credentials::CredentialProblem;
use crate::drive::observer::{Alert, Event, Observer};
use crate::drive::time_budget::Run;
use crate::request::RequestId;
use crate::telemetry;

/// The observer of one run.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    run: &'a Run,
    progress: &'a Progress,
    /// Where the credentials come from.
    source: &'a str,
    credential_problem: RefCell<Option<String>>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(run: &'a Run, progress: &'a Progress, source: &'a str) -> Self {
        Self { run, progress, source, credential_problem: RefCell::default() }
    }

    /// Why the run was stopped, if the credentials are the reason.
    pub(super) fn credential_problem(&self) -> Option<String> {
        self.credential_problem.borrow().clone()
    }
}

/// What is wrong with the credentials of `source`.
pub(super) fn explained(problem: &CredentialProblem, code: &str, source: &str) -> String {
    match problem {
        CredentialProblem::Unavailable(error) => {
            let (cause, advice) = (telemetry::cause(&**error), error.advice());
            format!("there are no credentials from {source}: {cause}; {advice}")
        }
        CredentialProblem::Refused { advice } => {
            format!("Alibaba Cloud rejects the credentials from {source}: {code}; {advice}")
        }
    }
}

impl Observer for Watch<'_> {
    fn observe(&self, request_id: &RequestId, event: &Event<'_>) {
        self.progress.observe(request_id, event);
    }

    fn alert(&self, alert: &Alert<'_>) {
        match alert {
            Alert::Credentials { problem, code } => {
                self.credential_problem.replace(Some(explained(problem, code, self.source)));
                // Retrying until the timeout does not help: an operator must act.
                self.run.stop();
            }
            Alert::Clock { code } => self.progress.note(&format!(
                "Alibaba Cloud rejects the time of a call, although this machine's clock was corrected by the Date header of a response: {code}"
            )),
            Alert::UnlistedCode { error } => self.progress.note(&format!(
                "{error}: this program does not know the code; the HTTP status decides whether the call is retried"
            )),
            Alert::ClockFarOff { by, ahead } => self.progress.note(&format!(
                "this machine's clock differs from {by} by {} h; the difference is ignored",
                ahead.whole_hours().abs()
            )),
            Alert::Unreachable { calls, error } => {
                let cause = error.cause.as_ref().map_or(String::new(), |cause| format!(": {cause}"));
                self.progress.note(&format!(
                    "none of {calls} calls to Alibaba Cloud got a readable response: {}{cause}",
                    error.code
                ));
            }
        }
    }
}
