//! What the API fills in when a Pod is decoded.

use serde_json::{Map, Value, json};

use super::claim;
use super::resources::{aggregate, is_of_pods};
use crate::Quantity;

/// Fills in a Pod's defaults. Values of wrong types are left for validation to name.
pub fn set_defaults(pod: &mut Value) {
    prune_nulls(pod);
    pod.as_object_mut().into_iter().for_each(|pod| absent(pod, "spec", || json!({})));
    let Some(spec) = object(pod, "spec") else { return };
    // A negative grace period is that of a pod deleted at once.
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        spec.insert("terminationGracePeriodSeconds".to_owned(), json!(1));
    }
    default(spec, "enableServiceLinks", true);
    self::spec(spec);
    // What follows is a pod's and no template's.
    let host_network = spec.get("hostNetwork").and_then(Value::as_bool) == Some(true);
    for field in ["initContainers", "containers"] {
        for container in objects(spec, field) {
            if let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) {
                requests_of_limits(resources, |_| true);
            }
            for port in objects(container, "ports").filter(|_| host_network) {
                if let Some(number) = port.get("containerPort").cloned() {
                    default_number(port, "hostPort", number.as_i64().unwrap_or(0));
                }
            }
        }
    }
    pod_resources(spec);
}

/// Fills in the specification of a template.
pub(super) fn template(spec: &mut Value) {
    prune_nulls(spec);
    if let Some(spec) = spec.as_object_mut() {
        self::spec(spec);
        same_account(spec);
    }
}

/// Completes what the API tells twice: the account of a pod, and its addresses.
pub(super) fn aliases(pod: &mut Value) {
    if let Some(spec) = object(pod, "spec") {
        same_account(spec);
    }
    let Some(status) = object(pod, "status") else { return };
    let first = status.get("podIPs").and_then(|ips| ips[0]["ip"].as_str()).unwrap_or_default().to_owned();
    let told = status.get("podIP").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !told.is_empty() && told != first {
        // Clients that know of one address only tell the one.
        status.insert("podIPs".to_owned(), json!([{ "ip": told }]));
    } else if told.is_empty() && !first.is_empty() {
        status.insert("podIP".to_owned(), json!(first));
    }
}

fn same_account(spec: &mut Map<String, Value>) {
    let fields = ["serviceAccountName", "serviceAccount"];
    let told = |field: &&str| spec.get(*field).and_then(Value::as_str).filter(|name| !name.is_empty());
    if let Some(name) = fields.iter().find_map(told).map(str::to_owned) {
        fields.iter().for_each(|field| drop(spec.insert((*field).to_owned(), json!(name))));
    }
}

fn spec(spec: &mut Map<String, Value>) {
    default(spec, "restartPolicy", "Always");
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "schedulerName", "default-scheduler");
    absent(spec, "terminationGracePeriodSeconds", || json!(30));
    absent(spec, "securityContext", || json!({}));
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        objects(spec, field).for_each(container_defaults);
    }
    objects(spec, "volumes").for_each(volume_defaults);
    quantities(spec, "overhead");
    if let Some(resources) = spec.get_mut("resources").and_then(Value::as_object_mut) {
        quantities(resources, "limits");
        quantities(resources, "requests");
    }
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

