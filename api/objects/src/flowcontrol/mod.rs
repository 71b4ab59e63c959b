//! The rules of the flow control group: which requests are of one flow, and how many of a level are answered at once.

pub(crate) mod level;
pub(crate) mod schema;

use serde_json::Value;

use crate::check::{list, text};
use crate::{FieldError, Path};

/// Conditions of a status have a type each, and each another one.
pub(crate) fn conditions(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let status = Path::ROOT.field("status");
    let path = status.field("conditions");
    let found = list(&object["status"], "conditions");
    for (index, condition) in found.iter().enumerate() {
        let at = path.index(index);
        let of = text(condition, "type");
        if found[..index].iter().any(|other| text(other, "type") == of) {
            errors.push(FieldError::duplicate(&at.field("type"), of));
        }
        if of.is_empty() {
            errors.push(FieldError::required(&at.field("type"), ""));
        }
    }
    errors
}

#[cfg(test)]
mod tests;
