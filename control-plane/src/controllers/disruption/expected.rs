//! How many pods there should be of those that a budget is about, and how many of them healthy.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::client::Gvr;
use crate::controllers::deployment::DEPLOYMENTS;
use crate::controllers::deployment::numbers::part;
use crate::controllers::index::Index;
use crate::controllers::item::Item;
use crate::controllers::replicaset::REPLICA_SETS;

/// What says in `spec.replicas` how many pods it is to have.
pub(super) static SCALED: [Gvr; 4] = [
    DEPLOYMENTS,
    REPLICA_SETS,
    Gvr::of("apps", "v1", "statefulsets"),
    Gvr::of("", "v1", "replicationcontrollers"),
];

/// What is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    /// So many pods.
    pub pods: i64,
    /// So many of them healthy.
    pub healthy: i64,
}

/// Whether it matters how many pods those who manage them want; a plain `minAvailable` says it all.
pub(super) fn needs_scale(spec: &Value) -> bool {
    spec.get("maxUnavailable").is_some() || spec["minAvailable"].is_string()
}

impl Expected {
    /// What a budget's spec wants of its pods.
    ///
    /// # Errors
    /// Why it cannot be told how many pods there should be.
    pub(super) fn of(index: &Index, spec: &Value, pods: &[Arc<Item>]) -> Result<Self, String> {
        if !needs_scale(spec) {
            let count = i64::try_from(pods.len()).unwrap_or(i64::MAX);
            return Ok(match spec["minAvailable"].as_i64() {
                Some(healthy) => Self { pods: count, healthy },
                None => Self { pods: 0, healthy: 0 },
            });
        }
        let pods = scale(index, pods)?;
        let healthy = match spec.get("maxUnavailable") {
            Some(unavailable) => (pods - part(unavailable, pods, true)).max(0),
            None => part(&spec["minAvailable"], pods, true),
        };
        Ok(Self { pods, healthy })
    }
}

/// The pods that those want who manage these. Pods that nobody manages are passed over.
fn scale(index: &Index, pods: &[Arc<Item>]) -> Result<i64, String> {
    let mut scales: HashMap<&str, i64> = HashMap::new();
    for pod in pods {
        let Some(owner) = pod.controller() else { continue };
        let unknown = || format!("found no controllers for pod {:?}", pod.id.name);
        let found = index.by_uid(&owner.uid).filter(|found| found.id.name == owner.name);
        let found = found.ok_or_else(unknown)?;
        if !SCALED.contains(&found.id.kind) {
            let Gvr { group, resource, .. } = found.id.kind;
            return Err(format!("{resource}.{group} does not implement the scale subresource"));
        }
        // A ReplicaSet of a Deployment is one of several of the same pods.
        let above =
            found.controller().filter(|above| found.id.kind == REPLICA_SETS && above.kind == "Deployment");
        let scaled = match above {
            Some(above) => index.by_uid(&above.uid).ok_or_else(unknown)?,
            None => found,
        };
        if !scales.contains_key(scaled.uid.as_str()) {
            scales.insert(&scaled.uid, scaled.value()["spec"]["replicas"].as_i64().unwrap_or(1));
        }
    }
    Ok(scales.values().sum())
}
