//! What `serve` prints. A closed standard output does not end it.

use std::io::{self, Write};

use local_aws::bus::Event;
use local_aws::json_layout;
use serde_json::{Map, Value};

/// The width for which JSON is laid out.
const WIDTH: usize = 80;

/// Fields of a log line that are printed elsewhere in the line, or not at all.
const HIDDEN_FIELDS: [&str; 4] = ["timestamp", "level", "message", "target"];

/// Prints one line, or several.
pub(crate) fn line(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints an error to standard error.
pub(crate) fn error(text: &str) {
    let _ = writeln!(io::stderr(), "serve: {text}");
}

/// Prints an event of a request or of a sweep, its fields in their own order.
pub(crate) fn event(event: &Event) {
    let text = |names: [&str; 2]| names.iter().find_map(|name| event.detail[*name].as_str()).unwrap_or("-");
    let (id, result) = (text(["request_id", "sweep_id"]), text(["outcome", "verdict"]));
    let detail = json_layout::lay_out(&event.detail_text, WIDTH);
    line(&format!("\n{}: {id}, {result}\n{detail}", event.detail_type));
}

/// Prints a line that a function wrote. A JSON log line becomes its level, its message and its fields.
pub(crate) fn log(function: &str, text: &str) {
    match serde_json::from_str::<Map<String, Value>>(text) {
        Ok(fields) => line(&format!("{function}: {}", log_text(&fields))),
        Err(_) => line(&format!("{function}: {text}")),
    }
}

fn log_text(fields: &Map<String, Value>) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let [level, message] = ["level", "message"].map(|name| fields.get(name).map(text).unwrap_or_default());
    let mut parts = vec![format!("{level} {message}")];
    let request = fields.get("span").and_then(|span| span.get("request_id"));
    parts.extend(request.map(|id| format!("request_id={}", text(id))));
    let own =
        fields.iter().filter(|(name, value)| !HIDDEN_FIELDS.contains(&name.as_str()) && !value.is_object());
    parts.extend(own.map(|(name, value)| format!("{name}={}", text(value))));
    parts.join(" ")
}
