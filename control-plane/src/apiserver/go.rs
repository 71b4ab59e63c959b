//! Values as Go prints them, for messages that clients know so.

use serde_json::{Map, Value};

/// A value in Go's `%v`.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(self::value).collect::<Vec<_>>().join(" ")),
        Value::Object(entries) => map(entries),
    }
}

/// A map in Go's `%v`: sorted by key.
pub(super) fn map(entries: &Map<String, Value>) -> String {
    let mut entries: Vec<_> =
        entries.iter().map(|(key, value)| format!("{key}:{}", self::value(value))).collect();
    entries.sort();
    format!("map[{}]", entries.join(" "))
}
