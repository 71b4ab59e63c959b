//! The recorded answers of a stock API server.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// One case: steps that were done one after the other.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) whole: Value,
}

/// All cases, if there is a recording.
pub(crate) fn cases() -> Option<Vec<Case>> {
    let folder = std::env::var_os("ORLOP_GOLDEN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden"), PathBuf::from);
    let text = std::fs::read_to_string(folder.join("cases.jsonl")).ok()?;
    let case = |line: &str| {
        let whole: Value = serde_json::from_str(line).unwrap_or_default();
        Case { name: whole["case"].as_str().unwrap_or("a line that is no case").to_owned(), whole }
    };
    Some(text.lines().map(case).collect())
}

/// What stands for every time.
pub(crate) const NOW: &str = "2026-01-01T00:00:00Z";

/// Gives what was written as `<time>` or `<port>` a value of its type.
pub(crate) fn concrete(value: &mut Value, field: &str) {
    match value {
        Value::String(text) if text == "<time>" => {
            let micro = ["acquireTime", "renewTime", "eventTime", "lastObservedTime"].contains(&field);
            *value = if micro { json!("2026-01-01T00:00:00.000000Z") } else { json!(NOW) };
        }
        Value::String(text) if text == "<port>" => *value = json!(30000),
        Value::Array(items) => items.iter_mut().for_each(|item| concrete(item, field)),
        Value::Object(fields) => {
            // The volume of a token was left out of the recording, and the list around it was not.
            fields.retain(|field, value| field != "volumes" || *value != json!([]));
            fields.iter_mut().for_each(|(field, value)| concrete(value, field));
        }
        _ => {}
    }
}

/// The value of a parameter in a path.
pub(crate) fn parameter<'p>(path: &'p str, name: &str) -> &'p str {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}
