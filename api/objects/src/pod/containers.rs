//! Containers.

use serde_json::Value;

use super::validate::{invalid_names, ip, one_of, within};
use super::{has, list, probes, resources, security, text, volumes};
use crate::{FieldError, Path, names};

/// Checks a Pod's init and main containers.
pub(super) fn check(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, volumes: &[&str]) {
    let mains = path.field("containers");
    if list(spec, "containers").is_empty() {
        errors.push(FieldError::required(&mains, ""));
    }
    let mut seen: Vec<&str> = Vec::new();
    let inits = path.field("initContainers");
    let all = list(spec, "containers")
        .iter()
        .enumerate()
        .map(|(index, container)| (&mains, index, container, false));
    let init = list(spec, "initContainers")
        .iter()
        .enumerate()
        .map(|(index, container)| (&inits, index, container, true));
    let host_users = spec["hostUsers"] != false;
    let grace = spec["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    for (list_path, index, container, is_init) in all.chain(init) {
        let at = list_path.index(index);
        let name = text(container, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&at.field("name"), ""));
        } else if seen.contains(&name) {
            errors.push(FieldError::duplicate(&at.field("name"), name));
        } else {
            invalid_names(errors, &at.field("name"), name, names::dns_label);
        }
        seen.push(name);
        one(errors, container, &at, volumes);
        security::check_container(errors, container, &at, host_users);
        one_of(errors, container, &at, "restartPolicy", &["Always", "Never", "OnFailure"]);
        if is_init && text(container, "restartPolicy") != "Always" {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if has(container, field) {
                    let why = "may not be set for init containers without restartPolicy=Always";
                    errors.push(FieldError::forbidden(&at.field(field), why));
                }
            }
        } else {
            probes::check_probes(errors, container, &at);
            probes::check_lifecycle(errors, container, &at, grace);
        }
    }
    host_ports(errors, spec, path);
}

fn one(errors: &mut Vec<FieldError>, container: &Value, path: &Path, volumes: &[&str]) {
    let image = text(container, "image");
    if image.is_empty() {
        errors.push(FieldError::required(&path.field("image"), ""));
    } else if image.trim() != image {
        let why = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.field("image"), image, why));
    }
    one_of(errors, container, path, "imagePullPolicy", &["Always", "IfNotPresent", "Never"]);
    one_of(errors, container, path, "terminationMessagePolicy", &["File", "FallbackToLogsOnError"]);
    ports(errors, container, path);
    environment(errors, container, path);
    volumes::check_mounts(errors, container, path, volumes);
    if volumes::has_any(container, "resources") {
        resources::check(errors, &container["resources"], &path.field("resources"));
    }
    resources::check_resize(errors, container, path);
}

fn ports(errors: &mut Vec<FieldError>, container: &Value, path: &Path) {
    let ports = path.field("ports");
    let mut seen: Vec<&str> = Vec::new();
    for (index, port) in list(container, "ports").iter().enumerate() {
        let at = ports.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            let wrong = names::port_name(name);
            if wrong.is_empty() && seen.contains(&name) {
                errors.push(FieldError::duplicate(&at.field("name"), name));
            }
            errors.extend(wrong.iter().map(|why| FieldError::invalid(&at.field("name"), name, why)));
            seen.push(name);
        }
        match port["containerPort"].as_i64().unwrap_or(0) {
            0 => errors.push(FieldError::required(&at.field("containerPort"), "")),
            number => within(errors, &at.field("containerPort"), number, 1, 65535),
        }
        if let Some(number) = port["hostPort"].as_i64().filter(|number| *number != 0) {
            within(errors, &at.field("hostPort"), number, 1, 65535);
        }
        one_of(errors, port, &at, "protocol", &["SCTP", "TCP", "UDP"]);
        let address = text(port, "hostIP");
        if !address.is_empty() {
            ip(errors, &at.field("hostIP"), address);
        }
    }
}

/// A host port, protocol and address can be given away once; on the host's network the two ports are the same.
fn host_ports(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let mut taken: Vec<String> = Vec::new();
    let containers = path.field("containers");
    for (index, container) in list(spec, "containers").iter().enumerate() {
        let at = containers.index(index);
        let ports = at.field("ports");
        for (index, port) in list(container, "ports").iter().enumerate() {
            let number = port["hostPort"].as_i64().unwrap_or(0);
            if number == 0 {
                continue;
            }
            let at = ports.index(index);
            if spec["hostNetwork"] == true && port["containerPort"].as_i64() != Some(number) {
                let why = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(
                    &at.field("containerPort"),
                    port["containerPort"].clone(),
                    why,
                ));
            }
            let key = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if taken.contains(&key) {
                errors.push(FieldError::duplicate(&at.field("hostPort"), key.clone()));
            }
            taken.push(key);
        }
    }
}

const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

fn environment(errors: &mut Vec<FieldError>, container: &Value, path: &Path) {
    let variables = path.field("env");
    for (index, variable) in list(container, "env").iter().enumerate() {
        let at = variables.index(index);
        match text(variable, "name") {
            "" => errors.push(FieldError::required(&at.field("name"), "")),
            name => invalid_names(errors, &at.field("name"), name, names::env_var_name),
        }
        if !has(variable, "valueFrom") {
            continue;
        }
        let source = &variable["valueFrom"];
        let at = at.field("valueFrom");
        if !text(variable, "value").is_empty() {
            errors.push(FieldError::invalid(&at, "", "may not be specified when `value` is not empty"));
        }
        match source.as_object().map_or(0, serde_json::Map::len) {
            0 => errors.push(FieldError::invalid(&at, "", "must specify one of: `configMapKeyRef`, `fieldRef`, `fileKeyRef`, `resourceFieldRef` or `secretKeyRef`")),
            1 => {}
            _ => errors.push(FieldError::invalid(&at, "", "may not have more than one field specified at a time")),
        }
        if has(source, "fieldRef") {
            volumes::field_ref(errors, &source["fieldRef"], &at.field("fieldRef"), &ENV_FIELDS);
        }
        if has(source, "resourceFieldRef") {
            let at = at.field("resourceFieldRef");
            if text(&source["resourceFieldRef"], "resource").is_empty() {
                errors.push(FieldError::required(&at.field("resource"), ""));
            }
        }
    }
}
