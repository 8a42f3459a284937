//! Parses `metadata`, strings that completion events repeat.

use serde_json::value::RawValue;

use super::Metadata;
use crate::json::Entries;

/// Parses a JSON object of strings that has at most `bytes_max` bytes as compact JSON. The error completes the sentence
/// "the field …".
pub(crate) fn read_metadata(raw: &RawValue, bytes_max: usize) -> Result<Metadata, String> {
    let Ok(Entries(entries)) = serde_json::from_str(raw.get()) else {
        return Err("must be an object of strings".to_owned());
    };
    let mut metadata = Metadata::new();
    for (key, raw) in entries {
        let Ok(value) = serde_json::from_str::<String>(raw.get()) else {
            return Err("must be an object of strings".to_owned());
        };
        if metadata.insert(key, value).is_some() {
            return Err("contains a key twice".to_owned());
        }
    }
    let bytes = serde_json::to_string(&metadata).map_or(usize::MAX, |json| json.len());
    if bytes > bytes_max {
        return Err(format!("must be at most {bytes_max} bytes as JSON"));
    }
    Ok(metadata)
}
