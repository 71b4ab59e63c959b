//! The rules of claims for devices, of their templates and classes, and of the slices that offer devices. Expressions
//! are not compiled, and what a single device says of itself is as its schema has it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::check::{
    has, immutable, invalid_names, labels, list, not_negative, one_of, required_one_of, text, texts,
};
use crate::core::driver_name;
use crate::{FieldError, Path, fill, names};

/// How many requests, constraints, selectors and configurations there may be, each.
const MOST: usize = 32;
const MOST_ALTERNATIVES: usize = 8;
const MOST_BYTES: usize = 10 << 10;
const MOST_DEVICES: usize = 128;

pub(crate) fn claim_defaults(claim: &mut Value) {
    fill::part(claim, "spec").for_each(spec_defaults);
}

pub(crate) fn template_defaults(template: &mut Value) {
    fill::part(template, "spec").for_each(claim_defaults);
}

fn spec_defaults(spec: &mut Value) {
    for devices in fill::part(spec, "devices") {
        for request in fill::each(devices, "requests") {
            fill::part(request, "exactly").for_each(count);
            fill::each(request, "firstAvailable").for_each(count);
        }
    }
}

/// One device where nothing else is asked for.
fn count(request: &mut Value) {
    fill::text(request, "allocationMode", "ExactCount");
    if request["allocationMode"] == "ExactCount" && request["count"].as_i64().unwrap_or(0) == 0 {
        request["count"] = 1.into();
    }
}

pub(crate) fn create_claim(claim: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    devices(&mut errors, &claim["spec"], &Path::ROOT.field("spec"));
    errors
}

pub(crate) fn update_claim(claim: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    immutable(&mut errors, claim, old, &Path::ROOT, "spec");
    errors
}

pub(crate) fn create_template(template: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &template["spec"]);
    labels(&mut errors, &spec["metadata"]["labels"], &path.field("metadata").field("labels"));
    devices(&mut errors, &spec["spec"], &path.field("spec"));
    errors
}

pub(crate) fn create_class(class: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &class["spec"]);
    selectors(&mut errors, spec, &path);
    let at = path.field("config");
    bounded(&mut errors, spec, &path, "config", MOST);
    for (index, found) in list(spec, "config").iter().enumerate() {
        configuration(&mut errors, found, &at.index(index));
    }
    let name = text(spec, "extendedResourceName");
    if has(spec, "extendedResourceName") && !crate::core::is_extended(name) {
        let why = "must be a valid extended resource name";
        errors.push(FieldError::invalid(&path.field("extendedResourceName"), name, why));
    }
    errors
}

fn bounded(errors: &mut Vec<FieldError>, object: &Value, path: &Path, field: &str, most: usize) {
    let count = list(object, field).len();
    if count > most {
        errors.push(FieldError::too_many(&path.field(field), count, most));
    }
}

fn devices(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let (found, at) = (&spec["devices"], path.field("devices"));
    let requests = list(found, "requests");
    let known: BTreeMap<&str, Vec<&str>> = requests
        .iter()
        .map(|request| {
            let parts = list(request, "firstAvailable").iter().map(|part| text(part, "name"));
            (text(request, "name"), parts.collect())
        })
        .collect();
    ["requests", "constraints", "config"].iter().for_each(|field| bounded(errors, found, &at, field, MOST));
    for (index, one) in requests.iter().enumerate() {
        let at = at.field("requests");
        let at = at.index(index);
        request(errors, one, &at);
        unique(errors, &requests[..index], one, &at);
    }
    for (index, constraint) in list(found, "constraints").iter().enumerate() {
        let at = at.field("constraints");
        let at = at.index(index);
        references(errors, constraint, &at, &known);
        let attributes = ["matchAttribute", "distinctAttribute"];
        match attributes.iter().find(|field| has(constraint, field)) {
            Some(field) => attribute(errors, text(constraint, field), &at.field(field)),
            None => {
                let why = "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple \
                           fields are set";
                errors.push(FieldError::required(&at, why));
            }
        }
    }
    for (index, found) in list(found, "config").iter().enumerate() {
        let at = at.field("config");
        let at = at.index(index);
        references(errors, found, &at, &known);
        configuration(errors, found, &at);
    }
}

