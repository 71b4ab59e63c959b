//! The specification of a pod, in a Pod or in a template.

use serde_json::Value;

use super::containers::Around;
use super::{
    Meta, affinity, containers, devices, env, network, resources, scheduling, security, volumes, windows,
};
use crate::check::{has, invalid_names, labels, list, required, required_one_of, text, within};
use crate::{FieldError, Path, names};

/// Checks a specification whose defaults are filled in.
pub(super) fn check(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, meta: Meta<'_>) {
    let grace = spec["terminationGracePeriodSeconds"].as_i64();
    if grace.is_none() {
        errors.push(FieldError::required(&path.field("terminationGracePeriodSeconds"), ""));
    }
    let volumes = volumes::check(errors, spec, path, meta);
    let claims: Vec<&str> = list(spec, "resourceClaims").iter().map(|claim| text(claim, "name")).collect();
    let around = Around {
        volumes: &volumes,
        claims: &claims,
        grace,
        host_users: spec["hostUsers"] != false,
        restart: text(spec, "restartPolicy"),
        os: has(spec, "os").then(|| text(&spec["os"], "name")),
    };
    devices::claims(errors, spec, path, meta);
    containers::check(errors, spec, path, &around);
    resources::check_pod(errors, spec, path, &claims);
    network::host_ports(errors, spec, path, meta.is_some());
    required_one_of(errors, spec, path, "restartPolicy", &["Always", "OnFailure", "Never"]);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    required_one_of(errors, spec, path, "dnsPolicy", &policies);
    labels(errors, &spec["nodeSelector"], &path.field("nodeSelector"));
    security::check_pod(errors, spec, path);
    affinity::check(errors, &spec["affinity"], &path.field("affinity"));
    network::dns(errors, spec, path);
    scheduling::readiness_gates(errors, spec, path);
    scheduling::scheduling_gates(errors, spec, path);
    scheduling::spread(errors, spec, path);
    windows::host_process(errors, spec, path);
    host_users(errors, spec, path);
    network::hostname_override(errors, spec, path);
    for field in ["serviceAccountName", "nodeName"] {
        name(errors, spec, path, field, names::dns_subdomain);
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64() {
        within(errors, &path.field("activeDeadlineSeconds"), seconds, 1, i64::from(i32::MAX));
    }
    for field in ["hostname", "subdomain"] {
        name(errors, spec, path, field, names::dns_label);
    }
    scheduling::tolerations(errors, spec, path);
    network::aliases(errors, spec, path);
    name(errors, spec, path, "priorityClassName", names::dns_subdomain);
    if let Some(class) = spec["runtimeClassName"].as_str() {
        invalid_names(errors, &path.field("runtimeClassName"), class, names::dns_subdomain);
    }
    if has(spec, "preemptionPolicy") {
        required_one_of(errors, spec, path, "preemptionPolicy", &["PreemptLowerPriority", "Never"]);
    }
    resources::check_overhead(errors, spec, path);
    os(errors, spec, path);
    env::files(errors, spec, path);
}

/// A name that may be left out.
fn name(
    errors: &mut Vec<FieldError>,
    spec: &Value,
    path: &Path,
    field: &str,
    form: impl Fn(&str) -> Vec<String>,
) {
    let name = text(spec, field);
    if !name.is_empty() {
        invalid_names(errors, &path.field(field), name, form);
    }
}

/// A pod with users of its own shares no other namespace with the host.
fn host_users(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    if spec["hostUsers"] != false {
        return;
    }
    let why = "when `hostUsers` is false";
    for (field, told) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec[field] == true {
            errors.push(FieldError::forbidden(&path.field(told), why));
        }
    }
    super::each_container(spec, path, |container, at| {
        if !list(container, "volumeDevices").is_empty() {
            errors.push(FieldError::forbidden(&at.field("volumeDevices"), why));
        }
    });
}

fn os(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    if !has(spec, "os") {
        return;
    }
    let at = path.field("os");
    match text(&spec["os"], "name") {
        "" => required(errors, &spec["os"], &at, "name", ""),
        "linux" => windows::none_on_linux(errors, spec, path),
        "windows" => windows::nothing_of_linux(errors, spec, path),
        other => errors.push(FieldError::not_supported(&at, other, &["linux", "windows"])),
    }
}
