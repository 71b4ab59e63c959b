//! Namespaces.

use serde_json::{Value, json};

use crate::check::{has, invalid_names, list, text, texts};
use crate::{FieldError, Path, fill, names};

/// The label that every namespace has, so that selectors can name it.
const NAME: &str = "kubernetes.io/metadata.name";
/// What goes last, when everything in the namespace has gone.
const FINALIZER: &str = "kubernetes";

pub(crate) fn defaults(namespace: &mut Value) {
    let name = text(&namespace["metadata"], "name").to_owned();
    if !name.is_empty() {
        label(namespace, &name);
    }
    fill::part(namespace, "status").for_each(|status| fill::text(status, "phase", "Active"));
}

fn label(namespace: &mut Value, name: &str) {
    let Some(meta) = namespace.get_mut("metadata").filter(|meta| meta.is_object()) else { return };
    if !meta["labels"].is_object() {
        meta["labels"] = json!({});
    }
    meta["labels"][NAME] = name.into();
}

/// A new namespace is active, waits for what is in it before it goes, and has the label of a name that was generated.
pub(crate) fn prepare(namespace: &mut Value, old: Option<&Value>) {
    let name = text(&namespace["metadata"], "name").to_owned();
    label(namespace, &name);
    let Some(map) = namespace.as_object_mut() else { return };
    let spec = map.entry("spec").or_insert_with(|| json!({}));
    let mut finalizers: Vec<Value> = list(old.map_or(spec, |old| &old["spec"]), "finalizers").to_vec();
    if old.is_none() {
        map.insert("status".to_owned(), json!({"phase": "Active"}));
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizers.push(FINALIZER.into());
        }
    }
    match (finalizers.is_empty(), map.get_mut("spec")) {
        (true, Some(spec)) => fill::remove(spec, &["finalizers"]),
        (false, Some(spec)) => spec["finalizers"] = finalizers.into(),
        _ => {}
    }
}

pub(crate) fn create(namespace: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = Path::ROOT.field("spec");
    let path = spec.field("finalizers");
    for (_, finalizer) in texts(&namespace["spec"], "finalizers") {
        invalid_names(&mut errors, &path, finalizer, names::qualified_name);
        if !finalizer.contains('/') && !["kubernetes", "orphan", "foregroundDeletion"].contains(&finalizer) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(&path, finalizer, why));
        }
    }
    errors
}

pub(crate) fn status(namespace: &Value, _: &Value) -> Vec<FieldError> {
    let status = Path::ROOT.field("status");
    let path = status.field("Phase");
    let phase = text(&namespace["status"], "phase");
    let (wanted, why) = if has(&namespace["metadata"], "deletionTimestamp") {
        ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty")
    } else {
        ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
    };
    if phase == wanted { Vec::new() } else { vec![FieldError::invalid(&path, phase, why)] }
}
