//! What may change in a Pod.

use serde_json::{Map, Value};

use super::{annotations, containers, scheduling, validate};
use crate::check::{entries, has, list, required, text};
use crate::{FieldError, Path};

const UPDATABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
    `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
    tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What a Pod breaks that replaces another one.
pub(super) fn check(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate::check(&mut errors, new);
    let meta = Path::ROOT.field("metadata");
    let annotations_at = meta.field("annotations");
    annotations::update(&mut errors, new, old, &annotations_at);
    let path = Path::ROOT.field("spec");
    let (new, old) = (&new["spec"], &old["spec"]);
    for field in ["containers", "initContainers"] {
        if !same_count(&mut errors, new, old, &path, field) {
            return errors;
        }
    }
    if !deadline(&mut errors, new, old, &path) {
        return errors;
    }
    only_more_tolerations(&mut errors, new, old, &path);
    only_fewer_gates(&mut errors, new, old, &path);
    let mut munged = new.clone();
    take_back(&mut munged, old);
    if !list(old, "schedulingGates").is_empty() {
        gated(&mut errors, &mut munged, old, &path);
    }
    if !same(&munged, old) {
        errors.push(FieldError::forbidden(&path, &format!("{UPDATABLE}\n{}", difference(old, &munged))));
    }
    errors
}

fn same_count(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path, field: &str) -> bool {
    let at = path.field(field);
    if list(new, field).len() != list(old, field).len() {
        errors.push(FieldError::forbidden(&at, "pod updates may not add or remove containers"));
        return false;
    }
    for (index, container) in list(new, field).iter().enumerate() {
        required(errors, container, &at.index(index), "image", "");
        containers::trimmed_image(errors, container, &at.index(index));
    }
    true
}

/// A deadline may be set, and then only come nearer.
fn deadline(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) -> bool {
    let at = path.field("activeDeadlineSeconds");
    match (new["activeDeadlineSeconds"].as_i64(), old["activeDeadlineSeconds"].as_i64()) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            let why = format!("must be between 0 and {}, inclusive", i32::MAX);
            errors.push(FieldError::invalid(&at, new, &why));
            return false;
        }
        (Some(new), Some(old)) if old < new => {
            errors.push(FieldError::invalid(&at, new, "must be less than or equal to previous value"));
            return false;
        }
        (None, Some(_)) => {
            let why = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(&at, Value::Null, why));
        }
        _ => {}
    }
    true
}

fn only_more_tolerations(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.as_object_mut().map(|fields| fields.remove("tolerationSeconds"));
        toleration
    };
    let kept: Vec<Value> = list(new, "tolerations").iter().map(without_seconds).collect();
    if list(old, "tolerations").iter().any(|old| !kept.contains(&without_seconds(old))) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(&path.field("tolerations"), why));
    } else {
        scheduling::tolerations(errors, new, path);
    }
}

fn only_fewer_gates(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let gates = path.field("schedulingGates");
    for (index, gate) in list(new, "schedulingGates").iter().enumerate() {
        let name = text(gate, "name");
        if !list(old, "schedulingGates").iter().any(|old| text(old, "name") == name) {
            let at = gates.index(index);
            let why = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(FieldError::forbidden(&at.field("name"), &why));
        }
    }
}

/// Undoes what may change, so that what remains must be the same.
fn take_back(new: &mut Value, old: &Value) {
    for field in ["containers", "initContainers"] {
        for (index, old) in list(old, field).iter().enumerate() {
            new[field][index]["image"] = old["image"].clone();
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        take_field(new, old, field);
    }
    let grace = "terminationGracePeriodSeconds";
    if old[grace].as_i64().is_some_and(|seconds| seconds < 0) && new[grace] == 1 {
        take_field(new, old, grace);
    }
}

fn take_field(new: &mut Value, old: &Value, field: &str) {
    let Some(new) = new.as_object_mut() else { return };
    match old.get(field) {
        Some(value) => drop(new.insert(field.to_owned(), value.clone())),
        None => drop(new.remove(field)),
    }
}

/// A pod that waits to be scheduled may be told of further conditions for its node.
fn gated(errors: &mut Vec<FieldError>, new: &mut Value, old: &Value, path: &Path) {
    let lost = |(key, value): (&str, &Value)| new["nodeSelector"].get(key) != Some(value);
    if entries(old, "nodeSelector").any(lost) {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        let at = path.field("nodeSelector");
        errors.push(FieldError::invalid(&at, new["nodeSelector"].clone(), why));
    }
    take_field(new, old, "nodeSelector");
    let (nodes, before) = (&new["affinity"]["nodeAffinity"], &old["affinity"]["nodeAffinity"]);
    if !same(nodes, before) {
        let at = path.field("affinity");
        only_more_terms(errors, nodes, before, &at.field("nodeAffinity"));
    }
    let before = before.clone();
    if has(old, "affinity") && !has(new, "affinity") {
        new["affinity"] = Value::Object(Map::new());
    }
    if let Some(affinity) = new["affinity"].as_object_mut() {
        affinity.remove("nodeAffinity");
        if !before.is_null() {
            affinity.insert("nodeAffinity".to_owned(), before);
        }
    }
    let none = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    if !has(old, "affinity") && none(&new["affinity"]) {
        take_field(new, old, "affinity");
    }
}

fn only_more_terms(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let at = path.field(required);
    let at = at.field("nodeSelectorTerms");
    let (new, old) = (list(&new[required], "nodeSelectorTerms"), list(&old[required], "nodeSelectorTerms"));
    if old.is_empty() {
        return;
    }
    if old.len() != new.len() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(FieldError::invalid(&at, new.to_vec(), why));
        return;
    }
    for (index, (new, old)) in new.iter().zip(old).enumerate() {
        let lists = ["matchExpressions", "matchFields"];
        let begins = |field: &&str| list(new, field).starts_with(list(old, field));
        let empty = |term: &Value| lists.iter().all(|field| list(term, field).is_empty());
        if !lists.iter().all(begins) || (empty(old) && !empty(new)) {
            let why = "only additions are allowed (no mutations or deletions)";
            errors.push(FieldError::invalid(&at.index(index), new.clone(), why));
        }
    }
}

/// Whether two values mean the same: what is null or empty is as good as nothing.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
            let of = |map: &Map<String, Value>, name: &str| map.get(name).is_none_or(nothing);
            names.into_iter().all(|name| match (a.get(name), b.get(name)) {
                (Some(a), Some(b)) => same(a, b),
                _ => of(a, name) && of(b, name),
            })
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (a, b) => a == b || (nothing(a) && nothing(b)),
    }
}

fn nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The fields that differ, as lines: `-` before what was, `+` before what is to be.
pub(super) fn difference(old: &Value, new: &Value) -> String {
    let mut lines = String::new();
    differ(&mut lines, "spec", old, new);
    lines
}

fn differ(lines: &mut String, path: &str, old: &Value, new: &Value) {
    match (old, new) {
        (old, new) if same(old, new) => {}
        (Value::Object(old), Value::Object(new)) => {
            let null = Value::Null;
            for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
                let (old, new) = (old.get(name).unwrap_or(&null), new.get(name).unwrap_or(&null));
                differ(lines, &format!("{path}.{name}"), old, new);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                differ(lines, &format!("{path}[{index}]"), old, new);
            }
        }
        (old, new) => lines.push_str(&format!("- {path}: {old}\n+ {path}: {new}\n")),
    }
}
