//! The policy of a Job on pods that fail.

use serde_json::Value;

use crate::check::{has, invalid_names, list, text};
use crate::error::Kind;
use crate::{FieldError, Path, names};

const MAX_RULES: usize = 20;
const MAX_PATTERNS: usize = 20;
const MAX_VALUES: usize = 255;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];

pub(super) fn check(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let rules_at = path.field("rules");
    let rules = list(&spec["podFailurePolicy"], "rules");
    if rules.len() > MAX_RULES {
        errors.push(FieldError::too_many(&rules_at, rules.len(), MAX_RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = rules_at.index(index);
        one_of_or(errors, rule, &at, "action", &ACTIONS);
        if text(rule, "action") == "FailIndex" && !has(spec, "backoffLimitPerIndex") {
            let why = "requires the backoffLimitPerIndex to be set";
            errors.push(FieldError::invalid(&at.field("action"), "FailIndex", why));
        }
        let codes = has(rule, "onExitCodes");
        if codes {
            exit_codes(errors, spec, &rule["onExitCodes"], &at.field("onExitCodes"));
        }
        conditions(errors, rule, &at.field("onPodConditions"));
        let why = match (codes, !list(rule, "onPodConditions").is_empty()) {
            (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
            _ => continue,
        };
        errors.push(omitted(&at, why));
    }
}

/// Refuses a value that the API does not repeat.
pub(super) fn omitted(path: &Path, why: &str) -> FieldError {
    FieldError { kind: Kind::Invalid, field: path.to_string(), message: format!("Invalid value: {why}") }
}

/// Refuses what is not there or not known; the API tells the two apart.
fn one_of_or(errors: &mut Vec<FieldError>, object: &Value, path: &Path, field: &str, allowed: &[&str]) {
    let at = path.field(field);
    match text(object, field) {
        "" => {
            let listed: Vec<String> = allowed.iter().map(|value| format!("{value:?}")).collect();
            errors.push(FieldError::required(&at, &format!("valid values: [{}]", listed.join(" "))));
        }
        value if allowed.contains(&value) => {}
        value => errors.push(FieldError::not_supported(&at, value, allowed)),
    }
}

fn conditions(errors: &mut Vec<FieldError>, rule: &Value, path: &Path) {
    let patterns = list(rule, "onPodConditions");
    if patterns.len() > MAX_PATTERNS {
        errors.push(FieldError::too_many(path, patterns.len(), MAX_PATTERNS));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let at = path.index(index);
        invalid_names(errors, &at.field("type"), text(pattern, "type"), names::qualified_name);
        one_of_or(errors, pattern, &at, "status", &["False", "True", "Unknown"]);
    }
}

fn exit_codes(errors: &mut Vec<FieldError>, spec: &Value, codes: &Value, path: &Path) {
    one_of_or(errors, codes, path, "operator", &["In", "NotIn"]);
    let pod = &spec["template"]["spec"];
    let containers = || ["containers", "initContainers"].iter().flat_map(|field| list(pod, field));
    if let Some(name) = codes["containerName"].as_str()
        && !containers().any(|container| text(container, "name") == name)
    {
        let why = "must be one of the container or initContainer names in the pod template";
        errors.push(FieldError::invalid(&path.field("containerName"), name, why));
    }
    let at = path.field("values");
    let values: Vec<i64> = list(codes, "values").iter().map(|value| value.as_i64().unwrap_or(0)).collect();
    if values.is_empty() {
        errors.push(FieldError::invalid(&at, codes["values"].clone(), "at least one value is required"));
    } else if values.len() > MAX_VALUES {
        errors.push(FieldError::too_many(&at, values.len(), MAX_VALUES));
    }
    for (index, value) in values.iter().enumerate() {
        if *value == 0 && text(codes, "operator") == "In" {
            errors.push(FieldError::invalid(&at.index(index), 0, "must not be 0 for the In operator"));
        }
        if values[..index].contains(value) {
            errors.push(FieldError::duplicate(&at.index(index), *value));
        }
    }
    if !values.is_sorted() {
        errors.push(FieldError::invalid(&at, codes["values"].clone(), "must be ordered"));
    }
}
