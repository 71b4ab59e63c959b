//! What is refused in a Pod.

use serde_json::Value;

use super::{containers, entries, has, network, resources, security, text, volumes};
pub(super) use crate::check::{invalid_names, ip, not_negative, one_of, texts, within};
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

#[cfg(test)]
mod tests;
