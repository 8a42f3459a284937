//! One batch of the request queue: its lanes, and which messages are reported as failed.
//!
//! Lanes run side by side; a lane runs in order. A lane stops at its first message that is not finished; that message
//! and the rest of the lane return to the queue.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tracing::{Instrument, error};

use super::Worker;
use super::context::Context;
use super::queue::Queue;
use super::received::Received;
use crate::aws::bus::Bus;
use crate::aws::sqs_event::Delivery;
use crate::request;
use crate::transport::Transport;

/// Processes a batch; returns the ids of the messages that were returned to the queue, lane by lane.
pub(super) async fn run<T: Transport, Q: Queue, B: Bus>(
    worker: &Worker<T, Q, B>,
    deliveries: Vec<Delivery>,
    context: &Context<'_>,
) -> Vec<String> {
    let parse = |body: &str| request::parse(body, &worker.settings.rules);
    let received = deliveries.into_iter().map(|delivery| Received::new(delivery, parse)).collect();
    let lanes = lanes(received).into_iter().map(|lane| run_lane(worker, lane, context));
    join_all(lanes).await.concat()
}

async fn run_lane<T: Transport, Q: Queue, B: Bus>(
    worker: &Worker<T, Q, B>,
    lane: Vec<Received>,
    context: &Context<'_>,
) -> Vec<String> {
    for (index, received) in lane.iter().enumerate() {
        let span = received.span(context);
        // State that outlives a message is a region's throttle, the used share of the quota, whether there are credentials, and
        // a random number: none of them is left half-changed by a panic.
        let handled = AssertUnwindSafe(worker.handle(received, context)).catch_unwind();
        let deferral = match handled.instrument(span.clone()).await {
            Ok(Ok(())) => continue,
            Ok(Err(deferral)) => deferral,
            Err(_) => span.in_scope(|| {
                error!("a panic stopped this lane; its messages return to the queue");
                worker.defer(received, None, "a panic stopped its lane", context)
            }),
        };
        let rest = lane.into_iter().skip(index).collect();
        return worker.return_lane(rest, deferral, context).await;
    }
    Vec::new()
}

/// The lanes of a batch, each in the batch's order. Messages share a lane if they have the same message group or name the
/// same endpoint, directly or through other messages.
fn lanes(received: Vec<Received>) -> Vec<Vec<Received>> {
    let mut lanes: Vec<Vec<(usize, Received)>> = Vec::new();
    for (index, received) in received.into_iter().enumerate() {
        let is_same_lane =
            |lane: &Vec<(usize, Received)>| lane.iter().any(|(_, other)| share_lane(other, &received));
        let (joined, others): (Vec<_>, Vec<_>) = lanes.into_iter().partition(is_same_lane);
        let mut lane: Vec<_> = joined.into_iter().flatten().collect();
        lane.push((index, received));
        lane.sort_by_key(|(index, _)| *index);
        lanes = others;
        lanes.push(lane);
    }
    lanes.into_iter().map(|lane| lane.into_iter().map(|(_, received)| received).collect()).collect()
}

fn share_lane<'a>(one: &'a Received, other: &'a Received) -> bool {
    let (group, other_group) = (&one.delivery.message_group, &other.delivery.message_group);
    let endpoint_of = |received: &'a Received| received.subject()?.endpoint_id.as_ref();
    let (endpoint, other_endpoint) = (endpoint_of(one), endpoint_of(other));
    (group.is_some() && group == other_group) || (endpoint.is_some() && endpoint == other_endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Rules, Trigger};

    fn received(message_id: &str, group: Option<&str>, endpoint: Option<&str>) -> Received {
        let body = endpoint.map(|endpoint| {
            serde_json::json!({ "region_id": "eu-west-1", "endpoint_id": endpoint, "security_group_id": "sg-a" })
        });
        let body = body.map_or("not JSON".to_owned(), |body| body.to_string());
        let delivery = Delivery {
            message_id: message_id.to_owned(),
            receipt_handle: String::new(),
            body: Some(body),
            message_group: group.map(str::to_owned),
            receive_count: 1,
            sent_at: None,
            first_received_at: None,
            trigger: Trigger::Queue,
            request_id: None,
            is_readable: true,
        };
        Received::new(delivery, |body| request::parse(body, &Rules::default()))
    }

    fn shape(received: Vec<Received>) -> Vec<String> {
        let ids = |lane: Vec<Received>| lane.into_iter().map(|r| r.delivery.message_id).collect::<String>();
        let mut lanes: Vec<_> = lanes(received).into_iter().map(ids).collect();
        lanes.sort();
        lanes
    }

    #[test]
    fn messages_of_one_group_or_endpoint_share_a_lane() {
        assert_eq!(shape(vec![]), Vec::<String>::new());
        let by_group = vec![
            received("a", Some("1"), Some("ep-a")),
            received("b", Some("2"), Some("ep-b")),
            received("c", Some("1"), None),
        ];
        assert_eq!(shape(by_group), ["ac", "b"]);
        let standard = vec![
            received("a", None, Some("ep-a")),
            received("b", None, None),
            received("c", None, Some("ep-a")),
            received("d", None, None),
        ];
        assert_eq!(shape(standard), ["ac", "b", "d"]);
    }

    #[test]
    fn lanes_that_a_later_message_connects_are_merged_in_batch_order() {
        let connected = vec![
            received("a", Some("1"), Some("ep-a")),
            received("b", Some("2"), Some("ep-b")),
            received("c", Some("3"), Some("ep-c")),
            received("d", Some("2"), Some("ep-a")),
        ];
        assert_eq!(shape(connected), ["abd", "c"]);
    }
}
