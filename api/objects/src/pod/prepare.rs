//! What the API server decides of a Pod that is made or changed, apart from what its maker left out.

use serde_json::{Value, json};

use super::annotations::APPARMOR;
use super::change_containers;
use crate::Quantity;
use crate::check::{has, list, texts};

/// Completes a new Pod: its first status, and what its annotations and labels mean for its fields.
pub(super) fn prepare(pod: &mut Value, old: Option<&Value>) {
    prepare_template(pod, "/spec");
    if old.is_some() {
        return;
    }
    let now = pod["metadata"]["creationTimestamp"].clone();
    pod["status"] = json!({ "phase": "Pending", "qosClass": qos_class(&pod["spec"]) });
    if !list(&pod["spec"], "schedulingGates").is_empty() {
        pod["status"]["conditions"] = json!([{
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": null,
            "lastTransitionTime": now,
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]);
    }
    let labels = pod["metadata"]["labels"].clone();
    own_labels(&mut pod["spec"], &labels);
    let annotations = pod["metadata"]["annotations"].clone();
    apparmor(&mut pod["spec"], &annotations);
}

/// Puts back what a status of a Pod cannot change, and what a writer left out who does not know of it.
pub fn keep_status(new: &mut Value, old: &Value) {
    let owners = old["metadata"].get("ownerReferences").cloned();
    if let Some(meta) = new["metadata"].as_object_mut() {
        match owners {
            Some(owners) => drop(meta.insert("ownerReferences".to_owned(), owners)),
            None => drop(meta.remove("ownerReferences")),
        }
    }
    let Some(status) = new["status"].as_object_mut() else { return };
    let none =
        |value: Option<&Value>| value.is_none_or(|value| *value == Value::Null || *value == 0 || value == "");
    for field in ["qosClass", "observedGeneration"] {
        if let Some(value) = old["status"].get(field).filter(|_| none(status.get(field))) {
            status.insert(field.to_owned(), value.clone());
        }
    }
    // A type of conditions may be there more than once.
    let mut before: Vec<&Value> = list(&old["status"], "conditions").iter().collect();
    for condition in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(at) = before.iter().position(|old| old["type"] == condition["type"]) else { continue };
        let generation = before.remove(at).get("observedGeneration");
        if let Some(generation) = generation.filter(|_| none(condition.get("observedGeneration"))) {
            condition["observedGeneration"] = generation.clone();
        }
    }
}

/// How a pod is served where resources are short: by what it asks for as a whole, or else by what each of its containers
/// does.
pub fn qos_class(spec: &Value) -> &'static str {
    let owners: Vec<&Value> = if has(spec, "resources") {
        vec![spec]
    } else {
        ["containers", "initContainers"].iter().flat_map(|field| list(spec, field)).collect()
    };
    let amount = |owner: &Value, list: &str, name: &str| -> Quantity {
        let value = owner["resources"][list][name].as_str();
        value.and_then(|text| text.parse().ok()).filter(|amount| *amount > Quantity::ZERO).unwrap_or_default()
    };
    let sum = |list: &str, name: &str| {
        owners.iter().map(|owner| amount(owner, list, name)).fold(Quantity::ZERO, |sum, more| sum + more)
    };
    let names = ["cpu", "memory"];
    let none = |list: &str| names.iter().all(|name| sum(list, name).is_zero());
    if none("requests") && none("limits") {
        return "BestEffort";
    }
    let limited = |owner: &&Value| names.iter().all(|name| !amount(owner, "limits", name).is_zero());
    let asked = |name: &&str| sum("requests", name) == sum("limits", name);
    let all_asked = names.iter().all(|name| asked(name) && !sum("requests", name).is_zero());
    if owners.iter().all(limited) && all_asked { "Guaranteed" } else { "Burstable" }
}

/// Takes away what belongs to features that are off in Kubernetes: what is set there has no meaning yet.
pub(crate) fn prepare_template(object: &mut Value, spec: &str) {
    let Some(spec) = object.pointer_mut(spec).and_then(Value::as_object_mut) else { return };
    spec.remove("schedulingGroup");
    change_containers(spec, |container| {
        let Some(lifecycle) = container.get_mut("lifecycle").and_then(Value::as_object_mut) else { return };
        if lifecycle.remove("stopSignal").is_some_and(|signal| !signal.is_null()) && lifecycle.is_empty() {
            container.remove("lifecycle");
        }
    });
    let volumes = spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten();
    for projected in volumes.filter_map(|volume| volume.get_mut("projected")) {
        for source in elements(projected, "sources").filter_map(Value::as_object_mut) {
            source.remove("clusterTrustBundle");
            source.remove("podCertificate");
        }
    }
}

/// Where a selector names keys of labels, the pod's own values of them are meant from now on.
fn own_labels(spec: &mut Value, labels: &Value) {
    for side in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = spec.get_mut("affinity").and_then(|affinity| affinity.get_mut(side)) else {
            continue;
        };
        for term in elements(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
            own_values(term, labels);
        }
        for term in elements(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
            term.get_mut("podAffinityTerm").into_iter().for_each(|term| own_values(term, labels));
        }
    }
    elements(spec, "topologySpreadConstraints").for_each(|constraint| own_values(constraint, labels));
}

fn elements<'v>(owner: &'v mut Value, field: &str) -> impl Iterator<Item = &'v mut Value> {
    owner.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

fn own_values(owner: &mut Value, labels: &Value) {
    if !has(owner, "labelSelector") {
        return;
    }
    let mut added = Vec::new();
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for (_, key) in texts(owner, field) {
            if let Some(value) = labels[key].as_str() {
                added.push(json!({ "key": key, "operator": operator, "values": [value] }));
            }
        }
    }
    if !added.is_empty() {
        let expressions = &mut owner["labelSelector"]["matchExpressions"];
        let mut all = expressions.take().as_array().cloned().unwrap_or_default();
        all.extend(added);
        *expressions = Value::Array(all);
    }
}

/// Fields say since long what these annotations say; who writes only the latter gets the former.
fn apparmor(spec: &mut Value, annotations: &Value) {
    if spec["os"]["name"] == "windows" {
        return;
    }
    let of_pod = spec["securityContext"]["appArmorProfile"].clone();
    let Some(spec) = spec.as_object_mut() else { return };
    change_containers(spec, |container| {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some(told) = annotations[format!("{APPARMOR}{name}")].as_str() else { return };
        let Some(profile) = apparmor_profile(told).filter(|profile| *profile != of_pod) else { return };
        let context = container.entry("securityContext").or_insert(Value::Null);
        if !has(context, "appArmorProfile") {
            context["appArmorProfile"] = profile;
        }
    });
}

/// The field that an annotation of a container stands for.
pub(super) fn apparmor_profile(annotation: &str) -> Option<Value> {
    match annotation.split_once('/') {
        None if annotation == "unconfined" => Some(json!({ "type": "Unconfined" })),
        Some(("runtime", "default")) => Some(json!({ "type": "RuntimeDefault" })),
        Some(("localhost", name)) if !name.is_empty() && name.trim() == name => {
            Some(json!({ "type": "Localhost", "localhostProfile": name }))
        }
        _ => None,
    }
}
