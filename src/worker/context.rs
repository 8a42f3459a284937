//! What every part of the worker needs to know of the invocation.

use crate::drive::time_budget::Run;
use crate::lambda::Invocation;

/// One invocation of the worker, with the time that it may use.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) invocation: &'a Invocation,
    pub(super) run: Run,
}
