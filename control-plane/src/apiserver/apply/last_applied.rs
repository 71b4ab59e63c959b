//! From `kubectl apply` on the client's side to the server's.
//!
//! The client's side keeps what it applied in an annotation and updates the object, so that the fields belong to an
//! updater. When the same kubectl applies on the server's side, the annotation tells which of them are its own, and
//! they do not conflict. The annotation is renewed as long as it is there, so that one can go back.

use serde_json::Value;

use super::typed::{self, View};
use super::{Conflict, FieldSet, Kind};

/// The manager that this is done for; another name opts out.
pub(super) const MANAGER: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// All annotations of an object together, keys and values.
const MOST_BYTES: usize = 256 << 10;

impl Kind<'_> {
    /// The conflicts that the annotation does not explain.
    pub(super) fn not_last_applied(&self, live: &Value, mut conflicts: Vec<Conflict>) -> Vec<Conflict> {
        if let Some(own) = self.last_applied(live) {
            conflicts.retain(|conflict| !own.contains(&conflict.path));
        }
        conflicts
    }

    /// The fields that were applied and are still as they were applied.
    fn last_applied(&self, live: &Value) -> Option<FieldSet> {
        let text = live["metadata"]["annotations"].get(ANNOTATION)?.as_str()?;
        let applied: Value = serde_json::from_str(text).ok()?;
        if applied["apiVersion"].as_str() != Some(self.version) {
            return None;
        }
        let view = View::of(self.of);
        typed::validate(view, &applied).ok()?;
        let set = typed::fields(view, &applied).ok()?;
        let differs = typed::compare(view, &applied, live).ok()?;
        Some(set.difference(&differs.modified).difference(&differs.added).difference(&differs.removed))
    }
}

/// Writes what was applied into the annotation, when there is one and it fits.
pub(super) fn renew(object: &mut Value, config: &Value) {
    let Some(annotations) = object["metadata"].get_mut("annotations").and_then(Value::as_object_mut) else {
        return;
    };
    if annotations.get(ANNOTATION).and_then(Value::as_str).is_none_or(str::is_empty) {
        return;
    }
    let mut applied = config.clone();
    if let Some(annotations) = applied["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(ANNOTATION);
    }
    annotations.insert(ANNOTATION.to_owned(), format!("{applied}\n").into());
    let bytes: usize =
        annotations.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if bytes > MOST_BYTES {
        annotations.remove(ANNOTATION);
    }
}
