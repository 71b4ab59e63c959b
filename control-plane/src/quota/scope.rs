//! The scopes of a quota: which objects it is about.

use std::collections::BTreeSet;

use api_objects::pod::qos_class;
use serde_json::Value;

/// Whether an object of a kind is in all scopes of a quota's specification. Without scopes everything is; with scopes
/// only what they can tell apart.
pub fn is_in_scope(spec: &Value, resource: &str, object: &Value) -> bool {
    let plain = spec["scopes"].as_array().into_iter().flatten();
    let selected = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten();
    plain.filter_map(Value::as_str).all(|scope| fits(scope, "Exists", &[], resource, object))
        && selected.into_iter().all(|expression| {
            let text = |field: &str| expression[field].as_str().unwrap_or_default();
            let values = expression["values"].as_array().into_iter().flatten();
            let values: Vec<&str> = values.filter_map(Value::as_str).collect();
            fits(text("scopeName"), text("operator"), &values, resource, object)
        })
}

fn fits(scope: &str, operator: &str, values: &[&str], resource: &str, object: &Value) -> bool {
    let best_effort = || match object["status"]["qosClass"].as_str() {
        Some(class) if !class.is_empty() => class == "BestEffort",
        _ => qos_class(&object["spec"]) == "BestEffort",
    };
    match (resource, scope) {
        ("pods", "Terminating") => has_deadline(object),
        ("pods", "NotTerminating") => !has_deadline(object),
        ("pods", "BestEffort") => best_effort(),
        ("pods", "NotBestEffort") => !best_effort(),
        ("pods", "CrossNamespacePodAffinity") => looks_beyond(&object["spec"]["affinity"]),
        ("pods", "PriorityClass") => {
            let class = object["spec"]["priorityClassName"].as_str().filter(|class| !class.is_empty());
            selects(operator, values, class)
        }
        ("persistentvolumeclaims", "VolumeAttributesClass") => {
            let classes = attributes_classes(object);
            match classes.is_empty() {
                true => selects(operator, values, None),
                false => classes.iter().any(|class| selects(operator, values, Some(class))),
            }
        }
        _ => false,
    }
}

fn selects(operator: &str, values: &[&str], value: Option<&str>) -> bool {
    match operator {
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "In" => value.is_some_and(|value| values.contains(&value)),
        "NotIn" => value.is_none_or(|value| !values.contains(&value)),
        _ => false,
    }
}

/// Whether a pod ends by itself.
pub(super) fn has_deadline(pod: &Value) -> bool {
    pod["spec"]["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0)
}

/// The classes of attributes that a claim has, is to have or is on its way to.
fn attributes_classes(claim: &Value) -> BTreeSet<&str> {
    let status = &claim["status"];
    let all = [
        &claim["spec"]["volumeAttributesClassName"],
        &status["currentVolumeAttributesClassName"],
        &status["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
    ];
    all.into_iter().filter_map(Value::as_str).filter(|class| !class.is_empty()).collect()
}

/// Whether the status of a claim says something else of what quotas look at.
pub(super) fn changes(resource: &str, old: &Value, new: &Value) -> bool {
    let storage = |claim: &Value| claim["status"]["allocatedResources"]["storage"].clone();
    match resource {
        "pods" => has_deadline(old) != has_deadline(new),
        "persistentvolumeclaims" => {
            storage(old) != storage(new) || attributes_classes(old) != attributes_classes(new)
        }
        _ => false,
    }
}

/// Whether a pod wants to be near to or away from pods of other namespaces.
fn looks_beyond(affinity: &Value) -> bool {
    let beyond = |term: &Value| {
        term["namespaces"].as_array().is_some_and(|all| !all.is_empty())
            || !term["namespaceSelector"].is_null()
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|side| {
        let list = |field: &str| affinity[*side][field].as_array().into_iter().flatten();
        list("requiredDuringSchedulingIgnoredDuringExecution").any(beyond)
            || list("preferredDuringSchedulingIgnoredDuringExecution")
                .any(|term| beyond(&term["podAffinityTerm"]))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scoped(scope: &str, pod: Value) -> bool {
        is_in_scope(&json!({ "scopes": [scope] }), "pods", &pod)
    }

    #[test]
    fn pods_are_told_apart() {
        let plain = json!({"spec": {"containers": [{}]}});
        let busy = json!({"spec": {"activeDeadlineSeconds": 0, "priorityClassName": "high",
            "containers": [{"resources": {"requests": {"cpu": "1"}}}],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
                [{"podAffinityTerm": {"namespaceSelector": {}}}]}}}});
        for (scope, of_plain) in [
            ("Terminating", false),
            ("NotTerminating", true),
            ("BestEffort", true),
            ("NotBestEffort", false),
            ("PriorityClass", false),
            ("CrossNamespacePodAffinity", false),
        ] {
            assert_eq!(
                (scoped(scope, plain.clone()), scoped(scope, busy.clone())),
                (of_plain, !of_plain),
                "{scope}"
            );
        }
        assert!(!is_in_scope(&json!({"scopes": ["BestEffort"]}), "secrets", &json!({})));
        assert!(is_in_scope(&json!({}), "secrets", &json!({})));
    }

    #[test]
    fn selectors_name_classes() {
        let spec = |operator: &str, values: Value| {
            json!({"scopeSelector": {"matchExpressions": [
                {"scopeName": "PriorityClass", "operator": operator, "values": values}]}})
        };
        for (operator, values, of_none, of_high) in [
            ("In", json!(["high", "low"]), false, true),
            ("NotIn", json!(["high"]), true, false),
            ("Exists", Value::Null, false, true),
            ("DoesNotExist", Value::Null, true, false),
        ] {
            let fits = |pod: Value| is_in_scope(&spec(operator, values.clone()), "pods", &pod);
            let high = json!({"spec": {"priorityClassName": "high"}});
            assert_eq!((fits(json!({})), fits(high)), (of_none, of_high), "{operator}");
        }
    }

    #[test]
    fn a_claim_has_every_class_that_it_has_to_do_with() {
        let spec = json!({"scopeSelector": {"matchExpressions": [
            {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["fast"]}]}});
        let claim = json!({"spec": {"volumeAttributesClassName": "slow"}, "status": {"currentVolumeAttributesClassName": "fast"}});
        let slow = json!({"spec": {"volumeAttributesClassName": "slow"}});
        let fits = |claim: &Value| is_in_scope(&spec, "persistentvolumeclaims", claim);
        assert_eq!((fits(&claim), fits(&slow)), (true, false));
        assert!(changes("persistentvolumeclaims", &claim, &slow));
    }
}
