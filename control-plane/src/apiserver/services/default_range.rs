//! The ServiceCIDR that every cluster has, `kubernetes`: what the server was told, as an object.

use serde_json::{Value, json};

/// Its name.
pub const NAME: &str = "kubernetes";
/// Who writes its status.
pub const WRITER: &str = "kubernetes-service-cidr-controller";

/// What is to be done about it.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// It is as it should be, or somebody said that it is not ready and must know why.
    Nothing,
    /// It names other blocks than the server was told: addresses are given out of those that it names.
    Otherwise,
    /// It is made.
    Create(Value),
    /// It has one family, and the server is to have two.
    Replace(Value),
    /// This is applied to its status: addresses can be given out of it.
    Ready(Value),
}

/// Compares what there is with what the server was told.
pub fn plan(found: Option<&Value>, blocks: &[String], now: &str) -> Step {
    let Some(found) = found else {
        return Step::Create(json!({ "metadata": { "name": NAME }, "spec": { "cidrs": blocks } }));
    };
    let has = &found["spec"]["cidrs"];
    if let [first, _] = blocks
        && *has == json!([first])
    {
        let mut object = found.clone();
        object["spec"]["cidrs"] = json!(blocks);
        return Step::Replace(object);
    }
    if found["metadata"].get("deletionTimestamp").is_some() {
        return Step::Nothing;
    }
    if *has != json!(blocks) {
        return Step::Otherwise;
    }
    let conditions = found["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready");
    match ready.map(|ready| &ready["status"]) {
        None => {}
        Some(status) if status == "Unknown" => {}
        Some(_) => return Step::Nothing,
    }
    Step::Ready(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": { "name": NAME },
        "status": { "conditions": [{
            "type": "Ready",
            "status": "True",
            "message": "Kubernetes default Service CIDR is ready",
            "lastTransitionTime": now,
        }] },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_made_grows_by_a_family_and_becomes_ready() {
        let one = vec!["10.96.0.0/12".to_owned()];
        let both = vec!["10.96.0.0/12".to_owned(), "fd00::/112".to_owned()];
        assert!(matches!(plan(None, &one, "t"), Step::Create(made) if made["spec"]["cidrs"] == json!(one)));
        let range = |ready: Value, deleted: bool| {
            let mut range = json!({"metadata": {"name": NAME}, "spec": {"cidrs": one.clone()}, "status": {"conditions": ready}});
            if deleted {
                range["metadata"]["deletionTimestamp"] = "t".into();
            }
            range
        };
        let grown = plan(Some(&range(json!([]), false)), &both, "t");
        assert!(matches!(grown, Step::Replace(object) if object["spec"]["cidrs"] == json!(both)));
        let ready = |status: &str| json!([{"type": "Ready", "status": status}]);
        for (found, told, applies) in [
            (range(json!([]), false), &one, true),
            (range(ready("Unknown"), false), &one, true),
            (range(ready("True"), false), &one, false),
            (range(ready("False"), false), &one, false),
            (range(json!([]), true), &one, false),
            (range(json!([]), false), &vec!["10.0.0.0/16".to_owned()], false),
        ] {
            assert_eq!(matches!(plan(Some(&found), told, "t"), Step::Ready(_)), applies, "{found}");
        }
    }
}
