//! Ingresses.

use serde_json::Value;

use super::ingress_class::object_reference;
use crate::address::{Family, ip};
use crate::check::{has, invalid_names, list, text, texts, within};
use crate::{FieldError, Path, names};

/// What said the class before there was a field.
const CLASS: &str = "kubernetes.io/ingress.class";
/// What a path that is compared must not have in it, and not at its end.
const SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const SUFFIXES: [&str; 2] = ["/..", "/."];

pub(crate) fn create(ingress: &Value) -> Vec<FieldError> {
    let mut errors = update(ingress, &Value::Null);
    let annotation = ingress["metadata"]["annotations"].get(CLASS);
    let class = ingress["spec"].get("ingressClassName").filter(|class| !class.is_null());
    if let (Some(annotation), Some(class)) = (annotation, class)
        && annotation != class
    {
        let path = Path::ROOT.field("annotations");
        let why = "must match `ingressClassName` when both are specified";
        errors.push(FieldError::invalid(&path.field(CLASS), annotation.clone(), why));
    }
    errors
}

/// What was accepted of the one before, of secrets and of paths below wildcard hosts, is accepted again.
pub(crate) fn update(ingress: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &ingress["spec"]);
    let rules = list(spec, "rules");
    if rules.is_empty() && !has(spec, "defaultBackend") {
        let why = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid(&path, Value::Null, why));
    }
    if has(spec, "defaultBackend") {
        backend(&mut errors, &spec["defaultBackend"], &path.field("defaultBackend"));
    }
    let wildcards = wildcard_rules_broken(&old["spec"]);
    for (index, found) in rules.iter().enumerate() {
        rule(&mut errors, found, &path.field("rules").index(index), wildcards);
    }
    let secrets = list(&old["spec"], "tls").iter().any(|tls| !secret_faults(tls).is_empty());
    for (index, tls) in list(spec, "tls").iter().enumerate() {
        let at = path.field("tls");
        let at = at.index(index);
        for (index, name) in texts(tls, "hosts") {
            host(&mut errors, name, &at.field("hosts").index(index));
        }
        if !secrets {
            let (at, name) = (at.field("secretName"), text(tls, "secretName"));
            errors.extend(secret_faults(tls).iter().map(|why| FieldError::invalid(&at, name, why)));
        }
    }
    if has(spec, "ingressClassName") {
        let class = text(spec, "ingressClassName");
        invalid_names(&mut errors, &path.field("ingressClassName"), class, names::dns_subdomain);
    }
    errors
}

fn secret_faults(tls: &Value) -> Vec<String> {
    match text(tls, "secretName") {
        "" => Vec::new(),
        name => names::dns_subdomain(name),
    }
}

fn wildcard_rules_broken(spec: &Value) -> bool {
    let path = Path::ROOT.field("rules");
    list(spec, "rules").iter().filter(|rule| text(rule, "host").contains('*')).any(|rule| {
        let mut errors = Vec::new();
        paths(&mut errors, rule, &path);
        !errors.is_empty()
    })
}

fn host(errors: &mut Vec<FieldError>, name: &str, path: &Path) {
    if name.contains('*') {
        invalid_names(errors, path, name, names::wildcard_subdomain);
    } else {
        invalid_names(errors, path, name, names::dns_subdomain);
    }
}

fn rule(errors: &mut Vec<FieldError>, rule: &Value, path: &Path, wildcards: bool) {
    let (at, name) = (path.field("host"), text(rule, "host"));
    if !name.is_empty() {
        if Family::of(name).is_some() {
            errors.push(FieldError::invalid(&at, name, "must be a DNS name, not an IP address"));
        }
        host(errors, name, &at);
    }
    if !(wildcards && name.contains('*')) {
        paths(errors, rule, path);
    }
}

fn paths(errors: &mut Vec<FieldError>, rule: &Value, path: &Path) {
    if !has(rule, "http") {
        return;
    }
    let http = path.field("http");
    let at = http.field("paths");
    let found = list(&rule["http"], "paths");
    if found.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    for (index, found) in found.iter().enumerate() {
        one_path(errors, found, &at.index(index));
    }
}

fn one_path(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    let (at, value) = (path.field("path"), text(found, "path"));
    let absolute = value.starts_with('/');
    let mut refuse = |why: &str| errors.push(FieldError::invalid(&at, value, why));
    match found["pathType"].as_str() {
        None => {
            let why = "pathType must be specified";
            errors.push(FieldError::required(&path.field("pathType"), why));
            return;
        }
        Some("Exact" | "Prefix") => {
            if !absolute {
                refuse("must be an absolute path");
            }
            let sequences = SEQUENCES.iter().filter(|sequence| value.contains(**sequence));
            sequences.for_each(|sequence| refuse(&format!("must not contain '{sequence}'")));
            let suffixes = SUFFIXES.iter().filter(|suffix| value.ends_with(**suffix));
            suffixes.for_each(|suffix| refuse(&format!("cannot end with '{suffix}'")));
        }
        Some("ImplementationSpecific") => {
            if !value.is_empty() && !absolute {
                refuse("must be an absolute path");
            }
        }
        Some(other) => {
            let allowed = ["Exact", "ImplementationSpecific", "Prefix"];
            errors.push(FieldError::not_supported(&path.field("pathType"), other, &allowed));
        }
    }
    backend(errors, &found["backend"], &path.field("backend"));
}

fn backend(errors: &mut Vec<FieldError>, backend: &Value, path: &Path) {
    match (has(backend, "resource"), has(backend, "service")) {
        (true, true) => {
            let why = "cannot set both resource and service backends";
            errors.push(FieldError::invalid(path, "", why));
        }
        (true, false) => object_reference(errors, &backend["resource"], &path.field("resource")),
        (false, true) => service(errors, &backend["service"], path),
        (false, false) => {
            errors.push(FieldError::invalid(path, "", "resource or service backend is required"));
        }
    }
}

fn service(errors: &mut Vec<FieldError>, service: &Value, path: &Path) {
    let at = path.field("service");
    match text(service, "name") {
        "" => errors.push(FieldError::required(&at.field("name"), "")),
        name => invalid_names(errors, &at.field("name"), name, names::dns_label),
    }
    let at = at.field("port");
    let number = service["port"]["number"].as_i64().unwrap_or(0);
    match (text(&service["port"], "name"), number) {
        ("", 0) => errors.push(FieldError::required(path, "port name or number is required")),
        ("", number) => within(errors, &at.field("number"), number, 1, 65535),
        (name, 0) => invalid_names(errors, &at.field("name"), name, names::port_name),
        _ => errors.push(FieldError::invalid(path, "", "cannot set both port name & port number")),
    }
}

pub(crate) fn status(ingress: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("status");
    let balancer = path.field("loadBalancer");
    let before = list(&old["status"]["loadBalancer"], "ingress");
    for (index, found) in list(&ingress["status"]["loadBalancer"], "ingress").iter().enumerate() {
        let at = balancer.field("ingress");
        let at = at.index(index);
        let address = text(found, "ip");
        if !address.is_empty() && !before.iter().any(|old| text(old, "ip") == address) {
            ip(&mut errors, &at.field("ip"), address);
        }
        let name = text(found, "hostname");
        if !name.is_empty() {
            invalid_names(&mut errors, &at.field("hostname"), name, names::dns_subdomain);
            if Family::of(name).is_some() {
                let why = "must be a DNS name, not an IP address";
                errors.push(FieldError::invalid(&at.field("hostname"), name, why));
            }
        }
    }
    errors
}
