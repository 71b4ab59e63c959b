//! The rules of RuntimeClasses.

use serde_json::Value;

use crate::check::{entries, immutable, invalid_names, labels, list, text};
use crate::core::{container_name, quantity};
use crate::{FieldError, Path, names};

pub(crate) fn create(class: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("handler");
    match text(class, "handler") {
        "" => errors.push(FieldError::required(&path, "")),
        name => invalid_names(&mut errors, &path, name, names::dns_label),
    }
    let overhead = Path::ROOT.field("overhead");
    for (name, amount) in entries(&class["overhead"], "podFixed") {
        let at = overhead.field("limits");
        container_name(&mut errors, &at.key(name), name);
        let amount = quantity(amount);
        if amount.is_negative() {
            let why = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(&at.key(name), amount.to_string(), why));
        }
    }
    let scheduling = Path::ROOT.field("scheduling");
    labels(&mut errors, &class["scheduling"]["nodeSelector"], &scheduling.field("nodeSelector"));
    let path = scheduling.field("tolerations");
    let found = list(&class["scheduling"], "tolerations");
    for (index, one) in found.iter().enumerate() {
        toleration(&mut errors, one, &path.index(index));
    }
    let same = |a: &Value, b: &Value| {
        ["key", "operator", "value", "effect"].iter().all(|field| text(a, field) == text(b, field))
    };
    for (index, one) in found.iter().enumerate() {
        if found[..index].iter().any(|other| same(one, other)) {
            errors.push(FieldError::duplicate(&path.index(index), one.clone()));
        }
    }
    errors
}

fn toleration(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    let (key, operator) = (text(found, "key"), text(found, "operator"));
    let (value, effect) = (text(found, "value"), text(found, "effect"));
    let at = path.field("operator");
    if !key.is_empty() {
        invalid_names(errors, &path.field("key"), key, names::qualified_name);
    } else if operator != "Exists" {
        let why =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(FieldError::invalid(&at, operator, why));
    }
    if !found["tolerationSeconds"].is_null() && effect != "NoExecute" {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(FieldError::invalid(&path.field("effect"), effect, why));
    }
    match operator {
        "" | "Equal" => {
            let faults = names::label_value(value);
            if !faults.is_empty() {
                errors.push(FieldError::invalid(&at, value, &faults.join(";")));
            }
        }
        "Exists" if !value.is_empty() => {
            let why = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(&at, value, why));
        }
        "Exists" => {}
        other => errors.push(FieldError::not_supported(&at, other, &["Equal", "Exists"])),
    }
    let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    if !effect.is_empty() && !effects.contains(&effect) {
        errors.push(FieldError::not_supported(&path.field("effect"), effect, &effects));
    }
}

pub(crate) fn update(class: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create(class);
    immutable(&mut errors, class, old, &Path::ROOT, "handler");
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::table::Table;

    #[test]
    fn runtime_classes() {
        let toleration = json!({"key": "k", "operator": "Exists"});
        let good = json!({"handler": "h", "overhead": {"podFixed": {"cpu": "10m"}},
            "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [toleration]}});
        let table = Table::of("node.k8s.io", "RuntimeClass", good);
        table.create(&[
            ("/handler", json!(""), &["handler: Required value"]),
            ("/handler", json!("A"), &["handler: Invalid value: \"A\""]),
            (
                "/overhead/podFixed/x",
                json!("1"),
                &["overhead.limits[x]: Invalid value: \"x\": must be a standard"],
            ),
            (
                "/overhead/podFixed/cpu",
                json!("-1"),
                &["overhead.limits[cpu]: Invalid value: \"-1\": must be greater"],
            ),
            ("/scheduling/nodeSelector/a", json!("-"), &["scheduling.nodeSelector: Invalid value: \"-\""]),
            (
                "/scheduling/tolerations/0/key",
                json!("-"),
                &["scheduling.tolerations[0].key: Invalid value: \"-\""],
            ),
            (
                "/scheduling/tolerations/0",
                json!({}),
                &["scheduling.tolerations[0].operator: Invalid value: \"\": oper"],
            ),
            (
                "/scheduling/tolerations/0/operator",
                json!("X"),
                &["scheduling.tolerations[0].operator: Unsupported"],
            ),
            (
                "/scheduling/tolerations/0/value",
                json!("v"),
                &["scheduling.tolerations[0].operator: Invalid value: \"v\""],
            ),
            (
                "/scheduling/tolerations/0/effect",
                json!("X"),
                &["scheduling.tolerations[0].effect: Unsupported value"],
            ),
            (
                "/scheduling/tolerations/0/tolerationSeconds",
                json!(1),
                &["scheduling.tolerations[0].effect: Invalid"],
            ),
            (
                "/scheduling/tolerations",
                json!([toleration, toleration]),
                &["scheduling.tolerations[1]: Duplicate value"],
            ),
        ]);
        table.update(&[("/handler", json!("i"), &["handler: Invalid value: \"i\": field is immutable"])]);
    }
}
