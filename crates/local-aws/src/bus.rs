//! A model of EventBridge from a publisher's point of view: `PutEvents` and the accepted events.
//!
//! No clock, no I/O. Rules, targets and archives are not modeled: accepted events are stored in order.

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::faults::Faults;

/// The maximum number of entries in a call. Source: EventBridge API reference, `PutEvents`.
pub const ENTRIES_MAX: usize = 10;

/// The maximum total size of the entries in a call, in bytes, calculated as in the EventBridge user guide
/// ("Calculating `PutEvents` event entry size").
pub const ENTRIES_BYTES_MAX: usize = 1024 * 1024;

/// The size of a `Time` value in the calculation, regardless of its length.
const TIME_BYTES: usize = 14;

/// The event buses of one account in one region, and every event they accepted.
#[derive(Clone, Debug)]
pub struct Bus {
    names: BTreeSet<String>,
    on_unknown: UnknownBus,
    events: Vec<Event>,
    faults: Faults,
}

/// The handling of an event for a bus that does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownBus {
    /// The event gets an event id and is discarded, as on AWS.
    #[default]
    Discard,
    /// The entry fails with `ResourceNotFoundException`.
    Reject,
}

/// An event that a bus accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event id that the publisher received.
    pub id: String,
    pub bus: String,
    pub source: String,
    pub detail_type: String,
    /// The content; always an object.
    pub detail: Value,
    /// The content as the publisher wrote it, with its fields in their order.
    pub detail_text: String,
    /// The ARNs of the affected resources.
    pub resources: Vec<String>,
    /// The time at which the bus accepted the event.
    pub accepted_at: SystemTime,
}

/// An entry of a `PutEvents` call, in its JSON form.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Entry {
    /// The name or ARN of the bus. If absent, the default bus.
    pub event_bus_name: Option<String>,
    /// Required.
    pub source: Option<String>,
    /// Required.
    pub detail_type: Option<String>,
    /// Required: the JSON text of an object.
    pub detail: Option<String>,
    #[serde(default)]
    pub resources: Vec<String>,
    /// The publisher's time, in seconds since 1970. Used only in the calculation of the size.
    pub time: Option<f64>,
}

/// Why EventBridge refuses a whole call.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BusError {
    /// No entry, or more than ten.
    #[error(
        "1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length between 1 and {ENTRIES_MAX}, not {0}"
    )]
    EntryCount(usize),
    /// The total size of the entries is above the limit.
    #[error("Total size of the entries in the request is over the limit: {0} bytes.")]
    TooLarge(usize),
}

/// Why an entry failed although the call succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EntryError {
    #[error("Parameter {0} is not valid. Reason: {0} is a required argument.")]
    Missing(&'static str),
    #[error("Detail is malformed.")]
    MalformedDetail,
    /// The source is reserved for AWS's own services.
    #[error("Not authorized for the source.")]
    SourceReserved,
    /// The bus does not exist, and [`UnknownBus::Reject`] is set.
    #[error("Event bus {0} does not exist.")]
    UnknownBus(String),
    /// An injected fault.
    #[error("Unexpected error occurred. Please try again.")]
    InternalFailure,
}

impl EntryError {
    /// The error code in the entry's result.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "InvalidArgument",
            Self::MalformedDetail => "MalformedDetail",
            Self::SourceReserved => "NotAuthorizedForSourceException",
            Self::UnknownBus(_) => "ResourceNotFoundException",
            Self::InternalFailure => "InternalFailure",
        }
    }
}

impl Default for Bus {
    /// Only the default bus, as in a new account.
    fn default() -> Self {
        Self {
            names: BTreeSet::from(["default".to_owned()]),
            on_unknown: UnknownBus::default(),
            events: Vec::new(),
            faults: Faults::default(),
        }
    }
}

