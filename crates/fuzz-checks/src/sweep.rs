//! A sweep request, the payload of an invocation of the sweeper.

use privatelink_detach::alibaba::privatelink::{EndpointFilter, TAGS_MAX};
use privatelink_detach::completion::sweep::Mode;
use privatelink_detach::request::DEADLINE_SECONDS;
use privatelink_detach::sweep::{REGIONS_MAX, SECURITY_GROUPS_MAX};
use privatelink_detach::sweeper::request::{self, InvalidSweep, SweepRequest};
use serde_json::Value;

use crate::memory::{Bound, bounded};
use crate::request::rules;
use crate::text::{assert_tame, assert_without};

/// As for a request.
const MEMORY: Bound = Bound { base: 16 * 1024, per_byte: 32 };

/// Most characters of all errors: 21, each with a name of at most 64 characters that may need ten to be shown.
const ERRORS_LENGTH_MAX: usize = 21 * (640 + 128);

/// Most bytes of `metadata` as JSON.
const METADATA_BYTES_MAX: usize = 768;

/// An unknown name that the dictionary contains, and that no log may repeat.
const UNKNOWN: &str = "s3cret";

pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let rules = rules();
    match bounded(&MEMORY, text.len(), || request::parse(text, &rules)) {
        Ok(request) => {
            let regions = request.region_ids.iter();
            assert!(regions.clone().all(|region| rules.allowed_regions.contains(region)), "{request:?}");
            check_request(&request, text);
        }
        Err(invalid) => check_invalid(&invalid),
    }
}

fn check_request(request: &SweepRequest, text: &str) {
    assert!((1..=SECURITY_GROUPS_MAX).contains(&request.security_group_ids.len()), "{request:?}");
    assert!((1..=REGIONS_MAX).contains(&request.region_ids.len()), "{request:?}");
    assert!(request.filter.tags.len() <= TAGS_MAX, "{request:?}");
    assert!(request.mode == Mode::Report || request.max_detaches.is_some(), "{request:?}");
    assert!(request.deadline.is_none_or(|deadline| DEADLINE_SECONDS.contains(&deadline.as_secs())));
    assert!(serde_json::to_string(&request.metadata).expect("JSON").len() <= METADATA_BYTES_MAX);
    // The whole scope is read only if the sender says so, and detaches are requested only if it says so.
    let value: Value = serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)).expect("JSON");
    assert_eq!(request.filter == EndpointFilter::default(), value["scope"] == "all", "{request:?}");
    assert_eq!(request.mode == Mode::Apply, value["mode"] == "apply", "{request:?}");
}

fn check_invalid(invalid: &InvalidSweep) {
    let (shown, logged) = (invalid.to_string(), invalid.logged());
    assert!(!shown.is_empty() && !logged.is_empty());
    for text in [&shown, &logged] {
        assert_tame(text, ERRORS_LENGTH_MAX);
    }
    assert_without(&logged, &[UNKNOWN]);
}
