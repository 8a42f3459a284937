//! One batch of the request queue: lanes, hand-backs, and what is reported as failed.
//!
//! Lanes run side by side, a lane runs in order. A lane stops at its first message that is not finished, and all of
//! the rest goes back with the same visibility timeout: a later message must neither overtake nor block the lane
//! for longer than the one before it.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tracing::{Instrument, error, info, warn};

use crate::alibaba::transport::Transport;
use crate::worker::bus::Bus;
use crate::worker::queue::{Delivery, Queue};
use crate::worker::{Invocation, Received, Worker};

/// Works through a batch; the ids of the messages that were handed back, lane by lane.
pub async fn run<T: Transport, Q: Queue, B: Bus>(
    worker: &Worker<T, Q, B>,
    deliveries: Vec<Delivery>,
    invocation: &Invocation,
) -> Vec<String> {
    let received = deliveries.into_iter().map(|delivery| worker.receive(delivery)).collect();
    let lanes = lanes(received).into_iter().map(|lane| run_lane(worker, lane, invocation));
    join_all(lanes).await.concat()
}

async fn run_lane<T: Transport, Q: Queue, B: Bus>(
    worker: &Worker<T, Q, B>,
    lane: Vec<Received>,
    invocation: &Invocation,
) -> Vec<String> {
    for (index, received) in lane.iter().enumerate() {
        let span = received.span(invocation);
        // State that outlives a message is a region's pause, the share that is used, and a random number: none breaks
        // half-way.
        let handled = AssertUnwindSafe(worker.handle(received, invocation)).catch_unwind();
        let hand_back = match handled.instrument(span.clone()).await {
            Ok(Ok(())) => continue,
            Ok(Err(hand_back)) => hand_back,
            Err(_) => span.in_scope(|| {
                error!("a panic stopped this lane");
                worker.hand_back(received, "a panic stopped its lane", invocation)
            }),
        };
        let visibility_s = hand_back.visibility.as_secs_f64();
        for follower in &lane[index + 1..] {
            follower
                .span(invocation)
                .in_scope(|| info!(visibility_s, "handed back, untouched, behind another"));
        }
        let rest: Vec<Delivery> = lane.into_iter().skip(index).map(|received| received.delivery).collect();
        if let Err(fault) = worker.queue().hand_back(&rest, hand_back.visibility).await {
            span.in_scope(|| warn!("this lane comes back after the queue's own visibility timeout: {fault}"));
        }
        return rest.into_iter().map(|delivery| delivery.message_id).collect();
    }
    Vec::new()
}

/// The lanes of a batch, each in the batch's order. Messages share one if they have the same message group or name
/// the same endpoint, directly or through others.
fn lanes(received: Vec<Received>) -> Vec<Vec<Received>> {
    let mut lanes: Vec<Vec<(usize, Received)>> = Vec::new();
    for (index, received) in received.into_iter().enumerate() {
        let is_related =
            |lane: &Vec<(usize, Received)>| lane.iter().any(|(_, other)| share_lane(other, &received));
        let (related, others): (Vec<_>, Vec<_>) = lanes.into_iter().partition(is_related);
        let mut lane: Vec<_> = related.into_iter().flatten().collect();
        lane.push((index, received));
        lane.sort_by_key(|(index, _)| *index);
        lanes = others;
        lanes.push(lane);
    }
    lanes.into_iter().map(|lane| lane.into_iter().map(|(_, received)| received).collect()).collect()
}

fn share_lane(one: &Received, other: &Received) -> bool {
    fn endpoint(received: &Received) -> Option<&crate::request::EndpointId> {
        match &received.request {
            Ok(request) => Some(&request.endpoint_id),
            Err(rejection) => rejection.endpoint_id.as_ref(),
        }
    }
    let is_same_group =
        one.delivery.message_group.is_some() && one.delivery.message_group == other.delivery.message_group;
    is_same_group || (endpoint(one).is_some() && endpoint(one) == endpoint(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{DetachRequest, Rules, Trigger};

    fn received(message_id: &str, group: Option<&str>, endpoint: Option<&str>) -> Received {
        let body = endpoint.map(|endpoint| {
            serde_json::json!({ "region_id": "eu-west-1", "endpoint_id": endpoint, "security_group_id": "sg-a" })
        });
        let body = body.map_or("not JSON".to_owned(), |body| body.to_string());
        let request = DetachRequest::parse(&body, &Rules::default());
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
        };
        Received { delivery, request }
    }

    fn shape(received: Vec<Received>) -> Vec<String> {
        let ids = |lane: Vec<Received>| lane.into_iter().map(|r| r.delivery.message_id).collect::<String>();
        let mut lanes: Vec<_> = lanes(received).into_iter().map(ids).collect();
        lanes.sort();
        lanes
    }

    #[test]
    fn a_group_or_an_endpoint_makes_a_lane() {
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
    fn lanes_that_a_later_message_connects_are_one_in_the_batchs_order() {
        let connected = vec![
            received("a", Some("1"), Some("ep-a")),
            received("b", Some("2"), Some("ep-b")),
            received("c", Some("3"), Some("ep-c")),
            received("d", Some("2"), Some("ep-a")),
        ];
        assert_eq!(shape(connected), ["abd", "c"]);
    }
}
