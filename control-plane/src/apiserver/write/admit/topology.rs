//! A pod that has a node has the labels that say where it stands.

use serde_json::{Map, Value};

use super::super::target::Write;
use crate::apiserver::status::Status;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// Writes into a pod, or a binding of one, where a node stands. A node that is not known stands nowhere.
pub(super) async fn put(write: &Write<'_>, pod: &mut Value, node: &str) -> Result<(), Status> {
    if node.is_empty() {
        return Ok(());
    }
    let node = write.find("", "nodes", "", node).await?.unwrap_or_default();
    let labels = &node["metadata"]["labels"];
    for (name, value) in LABELS.iter().filter_map(|name| Some((*name, labels.get(name)?))) {
        if !pod["metadata"]["labels"].is_object() {
            pod["metadata"]["labels"] = Value::Object(Map::new());
        }
        pod["metadata"]["labels"][name] = value.clone();
    }
    Ok(())
}
