//! I3, I4, I5 and I8: what may be called, and how often.

use std::collections::BTreeMap;

use privatelink_simulator::{Action, Endpoint};

use super::facts::{Call, Facts};
use super::proof::Looks;
use super::{Breach, Promise, bounds, breach};
use crate::history::Wanted;
use crate::record::{Asked, InvocationNumber, What};
use crate::world::{QueueKind, REGION};

const DETACH: Option<Action> = Some(Action::DetachSecurityGroupFromVpcEndpoint);

pub(super) fn check(facts: &Facts<'_>) -> Result<(), Breach> {
    one_write_at_a_time(facts)?;
    for call in &facts.calls {
        asked_for(facts, call)?;
        if call.asked.action == DETACH {
            last_group(facts, call)?;
        }
    }
    bounds::calls(facts)
}

/// On a FIFO queue an endpoint is one lane for all invocations; on a standard queue each invocation has lanes of its own.
fn one_write_at_a_time(facts: &Facts<'_>) -> Result<(), Breach> {
    let is_one_lane = facts.history.plan.kind == QueueKind::Fifo;
    let mut unanswered: BTreeMap<u32, (&Asked, InvocationNumber)> = BTreeMap::new();
    for entry in &facts.history.record {
        match &entry.what {
            What::Called { invocation, call, asked } if asked.action == DETACH => {
                let is_same_lane = |(other, by): &&(&Asked, InvocationNumber)| {
                    other.endpoint == asked.endpoint && (is_one_lane || by == invocation)
                };
                if unanswered.values().any(|other| is_same_lane(&other)) {
                    let at = facts.after(entry.at);
                    let how = format!("another Detach on {} at {at}, one is unanswered", asked.endpoint);
                    return breach(Promise::OneWrite, how);
                }
                unanswered.insert(*call, (asked, *invocation));
            }
            What::Returned { call, .. } => {
                unanswered.remove(call);
            }
            // Nobody is left to be answered.
            What::Ended { invocation, .. } => unanswered.retain(|_, (_, by)| by != invocation),
            _ => {}
        }
    }
    Ok(())
}

/// One look could have told if the latest one did, or if there was none.
fn last_group(facts: &Facts<'_>, call: &Call<'_>) -> Result<(), Breach> {
    let Some((_, served)) = call.served else { return Ok(()) };
    let group = call.asked.group.as_deref().unwrap_or_default();
    let is_last = |endpoint: &Endpoint| matches!(endpoint.security_groups.as_slice(), [only] if only.id.as_str() == group);
    if !served.truth.as_ref().is_some_and(is_last) {
        return Ok(());
    }
    let before = facts.calls_of_delivery(call.invocation, &call.asked.endpoint, None, call.at);
    let looks = Looks::of(before, group, call.at);
    // A dry run takes nothing: it is kept from asking only where there is nothing to ask.
    let is_alone = |ids: usize| ids == 1 || (looks.is_alone_soon && !call.asked.dry_run);
    let could_tell = looks.listed.is_none_or(|listed| is_alone(listed.len()) && listed.contains(group));
    if could_tell {
        let how =
            format!("Detach of {}'s last group {group} at {}", call.asked.endpoint, facts.after(call.at));
        return breach(Promise::LastGroup, how);
    }
    Ok(())
}

fn asked_for(facts: &Facts<'_>, call: &Call<'_>) -> Result<(), Breach> {
    let asked = call.asked;
    let batch = facts.runs.get(&call.invocation).map_or(&[][..], |run| run.batch);
    let mut wanted = batch.iter().filter_map(|given| {
        let sent = facts.messages.get(given.message.as_str())?;
        facts.request(sent.request)?.wanted.as_ref()
    });
    let is_the_call = |wanted: &Wanted| {
        let is_pair = asked.group.as_ref().is_none_or(|group| *group == wanted.group);
        let is_as_real = asked.action != DETACH || asked.dry_run == wanted.dry_run;
        wanted.endpoint == asked.endpoint && is_pair && is_as_real
    };
    let is_region = asked.region == REGION && asked.host == format!("privatelink.{REGION}.aliyuncs.com");
    if is_region && asked.action.is_some() && wanted.any(is_the_call) {
        return Ok(());
    }
    let how = format!("a call at {} that no request asks for: {asked:?}", facts.after(call.at));
    breach(Promise::AskedFor, how)
}
