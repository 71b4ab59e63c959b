//! What objects use of what quotas limit.

use std::collections::{BTreeMap, BTreeSet};

use api_objects::{Quantity, time};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::amounts::{Amounts, Of, Sum, of_pod};

/// What is limited of a pod's resources, under all its names.
const COMPUTE: [&str; 9] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];
/// A quota on one of these asks every container to name it.
const REQUIRED: [&str; 6] =
    ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
/// Kinds that are counted under their bare name as well.
const BARE: [&str; 7] = [
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
];
/// What no quota counts: it is stored nowhere, or never was counted.
const UNCOUNTED: [&str; 9] = [
    "bindings",
    "componentstatuses",
    "events",
    "events.events.k8s.io",
    "tokenreviews.authentication.k8s.io",
    "selfsubjectreviews.authentication.k8s.io",
    "subjectaccessreviews.authorization.k8s.io",
    "localsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectaccessreviews.authorization.k8s.io",
];
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Before the name of a class of devices, where pods ask for one as for any other resource.
const IMPLICIT: &str = "deviceclass.resource.kubernetes.io/";
const DEVICES: &str = ".deviceclass.resource.k8s.io/devices";
/// All devices that there are count as so many: no claim can have more.
const ALL_DEVICES: i64 = 32;

/// Whether quotas count the objects of a kind.
pub fn is_counted(resource: &str) -> bool {
    !UNCOUNTED.contains(&resource)
}

/// Whether objects of a kind use what a quota names so.
pub fn counts(resource: &str, name: &str) -> bool {
    if name.strip_prefix("count/") == Some(resource) || (name == resource && BARE.contains(&name)) {
        return true;
    }
    match resource {
        "pods" => {
            COMPUTE.contains(&name)
                || name.starts_with("hugepages-")
                || name.starts_with("requests.hugepages-")
                || name.strip_prefix("requests.").is_some_and(is_foreign)
        }
        "services" => matches!(name, "services.nodeports" | "services.loadbalancers"),
        "persistentvolumeclaims" => {
            let of_class = name.split_once(OF_CLASS).map(|(_, what)| what);
            name == "requests.storage"
                || matches!(of_class, Some("requests.storage" | "persistentvolumeclaims"))
        }
        "resourceclaims.resource.k8s.io" => name.ends_with(DEVICES),
        _ => false,
    }
}

/// Whether somebody else than Kubernetes offers what is named so.
fn is_foreign(name: &str) -> bool {
    name.contains('/') && (!name.contains("kubernetes.io/") || name.starts_with(IMPLICIT))
}

/// What an object of a kind uses.
pub fn usage(resource: &str, object: &Value, now: Timestamp) -> Amounts {
    let one = Quantity::from_units(1);
    let mut used = Amounts::default();
    used.set(format!("count/{resource}"), one);
    if BARE.contains(&resource) && resource != "pods" {
        used.set(resource, one);
    }
    match resource {
        "pods" if is_charged(object, now) => {
            let sum = Sum { overhead: true, status: true };
            let [requests, limits] = [Of::Requests, Of::Limits].map(|of| of_pod(object, of, sum));
            used.add(&compute(&requests, &limits));
        }
        "services" => service(object, &mut used),
        "persistentvolumeclaims" => claim(object, &mut used),
        "resourceclaims.resource.k8s.io" => devices(object, &mut used),
        _ => {}
    }
    used
}

/// A pod that is over uses nothing but its place in the store, and neither does one that should have gone: that its
/// node is lost must not keep others from being made.
fn is_charged(pod: &Value, now: Timestamp) -> bool {
    !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        && gone_by(pod).is_none_or(|then| now <= then)
}

/// When a pod should have gone, for one that is going.
fn gone_by(pod: &Value) -> Option<Timestamp> {
    let metadata = &pod["metadata"];
    let then = metadata["deletionTimestamp"].as_str().and_then(time::parse)?;
    let grace = metadata["deletionGracePeriodSeconds"].as_i64()?;
    then.checked_add(SignedDuration::from_secs(grace)).ok()
}

/// The resources of a pod or container under the names that quotas have for them.
fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut used = Amounts::default();
    used.set("pods", Quantity::from_units(1));
    for (name, amount) in requests.iter() {
        let native = matches!(name, "cpu" | "memory" | "ephemeral-storage");
        if native || name.starts_with("hugepages-") {
            used.set(name, amount);
        }
        if native || name.starts_with("hugepages-") || is_foreign(name) {
            used.set(format!("requests.{name}"), amount);
        }
    }
    for (name, amount) in limits.iter() {
        if matches!(name, "cpu" | "memory" | "ephemeral-storage") {
            used.set(format!("limits.{name}"), amount);
        }
    }
    used
}

