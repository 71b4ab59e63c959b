//! What simulated nodes say of themselves and of their pods.

use api_objects::time;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Settings;

/// A node as it registers.
pub(super) fn node(settings: &Settings, name: &str, number: usize, now: Timestamp) -> Value {
    let resources = json!({
        "cpu": settings.cpus.to_string(),
        "memory": format!("{}Gi", settings.memory),
        "pods": settings.pods.to_string(),
        "ephemeral-storage": "100Gi",
    });
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    json!({
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": arch,
            },
        },
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [
                {"type": "InternalIP", "address": address(10, number)},
                {"type": "Hostname", "address": name},
            ],
            "conditions": conditions_of_node(now),
            "nodeInfo": {
                "architecture": arch,
                "operatingSystem": "linux",
                "osImage": "simulated",
                "kernelVersion": "",
                "containerRuntimeVersion": "simulated://",
                "kubeletVersion": concat!("v1.36.2+orlop-", env!("CARGO_PKG_VERSION")),
                "kubeProxyVersion": "",
                "bootID": "",
                "machineID": "",
                "systemUUID": "",
            },
        },
    })
}

/// A node is well.
pub(super) fn conditions_of_node(now: Timestamp) -> Vec<Value> {
    let condition = |(kind, status, reason): (&str, &str, &str)| {
        json!({"type": kind, "status": status, "reason": reason, "message": "simulated",
            "lastHeartbeatTime": time::format(now), "lastTransitionTime": time::format(now)})
    };
    let conditions = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID"),
        ("Ready", "True", "KubeletReady"),
    ];
    conditions.map(condition).to_vec()
}

/// A pod is well.
pub(super) fn conditions_of_pod(now: Timestamp) -> Vec<Value> {
    let stamp = time::format(now);
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .map(|kind| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": stamp}))
        .to_vec()
}

/// The status of a pod that runs.
pub(super) fn running(pod: &Value, number: usize, now: Timestamp) -> Value {
    let stamp = time::format(now);
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten().enumerate();
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let statuses = containers.map(|(at, container)| {
        json!({"name": container["name"], "image": container["image"], "imageID": "simulated", "ready": true,
            "started": true, "restartCount": 0, "containerID": format!("simulated://{uid}-{at}"),
            "state": {"running": {"startedAt": stamp}}})
    });
    let host = address(10, number);
    let address = if pod["spec"]["hostNetwork"] == true { host.clone() } else { address(11, hash(uid)) };
    json!({
        "phase": "Running",
        "startTime": stamp,
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": conditions_of_pod(now),
        "containerStatuses": statuses.collect::<Vec<_>>(),
    })
}

/// The address of this number in a network of the first byte.
fn address(network: u8, number: usize) -> String {
    let [.., a, b, c] = (number + 1).to_be_bytes();
    format!("{network}.{a}.{b}.{c}")
}

/// Spreads identities over addresses; that two pods have the same one does no harm where nothing is sent.
fn hash(uid: &str) -> usize {
    uid.bytes().fold(0, |hash: usize, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)))
}
