//! Environment variables and where they come from.

use serde_json::Value;

use super::volumes::{field_ref, resource_field};
use crate::check::{has, invalid_names, list, no_backsteps, text};
use crate::{FieldError, Path, names};

const FIELDS: [&str; 9] = [
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

/// Checks a container's variables, one by one and by the map.
pub(super) fn check(errors: &mut Vec<FieldError>, container: &Value, path: &Path) {
    let variables = path.field("env");
    for (index, variable) in list(container, "env").iter().enumerate() {
        let at = variables.index(index);
        match text(variable, "name") {
            "" => errors.push(FieldError::required(&at.field("name"), "")),
            name => invalid_names(errors, &at.field("name"), name, names::env_var_name),
        }
        if has(variable, "valueFrom") {
            value_from(errors, variable, &at.field("valueFrom"));
        }
    }
    let sources = path.field("envFrom");
    for (index, source) in list(container, "envFrom").iter().enumerate() {
        let at = sources.index(index);
        let prefix = text(source, "prefix");
        if !prefix.is_empty() {
            invalid_names(errors, &at.field("prefix"), prefix, names::env_var_name);
        }
        let mut count = 0;
        for field in ["configMapRef", "secretRef"] {
            if has(source, field) {
                count += 1;
                let at = at.field(field);
                match text(&source[field], "name") {
                    "" => errors.push(FieldError::required(&at.field("name"), "")),
                    name => invalid_names(errors, &at.field("name"), name, prefix_of_subdomain),
                }
            }
        }
        let why = match count {
            0 => "must specify one of: `configMapRef` or `secretRef`",
            1 => continue,
            _ => "may not have more than one field specified at a time",
        };
        errors.push(FieldError::invalid(&sources, "", why));
    }
}

/// A subdomain, or what becomes one when something is put behind its hyphen.
fn prefix_of_subdomain(text: &str) -> Vec<String> {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => names::dns_subdomain(&format!("{}a", &rest[..rest.len() - 1])),
        _ => names::dns_subdomain(text),
    }
}

fn value_from(errors: &mut Vec<FieldError>, variable: &Value, path: &Path) {
    let source = &variable["valueFrom"];
    let mut count = 0;
    for field in ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"] {
        if !has(source, field) {
            continue;
        }
        count += 1;
        let (from, at) = (&source[field], path.field(field));
        match field {
            "fieldRef" => field_ref(errors, from, &at, &FIELDS),
            "resourceFieldRef" => resource_field(errors, from, &at, false),
            "fileKeyRef" => file_key(errors, from, &at),
            _ => {
                invalid_names(errors, &at.field("name"), text(from, "name"), names::dns_subdomain);
                match text(from, "key") {
                    "" => errors.push(FieldError::required(&at.field("key"), "")),
                    key => invalid_names(errors, &at.field("key"), key, names::config_key),
                }
            }
        }
    }
    let why = match count {
        0 => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or \
             `fileKeyRef`"
        }
        _ if !text(variable, "value").is_empty() => "may not be specified when `value` is not empty",
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    errors.push(FieldError::invalid(path, "", why));
}

fn file_key(errors: &mut Vec<FieldError>, from: &Value, path: &Path) {
    match text(from, "key") {
        "" => errors.push(FieldError::required(&path.field("key"), "")),
        key => invalid_names(errors, &path.field("key"), key, names::env_var_name),
    }
    match text(from, "volumeName") {
        "" => errors.push(FieldError::required(&path.field("volumeName"), "")),
        name => invalid_names(errors, &path.field("volumeName"), name, names::dns_label),
    }
    match text(from, "path") {
        "" => errors.push(FieldError::required(&path.field("path"), "")),
        value => no_backsteps(errors, &path.field("path"), value),
    }
}

/// Variables are read from files of empty directories only.
pub(super) fn files(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    super::each_container(spec, path, |container, at| {
        let variables = at.field("env");
        for (index, variable) in list(container, "env").iter().enumerate() {
            let from = &variable["valueFrom"]["fileKeyRef"];
            if from.is_null() {
                continue;
            }
            let at = variables.index(index);
            let at = at.field("valueFrom");
            let at = at.field("fileKeyRef");
            let at = at.field("volumeName");
            let name = text(from, "volumeName");
            match list(spec, "volumes").iter().rfind(|volume| text(volume, "name") == name) {
                None => errors.push(FieldError::not_found(&at, name)),
                Some(volume) if has(volume, "emptyDir") => {}
                Some(_) => {
                    let why = "referenced volume must be of type emptyDir";
                    errors.push(FieldError::invalid(&at, name, why));
                }
            }
        }
    });
}
