//! What an autoscaler goes by.

use serde_json::Value;

use super::{Versions, reference};
use crate::check::{has, invalid_names, list, text};
use crate::core::container_name;
use crate::{FieldError, Path, Quantity, names};

/// The kinds of metrics, by the field that tells of each, in the order in which the API looks at them.
const SOURCES: [(&str, &str); 5] = [
    ("object", "Object"),
    ("external", "External"),
    ("pods", "Pods"),
    ("resource", "Resource"),
    ("containerResource", "ContainerResource"),
];
const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

pub(super) fn check(errors: &mut Vec<FieldError>, spec: &Value, old: Option<&Value>, path: &Path) {
    let metrics = list(spec, "metrics");
    // Objects whose version was bad already may stay so.
    let bad = |metric: &Value| {
        let version = text(&metric["object"]["describedObject"], "apiVersion");
        metric["type"] == "Object" && version.matches('/').count() > 1
    };
    let versions = match old {
        Some(old) if list(&old["spec"], "metrics").iter().any(bad) => Versions::Any,
        _ => Versions::Core,
    };
    for (index, metric) in metrics.iter().enumerate() {
        one(errors, metric, &path.index(index), versions);
    }
    let outside = |metric: &Value| ["Object", "External"].contains(&text(metric, "type"));
    if spec["minReplicas"] == 0 && !metrics.iter().any(outside) {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden(path, why));
    }
}

fn one(errors: &mut Vec<FieldError>, metric: &Value, path: &Path, versions: Versions) {
    let kind = text(metric, "type");
    let type_at = path.field("type");
    if kind.is_empty() {
        errors.push(FieldError::required(&type_at, "must specify a metric source type"));
    }
    let unknown = !TYPES.contains(&kind);
    if unknown {
        errors.push(FieldError::not_supported(&type_at, kind, &TYPES));
    }
    let told: Vec<&str> =
        SOURCES.iter().map(|(field, _)| *field).filter(|field| has(metric, field)).collect();
    if let Some(field) = told.first() {
        source(errors, &metric[*field], &path.field(field), field, versions);
    }
    let expected = SOURCES.iter().find(|(_, name)| *name == kind).map(|(field, _)| *field);
    match expected {
        // The API says so twice.
        None => errors.push(FieldError::not_supported(&type_at, kind, &TYPES)),
        Some(field) if !has(metric, field) => {
            let why = "must populate information for the given metric source";
            errors.push(FieldError::required(&path.field(field), why));
        }
        Some(_) => {}
    }
    if told.len() > 1 {
        for field in told.iter().filter(|field| Some(**field) != expected) {
            let why = "must populate the given metric source only";
            errors.push(FieldError::forbidden(&path.field(field), why));
        }
    }
}

fn source(errors: &mut Vec<FieldError>, source: &Value, path: &Path, field: &str, versions: Versions) {
    match field {
        "object" => {
            let at = path.field("describedObject");
            reference(errors, &source["describedObject"], &at, versions);
            identifier(errors, &source["metric"], &path.field("metric"));
        }
        "external" | "pods" => identifier(errors, &source["metric"], &path.field("metric")),
        _ => {
            let at = path.field("name");
            match text(source, "name") {
                "" => errors.push(FieldError::required(&at, "must specify a resource name")),
                name if field == "containerResource" => container_name(errors, &at, name),
                _ => {}
            }
        }
    }
    if field == "containerResource" {
        let at = path.field("container");
        match text(source, "container") {
            "" => errors.push(FieldError::required(&at, "must specify a container")),
            name => invalid_names(errors, &at, name, names::dns_label),
        }
    }
    let (target, at) = (&source["target"], path.field("target"));
    check_target(errors, target, &at);
    let (value, average) = (has(target, "value"), has(target, "averageValue"));
    let utilization = has(target, "averageUtilization");
    let missing = match field {
        "object" if !value && !average => ("averageValue", "must set either a target value or averageValue"),
        "external" if !value && !average => {
            ("averageValue", "must set either a target value for metric or a per-pod target")
        }
        "pods" if !average => ("averageValue", "must specify a positive target averageValue"),
        "resource" | "containerResource" if !utilization && !average => {
            ("averageUtilization", "must set either a target raw value or a target utilization")
        }
        _ => ("", ""),
    };
    if !missing.0.is_empty() {
        errors.push(FieldError::required(&at.field(missing.0), missing.1));
    }
    if field == "external" && value && average {
        let why = "may not set both a target value for metric and a per-pod target";
        errors.push(FieldError::forbidden(&at.field("value"), why));
    }
    if ["resource", "containerResource"].contains(&field) && utilization && average {
        let why = "may not set both a target raw value and a target utilization";
        errors.push(FieldError::forbidden(&at.field("averageValue"), why));
    }
}

fn check_target(errors: &mut Vec<FieldError>, target: &Value, path: &Path) {
    let (kind, at) = (text(target, "type"), path.field("type"));
    if kind.is_empty() {
        errors.push(FieldError::required(&at, "must specify a metric target type"));
    }
    if !["Utilization", "Value", "AverageValue"].contains(&kind) {
        let why = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(&at, kind, why));
    }
    for field in ["value", "averageValue"] {
        let amount = target[field].as_str().and_then(|text| text.parse::<Quantity>().ok());
        if let Some(amount) = amount.filter(|amount| *amount <= Quantity::ZERO) {
            errors.push(FieldError::invalid(&path.field(field), amount.to_string(), "must be positive"));
        }
    }
    if let Some(percent) = target["averageUtilization"].as_i64().filter(|percent| *percent < 1) {
        let at = path.field("averageUtilization");
        errors.push(FieldError::invalid(&at, percent, "must be greater than 0"));
    }
}

fn identifier(errors: &mut Vec<FieldError>, metric: &Value, path: &Path) {
    match text(metric, "name") {
        "" => errors.push(FieldError::required(&path.field("name"), "must specify a metric name")),
        name => invalid_names(errors, &path.field("name"), name, names::path_segment),
    }
}

/// Refuses an amount below nothing.
pub(super) fn not_negative(errors: &mut Vec<FieldError>, value: &Value, path: &Path) {
    let amount = value.as_str().and_then(|text| text.parse::<Quantity>().ok());
    if let Some(amount) = amount.filter(|amount| amount.is_negative()) {
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path, amount.to_string(), why));
    }
}
