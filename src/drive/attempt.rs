//! What the loop needs to know about one delivery of a request.

use super::deadline::Deadline;
use super::observer::Observer;
use crate::request::{DetachRequest, Replacements, RequestId};

/// One delivery of a valid request.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    pub request: &'a DetachRequest,
    /// The groups that may be attached in place of an endpoint's last one.
    pub replacements: &'a Replacements,
    /// The name of the request in its events.
    pub request_id: &'a RequestId,
    pub observer: &'a dyn Observer,
    pub is_first_delivery: bool,
    pub deadline: Deadline,
}
