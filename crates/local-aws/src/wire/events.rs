//! EventBridge's JSON protocol.

use std::time::SystemTime;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ACCOUNT, Executed, REGION, Reaction, Refusal, finish, json_1_1, malformed, quoting, refusal};
use crate::bus::{Bus, BusError, Entry};
use crate::faults::{Action, Fault};
use crate::journal::{Ending, JournalEntry};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutEvents {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeEventBus {
    name: Option<String>,
}

/// Carries out one `PutEvents` call.
pub fn put_events(bus: &mut Bus, journal: &mut Vec<JournalEntry>, body: &[u8], now: SystemTime) -> Reaction {
    let call = serde_json::from_slice::<PutEvents>(body);
    let first = call.as_ref().ok().and_then(|call| call.entries.first());
    let target = first.and_then(|entry| entry.event_bus_name.clone()).unwrap_or_default();
    carry_out(bus, journal, Action::PutEvents, &target, body, now, |bus, failed_entry| {
        call.map_err(|error| malformed(&error)).and_then(|call| put(bus, &call.entries, failed_entry, now))
    })
}

/// Carries out one `DescribeEventBus` call.
pub fn describe_event_bus(
    bus: &mut Bus,
    journal: &mut Vec<JournalEntry>,
    body: &[u8],
    now: SystemTime,
) -> Reaction {
    let call = serde_json::from_slice::<DescribeEventBus>(body);
    let name = call.ok().and_then(|call| call.name).unwrap_or_else(|| "default".to_owned());
    carry_out(bus, journal, Action::DescribeEventBus, &name, body, now, |bus, _| {
        if !bus.exists(bus_name(&name)) {
            return Err(refusal(
                400,
                "ResourceNotFoundException",
                &format!("Event bus {name} does not exist."),
            ));
        }
        let arn = format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{}", bus_name(&name));
        Ok(Executed {
            response: json!({ "Name": bus_name(&name), "Arn": arn }),
            message_ids: Vec::new(),
            failed: 0,
        })
    })
}

/// Takes the fault planned for a call, and applies it or carries out the call.
fn carry_out(
    bus: &mut Bus,
    journal: &mut Vec<JournalEntry>,
    action: Action,
    target: &str,
    body: &[u8],
    now: SystemTime,
    call: impl FnOnce(&mut Bus, Option<usize>) -> Result<Executed, Refusal>,
) -> Reaction {
    let fault = bus.faults().take(action);
    let target = bus_name(target).to_owned();
    let entry = JournalEntry { at: now, action, target, message_ids: Vec::new(), ending: Ending::Done };
    let result = match fault {
        Some(Fault::ServerError | Fault::Hang | Fault::EmptyResponse) => {
            Err(refusal(500, "InternalException", "An unexpected error occurred."))
        }
        Some(Fault::QuotesRequest) => Err(quoting(body)),
        Some(Fault::Throttled) => Err(refusal(400, "ThrottlingException", "Rate exceeded")),
        Some(Fault::ResponseLost | Fault::EntryFails(_) | Fault::OtherMd5 | Fault::Slow(_)) | None => {
            call(bus, fault.and_then(Fault::failed_entry))
        }
    };
    json_1_1(finish(journal, entry, fault, result))
}

/// Extracts the name from an ARN; returns a name unchanged.
fn bus_name(name_or_arn: &str) -> &str {
    name_or_arn.rsplit_once(":event-bus/").map_or(name_or_arn, |(_, name)| name)
}

fn put(
    bus: &mut Bus,
    entries: &[Entry],
    failed_entry: Option<usize>,
    now: SystemTime,
) -> Result<Executed, Refusal> {
    let results = bus.put(entries, failed_entry, now).map_err(|error| match error {
        BusError::EntryCount(_) | BusError::TooLarge(_) => {
            refusal(400, "ValidationException", &error.to_string())
        }
    })?;
    let failed = results.iter().filter(|result| result.is_err()).count();
    let entries: Vec<Value> = results
        .iter()
        .map(|result| match result {
            Ok(id) => json!({ "EventId": id }),
            Err(error) => json!({ "ErrorCode": error.code(), "ErrorMessage": error.to_string() }),
        })
        .collect();
    Ok(Executed {
        response: json!({ "FailedEntryCount": failed, "Entries": entries }),
        message_ids: results.into_iter().flatten().collect(),
        failed,
    })
}
