//! A new node gets no pods before it is known to be ready: who looks after nodes takes the taint off then.

use serde_json::{Value, json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const EFFECT: &str = "NoSchedule";

/// Taints a new node, unless it has the taint.
pub(super) fn put(node: &mut Value) {
    let mut taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    if taints.iter().any(|taint| taint["key"] == NOT_READY && taint["effect"] == EFFECT) {
        return;
    }
    taints.push(json!({"key": NOT_READY, "effect": EFFECT}));
    node["spec"]["taints"] = taints.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_tainted_once() {
        let mut node = json!({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}});
        put(&mut node);
        put(&mut node);
        let taints = json!([{"key": "k", "effect": "NoExecute"}, {"key": NOT_READY, "effect": EFFECT}]);
        assert_eq!(node["spec"]["taints"], taints);
    }
}