/// What containers of a pod leave out that a quota limits: `cpu for: a,b; memory for: b`.
pub(super) fn missing(pod: &Value, limited: &Amounts) -> Option<String> {
    let spec = &pod["spec"];
    let whole = ["requests", "limits"].iter().any(|field| {
        let told = spec["resources"][*field].as_object();
        told.is_some_and(|told| told.keys().any(|name| crate::amounts::is_of_pods(name)))
    });
    if whole {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for field in ["containers", "initContainers"] {
        for container in spec[field].as_array().into_iter().flatten() {
            let resources = &container["resources"];
            let told = compute(&Amounts::of(&resources["requests"]), &Amounts::of(&resources["limits"]));
            for name in REQUIRED.iter().filter(|name| limited.get(name).is_some() && told.get(name).is_none())
            {
                missing.entry(name).or_default().insert(container["name"].as_str().unwrap_or_default());
            }
        }
    }
    let all = missing.into_iter().map(|(name, containers)| {
        let containers: Vec<&str> = containers.into_iter().collect();
        format!("{name} for: {}", containers.join(","))
    });
    let all: Vec<String> = all.collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn service(service: &Value, used: &mut Amounts) {
    let spec = &service["spec"];
    let ports = || spec["ports"].as_array().into_iter().flatten();
    let asked = || ports().filter(|port| port["nodePort"].as_i64().unwrap_or(0) != 0).count();
    // They are not allocated yet; what is meant counts.
    let (ports, balancers) = match spec["type"].as_str() {
        Some("NodePort") => (ports().count(), 0),
        Some("LoadBalancer") if spec["allocateLoadBalancerNodePorts"] == false => (asked(), 1),
        Some("LoadBalancer") => (ports().count(), 1),
        _ => (0, 0),
    };
    used.set("services.nodeports", Quantity::from_units(i64::try_from(ports).unwrap_or(i64::MAX)));
    used.set("services.loadbalancers", Quantity::from_units(balancers));
}

fn claim(claim: &Value, used: &mut Amounts) {
    let quantity = |value: &Value| value.as_str().and_then(|text| text.parse::<Quantity>().ok());
    let class = storage_class(claim);
    if !class.is_empty() {
        used.set(format!("{class}{OF_CLASS}persistentvolumeclaims"), Quantity::from_units(1));
    }
    let Some(asked) = quantity(&claim["spec"]["resources"]["requests"]["storage"]) else { return };
    let allocated = quantity(&claim["status"]["allocatedResources"]["storage"]).unwrap_or_default();
    let storage = asked.max(allocated).rounded_up();
    used.set("requests.storage", storage);
    if !class.is_empty() {
        used.set(format!("{class}{OF_CLASS}requests.storage"), storage);
    }
}

/// The class that a claim asks for; empty where it asks for none.
pub(crate) fn storage_class(claim: &Value) -> &str {
    let old = claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].as_str();
    old.or(claim["spec"]["storageClassName"].as_str()).unwrap_or_default()
}

fn devices(claim: &Value, used: &mut Amounts) {
    let count = |request: &Value| match request["allocationMode"].as_str() {
        Some("ExactCount") => request["count"].as_i64().unwrap_or(0),
        Some("All") => ALL_DEVICES,
        _ => 0,
    };
    let of = |request: &Value| {
        let class = request["deviceClassName"].as_str().unwrap_or_default();
        let mut amounts = Amounts::default();
        amounts.set(format!("{class}{DEVICES}"), Quantity::from_units(count(request)));
        amounts
    };
    for request in claim["spec"]["devices"]["requests"].as_array().into_iter().flatten() {
        match request["firstAvailable"].as_array().filter(|all| !all.is_empty()) {
            // One of them is taken; of each class the most that this can be.
            Some(all) => {
                let mut most = Amounts::default();
                all.iter().for_each(|request| most.raise(&of(request)));
                used.add(&most);
            }
            None if request["exactly"].is_object() => used.add(&of(&request["exactly"])),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn used(resource: &str, object: Value) -> String {
        usage(resource, &object, Timestamp::UNIX_EPOCH).to_string()
    }

    #[test]
    fn each_kind_is_counted_under_its_names() {
        for (resource, name, counted) in [
            ("pods", "pods", true),
            ("pods", "count/pods", true),
            ("pods", "requests.example.com/gpu", true),
            ("pods", "example.com/gpu", false),
            ("pods", "requests.deviceclass.resource.kubernetes.io/gpu", true),
            ("pods", "requests.other.kubernetes.io/gpu", false),
            ("pods", "requests.hugepages-2Mi", true),
            ("pods", "requests.storage", false),
            ("services", "services.nodeports", true),
            ("services", "pods", false),
            ("deployments.apps", "count/deployments.apps", true),
            ("deployments.apps", "deployments.apps", false),
            ("persistentvolumeclaims", "gold.storageclass.storage.k8s.io/requests.storage", true),
            ("persistentvolumeclaims", "gold.storageclass.storage.k8s.io/pods", false),
            ("resourceclaims.resource.k8s.io", "gpu.deviceclass.resource.k8s.io/devices", true),
        ] {
            assert_eq!(counts(resource, name), counted, "{resource} {name}");
        }
        assert!(is_counted("secrets") && !is_counted("events"));
    }

    #[test]
    fn a_pod_uses_its_resources_until_it_is_over() {
        let mut pod = json!({"spec": {"containers": [{"name": "c", "resources": {
            "requests": {"cpu": "1", "hugepages-2Mi": "2Mi", "example.com/gpu": "1"}, "limits": {"cpu": "2"}}}]}});
        assert_eq!(
            used("pods", pod.clone()),
            "count/pods=1,cpu=1,hugepages-2Mi=2Mi,limits.cpu=2,pods=1,requests.cpu=1,requests.example.com/gpu=1,\
             requests.hugepages-2Mi=2Mi"
        );
        pod["status"] = json!({"phase": "Failed"});
        assert_eq!(used("pods", pod.clone()), "count/pods=1");
        let class = "deviceclass.resource.kubernetes.io/gpu";
        let of_class =
            json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {class: "2"}}}]}});
        assert_eq!(used("pods", of_class), format!("count/pods=1,pods=1,requests.{class}=2"));
        pod["status"] = json!({"phase": "Running"});
        pod["metadata"] =
            json!({"deletionTimestamp": "1969-12-31T23:59:00Z", "deletionGracePeriodSeconds": 30});
        assert_eq!(used("pods", pod.clone()), "count/pods=1");
        pod["metadata"]["deletionGracePeriodSeconds"] = 90.into();
        assert!(used("pods", pod).contains("pods=1,requests.cpu=1"));
    }

    #[test]
    fn services_use_ports_and_balancers() {
        let service = |kind: &str, more: Value| {
            let mut spec = json!({"type": kind, "ports": [{"nodePort": 30000}, {}]});
            spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
            used("services", json!({ "spec": spec }))
        };
        let rest = "services.nodeports";
        assert_eq!(
            service("ClusterIP", json!({})),
            format!("count/services=1,services=1,services.loadbalancers=0,{rest}=0")
        );
        assert!(service("NodePort", json!({})).ends_with("loadbalancers=0,services.nodeports=2"));
        assert!(service("LoadBalancer", json!({})).ends_with("loadbalancers=1,services.nodeports=2"));
        let none = json!({"allocateLoadBalancerNodePorts": false});
        assert!(service("LoadBalancer", none).ends_with("loadbalancers=1,services.nodeports=1"));
    }

    #[test]
    fn claims_use_storage_of_their_class() {
        let mut claim =
            json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}});
        assert_eq!(
            used("persistentvolumeclaims", claim.clone()),
            "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
             gold.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi"
        );
        claim["status"]["allocatedResources"]["storage"] = "3Gi".into();
        assert!(used("persistentvolumeclaims", claim).ends_with("requests.storage=3Gi"));
        let claim = json!({"spec": {"resources": {"requests": {"storage": "1500m"}}}});
        assert!(used("persistentvolumeclaims", claim).ends_with("requests.storage=2"));
    }

    #[test]
    fn claims_for_devices_use_the_most_that_they_may_get() {
        let exact =
            |count: i64| json!({"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": count});
        let claim = json!({"spec": {"devices": {"requests": [
            {"exactly": exact(2)}, {"firstAvailable": [exact(1), exact(4)]},
            {"exactly": {"deviceClassName": "nic", "allocationMode": "All"}}]}}});
        assert_eq!(
            used("resourceclaims.resource.k8s.io", claim),
            "count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=6,\
             nic.deviceclass.resource.k8s.io/devices=32"
        );
    }
}
