//! What the API fills in when a Pod is decoded.

use serde_json::{Map, Value, json};

use crate::Quantity;

/// Fills in a Pod's defaults. Values of wrong types are left for validation to name.
pub fn set_defaults(pod: &mut Value) {
    prune_nulls(pod);
    let Some(spec) = object(pod, "spec") else { return };
    default(spec, "restartPolicy", "Always");
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "schedulerName", "default-scheduler");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "enableServiceLinks", true);
    default(spec, "securityContext", json!({}));
    // A negative grace period is that of a pod deleted at once.
    if spec["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        spec.insert("terminationGracePeriodSeconds".to_owned(), json!(1));
    }
    let host_network = spec.get("hostNetwork").and_then(Value::as_bool) == Some(true);
    for field in ["initContainers", "containers"] {
        for container in objects(spec, field) {
            container_defaults(container, host_network);
        }
    }
    for volume in objects(spec, "volumes") {
        volume_defaults(volume);
    }
    if let Some(overhead) = spec.get_mut("overhead").and_then(Value::as_object_mut) {
        overhead.values_mut().for_each(canonical);
    }
    pod_resources(spec);
}

/// Null is the same as nothing, but among quantities, where it is the quantity zero.
fn prune_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for field in ["limits", "requests", "overhead"] {
                let quantities = map.get_mut(field).and_then(Value::as_object_mut);
                for quantity in
                    quantities.into_iter().flat_map(Map::values_mut).filter(|value| value.is_null())
                {
                    *quantity = json!("0");
                }
            }
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(prune_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(prune_nulls),
        _ => {}
    }
}

fn default(map: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    // The empty text counts as nothing for the enumerations that have a default.
    let empty = map.get(field).is_none_or(|have| have.as_str() == Some(""));
    if empty {
        map.insert(field.to_owned(), value.into());
    }
}

/// Like [`default`], for numbers where zero counts as nothing.
fn default_number(map: &mut Map<String, Value>, field: &str, value: i64) {
    if map.get(field).is_none_or(|have| have.as_i64() == Some(0)) {
        map.insert(field.to_owned(), value.into());
    }
}

fn object<'v>(value: &'v mut Value, field: &str) -> Option<&'v mut Map<String, Value>> {
    value.get_mut(field)?.as_object_mut()
}

fn objects<'v>(
    map: &'v mut Map<String, Value>,
    field: &str,
) -> impl Iterator<Item = &'v mut Map<String, Value>> {
    let items = map.get_mut(field).and_then(Value::as_array_mut);
    items.into_iter().flatten().filter_map(Value::as_object_mut)
}

fn container_defaults(container: &mut Map<String, Value>, host_network: bool) {
    let policy = pull_policy(container.get("image").and_then(Value::as_str).unwrap_or_default());
    default(container, "imagePullPolicy", policy);
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    default(container, "resources", json!({}));
    for port in objects(container, "ports") {
        default(port, "protocol", "TCP");
        if host_network && let Some(number) = port.get("containerPort").cloned() {
            default_number(port, "hostPort", number.as_i64().unwrap_or(0));
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe).and_then(Value::as_object_mut) {
            default_number(probe, "timeoutSeconds", 1);
            default_number(probe, "periodSeconds", 10);
            default_number(probe, "successThreshold", 1);
            default_number(probe, "failureThreshold", 3);
            handler_defaults(probe);
        }
    }
    if let Some(lifecycle) = container.get_mut("lifecycle").and_then(Value::as_object_mut) {
        for hook in ["postStart", "preStop"] {
            if let Some(handler) = lifecycle.get_mut(hook).and_then(Value::as_object_mut) {
                handler_defaults(handler);
            }
        }
    }
    for variable in objects(container, "env") {
        if let Some(source) = variable.get_mut("valueFrom").and_then(Value::as_object_mut) {
            source_defaults(source);
        }
    }
    if let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) {
        resource_defaults(resources);
    }
}

