//! The defaults of each kind. A kind without a row has none yet.

use serde_json::Value;

/// Sets the defaults of an object; says whether there are some for its kind.
pub(super) fn set(kind: &str, object: &mut Value) -> bool {
    match kind {
        "Pod" => api_objects::pod::set_defaults(object),
        _ => return false,
    }
    true
}