/// Fills in a field that is not there or an empty text.
pub(crate) fn default(map: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
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

/// Like [`default`], for what may be empty.
pub(crate) fn absent(map: &mut Map<String, Value>, field: &str, value: impl FnOnce() -> Value) {
    if map.get(field).is_none_or(Value::is_null) {
        map.insert(field.to_owned(), value());
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
    items.into_iter().flatten().filter_map(|item| {
        // An element that is null is one with nothing in it.
        if item.is_null() {
            *item = json!({});
        }
        item.as_object_mut()
    })
}

fn container_defaults(container: &mut Map<String, Value>) {
    let policy = pull_policy(container.get("image").and_then(Value::as_str).unwrap_or_default());
    default(container, "imagePullPolicy", policy);
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    default(container, "resources", json!({}));
    for port in objects(container, "ports") {
        default(port, "protocol", "TCP");
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
        quantities(resources, "limits");
        quantities(resources, "requests");
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
        absent(grpc, "service", || json!(""));
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
    if let Some(file) = source.get_mut("fileKeyRef").and_then(Value::as_object_mut) {
        absent(file, "optional", || json!(false));
    }
}

/// What has a limit and no request asks for its limit.
fn requests_of_limits(resources: &mut Map<String, Value>, wanted: impl Fn(&str) -> bool) {
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    let Some(requests) = requests.as_object_mut() else { return };
    for (name, limit) in limits.into_iter().filter(|(name, _)| wanted(name)) {
        requests.entry(name).or_insert(limit);
    }
    if requests.is_empty() {
        resources.remove("requests");
    }
}

/// What a pod asks for as a whole and does not tell: a request is the sum of its containers' where they have any, else
/// the limit; of huge pages the limit is the sum as well.
fn pod_resources(spec: &mut Map<String, Value>) {
    let some = |spec: &Map<String, Value>, list: &str| {
        let list = spec.get("resources").and_then(|resources| resources[list].as_object());
        list.is_some_and(|list| !list.is_empty())
    };
    if !some(spec, "limits") && !some(spec, "requests") {
        return;
    }
    let whole = Value::Object(spec.clone());
    let huge = |name: &str| name.starts_with("hugepages-");
    let mut put = |list: &str, name: String, amount: Quantity, unless: &str| {
        let Some(resources) = spec.get_mut("resources").and_then(Value::as_object_mut) else { return };
        if resources.get(unless).is_some_and(|list| !list[&name].is_null()) {
            return;
        }
        let list = resources.entry(list).or_insert_with(|| json!({}));
        list.as_object_mut().map(|list| list.entry(name).or_insert(json!(amount.to_string())));
    };
    for (name, sum) in aggregate(&whole, "limits").into_iter().filter(|(name, _)| huge(name)) {
        put("limits", name, sum, "requests");
    }
    for (name, sum) in aggregate(&whole, "requests") {
        if is_of_pods(&name) && !huge(&name) {
            put("requests", name, sum, "requests");
        }
    }
    if let Some(resources) = spec.get_mut("resources").and_then(Value::as_object_mut) {
        requests_of_limits(resources, is_of_pods);
    }
}

fn volume_defaults(volume: &mut Map<String, Value>) {
    if volume.keys().all(|field| field == "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for (kind, source) in volume.iter_mut() {
        let Some(source) = source.as_object_mut() else { continue };
        match kind.as_str() {
            "emptyDir" => source.get_mut("sizeLimit").into_iter().for_each(canonical),
            "hostPath" => absent(source, "type", || json!("")),
            "secret" | "configMap" | "downwardAPI" | "projected" => files(source),
            "image" => {
                let reference = source.get("reference").and_then(Value::as_str).unwrap_or_default();
                default(source, "pullPolicy", pull_policy(reference));
            }
            "iscsi" => default(source, "iscsiInterface", "default"),
            "rbd" => {
                default(source, "pool", "rbd");
                default(source, "user", "admin");
                default(source, "keyring", "/etc/ceph/keyring");
            }
            "azureDisk" => {
                absent(source, "cachingMode", || json!("ReadWrite"));
                absent(source, "fsType", || json!("ext4"));
                absent(source, "readOnly", || json!(false));
                absent(source, "kind", || json!("Shared"));
            }
            "scaleIO" => {
                default(source, "storageMode", "ThinProvisioned");
                default(source, "fsType", "xfs");
            }
            "ephemeral" => {
                let claim = source.get_mut("volumeClaimTemplate").and_then(|claim| claim.get_mut("spec"));
                claim.and_then(Value::as_object_mut).into_iter().for_each(claim::defaults);
            }
            _ => {}
        }
    }
}

/// Of a volume of files.
fn files(source: &mut Map<String, Value>) {
    absent(source, "defaultMode", || json!(0o644));
    objects(source, "items").for_each(source_defaults);
    for projection in objects(source, "sources") {
        if let Some(downward) = projection.get_mut("downwardAPI").and_then(Value::as_object_mut) {
            objects(downward, "items").for_each(source_defaults);
        }
        if let Some(token) = projection.get_mut("serviceAccountToken").and_then(Value::as_object_mut) {
            absent(token, "expirationSeconds", || json!(3600));
        }
    }
}

/// Writes the quantities of a list as the API stores them: of thousandths at the least.
pub(crate) fn quantities(owner: &mut Map<String, Value>, list: &str) {
    for value in owner.get_mut(list).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        canonical(value);
        let Some(amount) = value.as_str().and_then(|text| text.parse::<Quantity>().ok()) else { continue };
        let thousandths = Quantity::from_millis(amount.millis());
        if thousandths != amount {
            *value = Value::String(thousandths.to_string());
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