/// Pull each time what may have changed: no tag, or `latest`, unless a digest pins it.
fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let name = image.rsplit('/').next().unwrap_or_default();
    match name.split_once(':') {
        Some((_, tag)) if tag != "latest" => "IfNotPresent",
        _ => "Always",
    }
}

fn handler_defaults(handler: &mut Map<String, Value>) {
    if let Some(http) = handler.get_mut("httpGet").and_then(Value::as_object_mut) {
        default(http, "path", "/");
        default(http, "scheme", "HTTP");
    }
    if let Some(grpc) = handler.get_mut("grpc").and_then(Value::as_object_mut) {
        default(grpc, "service", "");
    }
}

/// Of an environment variable's source or of a file of the downward API.
fn source_defaults(source: &mut Map<String, Value>) {
    if let Some(field) = source.get_mut("fieldRef").and_then(Value::as_object_mut) {
        default(field, "apiVersion", "v1");
    }
    if let Some(field) = source.get_mut("resourceFieldRef").and_then(Value::as_object_mut) {
        default(field, "divisor", "0");
        field.get_mut("divisor").into_iter().for_each(canonical);
    }
}

/// What has a limit and no request asks for its limit.
fn resource_defaults(resources: &mut Map<String, Value>) {
    for list in ["limits", "requests"] {
        if let Some(list) = resources.get_mut(list).and_then(Value::as_object_mut) {
            list.values_mut().for_each(canonical);
        }
    }
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    let Some(requests) = requests.as_object_mut() else { return };
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
    if requests.is_empty() {
        resources.remove("requests");
    }
}

/// A pod's own request that is not given: the sum of its containers' where they have any, else its limit.
fn pod_resources(spec: &mut Map<String, Value>) {
    let mut sums: Map<String, Value> = Map::new();
    for container in spec.get("containers").and_then(Value::as_array).into_iter().flatten() {
        for (name, amount) in container["resources"]["requests"].as_object().into_iter().flatten() {
            let parse = |value: &Value| value.as_str()?.parse::<Quantity>().ok();
            let total = sums.get(name).and_then(parse).unwrap_or_default();
            if let Some(amount) = parse(amount) {
                sums.insert(name.clone(), json!((total + amount).to_string()));
            }
        }
    }
    let Some(resources) = spec.get_mut("resources").and_then(Value::as_object_mut) else { return };
    if let Some(limits) = resources.get("limits").and_then(Value::as_object) {
        let wanted: Vec<_> =
            limits.keys().filter_map(|name| Some((name.clone(), sums.get(name)?.clone()))).collect();
        let requests = resources.entry("requests").or_insert_with(|| json!({}));
        for (name, amount) in wanted {
            requests.as_object_mut().map(|requests| requests.entry(name).or_insert(amount));
        }
    }
    resource_defaults(resources);
}

fn volume_defaults(volume: &mut Map<String, Value>) {
    if volume.keys().all(|field| field == "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    if let Some(host) = volume.get_mut("hostPath").and_then(Value::as_object_mut) {
        default(host, "type", "");
    }
    if let Some(empty) = volume.get_mut("emptyDir").and_then(Value::as_object_mut) {
        empty.get_mut("sizeLimit").into_iter().for_each(canonical);
    }
    for field in ["secret", "configMap", "projected", "downwardAPI"] {
        if let Some(source) = volume.get_mut(field).and_then(Value::as_object_mut) {
            if !source.contains_key("defaultMode") {
                source.insert("defaultMode".to_owned(), json!(0o644));
            }
            objects(source, "items").for_each(source_defaults);
            for projection in objects(source, "sources") {
                if let Some(downward) = projection.get_mut("downwardAPI").and_then(Value::as_object_mut) {
                    objects(downward, "items").for_each(source_defaults);
                }
            }
        }
    }
}

/// Writes a quantity the way the API stores it; a number becomes text. What is no quantity stays.
fn canonical(value: &mut Value) {
    let written = match &*value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return,
    };
    if let Ok(quantity) = written.parse::<Quantity>() {
        *value = Value::String(quantity.to_string());
    }
}

#[cfg(test)]
mod tests;
