//! The promises, each a check of its own that looks at a history from outside: at what was served, published, copied and
//! deleted, and at what was true. Nothing here asks the worker's own code what it thinks.

mod bounds;
mod calls;
mod facts;
mod justified;
mod outcomes;
mod proof;
mod secrets;
mod steps;

use std::fmt;

use crate::history::History;
pub use bounds::{DETACHES_MAX, LOOKS_MAX};
pub use facts::{Call, Facts, Publication, Run};

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// No `detached` or `already_detached` without a complete list that lacks the group, followed by a record that is not
    /// `Pending`, both truly served to the delivery that says so; and without modelled lag the group was truly absent.
    Proof,
    /// Every accepted request ends in exactly one outcome, which only a crash, together with a change, may turn into its
    /// opposite; or its message is in a queue. Nothing leaves the queue unanswered.
    Outcome,
    /// Never two unanswered Detach calls on one endpoint within a lane.
    OneWrite,
    /// Never a Detach that takes the last group, if one look could have told.
    LastGroup,
    /// No call about a pair that nobody asked for.
    AskedFor,
    /// For the head of a lane, with AWS healthy, an outcome no later than the deadline, one poll, and one visibility
    /// timeout.
    InTime,
    /// No secret in any output.
    NoSecret,
    /// The calls of a request are bounded.
    Bounded,
    /// Every other outcome rests on what was served, too: no refusal without a definite no, no end before its time.
    Justified,
    /// Every Detach follows a complete look, at once, before its deadline.
    LookFirst,
    /// One token for as long as the outcome of a call is unknown, and then another; the caller's own first, and once.
    Tokens,
    /// No call before a back-off's floor, or before the time that the service asked for has passed.
    Pauses,
    /// In a lane of a FIFO queue nothing ends before what was sent before it.
    Order,
    /// Once faults stop, everything ends within a bound.
    Ends,
}

impl fmt::Display for Promise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Proof => "I1 proof",
            Self::Outcome => "I2 one outcome",
            Self::OneWrite => "I3 one write at a time",
            Self::LastGroup => "I4 last group",
            Self::AskedFor => "I5 asked for",
            Self::InTime => "I6 in time",
            Self::NoSecret => "I7 no secret",
            Self::Bounded => "I8 bounded calls",
            Self::Justified => "I9 justified",
            Self::LookFirst => "I10 look first",
            Self::Tokens => "I11 tokens",
            Self::Pauses => "I12 pauses",
            Self::Order => "I13 order",
            Self::Ends => "L1 ends",
        })
    }
}

/// A promise that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub promise: Promise,
    /// How, in a sentence.
    pub how: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.promise, self.how)
    }
}

/// The first promise that a history breaks, if it breaks one.
pub(crate) fn check(history: &History) -> Result<(), Breach> {
    let facts = Facts::of(history);
    proof::check(&facts)?;
    outcomes::check(&facts)?;
    calls::check(&facts)?;
    justified::check(&facts)?;
    steps::check(&facts)?;
    bounds::check(&facts)?;
    secrets::check(&facts)
}

/// A check's way to say that its promise was broken.
fn breach<T>(promise: Promise, how: impl Into<String>) -> Result<T, Breach> {
    Err(Breach { promise, how: how.into() })
}
