//! What only a scheduler reads: tolerations, spread constraints, gates.

use serde_json::Value;

use crate::check::{has, invalid_names, label_selector, list, one_of, text, texts};
use crate::{FieldError, Path, names};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(super) fn tolerations(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let tolerations = path.field("tolerations");
    for (index, toleration) in list(spec, "tolerations").iter().enumerate() {
        self::toleration(errors, toleration, &tolerations.index(index));
    }
}

fn toleration(errors: &mut Vec<FieldError>, toleration: &Value, path: &Path) {
    let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
    let (value, effect) = (text(toleration, "value"), text(toleration, "effect"));
    if !key.is_empty() {
        invalid_names(errors, &path.field("key"), key, names::qualified_name);
    }
    let operator_at = path.field("operator");
    if key.is_empty() && operator != "Exists" {
        let why =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(FieldError::invalid(&operator_at, operator, why));
    }
    if has(toleration, "tolerationSeconds") && effect != "NoExecute" {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(FieldError::invalid(&path.field("effect"), effect, why));
    }
    match operator {
        "" | "Equal" => {
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                errors.push(FieldError::invalid(&operator_at, value, &wrong.join(";")));
            }
        }
        "Exists" if value.is_empty() => {}
        "Exists" => {
            let why = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(&operator_at, value, why));
        }
        "Lt" | "Gt" => {
            let allowed = ["Equal", "Exists", "Lt", "Gt"];
            errors.push(FieldError::not_supported(&operator_at, operator, &allowed));
        }
        other => errors.push(FieldError::not_supported(&operator_at, other, &["Equal", "Exists"])),
    }
    if !effect.is_empty() {
        one_of(errors, toleration, path, "effect", &EFFECTS);
    }
}

pub(super) fn readiness_gates(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let gates = path.field("readinessGates");
    for (index, gate) in list(spec, "readinessGates").iter().enumerate() {
        let at = gates.index(index);
        invalid_names(errors, &at.field("conditionType"), text(gate, "conditionType"), names::qualified_name);
    }
}

pub(super) fn scheduling_gates(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let gates = path.field("schedulingGates");
    let mut seen: Vec<&str> = Vec::new();
    for (index, gate) in list(spec, "schedulingGates").iter().enumerate() {
        let name = text(gate, "name");
        invalid_names(errors, &gates.index(index), name, names::qualified_name);
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&gates.index(index), name));
        }
        seen.push(name);
    }
}

/// Checks the constraints on how pods are spread.
pub(super) fn spread(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let constraints = path.field("topologySpreadConstraints");
    let all = list(spec, "topologySpreadConstraints");
    for (index, constraint) in all.iter().enumerate() {
        let at = constraints.index(index);
        positive(errors, constraint["maxSkew"].as_i64().unwrap_or(0), &at.field("maxSkew"));
        let key = text(constraint, "topologyKey");
        if key.is_empty() {
            errors.push(FieldError::required(&at.field("topologyKey"), "can not be empty"));
        }
        let action = text(constraint, "whenUnsatisfiable");
        if !["DoNotSchedule", "ScheduleAnyway"].contains(&action) {
            let allowed = ["DoNotSchedule", "ScheduleAnyway"];
            errors.push(FieldError::not_supported(&at.field("whenUnsatisfiable"), action, &allowed));
        }
        let same =
            |other: &Value| text(other, "topologyKey") == key && text(other, "whenUnsatisfiable") == action;
        if all[index + 1..].iter().any(same) {
            let pair = at.field("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(&pair, format!("{{{key}, {action}}}")));
        }
        if let Some(least) = constraint["minDomains"].as_i64() {
            let at = at.field("minDomains");
            positive(errors, least, &at);
            if action != "DoNotSchedule" {
                let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.push(FieldError::invalid(&at, least, &why));
            }
        }
        one_of(errors, constraint, &at, "nodeAffinityPolicy", &["Honor", "Ignore"]);
        one_of(errors, constraint, &at, "nodeTaintsPolicy", &["Honor", "Ignore"]);
        label_keys(errors, constraint, &at);
        label_selector(errors, &constraint["labelSelector"], &at.field("labelSelector"));
    }
}

fn positive(errors: &mut Vec<FieldError>, value: i64, path: &Path) {
    if value <= 0 {
        errors.push(FieldError::invalid(path, value, "must be greater than zero"));
    }
}

/// Checks the keys of labels whose values a selector takes from the pod itself (`matchLabelKeys`), or avoids.
pub(super) fn label_keys(errors: &mut Vec<FieldError>, owner: &Value, path: &Path) {
    let selector = &owner["labelSelector"];
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let at = path.field(field);
        if list(owner, field).is_empty() {
            continue;
        }
        if selector.is_null() {
            let why = "must not be specified when labelSelector is not set";
            errors.push(FieldError::forbidden(&at, why));
            continue;
        }
        for (index, key) in texts(owner, field) {
            invalid_names(errors, &at.index(index), key, names::qualified_name);
        }
    }
    let position = |key: &str| texts(owner, "matchLabelKeys").filter(|(_, k)| *k == key).last();
    // Each key stands in the selector once already, put there when the pod was made.
    let mut seen: Vec<&str> =
        selector["matchLabels"].as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    for expression in list(selector, "matchExpressions") {
        let key = text(expression, "key");
        if let Some((index, _)) = position(key).filter(|_| seen.contains(&key)) {
            let why = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid(&path.index(index), key, why));
        }
        seen.push(key);
    }
    let at = path.field("matchLabelKeys");
    for (index, key) in texts(owner, "matchLabelKeys") {
        if texts(owner, "mismatchLabelKeys").any(|(_, other)| other == key) {
            let why = "exists in both matchLabelKeys and mismatchLabelKeys";
            errors.push(FieldError::invalid(&at.index(index), key, why));
        }
    }
}
