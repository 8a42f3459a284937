//! The guarantees. Each is a separate check that reads a history from outside: what was served, published, copied and
//! deleted, and the actual state of the simulated world. No check calls the worker's own code.

mod bounds;
mod calls;
mod confirmed;
mod facts;
mod justified;
mod outcomes;
mod redeliveries;
mod replacements;
mod secrets;
mod steps;
mod sweeps;
mod tokens;

use std::fmt;

use privatelink_simulator::Action;

use crate::history::History;
pub use bounds::{READS_MAX, WRITES_MAX};
pub use facts::{Call, Facts, Publication, Run, SweepRun};

const ATTACH: Option<Action> = Some(Action::AttachSecurityGroupToVpcEndpoint);
const DETACH: Option<Action> = Some(Action::DetachSecurityGroupFromVpcEndpoint);

/// Whether the action changes an endpoint.
fn is_write(action: Option<Action>) -> bool {
    action == ATTACH || action == DETACH
}

/// A guarantee that the checks verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// I1: no `detached` or `already_detached` unless a complete list without the group was served to this delivery,
    /// and after it a record that was not `Pending`; without modeled lag, the group was actually absent.
    Confirmed,
    /// I2: every accepted request ends in exactly one outcome, or its message is in a queue. The opposite outcome
    /// follows only after a second delivery and a change. No message is deleted without its event or copy.
    OneOutcome,
    /// I3: never two writes on one endpoint within a lane while a process waits for the response to the first.
    OneWrite,
    /// I4: never a Detach of the last group if the latest read showed that it is the last.
    LastGroup,
    /// I5: no call about a pair of endpoint and group that no request of the batch names; no real write for a dry run or
    /// in a deployment that makes dry runs only; every event says how its request was carried out.
    RequestedOnly,
    /// I6: for the head of a lane, while AWS works, an outcome no later than deadline, one poll and one visibility
    /// timeout.
    OnTime,
    /// I7: no credential in log, event, dead letter or response.
    NoSecret,
    /// I8: calls and time of an invocation are bounded, and so are the deliveries of a message.
    BoundedCalls,
    /// I9: every other outcome is based on what was served: no `refused` without a definite error, no `unconfirmed`
    /// before the deadline.
    Justified,
    /// I10: every write directly follows a complete read, before its deadline by a correct clock.
    ReadFirst,
    /// I11: one client token while the outcome of a call is unknown, then a new one; the caller's own first, and once.
    Tokens,
    /// I12: no call before the minimum back-off, or before the time that the service requested; a message returns to the
    /// queue until then.
    Pauses,
    /// I13: in a lane of a FIFO queue no request ends before one that was sent earlier.
    Order,
    /// R1: no group is attached but the configured replacement of the endpoint's VPC, and never the requested group.
    ReplacementConfigured,
    /// R2: an Attach only after a complete list of the same delivery that shows the requested group alone; a Detach
    /// that leaves only the replacement comes after a list that shows the replacement attached, or two such lists if
    /// this delivery called Attach.
    ReplacementNeeded,
    /// R3: no endpoint is without a group at any moment, even where the service does not refuse to detach the last one.
    NeverEmpty,
    /// R4: an event names the replacement if and only if its delivery read it on the endpoint, had its Attach accepted
    /// or had the dry run of one passed.
    ReplacementReported,
    /// S1: a sweep requests every reference that is not blocked, or nothing; never more than `max_detaches`, and nothing in
    /// mode `report`, in a deployment of dry runs, or where apply is not allowed.
    SweepLimit,
    /// S2: a sweep requests nothing outside its regions, filter and groups, nothing protected, and not an endpoint's last
    /// group.
    SweepScope,
    /// S3: no request and no verdict but `incomplete` unless every list and every endpoint of the scope was read.
    SweepComplete,
    /// S4: `no_references` only if no endpoint of the scope used a group when its list was last read.
    SweepUnused,
    /// S5: a sweep that is not killed publishes one event, which says what it did, and returns the same.
    SweepReported,
    /// S6: the requests of a sweep have its trigger and its id, and their ids depend on nothing but sweep, region, endpoint
    /// and group.
    SweepRequests,
    /// S7: a sweep only reads, in its regions, within its share of the quotas and its time.
    SweepReads,
    /// L1: after the faults stop, every request ends within a time limit.
    Ends,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Confirmed => "I1 confirmed",
            Self::OneOutcome => "I2 one outcome",
            Self::OneWrite => "I3 one write at a time",
            Self::LastGroup => "I4 last group",
            Self::RequestedOnly => "I5 requested only",
            Self::OnTime => "I6 on time",
            Self::NoSecret => "I7 no secret",
            Self::BoundedCalls => "I8 bounded calls",
            Self::Justified => "I9 justified",
            Self::ReadFirst => "I10 read first",
            Self::Tokens => "I11 tokens",
            Self::Pauses => "I12 pauses",
            Self::Order => "I13 order",
            Self::ReplacementConfigured => "R1 configured only",
            Self::ReplacementNeeded => "R2 last group only",
            Self::NeverEmpty => "R3 never without a group",
            Self::ReplacementReported => "R4 replacement reported",
            Self::SweepLimit => "S1 limit of a sweep",
            Self::SweepScope => "S2 scope of a sweep",
            Self::SweepComplete => "S3 complete sweep",
            Self::SweepUnused => "S4 unused",
            Self::SweepReported => "S5 sweep reported",
            Self::SweepRequests => "S6 requests of a sweep",
            Self::SweepReads => "S7 sweeps only read",
            Self::Ends => "L1 ends",
        })
    }
}

/// A broken guarantee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    pub guarantee: Guarantee,
    /// What broke it, as one sentence.
    pub how: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.guarantee, self.how)
    }
}

/// Returns the first guarantee that a history breaks, if any.
pub(crate) fn check(history: &History) -> Result<(), Breach> {
    let facts = Facts::of(history);
    // First: what a sweep does wrong is better named by its own checks than by those of its requests.
    sweeps::check(&facts)?;
    replacements::check(&facts)?;
    confirmed::check(&facts)?;
    outcomes::check(&facts)?;
    calls::check(&facts)?;
    justified::check(&facts)?;
    steps::check(&facts)?;
    redeliveries::check(&facts)?;
    bounds::check(&facts)?;
    secrets::check(&facts)
}

/// The result of a check whose guarantee is broken.
fn breach<T>(guarantee: Guarantee, how: impl Into<String>) -> Result<T, Breach> {
    Err(Breach { guarantee, how: how.into() })
}
