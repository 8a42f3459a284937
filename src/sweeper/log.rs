//! The log lines for the operators of sweeps. A line has the level `ERROR` only if an operator must act.

use tracing::{error, info, warn};

use super::request::SweepRequest;
use crate::alibaba::credentials::CredentialProblem;
use crate::drive::sweep::{NotReadAgain, Rejected, Swept};
use crate::sweep::{Region, Verdict};
use crate::telemetry;

/// Logs the result of the first reading.
pub(super) fn read(swept: &Swept, verdict: Verdict, request: &SweepRequest) {
    let plan = &swept.plan;
    let count = |count: fn(&Region) -> usize| plan.regions.values().map(count).sum::<usize>();
    info!(
        endpoints_read = count(|region| region.endpoints_read),
        endpoints_unread = count(|region| region.unread.len()),
        references = plan.references.len(),
        requestable = plan.requestable().count(),
        max_detaches = request.max_detaches,
        "the scope was read: {}",
        verdict.as_str()
    );
    if let Some(rejected) = &swept.credentials {
        credentials(rejected);
    } else if let Some((calls, error)) = &swept.unreachable {
        error!(
            calls,
            action = error.action.name(),
            code = &*error.code.name(),
            cause = error.cause.as_ref().map(tracing::field::display),
            "none of the sweeper's calls to Alibaba Cloud got a response that can be read"
        );
    }
    if let Some(error) = &swept.unlisted {
        error!(
            action = error.action.name(),
            code = &*error.code.name(),
            "{error}, a code that this project does not know; the list or endpoint of the call counts as not read"
        );
    }
}

/// Logs what a second reading could not read. `was_rejected`: whether the reading before it already reported rejected
/// credentials.
pub(super) fn not_read_again(not_read: &NotReadAgain, was_rejected: bool) {
    match &not_read.credentials {
        Some(rejected) if !was_rejected => credentials(rejected),
        _ if not_read.endpoints > 0 => {
            let code = not_read.code.as_ref().map(crate::alibaba::error::ErrorCode::name);
            warn!(
                endpoints = not_read.endpoints,
                code = code.as_deref(),
                "requested endpoints could not be read again"
            );
        }
        _ => {}
    }
}

fn credentials(Rejected { problem, code }: &Rejected) {
    match problem {
        CredentialProblem::Unavailable(unavailable) => error!(
            code = &*unavailable.code(),
            advice = unavailable.advice(),
            "the sweeper has no credentials for Alibaba Cloud: {}; the reading ends",
            telemetry::cause(&**unavailable)
        ),
        CredentialProblem::Refused { advice } => error!(
            code = &*code.name(),
            advice, "Alibaba Cloud rejects the sweeper's credentials: {code}; the reading ends"
        ),
    }
}
