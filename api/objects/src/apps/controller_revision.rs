//! ControllerRevision.

use serde_json::Value;

use crate::check::{IMMUTABLE, not_negative};
use crate::rules::Rules;
use crate::{FieldError, Path};

pub(super) const RULES: Rules = Rules { create, update, ..Rules::NONE };

fn create(revision: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    not_negative(&mut errors, revision, &Path::ROOT, "revision");
    let why = match &revision["data"] {
        Value::Null => "data is mandatory",
        Value::Object(_) => return errors,
        _ => "data must be a valid JSON object",
    };
    errors.push(FieldError::required(&Path::ROOT.field("data"), why));
    errors
}

fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    not_negative(&mut errors, new, &Path::ROOT, "revision");
    if new["data"] != old["data"] {
        errors.push(FieldError::invalid(&Path::ROOT.field("data"), new["data"].clone(), IMMUTABLE));
    }
    errors
}
