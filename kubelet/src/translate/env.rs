//! The environment of a container, and the downward API behind it.

use std::net::IpAddr;

use api_k8s::v1::{Container, EnvVar, Pod, ResourceFieldSelector};
use api_objects::Quantity;
use api_objects::expand::expand;

use super::resources::{amount, pod_level};
use super::{Node, TranslateError, all_containers, pod_name, pod_namespace, pod_uid, spec};

/// A container's variables in the order they are defined; a name defined again keeps its place and takes the
/// later value. `$(NAME)` sees what was defined before it.
pub fn environment(
    pod: &Pod,
    container: &Container,
    node: &Node,
    pod_ips: &[IpAddr],
) -> Result<Vec<(String, String)>, TranslateError> {
    let mut all: Vec<(String, String)> = Vec::new();
    for var in container.env.iter().flatten() {
        let value = match (&var.value, &var.value_from) {
            (Some(text), _) if !text.is_empty() => expand(text, |name| lookup(&all, name)),
            (_, Some(_)) => value_from(var, pod, container, node, pod_ips)?,
            _ => String::new(),
        };
        match all.iter_mut().find(|(name, _)| *name == var.name) {
            Some((_, have)) => *have = value,
            None => all.push((var.name.clone(), value)),
        }
    }
    Ok(all)
}

/// The value of a variable.
pub(crate) fn lookup<'e>(environment: &'e [(String, String)], name: &str) -> Option<&'e str> {
    environment.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
}

fn value_from(
    var: &EnvVar,
    pod: &Pod,
    container: &Container,
    node: &Node,
    pod_ips: &[IpAddr],
) -> Result<String, TranslateError> {
    let source = var.value_from.as_ref();
    if let Some(field) = source.and_then(|source| source.field_ref.as_ref()) {
        return field_value(pod, node, pod_ips, &field.field_path);
    }
    if let Some(selector) = source.and_then(|source| source.resource_field_ref.as_ref()) {
        return resource_value(pod, Some(container), node, selector);
    }
    // Sources that need the API were refused with the manifest.
    Err(TranslateError(format!("environment variable {}: its source is not implemented", var.name)))
}

/// A field of the pod as text. Whole `metadata.labels` and `metadata.annotations` come as lines of `KEY="VALUE"`.
pub fn field_value(pod: &Pod, node: &Node, pod_ips: &[IpAddr], path: &str) -> Result<String, TranslateError> {
    let meta = &pod.metadata;
    let ips = match spec(pod).host_network {
        Some(true) => &node.ips,
        _ => pod_ips,
    };
    if let Some((field, key)) = subscript(path) {
        let map = match field {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(unknown_field(path)),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => pod_name(pod).to_owned(),
        "metadata.namespace" => pod_namespace(pod).to_owned(),
        "metadata.uid" => pod_uid(pod).to_owned(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => node.name.clone(),
        "spec.serviceAccountName" => spec(pod).service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => first(&node.ips),
        "status.hostIPs" => joined(&node.ips),
        "status.podIP" => first(ips),
        "status.podIPs" => joined(ips),
        _ => return Err(unknown_field(path)),
    })
}

fn unknown_field(path: &str) -> TranslateError {
    TranslateError(format!("unsupported fieldPath: {path}"))
}

/// `metadata.labels['key']` → `metadata.labels`, `key`.
pub(crate) fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['")
}

fn lines(map: Option<&std::collections::BTreeMap<String, String>>) -> String {
    let lines: Vec<_> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

fn first(ips: &[IpAddr]) -> String {
    ips.first().map(IpAddr::to_string).unwrap_or_default()
}

fn joined(ips: &[IpAddr]) -> String {
    ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",")
}

/// A container's request or limit in units of the divisor, rounded up. A limit that is not set is what the node
/// can give. `container` is the one meant when the selector names none.
pub fn resource_value(
    pod: &Pod,
    container: Option<&Container>,
    node: &Node,
    selector: &ResourceFieldSelector,
) -> Result<String, TranslateError> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let container = match named {
        Some(name) => all_containers(pod).find(|container| container.name == name),
        None => container,
    };
    let Some(container) = container else {
        return Err(TranslateError(format!("container {} not found", named.unwrap_or_default())));
    };
    let (list, name) = selector.resource.split_once('.').unwrap_or_default();
    let own = container.resources.as_ref();
    let value = match list {
        "requests" => amount(own.and_then(|own| own.requests.as_ref()), name).unwrap_or(Quantity::ZERO),
        "limits" => amount(own.and_then(|own| own.limits.as_ref()), name)
            .filter(|limit| !limit.is_zero())
            .or_else(|| amount(pod_level(pod)?.limits.as_ref(), name))
            .unwrap_or_else(|| allocatable(node, name)),
        _ => return Err(TranslateError(format!("unsupported container resource : {}", selector.resource))),
    };
    let divisor = selector.divisor.as_ref().and_then(|text| text.0.parse().ok()).unwrap_or(Quantity::ZERO);
    Ok(value.divided_by(divisor).to_string())
}

fn allocatable(node: &Node, resource: &str) -> Quantity {
    match resource {
        "cpu" => Quantity::from_millis(node.allocatable_cpu_millis),
        "memory" => Quantity::from_bytes(node.allocatable_memory_bytes),
        _ => Quantity::ZERO,
    }
}
