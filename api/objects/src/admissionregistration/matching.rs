//! Which requests a webhook or a policy is asked about.

use serde_json::{Value, json};

use crate::check::{has, invalid_names, label_selector, list, one_of, text, texts};
use crate::{FieldError, Path, fill, names};

pub(super) const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
const MOST_CONDITIONS: usize = 64;

/// What both webhooks and policies mean where they do not say: everything, whatever version it is sent in.
pub(super) fn defaults(object: &mut Value) {
    fill::missing(object, "matchPolicy", "Equivalent");
    for selector in ["namespaceSelector", "objectSelector"] {
        fill::missing(object, selector, json!({}));
    }
    for field in ["rules", "resourceRules", "excludeResourceRules"] {
        fill::each(object, field).for_each(|rule| fill::missing(rule, "scope", "*"));
    }
}

/// Policies say what they match in a part of their own.
pub(super) fn check(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    match found["matchPolicy"].as_str() {
        None => errors.push(FieldError::required(&path.field("matchPolicy"), "")),
        Some(_) => one_of(errors, found, path, "matchPolicy", &MATCH_POLICIES),
    }
    for field in ["namespaceSelector", "objectSelector"] {
        let at = path.field(field);
        if !has(found, field) {
            errors.push(FieldError::required(&at, ""));
        }
        label_selector(errors, &found[field], &at);
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in list(found, field).iter().enumerate() {
            let at = path.field(field);
            named_rule(errors, rule, &at.index(index));
        }
    }
}

/// Webhooks say it themselves.
pub(super) fn check_policy(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    one_of(errors, found, path, "failurePolicy", &FAILURE_POLICIES);
    one_of(errors, found, path, "matchPolicy", &MATCH_POLICIES);
}

fn named_rule(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    let at = path.field("resourceNames");
    let mut seen: Vec<&str> = Vec::new();
    for (index, name) in texts(found, "resourceNames") {
        invalid_names(errors, &at.index(index), name, names::path_segment);
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&at.index(index), name));
        }
        seen.push(name);
    }
    rule(errors, found, path);
}

pub(super) fn rule(errors: &mut Vec<FieldError>, rule: &Value, path: &Path) {
    some_or_all(errors, rule, path, "operations", "operations");
    for (index, operation) in texts(rule, "operations") {
        if !OPERATIONS.contains(&operation) {
            let at = path.field("operations");
            errors.push(FieldError::not_supported(&at.index(index), operation, &OPERATIONS));
        }
    }
    some_or_all(errors, rule, path, "apiGroups", "API groups");
    some_or_all(errors, rule, path, "apiVersions", "API versions");
    for (index, _) in texts(rule, "apiVersions").filter(|(_, version)| version.is_empty()) {
        errors.push(FieldError::required(&path.field("apiVersions").index(index), ""));
    }
    resources(errors, rule, &path.field("resources"));
    one_of(errors, rule, path, "scope", &SCOPES);
}

fn some_or_all(errors: &mut Vec<FieldError>, rule: &Value, path: &Path, field: &str, noun: &str) {
    let (at, found) = (path.field(field), list(rule, field));
    if found.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    if found.len() > 1 && found.iter().any(|value| value == "*") {
        let why = format!("if '*' is present, must not specify other {noun}");
        errors.push(FieldError::invalid(&at, found, &why));
    }
}

/// `pods`, `pods/log`, `pods/*`, `*/scale`, `*` or `*/*`; what one stands for is not named once more.
fn resources(errors: &mut Vec<FieldError>, rule: &Value, path: &Path) {
    let found = list(rule, "resources");
    if found.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let (mut whole, mut parts): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut plain = false;
    for (index, name) in texts(rule, "resources") {
        let at = path.index(index);
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        let Some((resource, part)) = name.split_once('/') else {
            plain = name != "*";
            continue;
        };
        if whole.contains(&resource) {
            let why = format!("if '{resource}/*' is present, must not specify {name}");
            errors.push(FieldError::invalid(&at, name, &why));
        }
        if parts.contains(&part) {
            let why = format!("if '*/{part}' is present, must not specify {name}");
            errors.push(FieldError::invalid(&at, name, &why));
        }
        if part == "*" {
            whole.push(resource);
        }
        if resource == "*" {
            parts.push(part);
        }
    }
    if found.len() > 1 && found.iter().any(|name| name == "*/*") {
        let why = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, found, why));
    }
    if plain && found.iter().any(|name| name == "*") {
        let why = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, found, why));
    }
}

/// Conditions in the language of expressions, each with a name.
pub(super) fn conditions(errors: &mut Vec<FieldError>, object: &Value, path: &Path) {
    let at = path.field("matchConditions");
    let found = list(object, "matchConditions");
    if found.len() > MOST_CONDITIONS {
        errors.push(FieldError::too_many(&at, found.len(), MOST_CONDITIONS));
    }
    for (index, condition) in found.iter().enumerate() {
        let at = at.index(index);
        if text(condition, "expression").trim().is_empty() {
            errors.push(FieldError::required(&at.field("expression"), ""));
        }
        let name = text(condition, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&at.field("name"), ""));
            continue;
        }
        invalid_names(errors, &at.field("name"), name, names::qualified_name);
        if found[..index].iter().any(|other| text(other, "name") == name) {
            errors.push(FieldError::duplicate(&at.field("name"), name));
        }
    }
}
