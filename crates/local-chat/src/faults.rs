//! Faults to inject into the next calls of an API method.
//!
//! This module only stores the plan. The code that carries out calls takes the fault of each call and applies it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

/// A fault injected into a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The call is not carried out; the response is the platform's error with this code, in Slack a status 200 with
    /// `"ok": false`.
    Error(String),
    /// The call is not carried out; the response is this one.
    Response { status: u16, headers: Vec<(String, String)>, body: String },
    /// The call is not carried out, and no response is sent.
    Hang,
    /// The call is carried out, but the connection is closed before the response.
    ResponseLost,
    /// The call is carried out, and its response is sent after this time.
    Slow(Duration),
}

/// The planned faults per method, in the order in which they apply.
#[derive(Clone, Debug, Default)]
pub struct Faults(BTreeMap<String, VecDeque<Fault>>);

impl Fault {
    /// A response with this status and a page of HTML, as a gateway sends it.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Response {
            status,
            headers: vec![("content-type".to_owned(), "text/html".to_owned())],
            body: "<!DOCTYPE html><html><body>Something went wrong</body></html>".to_owned(),
        }
    }

    /// A response with the status 429 that asks the caller to wait for this number of seconds.
    #[must_use]
    pub fn rate_limited(seconds: u32) -> Self {
        Self::Response {
            status: 429,
            headers: vec![
                ("content-type".to_owned(), "application/json; charset=utf-8".to_owned()),
                ("retry-after".to_owned(), seconds.to_string()),
            ],
            body: r#"{"ok":false,"error":"ratelimited"}"#.to_owned(),
        }
    }
}

impl Faults {
    /// Injects `fault` into the next `calls` calls of `method`, after those planned before.
    pub fn plan(&mut self, method: &str, calls: usize, fault: Fault) {
        self.0.entry(method.to_owned()).or_default().extend(std::iter::repeat_n(fault, calls));
    }

    /// Removes and returns the fault for the current call, if one is planned.
    pub fn take(&mut self, method: &str) -> Option<Fault> {
        self.0.get_mut(method)?.pop_front()
    }

    /// Removes all planned faults.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether no planned fault is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.values().all(VecDeque::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_taken_per_method_in_the_planned_order() {
        let mut faults = Faults::default();
        faults.plan("chat.update", 2, Fault::status(500));
        faults.plan("chat.update", 1, Fault::Hang);

        assert_eq!(faults.take("chat.postMessage"), None);
        let taken: Vec<_> = (0..4).map(|_| faults.take("chat.update")).collect();

        assert_eq!(taken, [Some(Fault::status(500)), Some(Fault::status(500)), Some(Fault::Hang), None]);
        assert!(faults.is_empty());
    }
}
