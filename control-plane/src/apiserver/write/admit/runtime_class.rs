//! What the class of a pod's runtime means for it: what a sandbox costs, and on which nodes there is one.

use serde_json::{Map, Value, json};

use super::super::target::Write;
use crate::amounts::Amounts;
use crate::apiserver::status::Status;

/// Gives a new pod what its class says, or says why the pod cannot have it.
pub(super) async fn put(write: &Write<'_>, pod: &mut Value) -> Result<(), Status> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let refuse = |why: &str| write.refuse(&name, why);
    let class = match pod["spec"]["runtimeClassName"].as_str() {
        None => None,
        Some(class) => {
            let found = write.find("node.k8s.io", "runtimeclasses", "", class).await?;
            let missing = || refuse(&format!("pod rejected: RuntimeClass {class:?} not found"));
            Some(found.ok_or_else(missing)?)
        }
    };
    apply(pod, &class.unwrap_or_default()).map_err(|why| refuse(&why))
}

fn apply(pod: &mut Value, class: &Value) -> Result<(), String> {
    let spec = &mut pod["spec"];
    if class["overhead"].is_object() {
        let (fixed, told) = (&class["overhead"]["podFixed"], &spec["overhead"]);
        let some = told.as_object().is_some_and(|told| !told.is_empty());
        if some && Amounts::of(fixed) != Amounts::of(told) {
            return Err(
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned()
            );
        }
        if !fixed.is_null() {
            spec["overhead"] = fixed.clone();
        }
    } else if spec["overhead"].is_object() {
        return Err(
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead".to_owned()
        );
    }
    if !class["scheduling"].is_object() {
        return Ok(());
    }
    let mut selector = spec["nodeSelector"].as_object().cloned().unwrap_or_default();
    for (key, value) in class["scheduling"]["nodeSelector"].as_object().unwrap_or(&Map::new()) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if let Some(own) = selector.get(key).filter(|own| *own != value) {
            let (value, own) = (text(value), text(own));
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
            ));
        }
        selector.insert(key.clone(), value.clone());
    }
    if !selector.is_empty() {
        spec["nodeSelector"] = selector.into();
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let merged = merge(&[list(&spec["tolerations"]), list(&class["scheduling"]["tolerations"])].concat());
    if !merged.is_empty() {
        spec["tolerations"] = merged.into();
    }
    Ok(())
}

/// The tolerations without those that another one means as well; of equals the first stays.
fn merge(all: &[Value]) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::new();
    for (index, toleration) in all.iter().enumerate() {
        let later = |other: &Value| other != toleration && covers(other, toleration);
        let meant =
            merged.iter().any(|other| covers(other, toleration)) || all[index + 1..].iter().any(later);
        if !meant {
            merged.push(toleration.clone());
        }
    }
    merged
}

/// Whether whoever tolerates `more` tolerates all that `less` does.
fn covers(more: &Value, less: &Value) -> bool {
    if more == less {
        return true;
    }
    let text = |toleration: &Value, field: &str| toleration[field].as_str().unwrap_or_default().to_owned();
    let [key, effect, operator] = ["key", "effect", "operator"].map(|field| text(more, field));
    let every_key = key.is_empty() && operator == "Exists";
    if (text(less, "key") != key && !every_key) || (text(less, "effect") != effect && !effect.is_empty()) {
        return false;
    }
    let seconds = |toleration: &Value| toleration["tolerationSeconds"].as_i64();
    if effect == "NoExecute"
        && let Some(most) = seconds(more)
        && seconds(less).is_none_or(|own| own > most)
    {
        return false;
    }
    match operator.as_str() {
        "Exists" => true,
        "" | "Equal" => {
            text(less, "operator") == "Equal"
                && less.get("value").unwrap_or(&json!("")) == more.get("value").unwrap_or(&json!(""))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class() -> Value {
        json!({"overhead": {"podFixed": {"cpu": "250m"}}, "scheduling": {"nodeSelector": {"sandbox": "yes"},
            "tolerations": [{"key": "sandbox", "operator": "Exists"}]}})
    }

    #[test]
    fn a_pod_gets_the_cost_and_the_nodes_of_its_class() {
        let mut pod = json!({"spec": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "sandbox", "operator": "Equal", "value": "x"}]}});
        apply(&mut pod, &class()).unwrap();
        assert_eq!(
            pod["spec"],
            json!({"overhead": {"cpu": "250m"}, "nodeSelector": {"a": "b", "sandbox": "yes"},
                "tolerations": [{"key": "sandbox", "operator": "Exists"}]})
        );
        let again = pod.clone();
        apply(&mut pod, &class()).unwrap();
        assert_eq!(pod, again);
    }

    #[test]
    fn a_pod_that_says_otherwise_is_refused() {
        let told = |spec: Value, class: &Value| apply(&mut json!({ "spec": spec }), class).unwrap_err();
        assert!(told(json!({"overhead": {"cpu": "1"}}), &class()).contains("doesn't match"));
        assert!(told(json!({"overhead": {"cpu": "1"}}), &json!({})).contains("without corresponding"));
        let conflict = "conflict: runtimeClass.scheduling.nodeSelector[sandbox] = yes; pod.spec.nodeSelector[sandbox] = no";
        assert_eq!(told(json!({"nodeSelector": {"sandbox": "no"}}), &class()), conflict);
        assert_eq!(apply(&mut json!({"spec": {"overhead": {"cpu": "0.25"}}}), &class()), Ok(()));
    }

    #[test]
    fn a_toleration_covers_what_is_meant_by_it() {
        let toleration = |key: &str, operator: &str, effect: &str| json!({"key": key, "operator": operator, "effect": effect});
        assert!(covers(&toleration("", "Exists", ""), &toleration("a", "Equal", "NoSchedule")));
        assert!(!covers(&toleration("a", "Exists", "NoExecute"), &toleration("a", "Exists", "NoSchedule")));
        assert!(!covers(&toleration("b", "Exists", ""), &toleration("a", "Exists", "")));
        let mut short = toleration("a", "Exists", "NoExecute");
        short["tolerationSeconds"] = 5.into();
        assert!(!covers(&short, &toleration("a", "Exists", "NoExecute")));
        assert_eq!(merge(&[short.clone(), toleration("a", "Exists", "NoExecute"), short]).len(), 1);
    }
}
