//! ResourceQuotas.

use std::collections::BTreeSet;

use serde_json::Value;

use super::resources;
use crate::check::{IMMUTABLE, entries, has, list, text, texts};
use crate::{FieldError, Path};

const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];
/// The scopes that a pod is in or not.
const PLAIN: [&str; 5] =
    ["BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"];

pub(crate) fn create(quota: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("spec");
    let spec = &quota["spec"];
    amounts(&mut errors, spec, &path, "hard");
    let at = path.field("scopes");
    let scopes: Vec<&str> = texts(spec, "scopes").map(|(_, scope)| scope).collect();
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            errors.push(FieldError::invalid(&at, spec["scopes"].clone(), "unsupported scope"));
        }
        unfit(&mut errors, spec, scope, &spec["scopes"], &at);
    }
    conflicting(&mut errors, &scopes, &spec["scopes"], &at);
    if has(spec, "scopeSelector") {
        selector(&mut errors, spec, &path.field("scopeSelector"));
    }
    errors
}

fn selector(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let at = path.field("matchExpressions");
    let selector = &spec["scopeSelector"];
    let mut scopes = Vec::new();
    for requirement in list(selector, "matchExpressions") {
        let (scope, operator) = (text(requirement, "scopeName"), text(requirement, "operator"));
        if !SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(&at.field("scopeName"), scope, "unsupported scope"));
        }
        unfit(errors, spec, scope, selector, &at);
        if PLAIN.contains(&scope) && operator != "Exists" {
            let why = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                 ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                 ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(FieldError::invalid(&at.field("operator"), operator, why));
        }
        let values = list(requirement, "values");
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(&at.field("values"), why));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(FieldError::invalid(&at.field("values"), values, why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let why = "not a valid selector operator";
                errors.push(FieldError::invalid(&at.field("operator"), other, why));
            }
        }
        scopes.push(scope);
    }
    conflicting(errors, &scopes, &spec["scopes"], &at);
}

/// What is limited must be something that the scope has.
fn unfit(errors: &mut Vec<FieldError>, spec: &Value, scope: &str, shown: &Value, path: &Path) {
    let compute = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    for (name, _) in entries(spec, "hard").filter(|(name, _)| resources::is_quota(name)) {
        let fits = match scope {
            "BestEffort" => name == "pods",
            "VolumeAttributesClass" => ["persistentvolumeclaims", "requests.storage"].contains(&name),
            scope if SCOPES.contains(&scope) => name == "pods" || compute.contains(&name),
            _ => true,
        };
        if !fits {
            errors.push(FieldError::invalid(path, shown.clone(), "unsupported scope applied to resource"));
        }
    }
}

fn conflicting(errors: &mut Vec<FieldError>, scopes: &[&str], shown: &Value, path: &Path) {
    for pair in [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]] {
        if pair.iter().all(|scope| scopes.contains(scope)) {
            errors.push(FieldError::invalid(path, shown.clone(), "conflicting scopes"));
        }
    }
}

fn amounts(errors: &mut Vec<FieldError>, object: &Value, path: &Path, field: &str) {
    let at = path.field(field);
    for (name, amount) in entries(object, field) {
        resources::quota_name(errors, &at.key(name), name);
        resources::amount(errors, &at.key(name), name, amount);
    }
}

pub(crate) fn update(quota: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create(quota);
    let scopes = |quota: &Value| -> BTreeSet<String> {
        texts(&quota["spec"], "scopes").map(|(_, scope)| scope.to_owned()).collect()
    };
    if scopes(quota) != scopes(old) {
        let path = Path::ROOT.field("spec");
        errors.push(FieldError::invalid(&path.field("scopes"), quota["spec"]["scopes"].clone(), IMMUTABLE));
    }
    errors
}

pub(crate) fn status(quota: &Value, _: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("status");
    amounts(&mut errors, &quota["status"], &path, "hard");
    amounts(&mut errors, &quota["status"], &path, "used");
    errors
}
