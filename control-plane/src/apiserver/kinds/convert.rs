//! Conversions between the versions of built-in kinds: Events of two groups, autoscalers of two versions.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Conversion;

/// The hook of a group-version that is not the one its objects are stored in.
pub(super) fn builtin(group: &str, version: &str, resource: &str) -> Option<Conversion> {
    match (group, version, resource) {
        ("events.k8s.io", "v1", "events") => Some(Conversion {
            serve: Arc::new(|event| rename(event, |[core, new]| (core, new))),
            store: Arc::new(|event| rename(event, |[core, new]| (new, core))),
        }),
        ("autoscaling", "v1", "horizontalpodautoscalers") => {
            Some(Conversion { serve: Arc::new(autoscaler_v1), store: Arc::new(autoscaler_v2) })
        }
        _ => None,
    }
}

/// The fields of an Event in the core group and in its own.
const EVENT: [[&str; 2]; 7] = [
    ["involvedObject", "regarding"],
    ["message", "note"],
    ["source", "deprecatedSource"],
    ["firstTimestamp", "deprecatedFirstTimestamp"],
    ["lastTimestamp", "deprecatedLastTimestamp"],
    ["count", "deprecatedCount"],
    ["reportingComponent", "reportingController"],
];

fn rename(object: &mut Value, direction: fn([&'static str; 2]) -> (&'static str, &'static str)) {
    let Some(object) = object.as_object_mut() else { return };
    for (from, to) in EVENT.map(direction) {
        if let Some(value) = object.remove(from) {
            object.insert(to.to_owned(), value);
        }
    }
}

/// Annotations in which a v1 autoscaler keeps what its fields have no place for.
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// The utilization of cpu in a list of metrics: its index and its figures.
fn cpu<'a>(metrics: &'a Value, figures: &str) -> Option<(usize, &'a Value)> {
    metrics.as_array()?.iter().enumerate().find_map(|(index, metric)| {
        let wanted = metric["type"] == "Resource" && metric["resource"]["name"] == "cpu";
        let figure = metric["resource"][figures].get("averageUtilization")?;
        wanted.then_some((index, figure))
    })
}

/// From v2: the first utilization of cpu becomes a field, what else there is goes to annotations.
fn autoscaler_v1(object: &mut Value) {
    let mut notes = Map::new();
    let mut note = |name: &str, value: Value| {
        if value.as_array().is_none_or(|list| !list.is_empty()) && !value.is_null() {
            notes.insert(name.to_owned(), Value::String(value.to_string()));
        }
    };
    for (part, list, figures, field, annotation) in [
        ("spec", "metrics", "target", "targetCPUUtilizationPercentage", METRICS),
        ("status", "currentMetrics", "current", "currentCPUUtilizationPercentage", CURRENT_METRICS),
    ] {
        let Some(part) = object.get_mut(part).and_then(Value::as_object_mut) else { continue };
        let Some(mut metrics) = part.remove(list) else { continue };
        let found = cpu(&metrics, figures).map(|(index, figure)| (index, figure.clone()));
        if let (Some((index, figure)), Some(rest)) = (found, metrics.as_array_mut()) {
            part.insert(field.to_owned(), figure);
            // A target says nothing else; a reading also has a value, which v1 keeps beside it.
            if list == "metrics" {
                rest.remove(index);
            }
        }
        note(annotation, metrics);
    }
    let taken = |object: &mut Value, part: &str, field: &str| {
        object
            .get_mut(part)
            .and_then(Value::as_object_mut)
            .and_then(|p| p.remove(field))
            .unwrap_or(Value::Null)
    };
    note(BEHAVIOR, taken(object, "spec", "behavior"));
    note(CONDITIONS, taken(object, "status", "conditions"));
    if !notes.is_empty()
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.extend(notes);
        }
    }
}

/// To v2: the fields and annotations become metrics again.
fn autoscaler_v2(object: &mut Value) {
    let mut take = |name: &str| -> Option<Value> {
        let metadata = object.get_mut("metadata")?.as_object_mut()?;
        let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
        let text = annotations.remove(name)?;
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
        serde_json::from_str(text.as_str()?).ok()
    };
    let (metrics, current) = (take(METRICS), take(CURRENT_METRICS));
    let (behavior, conditions) = (take(BEHAVIOR), take(CONDITIONS));
    let mut put = |part: &str, field: &str, value: Option<Value>| {
        if let (Some(value), Some(object)) = (value, object.as_object_mut())
            && let Some(part) = object.entry(part).or_insert_with(|| json!({})).as_object_mut()
        {
            part.insert(field.to_owned(), value);
        }
    };
    put("spec", "behavior", behavior);
    put("status", "conditions", conditions);
    put("status", "currentMetrics", current);
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let target = spec.remove("targetCPUUtilizationPercentage").map(|percent| {
        json!({"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}})
    });
    let rest = metrics.and_then(|m| m.as_array().cloned()).unwrap_or_default();
    let metrics: Vec<Value> = target.into_iter().chain(rest).collect();
    if !metrics.is_empty() {
        spec.insert("metrics".to_owned(), Value::Array(metrics));
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("currentCPUUtilizationPercentage");
    }
}