fn unique(errors: &mut Vec<FieldError>, before: &[Value], one: &Value, path: &Path) {
    let name = text(one, "name");
    if before.iter().any(|other| text(other, "name") == name) {
        errors.push(FieldError::duplicate(path, name));
    }
}

fn request(errors: &mut Vec<FieldError>, request: &Value, path: &Path) {
    const ONE: &str = "exactly one of `exactly` or `firstAvailable` is required";
    invalid_names(errors, &path.field("name"), text(request, "name"), names::dns_label);
    let alternatives = list(request, "firstAvailable");
    match (has(request, "exactly"), alternatives.is_empty()) {
        (false, true) => errors.push(FieldError::required(path, ONE)),
        (true, false) => {
            let why = format!("{ONE}, but multiple fields are set");
            errors.push(FieldError::invalid(path, Value::Null, &why));
        }
        (true, true) => exactly(errors, &request["exactly"], &path.field("exactly")),
        (false, false) => {
            bounded(errors, request, path, "firstAvailable", MOST_ALTERNATIVES);
            for (index, part) in alternatives.iter().enumerate() {
                let at = path.field("firstAvailable");
                let at = at.index(index);
                invalid_names(errors, &at.field("name"), text(part, "name"), names::dns_label);
                exactly(errors, part, &at);
                unique(errors, &alternatives[..index], part, &at);
            }
        }
    }
}

fn exactly(errors: &mut Vec<FieldError>, request: &Value, path: &Path) {
    let at = path.field("deviceClassName");
    match text(request, "deviceClassName") {
        "" => errors.push(FieldError::required(&at, "")),
        name => invalid_names(errors, &at, name, names::dns_subdomain),
    }
    selectors(errors, request, path);
    let (mode, count) = (text(request, "allocationMode"), request["count"].as_i64().unwrap_or(0));
    let at = path.field("count");
    match mode {
        "All" if count != 0 => {
            let why = "must not be specified when allocationMode is 'All'";
            errors.push(FieldError::invalid(&at, count, why));
        }
        "ExactCount" if count <= 0 => {
            errors.push(FieldError::invalid(&at, count, "must be greater than zero"))
        }
        "All" | "ExactCount" => {}
        other => {
            let modes = ["All", "ExactCount"];
            errors.push(FieldError::not_supported(&path.field("allocationMode"), other, &modes));
        }
    }
    for (index, toleration) in list(request, "tolerations").iter().enumerate() {
        let at = path.field("tolerations");
        let at = at.index(index);
        let (key, value) = (text(toleration, "key"), text(toleration, "value"));
        if !key.is_empty() {
            invalid_names(errors, &at.field("key"), key, names::qualified_name);
        }
        match text(toleration, "operator") {
            "Exists" if !value.is_empty() => {
                errors.push(FieldError::invalid(
                    &at.field("value"),
                    value,
                    "must be empty for operator `Exists`",
                ));
            }
            "Equal" => invalid_names(errors, &at.field("value"), value, names::label_value),
            _ => required_one_of(errors, toleration, &at, "operator", &["Equal", "Exists"]),
        }
        if !text(toleration, "effect").is_empty() {
            one_of(errors, toleration, &at, "effect", &["NoExecute", "NoSchedule", "None"]);
        }
    }
}

fn selectors(errors: &mut Vec<FieldError>, object: &Value, path: &Path) {
    bounded(errors, object, path, "selectors", MOST);
    for (index, selector) in list(object, "selectors").iter().enumerate() {
        let at = path.field("selectors");
        let at = at.index(index);
        let at = at.field("cel");
        if !has(selector, "cel") {
            errors.push(FieldError::required(&at, ""));
        } else if text(&selector["cel"], "expression").len() > MOST_BYTES {
            errors.push(FieldError::too_long(&at.field("expression"), MOST_BYTES));
        }
    }
}

