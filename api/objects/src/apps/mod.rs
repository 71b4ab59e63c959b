//! The workloads of the group `apps`.

mod controller_revision;
mod daemon_set;
mod deployment;
mod replica_set;
mod rolling;
mod stateful_set;
#[cfg(test)]
mod tests;

pub(crate) use rolling::{int_or_percent, not_more_than_all};

use serde_json::Value;

use crate::check::{has, label_selector, list, not_negative};
use crate::pod::{check_running, check_template, selected};
use crate::rules::Rules;
use crate::selector::LabelSelector;
use crate::{FieldError, Path};

/// The rules of a kind of this group.
pub(crate) fn rules(kind: &str) -> Option<&'static Rules> {
    Some(match kind {
        "ControllerRevision" => const { &controller_revision::RULES },
        "DaemonSet" => const { &daemon_set::RULES },
        "Deployment" => const { &deployment::RULES },
        "ReplicaSet" => const { &replica_set::RULES },
        "StatefulSet" => const { &stateful_set::RULES },
        _ => return None,
    })
}

/// The selector of a workload; none if it cannot be read. Without any, it finds nothing.
fn selector(spec: &Value) -> Option<Option<LabelSelector>> {
    if !has(spec, "selector") {
        return Some(None);
    }
    LabelSelector::from_object(&spec["selector"]).ok().map(Some)
}

/// Checks the selector of a workload, which must be there and not empty; `kind` is what the API calls it then.
fn check_selector(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, kind: &str) {
    let at = path.field("selector");
    if !has(spec, "selector") {
        errors.push(FieldError::required(&at, ""));
        return;
    }
    label_selector(errors, &spec["selector"], &at);
    not_all(errors, spec, path, kind);
}

/// A workload's selector asks for something.
fn not_all(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, kind: &str) {
    let selector = &spec["selector"];
    let labels = selector["matchLabels"].as_object().map_or(0, serde_json::Map::len);
    if !selector.is_null() && labels + list(selector, "matchExpressions").len() == 0 {
        let why = format!("empty selector is invalid for {kind}");
        errors.push(FieldError::invalid(&path.field("selector"), given(selector), &why));
    }
}

/// A selector as the API shows it: without what is empty.
fn given(selector: &Value) -> Value {
    let mut selector = selector.clone();
    if let Some(fields) = selector.as_object_mut() {
        fields.retain(|_, value| {
            !value.is_null()
                && value.as_object().is_none_or(|map| !map.is_empty())
                && value.as_array().is_none_or(|list| !list.is_empty())
        });
    }
    selector
}

/// Checks the selector and the template of a Deployment or a ReplicaSet.
fn check_replicated(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    check_selector(errors, spec, path, "deployment");
    let Some(selector) = selector(spec) else {
        let at = path.field("selector");
        errors.push(FieldError::invalid(&at, spec["selector"].clone(), "invalid label selector"));
        return;
    };
    let (template, at) = (&spec["template"], path.field("template"));
    selected(errors, selector.as_ref(), template, &at);
    check_template(errors, template, &at);
    check_running(errors, template, &at, "ReplicaSet");
}

/// A count of collisions only grows.
fn collisions(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let count = |object: &Value| object["status"]["collisionCount"].as_i64();
    let (new, old) = (count(new), count(old));
    if old.is_some_and(|old| new.is_none_or(|new| new < old)) {
        let at = path.field("collisionCount");
        errors.push(FieldError::invalid(&at, new.unwrap_or(0), "cannot be decremented"));
    }
}

fn counts(errors: &mut Vec<FieldError>, owner: &Value, path: &Path, fields: &[&str]) {
    fields.iter().for_each(|field| not_negative(errors, owner, path, field));
}
