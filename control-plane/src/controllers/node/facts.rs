//! What controllers ask of a node: how it is, and what keeps pods off it.

use serde::Deserialize;

use super::super::item::Item;

/// The facts of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// What it, or who watches it, says of it.
    pub conditions: Vec<Condition>,
    /// What keeps pods off it.
    pub taints: Vec<Taint>,
    /// It was cordoned off.
    pub unschedulable: bool,
}

/// A condition of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// What it is about.
    pub r#type: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// When the node said so the last time.
    pub last_heartbeat_time: Option<String>,
}

/// A taint of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// `NoSchedule`, `PreferNoSchedule`, `NoExecute`.
    pub effect: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Node {
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    taints: Option<Vec<Taint>>,
    unschedulable: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Option<Vec<Condition>>,
}

impl NodeFacts {
    /// Reads them from a node's JSON.
    pub fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let node: Node = serde_json::from_slice(json)?;
        let (spec, status) = (node.spec.unwrap_or_default(), node.status.unwrap_or_default());
        Ok(Self {
            conditions: status.conditions.unwrap_or_default(),
            taints: spec.taints.unwrap_or_default(),
            unschedulable: spec.unschedulable,
        })
    }

    /// The condition of a type.
    pub fn condition(&self, name: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.r#type == name)
    }

    /// The status of its condition `Ready`; none where it never said.
    pub fn ready(&self) -> Option<&str> {
        self.condition("Ready").map(|ready| ready.status.as_str())
    }

    /// It is ready.
    pub fn is_ready(&self) -> bool {
        self.ready() == Some("True")
    }

    /// Pods that do not put up with it have to leave.
    pub fn evicts(&self) -> bool {
        self.taints.iter().any(|taint| taint.effect == "NoExecute")
    }
}

/// Where a node stands: its region and zone; nodes that do not say stand together.
pub(super) fn zone(node: &Item) -> String {
    let label = |name: &str, before: &str| {
        node.label(&format!("topology.kubernetes.io/{name}"))
            .or_else(|| node.label(&format!("failure-domain.beta.kubernetes.io/{before}")))
            .unwrap_or_default()
            .to_owned()
    };
    // A label holds no colon.
    format!("{}:{}", label("region", "region"), label("zone", "zone"))
}
