//! What is refused in a Pod.

use serde_json::Value;

use super::{containers, entries, has, list, network, resources, security, text, volumes};
use crate::{FieldError, Path, names};

/// Everything that is wrong with a Pod whose defaults are filled in.
///
/// The rules are the API's, as far as they concern a node: what only schedulers and controllers read (affinity,
/// tolerations, spread constraints, readiness gates) is not looked at.
pub fn validate(pod: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata(&mut errors, &pod["metadata"]);
    let path = Path::ROOT.field("spec");
    let spec = &pod["spec"];
    let known = volumes::check(&mut errors, spec, &path);
    containers::check(&mut errors, spec, &path, &known);
    one_of(&mut errors, spec, &path, "restartPolicy", &["Always", "OnFailure", "Never"]);
    network::check(&mut errors, spec, &path);
    security::check_pod(&mut errors, spec, &path);
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64() {
        within(&mut errors, &path.field("activeDeadlineSeconds"), seconds, 1, i64::from(i32::MAX));
    }
    for (_, value) in entries(spec, "nodeSelector") {
        let at = path.field("nodeSelector");
        invalid_names(&mut errors, &at, value.as_str().unwrap_or_default(), names::label_value);
    }
    if has(spec, "os") {
        let os = path.field("os");
        match text(&spec["os"], "name") {
            "" => errors.push(FieldError::required(&os.field("name"), "")),
            "linux" | "windows" => {}
            other => errors.push(FieldError::not_supported(&os, other, &["linux", "windows"])),
        }
    }
    resources::check(&mut errors, &spec["resources"], &path.field("resources"));
    errors
}

fn metadata(errors: &mut Vec<FieldError>, meta: &Value) {
    let path = Path::ROOT.field("metadata");
    match text(meta, "name") {
        "" => errors.push(FieldError::required(&path.field("name"), "name or generateName is required")),
        name => invalid_names(errors, &path.field("name"), name, names::dns_subdomain),
    }
    if let Some(namespace) = meta["namespace"].as_str().filter(|name| !name.is_empty()) {
        invalid_names(errors, &path.field("namespace"), namespace, names::dns_label);
    }
    let at = path.field("labels");
    for (key, value) in entries(meta, "labels") {
        invalid_names(errors, &at, key, names::qualified_name);
        invalid_names(errors, &at, value.as_str().unwrap_or_default(), names::label_value);
    }
    let at = path.field("annotations");
    let mut total = 0;
    for (key, value) in entries(meta, "annotations") {
        invalid_names(errors, &at, &key.to_ascii_lowercase(), names::qualified_name);
        total += key.len() + value.as_str().unwrap_or_default().len();
    }
    if total > MAX_ANNOTATIONS {
        errors.push(FieldError::too_long(&at, MAX_ANNOTATIONS));
    }
}

/// The bytes that all annotations may have together.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// Refuses a name once for each sentence that its form has against it.
pub(super) fn invalid_names(
    errors: &mut Vec<FieldError>,
    path: &Path,
    name: &str,
    form: impl Fn(&str) -> Vec<String>,
) {
    errors.extend(form(name).into_iter().map(|why| FieldError::invalid(path, name, &why)));
}

/// Refuses a text field that is set and none of `allowed`.
pub(super) fn one_of(
    errors: &mut Vec<FieldError>,
    object: &Value,
    path: &Path,
    field: &str,
    allowed: &[&str],
) {
    if let Some(value) = object[field].as_str()
        && !allowed.contains(&value)
    {
        errors.push(FieldError::not_supported(&path.field(field), value, allowed));
    }
}

/// Refuses a number outside its bounds.
pub(super) fn within(errors: &mut Vec<FieldError>, path: &Path, value: i64, least: i64, most: i64) {
    if !(least..=most).contains(&value) {
        errors.push(FieldError::invalid(
            path,
            value,
            &format!("must be between {least} and {most}, inclusive"),
        ));
    }
}

/// Refuses a negative number.
pub(super) fn not_negative(errors: &mut Vec<FieldError>, object: &Value, path: &Path, field: &str) {
    if let Some(value) = object[field].as_i64().filter(|value| *value < 0) {
        errors.push(FieldError::invalid(&path.field(field), value, "must be greater than or equal to 0"));
    }
}

/// Refuses an address.
pub(super) fn ip(errors: &mut Vec<FieldError>, path: &Path, value: &str) {
    if value.parse::<std::net::IpAddr>().is_err() {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(FieldError::invalid(path, value, why));
    }
}

/// The texts of a list.
pub(super) fn texts<'v>(object: &'v Value, field: &str) -> impl Iterator<Item = (usize, &'v str)> {
    list(object, field).iter().enumerate().map(|(index, value)| (index, value.as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests;
