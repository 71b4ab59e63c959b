//! A pod's priority is that of its class.

use serde_json::{Value, json};

use super::super::target::Write;
use crate::apiserver::status::Status;

/// Gives a pod its priority, or says why it cannot have one.
pub(super) async fn admit(write: &Write<'_>, pod: &mut Value) -> Result<(), Status> {
    let classes = classes(write).await?;
    let class = of(pod, &classes).map_err(|why| write.refuse(&super::name(pod), &why))?;
    put(pod, &class);
    Ok(())
}

/// Only one class is that of pods that name none.
pub(super) async fn only_default(write: &Write<'_>, class: &Value) -> Result<(), Status> {
    if class["globalDefault"] != true {
        return Ok(());
    }
    let name = super::name(class);
    let others = classes(write).await?;
    let other =
        others.iter().find(|other| other["globalDefault"] == true && other["metadata"]["name"] != *name);
    match other.map(super::name) {
        None => Ok(()),
        Some(other) => {
            let why =
                format!("PriorityClass {other} is already marked as default. Only one default can exist");
            Err(write.refuse(&name, &why))
        }
    }
}

async fn classes(write: &Write<'_>) -> Result<Vec<Value>, Status> {
    write.list("scheduling.k8s.io", "priorityclasses", "").await
}

/// What a pod gets of its class.
#[derive(Debug, PartialEq)]
struct Priority {
    class: String,
    value: i64,
    policy: String,
}

/// The priority that a pod is to have, or why it cannot have one.
fn of(pod: &Value, classes: &[Value]) -> Result<Priority, String> {
    let spec = &pod["spec"];
    let wanted = spec["priorityClassName"].as_str().unwrap_or_default();
    let class = match wanted {
        // Of several defaults the lowest one counts.
        "" => {
            let defaults = classes.iter().filter(|class| class["globalDefault"] == true);
            defaults.min_by_key(|class| class["value"].as_i64())
        }
        name => {
            let found = classes.iter().find(|class| class["metadata"]["name"] == name);
            Some(found.ok_or_else(|| format!("no PriorityClass with name {name} was found"))?)
        }
    };
    let text = |value: Option<&Value>, or: &str| value.and_then(Value::as_str).unwrap_or(or).to_owned();
    let priority = Priority {
        class: text(class.map(|class| &class["metadata"]["name"]), ""),
        value: class.and_then(|class| class["value"].as_i64()).unwrap_or(0),
        policy: text(class.map(|class| &class["preemptionPolicy"]), "PreemptLowerPriority"),
    };
    if let Some(told) = spec["priority"].as_i64().filter(|told| *told != priority.value) {
        let value = priority.value;
        return Err(format!(
            "the integer value of priority ({told}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        ));
    }
    if let Some(told) = spec["preemptionPolicy"].as_str().filter(|told| *told != priority.policy) {
        let policy = &priority.policy;
        return Err(format!(
            "the string value of PreemptionPolicy ({told}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        ));
    }
    Ok(priority)
}

/// Gives it to the pod.
fn put(pod: &mut Value, priority: &Priority) {
    let spec = &mut pod["spec"];
    if !priority.class.is_empty() {
        spec["priorityClassName"] = json!(priority.class);
    }
    spec["priority"] = json!(priority.value);
    spec["preemptionPolicy"] = json!(priority.policy);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<Value> {
        [("high", 100, false), ("low", 1, true), ("mid", 50, true)]
            .map(|(name, value, default)| json!({"metadata": {"name": name}, "value": value, "globalDefault": default, "preemptionPolicy": "Never"}))
            .into()
    }

    #[test]
    fn a_class_gives_its_value_and_the_lowest_default_counts() {
        let of =
            |spec: Value, classes: &[Value]| of(&json!({"spec": spec}), classes).map(|p| (p.class, p.value));
        assert_eq!(of(json!({}), &[]), Ok((String::new(), 0)));
        assert_eq!(of(json!({}), &classes()), Ok(("low".into(), 1)));
        assert_eq!(
            of(json!({"priorityClassName": "high", "priority": 100}), &classes()),
            Ok(("high".into(), 100))
        );
        assert!(
            of(json!({"priorityClassName": "none"}), &classes()).unwrap_err().contains("no PriorityClass")
        );
        assert!(of(json!({"priority": 5}), &[]).unwrap_err().contains("computed 0"));
        assert!(of(json!({"preemptionPolicy": "Never"}), &[]).unwrap_err().contains("PreemptLowerPriority"));
    }
}
