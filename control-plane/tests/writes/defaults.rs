//! The defaults of the kinds that the recorded patches are about.

use api_objects::rules::{self, Rules};
use serde_json::Value;

/// The kinds whose defaults are set here.
pub(crate) const KINDS: [&str; 2] = ["Deployment", "Pod"];

/// Sets the defaults of an object that has rules.
pub(crate) fn set(object: &mut Value) {
    if let Some(rules) = of(object) {
        (rules.defaults)(object);
    }
}

/// Does what a kind does with an object that replaces another one.
pub(crate) fn prepare(object: &mut Value, live: &Value) {
    if let Some(rules) = of(object) {
        (rules.prepare)(object, Some(live));
    }
}

fn of(object: &Value) -> Option<&'static Rules> {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    rules::of(group, object["kind"].as_str().unwrap_or_default())
}
