//! Numbers of pods, whole or in percent of all.

use serde_json::Value;

use crate::{FieldError, Path};

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
    '93%', regex used for validation is '[0-9]+%')";

/// Refuses what is neither a number of pods nor a part of them.
pub(crate) fn int_or_percent(errors: &mut Vec<FieldError>, value: &Value, path: &Path) {
    match value {
        Value::String(text) if percent(value).is_none() => {
            errors.push(FieldError::invalid(path, text.as_str(), PERCENT));
        }
        Value::String(_) => {}
        value => {
            if let Some(number) = value.as_i64().filter(|number| *number < 0) {
                errors.push(FieldError::invalid(path, number, "must be greater than or equal to 0"));
            }
        }
    }
}

/// Refuses more than 100 %.
pub(crate) fn not_more_than_all(errors: &mut Vec<FieldError>, value: &Value, path: &Path) {
    if percent(value).is_some_and(|percent| percent > 100) {
        errors.push(FieldError::invalid(path, value.clone(), "must not be greater than 100%"));
    }
}

fn percent(value: &Value) -> Option<u64> {
    let digits = value.as_str()?.strip_suffix('%')?;
    let good = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // What is too long for a number is far more than all.
    good.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Whether it is no pod at all; what is no number counts as none.
pub(super) fn is_none(value: &Value) -> bool {
    percent(value).map_or_else(|| number(value) == 0, |percent| percent == 0)
}

fn number(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

/// A strategy as the API's own types spell it, for its messages.
pub(super) fn strategy(value: &Value, fields: [(&str, &str); 2]) -> String {
    let rolling = &value["rollingUpdate"];
    let rolling = match rolling {
        Value::Null => "null".to_owned(),
        rolling => {
            let parts = fields.map(|(field, name)| format!("{name:?}:{}", rolling[field]));
            format!("{{{}}}", parts.join(","))
        }
    };
    format!("{{\"Type\":{},\"RollingUpdate\":{rolling}}}", value["type"])
}
