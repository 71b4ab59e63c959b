//! The rules of PriorityClasses.

use serde_json::Value;

use crate::check::{immutable, text};
use crate::{FieldError, Path, fill};

/// The highest priority that is not the system's.
const HIGHEST: i64 = 1_000_000_000;
const RESERVED: &str = "system-";
/// The system's own classes, with what they are worth.
const SYSTEM: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

pub(crate) fn defaults(class: &mut Value) {
    fill::missing(class, "preemptionPolicy", "PreemptLowerPriority");
}

pub(crate) fn create(class: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text(&class["metadata"], "name");
    let value = class["value"].as_i64().unwrap_or(0);
    if name.starts_with(RESERVED) {
        if let Some(why) = not_the_systems(name, value, class["globalDefault"] == true) {
            let meta = Path::ROOT.field("metadata");
            let why = format!(
                "priority class names with '{RESERVED}' prefix are reserved for system use only. error: {why}"
            );
            errors.push(FieldError::forbidden(&meta.field("name"), &why));
        }
    } else if value > HIGHEST {
        let why = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        errors.push(FieldError::forbidden(&Path::ROOT.field("value"), &why));
    }
    let path = Path::ROOT.field("preemptionPolicy");
    let policies = ["PreemptLowerPriority", "Never"];
    match class["preemptionPolicy"].as_str() {
        Some("") => errors.push(FieldError::required(&path, "")),
        Some(other) if !policies.contains(&other) => {
            errors.push(FieldError::not_supported(&path, other, &policies));
        }
        _ => {}
    }
    errors
}

fn not_the_systems(name: &str, value: i64, default: bool) -> Option<String> {
    let Some((_, own)) = SYSTEM.iter().find(|(system, _)| *system == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if *own != value {
        return Some(format!("value of {name} PriorityClass must be {own}"));
    }
    default.then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

pub(crate) fn update(class: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if class["value"].as_i64().unwrap_or(0) != old["value"].as_i64().unwrap_or(0) {
        errors.push(FieldError::forbidden(&Path::ROOT.field("value"), "may not be changed in an update."));
    }
    immutable(&mut errors, class, old, &Path::ROOT, "preemptionPolicy");
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::table::Table;

    #[test]
    fn priority_classes() {
        let good = json!({"metadata": {"name": "a"}, "value": 1000});
        let table = Table::of("scheduling.k8s.io", "PriorityClass", good);
        table.create(&[
            (
                "/value",
                json!(1_000_000_001),
                &["value: Forbidden: maximum allowed value of a user defined priority is"],
            ),
            ("/preemptionPolicy", json!("X"), &["preemptionPolicy: Unsupported value: \"X\""]),
            ("/preemptionPolicy", json!(""), &["preemptionPolicy: Required value"]),
            (
                "/metadata/name",
                json!("system-x"),
                &["metadata.name: Forbidden: priority class names with 'system-' pre"],
            ),
        ]);
        table.update(&[
            ("/value", json!(1), &["value: Forbidden: may not be changed in an update."]),
            (
                "/preemptionPolicy",
                json!("Never"),
                &["preemptionPolicy: Invalid value: \"Never\": field is immutable"],
            ),
        ]);
        let own = json!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000});
        Table::of("scheduling.k8s.io", "PriorityClass", own).create(&[
            (
                "/value",
                json!(1),
                &["metadata.name: Forbidden: priority class names with 'system-' prefix are reserved"],
            ),
            (
                "/globalDefault",
                json!(true),
                &["metadata.name: Forbidden: priority class names with 'system-' prefix"],
            ),
        ]);
    }
}
