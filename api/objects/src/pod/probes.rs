//! Probes and hooks.

use serde_json::Value;

use super::validate::{invalid_names, not_negative, one_of, within};
use super::{has, list, text};
use crate::{FieldError, Path, names};

/// Checks a container's three probes.
pub(super) fn check_probes(errors: &mut Vec<FieldError>, container: &Value, path: &Path) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if !has(container, name) {
            continue;
        }
        let probe = &container[name];
        let at = path.field(name);
        let numbers = [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ];
        handler(errors, probe, &at, &["exec", "httpGet", "tcpSocket", "grpc"], i64::MAX);
        for field in numbers {
            not_negative(errors, probe, &at, field);
        }
        let grace = &probe["terminationGracePeriodSeconds"];
        if let Some(seconds) = grace.as_i64() {
            let at = at.field("terminationGracePeriodSeconds");
            if name == "readinessProbe" {
                errors.push(FieldError::invalid(&at, seconds, "must not be set for readinessProbes"));
            } else if seconds <= 0 {
                errors.push(FieldError::invalid(&at, seconds, "must be greater than 0"));
            }
        }
        let successes = probe["successThreshold"].as_i64().unwrap_or(1);
        if name != "readinessProbe" && successes != 1 {
            errors.push(FieldError::invalid(&at.field("successThreshold"), successes, "must be 1"));
        }
    }
}

/// Checks a container's hooks; `grace` is the pod's grace period in seconds.
pub(super) fn check_lifecycle(errors: &mut Vec<FieldError>, container: &Value, path: &Path, grace: i64) {
    let at = path.field("lifecycle");
    for name in ["postStart", "preStop"] {
        if has(&container["lifecycle"], name) {
            let hook = &container["lifecycle"][name];
            handler(errors, hook, &at.field(name), &["exec", "httpGet", "tcpSocket", "sleep"], grace);
        }
    }
}

fn handler(errors: &mut Vec<FieldError>, object: &Value, path: &Path, kinds: &[&str], grace: i64) {
    let mut first = None;
    for kind in kinds {
        if !has(object, kind) {
            continue;
        }
        let action = &object[*kind];
        let at = path.field(kind);
        if first.is_some() {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 handler type"));
            continue;
        }
        first = Some(kind);
        match *kind {
            "exec" => {
                if list(action, "command").is_empty() {
                    errors.push(FieldError::required(&at.field("command"), ""));
                }
            }
            "httpGet" => http(errors, action, &at),
            "sleep" => {
                let seconds = action["seconds"].as_i64().unwrap_or(0);
                if seconds < 0 || seconds > grace {
                    let why =
                        format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                    errors.push(FieldError::invalid(&at, seconds, &why));
                }
            }
            _ => port(errors, &action["port"], &at.field("port")),
        }
    }
    if first.is_none() {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
}

fn http(errors: &mut Vec<FieldError>, action: &Value, path: &Path) {
    if text(action, "path").is_empty() {
        errors.push(FieldError::required(&path.field("path"), ""));
    }
    port(errors, &action["port"], &path.field("port"));
    one_of(errors, action, path, "scheme", &["HTTP", "HTTPS"]);
    for header in list(action, "httpHeaders") {
        invalid_names(errors, &path.field("httpHeaders"), text(header, "name"), names::http_header_name);
    }
}

/// A port's number or its name.
fn port(errors: &mut Vec<FieldError>, port: &Value, path: &Path) {
    match port {
        Value::String(name) => invalid_names(errors, path, name, names::port_name),
        _ => within(errors, path, port.as_i64().unwrap_or(0), 1, 65535),
    }
}