/// Requests of the claim, or one of the alternatives of a request.
fn references(errors: &mut Vec<FieldError>, object: &Value, path: &Path, known: &BTreeMap<&str, Vec<&str>>) {
    bounded(errors, object, path, "requests", MOST);
    let at = path.field("requests");
    let found: Vec<&str> = texts(object, "requests").map(|(_, name)| name).collect();
    for (index, name) in found.iter().enumerate() {
        let at = at.index(index);
        let parts: Vec<&str> = name.split('/').collect();
        if parts.len() <= 2 {
            parts.iter().for_each(|part| invalid_names(errors, &at, part, names::dns_label));
        }
        let there = match parts[..] {
            [request] => known.contains_key(request),
            [request, part] => known.get(request).is_some_and(|parts| parts.contains(&part)),
            _ => false,
        };
        if !there {
            let why = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
            errors.push(FieldError::invalid(&at, *name, why));
        }
        if found[..index].contains(name) {
            errors.push(FieldError::duplicate(&at, *name));
        }
    }
}

/// `domain/name`, of which the name is one of C.
fn attribute(errors: &mut Vec<FieldError>, name: &str, path: &Path) {
    let Some((domain, part)) = name.split_once('/') else {
        let why = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(FieldError::invalid(path, name, why));
        return;
    };
    if domain.is_empty() {
        errors.push(FieldError::invalid(path, "", "the domain must not be empty"));
    } else {
        driver_name(errors, domain, path);
    }
    let first = part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if part.is_empty() {
        errors.push(FieldError::invalid(path, "", "the name must not be empty"));
    } else if !first || !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let why = "a valid C identifier must start with alphabetic character or '_', followed by a string of \
                   alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for \
                   validation is '[A-Za-z_][A-Za-z0-9_]*')";
        errors.push(FieldError::invalid(path, part, why));
    }
}

fn configuration(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    let (opaque, at) = (&found["opaque"], path.field("opaque"));
    if opaque.is_null() {
        errors.push(FieldError::required(&at, ""));
        return;
    }
    driver_name(errors, text(opaque, "driver"), &at.field("driver"));
    let (parameters, at) = (&opaque["parameters"], at.field("parameters"));
    if parameters.is_null() {
        errors.push(FieldError::required(&at, ""));
    } else if parameters.to_string().len() > MOST_BYTES {
        errors.push(FieldError::too_long(&at, MOST_BYTES));
    }
}

pub(crate) fn create_slice(slice: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &slice["spec"]);
    driver_name(&mut errors, text(spec, "driver"), &path.field("driver"));
    let (pool, at) = (&spec["pool"], path.field("pool"));
    match text(pool, "name") {
        "" => errors.push(FieldError::required(&at.field("name"), "")),
        name => {
            for part in name.split('/') {
                invalid_names(&mut errors, &at.field("name"), part, names::dns_subdomain);
            }
        }
    }
    let count = pool["resourceSliceCount"].as_i64().unwrap_or(0);
    if count <= 0 {
        let why = "must be greater than zero";
        errors.push(FieldError::invalid(&at.field("resourceSliceCount"), count, why));
    }
    not_negative(&mut errors, pool, &at, "generation");
    let places = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
    let said =
        places.iter().filter(|field| has(spec, field) && spec[**field] != false && spec[**field] != "");
    if said.count() != 1 {
        let why =
            "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
        errors.push(FieldError::required(&path, why));
    }
    if !text(spec, "nodeName").is_empty() {
        invalid_names(&mut errors, &path.field("nodeName"), text(spec, "nodeName"), names::dns_subdomain);
    }
    bounded(&mut errors, spec, &path, "devices", MOST_DEVICES);
    let devices = list(spec, "devices");
    for (index, device) in devices.iter().enumerate() {
        let at = path.field("devices");
        let at = at.index(index);
        invalid_names(&mut errors, &at.field("name"), text(device, "name"), names::dns_label);
        if devices[..index].iter().any(|other| text(other, "name") == text(device, "name")) {
            errors.push(FieldError::duplicate(&at.field("name"), text(device, "name")));
        }
    }
    errors
}

pub(crate) fn update_slice(slice: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create_slice(slice);
    let (new, old) = (&slice["spec"], &old["spec"]);
    let path = Path::ROOT.field("spec");
    for field in ["driver", "nodeName"] {
        immutable(&mut errors, new, old, &path, field);
    }
    immutable(&mut errors, &new["pool"], &old["pool"], &path.field("pool"), "name");
    errors
}

#[cfg(test)]
mod tests;
