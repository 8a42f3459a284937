//! A model of EventBridge as a publisher sees it: `PutEvents` and what came of it.
//!
//! No clock, no I/O. Rules, targets and archives are left out: accepted events are kept, in order, for whoever asks.

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::faults::Faults;

/// The most entries of one call. EventBridge API reference, `PutEvents`.
pub const ENTRIES_MAX: usize = 10;

/// The most bytes of all entries of one call, counted as the EventBridge user guide says ("Calculating `PutEvents` event
/// entry size").
pub const ENTRIES_BYTES_MAX: usize = 1024 * 1024;

/// What a time counts for in an entry's size, whatever its value.
const TIME_BYTES: usize = 14;

/// The buses of one account in one region, and every event they accepted.
#[derive(Clone, Debug)]
pub struct Bus {
    names: BTreeSet<String>,
    on_unknown: UnknownBus,
    events: Vec<Event>,
    faults: Faults,
}

/// What happens to an event for a bus that does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownBus {
    /// It gets an event id like any other and disappears, as AWS does.
    #[default]
    Swallow,
    /// The entry fails with `ResourceNotFoundException`.
    Refuse,
}

/// An event that a bus accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The id the publisher was given.
    pub id: String,
    /// The name of the bus.
    pub bus: String,
    /// Who published it.
    pub source: String,
    /// What kind of event it is.
    pub detail_type: String,
    /// The content: always an object.
    pub detail: Value,
    /// What it concerns, as ARNs.
    pub resources: Vec<String>,
    /// When the bus accepted it.
    pub accepted_at: SystemTime,
}

/// An entry of a `PutEvents` call, in its JSON form.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Entry {
    /// The bus by name or ARN; the default bus if absent.
    pub event_bus_name: Option<String>,
    /// Required.
    pub source: Option<String>,
    /// Required.
    pub detail_type: Option<String>,
    /// Required: the JSON text of an object.
    pub detail: Option<String>,
    /// ARNs.
    #[serde(default)]
    pub resources: Vec<String>,
    /// The publisher's time, in seconds since 1970; it only counts for the size.
    pub time: Option<f64>,
}

/// A call that EventBridge refuses as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BusError {
    /// No entry, or more than ten.
    #[error(
        "1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length between 1 and {ENTRIES_MAX}, not {0}"
    )]
    EntryCount(usize),
    /// All entries together are too large.
    #[error("Total size of the entries in the request is over the limit: {0} bytes.")]
    TooLarge(usize),
}

/// An entry that failed inside a call that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EntryError {
    /// A required argument is absent or empty.
    #[error("Parameter {0} is not valid. Reason: {0} is a required argument.")]
    Missing(&'static str),
    /// The detail is not the JSON text of an object.
    #[error("Detail is malformed.")]
    MalformedDetail,
    /// Only AWS's own services may use this source.
    #[error("Not authorized for the source.")]
    SourceReserved,
    /// The bus does not exist, and [`UnknownBus::Refuse`] is on.
    #[error("Event bus {0} does not exist.")]
    UnknownBus(String),
    /// A fault on demand.
    #[error("Unexpected error occurred. Please try again.")]
    InternalFailure,
}

impl EntryError {
    /// The code that the entry's result carries.
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
    /// The default bus alone, as in a new account.
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
    /// Adds a bus of this name.
    pub fn create(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    /// Takes a bus away.
    pub fn remove(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// `DescribeEventBus`, as far as it tells whether there is such a bus.
    #[must_use]
    pub fn exists(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Says what happens to an event for a bus that does not exist.
    pub fn on_unknown_bus(&mut self, on_unknown: UnknownBus) {
        self.on_unknown = on_unknown;
    }

    /// `PutEvents`: the event id or the failure of each entry. The entry at position `broken` fails as if the service
    /// had stumbled over it.
    pub fn put(
        &mut self,
        entries: &[Entry],
        broken: Option<usize>,
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
            if broken == Some(position) { Err(EntryError::InternalFailure) } else { self.accept(entry, now) }
        });
        Ok(each.collect())
    }

    /// Every accepted event, on whatever bus, in the order of acceptance.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The faults that coming calls will suffer. The calls of this model do not look at them: whoever serves it does.
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
        let Ok(detail @ Value::Object(_)) = serde_json::from_str(detail) else {
            return Err(EntryError::MalformedDetail);
        };
        let bus = entry.event_bus_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
        // An ARN ends in `:event-bus/{name}`; a name holds no colon.
        let bus = bus.rsplit_once(":event-bus/").map_or(bus, |(_, name)| name);
        let id = format!("00000000-0000-4000-9000-{:012x}", self.events.len() + 1);
        if !self.names.contains(bus) {
            return match self.on_unknown {
                UnknownBus::Swallow => Ok(id),
                UnknownBus::Refuse => Err(EntryError::UnknownBus(bus.to_owned())),
            };
        }
        self.events.push(Event {
            id: id.clone(),
            bus: bus.to_owned(),
            source: source.to_owned(),
            detail_type: detail_type.to_owned(),
            detail,
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
    fn accepted_event_is_kept_whole() {
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
            resources: vec![],
            accepted_at: NOW,
        };
        assert_eq!(bus.events(), [expected]);
    }

    #[test]
    fn detail_that_is_no_object_fails_its_entry_alone() {
        let mut bus = Bus::default();
        let entries = [entry("[]"), entry("{"), entry("{}"), entry("")];

        let codes: Vec<_> = bus.put(&entries, None, NOW).unwrap();
        let codes: Vec<_> =
            codes.iter().map(|result| result.as_ref().map_err(EntryError::code).err()).collect();

        assert_eq!(codes, [Some("MalformedDetail"), Some("MalformedDetail"), None, Some("InvalidArgument")]);
        assert_eq!(bus.events().len(), 1);
    }

    #[test]
    fn source_of_aws_is_refused() {
        let reserved = Entry { source: Some("aws.ec2".to_owned()), ..entry("{}") };
        assert_eq!(put(&mut Bus::default(), reserved), Err(EntryError::SourceReserved));
    }

    #[test]
    fn event_for_an_unknown_bus_looks_accepted_and_disappears() {
        let mut bus = Bus::default();
        let unknown = Entry { event_bus_name: Some("nowhere".to_owned()), ..entry("{}") };

        assert!(put(&mut bus, unknown.clone()).is_ok());
        assert_eq!(bus.events(), []);

        bus.on_unknown_bus(UnknownBus::Refuse);
        assert_eq!(put(&mut bus, unknown), Err(EntryError::UnknownBus("nowhere".to_owned())));
    }

    #[test]
    fn limits_concern_the_whole_call() {
        let mut bus = Bus::default();
        assert_eq!(bus.put(&[], None, NOW), Err(BusError::EntryCount(0)));
        assert_eq!(bus.put(&vec![entry("{}"); 11], None, NOW), Err(BusError::EntryCount(11)));
        let large = entry(&format!(r#"{{"x": "{}"}}"#, "x".repeat(ENTRIES_BYTES_MAX / 2)));
        assert!(matches!(bus.put(&[large.clone(), large], None, NOW), Err(BusError::TooLarge(_))));
        assert_eq!(bus.events(), []);
    }

    #[test]
    fn broken_entry_is_not_kept() {
        let mut bus = Bus::default();
        let results = bus.put(&[entry("{}"), entry("{}")], Some(0), NOW).unwrap();
        assert_eq!(results[0], Err(EntryError::InternalFailure));
        assert_eq!(bus.events().len(), 1);
    }
}
