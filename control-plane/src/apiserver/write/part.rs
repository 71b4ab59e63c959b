//! What of an object a write through a subresource can change.

use serde_json::Value;

/// A part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All but its status.
    Whole,
    /// Its status.
    Status,
    /// `spec.finalizers` of a Namespace: who has something left in it.
    Finalizers,
    /// The conditions that approve or deny a certificate.
    Approval,
    /// Containers that are added to a pod for a while.
    Ephemeral,
    /// What the containers of a pod may use.
    Resources,
    /// What the server itself makes of the request: a binding, a scale.
    Derived,
}

impl Part {
    /// What stands behind this name of a subresource.
    pub(super) fn of(subresource: &str) -> Self {
        match subresource {
            "status" => Self::Status,
            "finalize" => Self::Finalizers,
            "approval" => Self::Approval,
            "ephemeralcontainers" => Self::Ephemeral,
            "resize" => Self::Resources,
            "binding" | "scale" => Self::Derived,
            _ => Self::Whole,
        }
    }

    /// Makes of an object that was sent what is there, but for the part; owners of fields are the new ones.
    pub(super) fn restrict(self, live: &Value, object: &mut Value) {
        if matches!(self, Self::Whole | Self::Status | Self::Derived) {
            return;
        }
        let mut sent = std::mem::replace(object, live.clone());
        object["metadata"]["managedFields"] = sent["metadata"]["managedFields"].take();
        match self {
            Self::Finalizers => put(object, "spec", "finalizers", &mut sent),
            Self::Approval => put(object, "status", "conditions", &mut sent),
            Self::Ephemeral => put(object, "spec", "ephemeralContainers", &mut sent),
            Self::Resources => {
                move_field(&mut object["spec"], &mut sent["spec"], "resources");
                for list in ["containers", "initContainers"] {
                    resources(&mut object["spec"][list], &mut sent["spec"][list]);
                }
            }
            Self::Whole | Self::Status | Self::Derived => {}
        }
    }
}

fn put(object: &mut Value, of: &str, field: &str, sent: &mut Value) {
    move_field(&mut object[of], &mut sent[of], field);
}

fn move_field(to: &mut Value, from: &mut Value, field: &str) {
    match from[field].take() {
        Value::Null => {
            if let Some(to) = to.as_object_mut() {
                to.remove(field);
            }
        }
        value => to[field] = value,
    }
}

/// Of the same containers in the same order, what they may use. Others are refused, and so are taken as they are sent.
fn resources(containers: &mut Value, sent: &mut Value) {
    let names = |containers: &Value| -> Vec<Value> {
        containers.as_array().into_iter().flatten().map(|container| container["name"].clone()).collect()
    };
    if names(containers) != names(sent) {
        *containers = sent.take();
        return;
    }
    let (Some(containers), Some(sent)) = (containers.as_array_mut(), sent.as_array_mut()) else { return };
    for (container, sent) in containers.iter_mut().zip(sent) {
        for field in ["resources", "resizePolicy"] {
            move_field(container, sent, field);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_part_changes() {
        let live = json!({"metadata": {"name": "a", "managedFields": [1]}, "spec": {"finalizers": ["k"], "x": 1,
            "containers": [{"name": "c", "image": "i", "resources": {}}]}, "status": {"conditions": [1]}});
        let sent = json!({"metadata": {"name": "a", "labels": {"a": "b"}, "managedFields": [2]},
            "spec": {"x": 2, "ephemeralContainers": [{"name": "e"}],
                "containers": [{"name": "c", "image": "j", "resources": {"limits": {"cpu": "1"}}}]},
            "status": {"conditions": [2]}});
        for (subresource, path, value) in [
            ("finalize", "/spec/finalizers", None),
            ("approval", "/status/conditions", Some(json!([2]))),
            ("ephemeralcontainers", "/spec/ephemeralContainers", Some(json!([{"name": "e"}]))),
            ("resize", "/spec/containers/0/resources", Some(json!({"limits": {"cpu": "1"}}))),
        ] {
            let mut object = sent.clone();
            Part::of(subresource).restrict(&live, &mut object);
            assert_eq!(object.pointer(path), value.as_ref(), "{subresource}");
            assert_eq!(
                (&object["spec"]["x"], &object["metadata"]["managedFields"]),
                (&json!(1), &json!([2]))
            );
            assert!(
                object["metadata"]["labels"].is_null() && object["spec"]["containers"][0]["image"] == "i"
            );
        }
    }
}
