//! Pieces of cells: ages, counts, lists that are cut, selectors.

use api_objects::selector::LabelSelector;
use api_objects::time;
use jiff::Timestamp;
use serde_json::Value;

/// An object that is being printed, and when.
pub(super) struct Printed<'a> {
    pub object: &'a Value,
    pub now: Timestamp,
}

impl Printed<'_> {
    pub(super) fn name(&self) -> Value {
        text(&self.object["metadata"]["name"]).into()
    }

    pub(super) fn age(&self) -> Value {
        self.since(&self.object["metadata"]["creationTimestamp"]).into()
    }

    /// How long ago a time was.
    pub(super) fn since(&self, value: &Value) -> String {
        match instant(value) {
            Some(then) => human(self.now.duration_since(then).as_secs()),
            None => "<unknown>".to_owned(),
        }
    }

    pub(super) fn deleting(&self) -> bool {
        !self.object["metadata"]["deletionTimestamp"].is_null()
    }

    /// Whether an annotation makes the object its kind's default.
    pub(super) fn default_by(&self, annotations: &[&str]) -> bool {
        annotations.iter().any(|name| self.object["metadata"]["annotations"][*name] == "true")
    }
}

/// A time, where there is one.
pub(super) fn instant(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(time::parse)
}

/// A string; empty where there is none.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A string; something else where it is empty or not there.
pub(super) fn text_or(value: &Value, absent: &str) -> String {
    let text = value.as_str().unwrap_or_default();
    if text.is_empty() { absent.to_owned() } else { text.to_owned() }
}

/// A string or a number as it is written, or what stands for none.
pub(super) fn scalar_or(value: &Value, absent: &str) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => absent.to_owned(),
        other => other.to_string(),
    }
}

/// A whole number; 0 where there is none.
pub(super) fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// The elements of a list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// How many elements or members there are.
pub(super) fn count(value: &Value) -> i64 {
    let count = value.as_array().map(Vec::len).or_else(|| value.as_object().map(serde_json::Map::len));
    i64::try_from(count.unwrap_or(0)).unwrap_or(i64::MAX)
}

/// Whether a condition of this type is `True`.
pub(super) fn is_true(conditions: &Value, kind: &str) -> bool {
    list(conditions).iter().find(|c| c["type"] == kind).is_some_and(|c| c["status"] == "True")
}

/// The first three, and how many more there are.
pub(super) fn first_three(items: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = items[..items.len().min(SHOWN)].join(",");
    if items.len() > SHOWN { format!("{shown} + {} more...", items.len() - SHOWN) } else { shown }
}

/// A map of labels.
pub(super) fn labels(value: &Value) -> String {
    let pairs = value.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", text(v)));
    let pairs: Vec<String> = pairs.collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// A selector with `matchLabels` and `matchExpressions`.
pub(super) fn selector(value: &Value) -> String {
    match LabelSelector::from_object(value) {
        Ok(selector) if selector.is_empty() => "<none>".to_owned(),
        Ok(selector) => selector.to_string(),
        Err(_) => "<error>".to_owned(),
    }
}

/// A duration in seconds, the shorter the finer.
pub(super) fn human(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let pair = |large: i64, unit: char, small: i64, of: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{of}"),
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => pair(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => pair(days, 'd', hours % 24, 'h'),
        _ if years < 2 => format!("{days}d"),
        _ if years < 8 => pair(years, 'y', days % 365, 'd'),
        _ => format!("{years}y"),
    }
}
