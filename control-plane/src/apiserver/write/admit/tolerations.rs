//! A pod stays for five minutes on a node that is not ready or cannot be reached, unless it says otherwise.

use serde_json::{Value, json};

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// Adds the tolerations that the pod does not have.
pub(super) fn put(pod: &mut Value) {
    let own = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    let mut all = own.clone();
    for taint in TAINTS {
        let text =
            |toleration: &Value, field: &str| toleration[field].as_str().unwrap_or_default().to_owned();
        let covers = |toleration: &Value| {
            let (key, effect) = (text(toleration, "key"), text(toleration, "effect"));
            (key == taint || key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        };
        if !own.iter().any(covers) {
            all.push(json!({
                "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS,
            }));
        }
    }
    if all.len() > own.len() {
        pod["spec"]["tolerations"] = all.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pod_says_itself_counts() {
        let after = |tolerations: Value| {
            let mut pod = json!({"spec": {"tolerations": tolerations}});
            put(&mut pod);
            pod["spec"]["tolerations"].as_array().map_or(0, Vec::len)
        };
        assert_eq!(after(json!([])), 2);
        assert_eq!(after(json!([{"key": TAINTS[0], "operator": "Exists", "tolerationSeconds": 1}])), 2);
        assert_eq!(after(json!([{"operator": "Exists"}])), 1);
        assert_eq!(after(json!([{"key": "a", "operator": "Exists"}])), 3);
    }
}