impl Bus {
    pub fn create(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    pub fn remove(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Whether the bus exists, as reported by `DescribeEventBus`.
    #[must_use]
    pub fn exists(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Sets the handling of an event for a bus that does not exist.
    pub fn on_unknown_bus(&mut self, on_unknown: UnknownBus) {
        self.on_unknown = on_unknown;
    }

    /// `PutEvents`: returns the event id or the error of each entry. The entry at position `failed_entry` fails with
    /// `InternalFailure`.
    pub fn put(
        &mut self,
        entries: &[Entry],
        failed_entry: Option<usize>,
        now: SystemTime,
    ) -> Result<Vec<Result<String, EntryError>>, BusError> {
        if !(1..=ENTRIES_MAX).contains(&entries.len()) {
            return Err(BusError::EntryCount(entries.len()));
        }
        let size = entries.iter().map(Entry::size).sum();
        if size > ENTRIES_BYTES_MAX {
            return Err(BusError::TooLarge(size));
        }
        let each = entries.iter().enumerate().map(|(position, entry)| {
            if failed_entry == Some(position) {
                Err(EntryError::InternalFailure)
            } else {
                self.accept(entry, now)
            }
        });
        Ok(each.collect())
    }

    /// Every accepted event of all buses, in the order of acceptance.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The faults to inject into the next calls. The code that serves this model applies them, not its methods.
    pub fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    fn accept(&mut self, entry: &Entry, now: SystemTime) -> Result<String, EntryError> {
        let source = required("Source", entry.source.as_deref())?;
        let detail_type = required("DetailType", entry.detail_type.as_deref())?;
        let detail = required("Detail", entry.detail.as_deref())?;
        if source.starts_with("aws.") {
            return Err(EntryError::SourceReserved);
        }
        let detail_text = detail.to_owned();
        let Ok(detail @ Value::Object(_)) = serde_json::from_str(detail) else {
            return Err(EntryError::MalformedDetail);
        };
        let bus = entry.event_bus_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
        // An ARN ends in `:event-bus/{name}`; a name contains no colon.
        let bus = bus.rsplit_once(":event-bus/").map_or(bus, |(_, name)| name);
        let id = format!("00000000-0000-4000-9000-{:012x}", self.events.len() + 1);
        if !self.names.contains(bus) {
            return match self.on_unknown {
                UnknownBus::Discard => Ok(id),
                UnknownBus::Reject => Err(EntryError::UnknownBus(bus.to_owned())),
            };
        }
        self.events.push(Event {
            id: id.clone(),
            bus: bus.to_owned(),
            source: source.to_owned(),
            detail_type: detail_type.to_owned(),
            detail,
            detail_text,
            resources: entry.resources.clone(),
            accepted_at: now,
        });
        Ok(id)
    }
}

impl Entry {
    fn size(&self) -> usize {
        let text = |field: &Option<String>| field.as_ref().map_or(0, String::len);
        self.time.map_or(0, |_| TIME_BYTES)
            + text(&self.source)
            + text(&self.detail_type)
            + text(&self.detail)
            + self.resources.iter().map(String::len).sum::<usize>()
    }
}

fn required<'a>(name: &'static str, value: Option<&'a str>) -> Result<&'a str, EntryError> {
    value.filter(|value| !value.is_empty()).ok_or(EntryError::Missing(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn entry(detail: &str) -> Entry {
        Entry {
            source: Some("privatelink-detach".to_owned()),
            detail_type: Some("Security Group Detach Completed".to_owned()),
            detail: Some(detail.to_owned()),
            ..Entry::default()
        }
    }

    fn put(bus: &mut Bus, entry: Entry) -> Result<String, EntryError> {
        bus.put(&[entry], None, NOW).unwrap().remove(0)
    }

    #[test]
    fn accepted_event_is_stored_completely() {
        let mut bus = Bus::default();
        bus.create("completions");
        let name = "arn:aws:events:eu-west-1:000000000000:event-bus/completions".to_owned();
        let id = put(&mut bus, Entry { event_bus_name: Some(name), ..entry(r#"{"n": 1}"#) }).unwrap();

        let expected = Event {
            id,
            bus: "completions".to_owned(),
            source: "privatelink-detach".to_owned(),
            detail_type: "Security Group Detach Completed".to_owned(),
            detail: json!({"n": 1}),
            detail_text: r#"{"n": 1}"#.to_owned(),
            resources: vec![],
            accepted_at: NOW,
        };
        assert_eq!(bus.events(), [expected]);
    }

    #[test]
    fn detail_other_than_an_object_fails_only_its_entry() {
        let mut bus = Bus::default();
        let entries = [entry("[]"), entry("{"), entry("{}"), entry("")];

        let codes: Vec<_> = bus.put(&entries, None, NOW).unwrap();
        let codes: Vec<_> =
            codes.iter().map(|result| result.as_ref().map_err(EntryError::code).err()).collect();

        assert_eq!(codes, [Some("MalformedDetail"), Some("MalformedDetail"), None, Some("InvalidArgument")]);
        assert_eq!(bus.events().len(), 1);
    }

    #[test]
    fn reserved_source_is_rejected() {
        let reserved = Entry { source: Some("aws.ec2".to_owned()), ..entry("{}") };
        assert_eq!(put(&mut Bus::default(), reserved), Err(EntryError::SourceReserved));
    }

    #[test]
    fn event_for_an_unknown_bus_is_accepted_and_discarded() {
        let mut bus = Bus::default();
        let unknown = Entry { event_bus_name: Some("missing".to_owned()), ..entry("{}") };

        assert!(put(&mut bus, unknown.clone()).is_ok());
        assert_eq!(bus.events(), []);

        bus.on_unknown_bus(UnknownBus::Reject);
        assert_eq!(put(&mut bus, unknown), Err(EntryError::UnknownBus("missing".to_owned())));
    }

    #[test]
    fn limits_apply_to_the_whole_call() {
        let mut bus = Bus::default();
        assert_eq!(bus.put(&[], None, NOW), Err(BusError::EntryCount(0)));
        assert_eq!(bus.put(&vec![entry("{}"); 11], None, NOW), Err(BusError::EntryCount(11)));
        let large = entry(&format!(r#"{{"x": "{}"}}"#, "x".repeat(ENTRIES_BYTES_MAX / 2)));
        assert!(matches!(bus.put(&[large.clone(), large], None, NOW), Err(BusError::TooLarge(_))));
        assert_eq!(bus.events(), []);
    }

    #[test]
    fn failed_entry_is_not_stored() {
        let mut bus = Bus::default();
        let results = bus.put(&[entry("{}"), entry("{}")], Some(0), NOW).unwrap();
        assert_eq!(results[0], Err(EntryError::InternalFailure));
        assert_eq!(bus.events().len(), 1);
    }
}
