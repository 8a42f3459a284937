//! Carries out the steps of one notice: sends each call once, and returns its result.

use std::time::{Duration, Instant};

use crate::chat::post::{CallResult, End, NoResponse, Step};
use crate::clock::Clock;
use crate::transport::Transport;

/// Timeout of one call. Platforms respond within a second.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// A call begins only if at least this much time is left: less is not enough to open a connection and get a response.
const CALL_TIME_MIN: Duration = Duration::from_secs(1);

/// Maximum number of calls for one notice: for an access token, the call, for another token if that one is not accepted, the
/// call again, and two others in its place.
const CALLS_MAX: usize = 6;

/// Posts one notice, by the steps that `next` returns after each result. No call lasts longer than `until`.
pub(super) async fn deliver(
    mut next: impl FnMut(Option<CallResult>) -> Step,
    transport: &impl Transport,
    until: Instant,
    clock: &Clock,
) -> End {
    let mut last = None;
    for _ in 0..CALLS_MAX {
        let request = match next(last) {
            Step::Call(request) => *request,
            Step::End(end) => return end,
        };
        let left = clock.left(until);
        if left < CALL_TIME_MIN {
            return retry("no time is left in this invocation");
        }
        // The texts of a lost connection contain neither the address nor a header.
        let result = transport.send(request, left.min(CALL_TIMEOUT)).await;
        last = Some(result.map_err(|error| NoResponse {
            why: error.to_string(),
            was_sent: error.cause.is_none_or(|cause| !cause.class.is_without_connection()),
        }));
    }
    match next(last) {
        Step::End(end) => end,
        Step::Call(_) => retry("the notice takes more calls than one delivery may make"),
    }
}

fn retry(why: &str) -> End {
    End::Retry { why: why.to_owned(), after: None }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use bytes::Bytes;

    use super::*;
    use crate::transport::cause::{Cause, CauseClass};
    use crate::transport::{NoResponse, SendError};

    /// Records the timeout of every call. Responds after `takes`, or not in time.
    struct Recorder {
        takes: Duration,
        timeouts: RefCell<Vec<Duration>>,
    }

    impl Transport for Recorder {
        async fn send(
            &self,
            _: http::Request<Bytes>,
            timeout: Duration,
        ) -> Result<http::Response<Bytes>, SendError> {
            self.timeouts.borrow_mut().push(timeout);
            let clock = Clock::start();
            clock.sleep_until(clock.now() + self.takes.min(timeout)).await;
            let is_in_time = self.takes < timeout;
            is_in_time.then(|| http::Response::new(Bytes::new())).ok_or(NoResponse::Timeout.into())
        }
    }

    fn recorder(takes: Duration) -> Recorder {
        Recorder { takes, timeouts: RefCell::default() }
    }

    fn call() -> Step {
        Step::Call(Box::new(http::Request::new(Bytes::new())))
    }

    #[tokio::test(start_paused = true)]
    async fn results_of_calls_are_returned_until_the_end() {
        let (clock, transport) = (Clock::start(), recorder(Duration::ZERO));
        let mut results = Vec::new();
        let next = |last: Option<CallResult>| {
            results.push(last.map(|result| result.map(|response| response.status().as_u16())));
            if results.len() < 3 { call() } else { Step::End(End::Posted) }
        };
        let end = deliver(next, &transport, clock.now() + Duration::from_secs(20), &clock).await;
        assert_eq!((end, results), (End::Posted, vec![None, Some(Ok(200)), Some(Ok(200))]));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_end_with_the_time_of_the_invocation() {
        let (clock, transport) = (Clock::start(), recorder(Duration::from_mins(1)));
        let until = clock.now() + Duration::from_millis(7_500);
        let mut errors = Vec::new();
        let next = |last: Option<CallResult>| {
            errors.extend(last.and_then(Result::err).map(|error| error.why));
            call()
        };
        let end = deliver(next, &transport, until, &clock).await;
        assert_eq!(end, retry("no time is left in this invocation"));
        let milliseconds: Vec<_> = transport.timeouts.into_inner().iter().map(Duration::as_millis).collect();
        assert_eq!(milliseconds, [5_000, 2_500]);
        assert_eq!(errors, ["Timeout", "Timeout"]);
        assert_eq!(clock.now(), until);
    }

    /// Sends nothing: no connection can be opened.
    struct Unconnected(CauseClass);

    impl Transport for Unconnected {
        async fn send(
            &self,
            _: http::Request<Bytes>,
            _: Duration,
        ) -> Result<http::Response<Bytes>, SendError> {
            let cause = Some(Cause { class: self.0, text: String::new() });
            Err(SendError { why: NoResponse::ConnectionLost, cause })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn call_without_a_connection_is_known_not_to_be_sent() {
        let clock = Clock::start();
        for (class, was_sent) in
            [(CauseClass::Refused, false), (CauseClass::Dns, false), (CauseClass::Reset, true)]
        {
            let mut sent = None;
            let next = |last: Option<CallResult>| {
                let Some(result) = last else { return call() };
                sent = result.err().map(|error| error.was_sent);
                Step::End(End::Posted)
            };
            deliver(next, &Unconnected(class), clock.now() + Duration::from_secs(9), &clock).await;
            assert_eq!(sent, Some(was_sent), "{class:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn number_of_calls_is_limited() {
        let (clock, transport) = (Clock::start(), recorder(Duration::ZERO));
        let end = deliver(|_| call(), &transport, clock.now() + Duration::from_mins(1), &clock).await;
        assert!(matches!(end, End::Retry { after: None, .. }), "{end:?}");
        assert_eq!(transport.timeouts.into_inner().len(), CALLS_MAX);
    }
}
