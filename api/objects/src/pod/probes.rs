//! Probes and hooks.

use serde_json::Value;

use crate::check::{has, invalid_names, list, not_negative, text, within};
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
        handler(errors, probe, &at, &["exec", "httpGet", "tcpSocket", "grpc"], None);
        for field in numbers {
            not_negative(errors, probe, &at, field);
        }
        let grace_at = at.field("terminationGracePeriodSeconds");
        let grace = probe["terminationGracePeriodSeconds"].as_i64();
        if let Some(seconds) = grace.filter(|seconds| *seconds <= 0) {
            errors.push(FieldError::invalid(&grace_at, seconds, "must be greater than 0"));
        }
        let successes = probe["successThreshold"].as_i64().unwrap_or(0);
        match (name, grace) {
            ("readinessProbe", Some(seconds)) => {
                errors.push(FieldError::invalid(&grace_at, seconds, "must not be set for readinessProbes"));
            }
            ("readinessProbe", None) => {}
            _ if successes != 1 => {
                errors.push(FieldError::invalid(&at.field("successThreshold"), successes, "must be 1"));
            }
            _ => {}
        }
    }
}

/// Checks a container's hooks; `grace` is the pod's grace period in seconds.
pub(super) fn check_lifecycle(
    errors: &mut Vec<FieldError>,
    container: &Value,
    path: &Path,
    grace: Option<i64>,
    os: Option<&str>,
) {
    let at = path.field("lifecycle");
    let lifecycle = &container["lifecycle"];
    for name in ["postStart", "preStop"] {
        if has(lifecycle, name) {
            let kinds = ["exec", "httpGet", "tcpSocket", "sleep"];
            handler(errors, &lifecycle[name], &at.field(name), &kinds, grace);
        }
    }
    if let Some(signal) = lifecycle["stopSignal"].as_str() {
        stop_signal(errors, signal, &at.field("stopSignal"), os);
    }
}

fn stop_signal(errors: &mut Vec<FieldError>, signal: &str, path: &Path, os: Option<&str>) {
    let allowed: Vec<String> = match os {
        None => {
            let why = "may not be set for containers with empty `spec.os.name`";
            errors.push(FieldError::forbidden(path, why));
            return;
        }
        Some("windows") => ["SIGKILL", "SIGTERM"].map(str::to_owned).into(),
        Some("linux") => signals(),
        Some(_) => return,
    };
    if !allowed.iter().any(|known| known == signal) {
        let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
        errors.push(FieldError::not_supported(path, signal, &allowed));
    }
}

/// The signals of Linux, sorted as texts.
fn signals() -> Vec<String> {
    const NAMES: &str = "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV \
                         STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX";
    let mut all: Vec<String> = NAMES.split_whitespace().map(|name| format!("SIG{name}")).collect();
    all.extend((1..=15).map(|n| format!("SIGRTMIN+{n}")));
    all.extend((1..=14).map(|n| format!("SIGRTMAX-{n}")));
    all.sort_unstable();
    all
}

fn handler(errors: &mut Vec<FieldError>, object: &Value, path: &Path, kinds: &[&str], grace: Option<i64>) {
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
                if let Some(grace) = grace.filter(|grace| seconds < 0 || seconds > *grace) {
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
    let scheme = text(action, "scheme");
    if !["HTTP", "HTTPS"].contains(&scheme) {
        errors.push(FieldError::not_supported(&path.field("scheme"), scheme, &["HTTP", "HTTPS"]));
    }
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
