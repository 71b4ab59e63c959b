//! ConfigMaps.

use serde_json::Value;

use super::secret::{MOST, frozen};
use crate::check::{entries, has, invalid_names};
use crate::decode::base64;
use crate::{FieldError, Path, names};

pub(crate) fn create(map: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut total = 0;
    let path = Path::ROOT.field("data");
    for (key, value) in entries(map, "data") {
        invalid_names(&mut errors, &path.key(key), key, names::config_key);
        if has(&map["binaryData"], key) {
            let why = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(&path.key(key), key, why));
        }
        total += value.as_str().unwrap_or_default().len();
    }
    let path = Path::ROOT.field("binaryData");
    for (key, value) in entries(map, "binaryData") {
        invalid_names(&mut errors, &path.key(key), key, names::config_key);
        total += base64::decoded_length(value.as_str().unwrap_or_default());
    }
    if total > MOST {
        errors.push(FieldError::too_long(&Path::ROOT, MOST));
    }
    errors
}

pub(crate) fn update(map: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    frozen(&mut errors, map, old, &["data", "binaryData"]);
    errors.extend(create(map));
    errors
}
