//! What keeps pods off a node, and what they put up with.

use serde_json::Value;

/// A node's taint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule`, `NoExecute`.
    pub effect: String,
}

impl Taint {
    /// Reads the taints of a node's spec.
    pub fn of(spec: &Value) -> Vec<Self> {
        let taints = spec["taints"].as_array().into_iter().flatten();
        let read = |taint: &Value| Self {
            key: text(taint, "key"),
            value: text(taint, "value"),
            effect: text(taint, "effect"),
        };
        taints.map(read).collect()
    }

    /// The taint that a node has that takes no pods.
    pub fn unschedulable() -> Self {
        Self {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            value: String::new(),
            effect: "NoSchedule".to_owned(),
        }
    }

    /// A pod that does not put up with it cannot come.
    pub fn forbids(&self) -> bool {
        matches!(self.effect.as_str(), "NoSchedule" | "NoExecute")
    }
}

/// A pod's toleration. An empty key or effect is any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toleration {
    key: String,
    exists: bool,
    value: String,
    effect: String,
    /// How long it puts up with a taint that drives pods away; for ever where it does not say.
    pub seconds: Option<i64>,
}

impl Toleration {
    /// Reads the tolerations of a pod's spec.
    pub fn of(spec: &Value) -> Vec<Self> {
        let tolerations = spec["tolerations"].as_array().into_iter().flatten();
        let read = |toleration: &Value| Self {
            key: text(toleration, "key"),
            exists: toleration["operator"] == "Exists",
            value: text(toleration, "value"),
            effect: text(toleration, "effect"),
            seconds: toleration["tolerationSeconds"].as_i64(),
        };
        tolerations.map(read).collect()
    }

    /// Whether it puts up with a taint.
    pub fn holds(&self, taint: &Taint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && (self.key.is_empty() && self.exists || self.key == taint.key)
            && (self.exists || self.value == taint.value)
    }
}

/// Whether one of them puts up with a taint.
pub fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| toleration.holds(taint))
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_toleration_names_what_it_puts_up_with() {
        let taint = &Taint::of(&json!({"taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]}))[0];
        let with =
            |toleration: Value| tolerates(&Toleration::of(&json!({"tolerations": [toleration]})), taint);
        assert!(taint.forbids());
        assert!(with(json!({"operator": "Exists"})));
        assert!(with(json!({"key": "a", "operator": "Exists"})));
        assert!(with(json!({"key": "a", "value": "b", "effect": "NoSchedule"})));
        assert!(!with(json!({"key": "a", "value": "c"})));
        assert!(!with(json!({"key": "c", "operator": "Exists"})));
        assert!(!with(json!({"key": "a", "value": "b", "effect": "NoExecute"})));
        assert!(!with(json!({"value": "b"})));
    }
}
