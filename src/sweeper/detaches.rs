//! The requests of a sweep: one for each reference that may be detached. Pure.

use super::request::{SWEEP_ID, SweepRequest};
use crate::alibaba::privatelink::Target;
use crate::aws::request_queue::Message;
use crate::request::{DetachRequest, RequestId, Trigger};
use crate::sweep::Plan;

/// A request of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Detach {
    pub(super) target: Target,
    pub(super) message: Message,
}

/// A request for each reference of the plan that is not blocked.
///
/// Two sweeps with the same id make the same request for a reference, so the queue drops the second one if it arrives
/// within five minutes.
pub(super) fn of_plan(plan: &Plan, sweep_id: &RequestId, request: &SweepRequest) -> Vec<Detach> {
    let detach = |target: Target| {
        let Target { region_id, endpoint_id, security_group_id } = target.clone();
        let name = format!("{sweep_id}/{region_id}/{endpoint_id}/{security_group_id}");
        let mut metadata = request.metadata.clone();
        metadata.insert(SWEEP_ID.to_owned(), sweep_id.to_string());
        let detach = DetachRequest {
            region_id,
            endpoint_id,
            security_group_id,
            dry_run: false,
            expect_attached: false,
            client_token: None,
            request_id: None,
            deadline: request.deadline,
            metadata,
        };
        let message = Message {
            group: detach.message_group(),
            deduplication_id: detach.deduplication_id(sweep_id.as_str()),
            body: detach.to_body(&RequestId::from_source(&name)),
            trigger: Trigger::Sweep,
        };
        Detach { target, message }
    };
    plan.requestable().map(|reference| detach(reference.target())).collect()
}
