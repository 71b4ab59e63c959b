//! The rules of a Pod: what is filled in, and what is refused.

mod containers;
mod defaults;
mod network;
mod probes;
mod resources;
mod security;
mod validate;
mod volumes;

pub use defaults::set_defaults;
pub use validate::validate;

use serde_json::Value;

/// The text of a field, empty when there is none.
fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object[field].as_str().unwrap_or_default()
}

/// The elements of a list, none when there is no list.
fn list<'v>(object: &'v Value, field: &str) -> &'v [Value] {
    object[field].as_array().map_or(&[], Vec::as_slice)
}

/// The entries of a map, none when there is no map.
fn entries<'v>(object: &'v Value, field: &str) -> impl Iterator<Item = (&'v str, &'v Value)> {
    object[field].as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// Whether a field is there and not null.
fn has(object: &Value, field: &str) -> bool {
    object.get(field).is_some_and(|value| !value.is_null())
}
