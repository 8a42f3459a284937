//! A delivery with its parsed body, and the name and the log span of its request.

use tracing::{Span, info_span};

use super::context::Context;
use super::queue::Delivery;
use crate::request::{EndpointId, Parsed, RequestId, SecurityGroupId, Subject};

/// A delivery with its parsed body.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) delivery: Delivery,
    pub(super) parsed: Parsed,
}

impl Received {
    /// The name of the request: its own, the one that a dead-letter copy kept, or the message's.
    pub(super) fn request_id(&self) -> RequestId {
        let named = self.parsed.subject.request_id.as_ref().or(self.delivery.request_id.as_ref());
        named.cloned().unwrap_or_else(|| RequestId::from_source(&self.delivery.message_id))
    }

    /// The span of every log line about this message.
    pub(super) fn span(&self, context: &Context<'_>) -> Span {
        request_span(&self.request_id(), &self.parsed.subject, context)
    }
}

/// The span of every log line about a request.
pub(super) fn request_span(request_id: &RequestId, subject: &Subject, context: &Context<'_>) -> Span {
    info_span!(
        "request",
        request_id = request_id.as_str(),
        endpoint_id = subject.endpoint_id.as_ref().map(EndpointId::as_str),
        security_group_id = subject.security_group_id.as_ref().map(SecurityGroupId::as_str),
        lambda_request_id = context.invocation.lambda_request_id,
        xray_trace_id = context.invocation.xray_trace_id,
    )
}
