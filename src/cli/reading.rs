//! The reading that `find` and `plan` share.

use std::collections::HashSet;
use std::time::Duration;

use super::credentials::Unusable;
use super::failure::Failure;
use super::output::progress::reading::Shown;
use super::output::streams;
use super::output::terminal::Terminal;
use super::scope::Scope;
use super::session::Session;
use crate::alibaba::credentials::CredentialProblem;
use crate::completion::sweep::{self as event, Detail, Mode, Shortfall};
use crate::drive::pace::Pace;
use crate::drive::sweep::{self, Sweep, sweep};
use crate::random::Random;
use crate::request::{RegionId, RequestId};
use crate::sweep::{Limits, Plan};

/// The longest reading. At the pace of a sweep 50 regions with 10,000 endpoints each take about an hour and a half.
const TIME_MAX: Duration = Duration::from_hours(3);

/// Writes which endpoints are read, and where the credentials come from.
pub(super) fn announce(scope: &Scope, session: &Session) {
    streams::note(format_args!(
        "Reading {}, using the credentials from {}.",
        scope.endpoints(),
        session.source
    ));
}

/// Reads the scope. Rejected credentials are a failure, not an incomplete plan.
pub(super) async fn read(scope: &Scope, session: &Session, terminal: &Terminal) -> Result<Plan, Failure> {
    let region_ids: Vec<RegionId> = scope.regions.iter().cloned().collect();
    let what = Sweep {
        security_group_ids: &scope.security_group_ids,
        region_ids: &region_ids,
        filter: &scope.filter,
        rules: &session.config.rules,
        limits: Limits::default(),
        pace: Pace::default(),
    };
    let shown = Shown::new(terminal, &session.clock);
    let until = session.clock.now() + TIME_MAX;
    let report = |progress: &sweep::Progress<'_>| shown.report(progress);
    let swept =
        sweep(&session.cloud, Some(&session.services), &what, &session.clock, Some(until), &report).await;
    drop(shown);
    match swept.credentials {
        None => Ok(swept.plan),
        Some(rejected) => Err(refused(&rejected.problem, &session.source).into()),
    }
}

fn refused(problem: &CredentialProblem, source: &str) -> Unusable {
    match problem {
        CredentialProblem::Unavailable(error) => Unusable::from(&**error),
        CredentialProblem::Refused { advice } => Unusable {
            problem: format!(
                "Alibaba Cloud rejects the credentials from {source}, so the endpoints were not read"
            ),
            advice: (*advice).to_owned(),
        },
    }
}

/// The event of a reading that requests nothing.
pub(super) fn detail(scope: &Scope, plan: &Plan, max_detaches: Option<u32>, session: &Session) -> Detail {
    let sweep_id = RequestId::from_source(&format!("cli-{:032x}", Random::System.u128()));
    let sweep = event::Sweep {
        sweep_id: &sweep_id,
        mode: Mode::Report,
        mode_requested: Mode::Report,
        filter: &scope.filter,
        plan,
        max_detaches,
        verdict: plan.verdict(max_detaches),
        requested: &HashSet::new(),
        shortfall: &Shortfall::default(),
        completed_at: plan.completed_at,
    };
    Detail::new(&sweep, &session.config.runbook_url)
}
