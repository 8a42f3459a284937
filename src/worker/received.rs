//! A delivery with its parsed body, and the name and the log span of its request.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::{Span, error_span};

use super::context::Context;
use crate::aws::sqs_event::Delivery;
use crate::request::{EndpointId, Parsed, RequestId, SecurityGroupId, Subject};

/// A delivery with its parsed body.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) delivery: Delivery,
    /// `None` if the message could not be read: it returns to the queue.
    pub(super) parsed: Option<Parsed>,
}

impl Received {
    /// Parses the body of a delivery. A missing body is parsed like an empty one.
    ///
    /// A panic in `parse` concerns this message alone: without this boundary it would end the whole batch, again and again.
    pub(super) fn new(delivery: Delivery, parse: impl FnOnce(&str) -> Parsed) -> Self {
        let body = delivery.body.as_deref().unwrap_or_default();
        let parsed =
            if delivery.is_readable { catch_unwind(AssertUnwindSafe(|| parse(body))).ok() } else { None };
        Self { delivery, parsed }
    }

    /// The fields that the body names, if it could be read.
    pub(super) fn subject(&self) -> Option<&Subject> {
        self.parsed.as_ref().map(|parsed| &parsed.subject)
    }

    /// The name of the request: its own, the one that a dead-letter copy kept, or the message's.
    pub(super) fn request_id(&self) -> RequestId {
        let named = self.subject().and_then(|subject| subject.request_id.as_ref());
        let named = named.or(self.delivery.request_id.as_ref());
        named.cloned().unwrap_or_else(|| RequestId::from_source(&self.delivery.message_id))
    }

    /// The span of every log line about this message.
    pub(super) fn span(&self, context: &Context<'_>) -> Span {
        let unknown = Subject::default();
        request_span(&self.request_id(), self.subject().unwrap_or(&unknown), context)
    }
}

/// The span of every log line about a request.
pub(super) fn request_span(request_id: &RequestId, subject: &Subject, context: &Context<'_>) -> Span {
    error_span!(
        "request",
        request_id = request_id.as_str(),
        endpoint_id = subject.endpoint_id.as_ref().map(EndpointId::as_str),
        security_group_id = subject.security_group_id.as_ref().map(SecurityGroupId::as_str),
        lambda_request_id = context.invocation.lambda_request_id,
        xray_trace_id = context.invocation.xray_trace_id,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Rules, Trigger, parse};

    fn delivery(body: Option<&str>) -> Delivery {
        Delivery {
            message_id: "m".to_owned(),
            receipt_handle: String::new(),
            body: body.map(str::to_owned),
            message_group: None,
            receive_count: 1,
            sent_at: None,
            first_received_at: None,
            trigger: Trigger::Queue,
            request_id: None,
            is_readable: true,
        }
    }

    #[test]
    fn panic_while_a_body_is_parsed_stays_with_its_message() {
        let received = Received::new(delivery(Some("{}")), |_| panic!("cursed"));
        assert!(received.parsed.is_none());
        assert_eq!(received.request_id().as_str(), "m");
    }

    #[test]
    fn missing_body_is_parsed_like_an_empty_one() {
        let read = |body| Received::new(delivery(body), |body| parse(body, &Rules::default())).parsed;
        assert_eq!(read(None), read(Some("")));
    }
}
