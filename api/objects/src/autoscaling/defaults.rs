//! What is filled in of an autoscaler.

use serde_json::{Map, Value, json};

use crate::pod::absent;

/// The use of cpu, in percent of what is asked for, that is aimed at where nothing else is told.
const CPU: i64 = 80;

/// Fills in an autoscaler of either version.
pub(super) fn set(autoscaler: &mut Value) {
    let first = autoscaler["apiVersion"] == "autoscaling/v1";
    let others = autoscaler["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"].is_string();
    let Some(spec) = autoscaler["spec"].as_object_mut() else { return };
    absent(spec, "minReplicas", || json!(1));
    if first {
        if !others {
            absent(spec, "targetCPUUtilizationPercentage", || json!(CPU));
        }
        return;
    }
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let target = json!({"type": "Utilization", "averageUtilization": CPU});
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
        spec.insert("metrics".to_owned(), json!([cpu]));
    }
    let Some(behavior) = spec.get_mut("behavior").and_then(Value::as_object_mut) else { return };
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    let up = rules(behavior, "scaleUp", json!([pods, percent]));
    up.into_iter().for_each(|rules| absent(rules, "stabilizationWindowSeconds", || json!(0)));
    rules(behavior, "scaleDown", json!([percent]));
}

fn rules<'v>(
    behavior: &'v mut Map<String, Value>,
    direction: &str,
    policies: Value,
) -> Option<&'v mut Map<String, Value>> {
    absent(behavior, direction, || json!({}));
    let rules = behavior.get_mut(direction)?.as_object_mut()?;
    absent(rules, "selectPolicy", || json!("Max"));
    absent(rules, "policies", || policies);
    Some(rules)
}
