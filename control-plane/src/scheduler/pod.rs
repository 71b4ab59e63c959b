//! A pod as the scheduler sees it.

use api_objects::time;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::affinity::Affinity;
use super::resources::{Resources, requests};
use super::taints::Toleration;

/// The scheduler that pods have that name none.
pub const NAME: &str = "default-scheduler";

/// A port on the node that a pod takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// `TCP`, `UDP`, `SCTP`.
    pub protocol: String,
    /// The address on which it is taken; empty for all.
    pub address: String,
    /// The number.
    pub port: i64,
}

impl HostPort {
    /// Whether both cannot be on one node.
    pub fn collides(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address.is_empty() || other.address.is_empty() || self.address == other.address)
    }
}

/// A pod.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: String,
    /// The write that made it what it is.
    pub revision: String,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Where it runs, or must run where it is not placed yet.
    pub node: String,
    /// It ran to its end.
    pub over: bool,
    /// It is going.
    pub deleting: bool,
    /// It is this scheduler's, and nobody holds it back.
    pub ours: bool,
    /// Those with more go first.
    pub priority: i64,
    /// What it needs.
    pub requests: Resources,
    /// The same, with what is taken for what it does not say.
    pub weight: Resources,
    /// The ports that it takes.
    pub ports: Vec<HostPort>,
    /// The nodes that it wants.
    pub affinity: Affinity,
    /// What it puts up with.
    pub tolerations: Vec<Toleration>,
    /// Its like: those with the same controller; empty where it has none.
    pub kin: String,
    /// What its condition says of why it is not placed.
    pub told: String,
}

impl Pod {
    /// Reads a pod.
    pub fn of(pod: &Value) -> Self {
        let (metadata, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let owners = list(&metadata["ownerReferences"]);
        let controller = owners.iter().find(|owner| owner["controller"] == true);
        let scheduler = spec["schedulerName"].as_str().filter(|name| !name.is_empty()).unwrap_or(NAME);
        let conditions = list(&status["conditions"]);
        let placed = conditions.iter().find(|condition| condition["type"] == "PodScheduled");
        let (requests, weight) = requests(pod);
        Self {
            namespace: text(&metadata["namespace"]),
            name: text(&metadata["name"]),
            uid: text(&metadata["uid"]),
            revision: text(&metadata["resourceVersion"]),
            created: metadata["creationTimestamp"].as_str().and_then(time::parse),
            node: text(&spec["nodeName"]),
            over: matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")),
            deleting: !metadata["deletionTimestamp"].is_null(),
            ours: scheduler == NAME && list(&spec["schedulingGates"]).is_empty(),
            priority: spec["priority"].as_i64().unwrap_or(0),
            requests,
            weight,
            ports: ports(spec),
            affinity: Affinity::of(spec),
            tolerations: Toleration::of(spec),
            kin: controller.map(|owner| text(&owner["uid"])).unwrap_or_default(),
            told: placed.map(|placed| text(&placed["message"])).unwrap_or_default(),
        }
    }

    /// The reference to it in Events.
    pub fn reference(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "namespace": self.namespace, "name": self.name, "uid": self.uid,
            "resourceVersion": self.revision})
    }
}

fn ports(spec: &Value) -> Vec<HostPort> {
    let containers = spec["containers"].as_array().into_iter().flatten();
    let init = spec["initContainers"].as_array().into_iter().flatten();
    // Only what runs beside the containers keeps its ports.
    let containers = containers.chain(init.filter(|container| container["restartPolicy"] == "Always"));
    let ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    let read = |port: &Value| {
        let number = port["hostPort"].as_i64().filter(|number| *number > 0)?;
        let address = port["hostIP"].as_str().filter(|address| *address != "0.0.0.0").unwrap_or_default();
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        Some(HostPort { protocol: protocol.to_owned(), address: address.to_owned(), port: number })
    };
    ports.filter_map(read).collect()
}
