//! What the API server sets by default in the kinds that the recorded patches are about.

use serde_json::{Map, Value, json};

/// The kinds whose defaults are set here.
pub(crate) const KINDS: [&str; 2] = ["Deployment", "Pod"];

/// Sets the defaults of these kinds.
pub(crate) fn set(object: &mut Value) {
    match object["kind"].as_str() {
        Some("Pod") => api_objects::pod::set_defaults(object),
        Some("Deployment") => {
            let spec = &mut object["spec"];
            default(spec, "replicas", json!(1));
            default(spec, "revisionHistoryLimit", json!(10));
            default(spec, "progressDeadlineSeconds", json!(600));
            default(&mut spec["strategy"], "type", json!("RollingUpdate"));
            if spec["strategy"]["type"] == "RollingUpdate" {
                default(&mut spec["strategy"], "rollingUpdate", json!({}));
                default(&mut spec["strategy"]["rollingUpdate"], "maxUnavailable", json!("25%"));
                default(&mut spec["strategy"]["rollingUpdate"], "maxSurge", json!("25%"));
            }
            template(&mut spec["template"]);
        }
        _ => {}
    }
}

/// A template has the defaults of a Pod but for this one, which is set when a pod is made.
fn template(template: &mut Value) {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": template["spec"].take()});
    if pod["spec"]["containers"].is_null() {
        pod["spec"]["containers"] = json!([]);
    }
    let links = pod["spec"].get("enableServiceLinks").is_some();
    api_objects::pod::set_defaults(&mut pod);
    let mut spec = pod["spec"].take();
    if let Some(spec) = spec.as_object_mut().filter(|_| !links) {
        spec.remove("enableServiceLinks");
    }
    template["spec"] = spec;
}

fn default(object: &mut Value, field: &str, value: Value) {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    if object.get(field).is_none_or(Value::is_null) {
        object[field] = value;
    }
}
