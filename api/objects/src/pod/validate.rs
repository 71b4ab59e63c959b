//! What is refused in a Pod.

use serde_json::Value;

use super::{annotations, containers, spec};
use crate::check::{has, invalid_names, labels, list, text};
use crate::{FieldError, Path, names};

/// Everything that is wrong with a Pod whose defaults are filled in, as whoever runs it from a manifest asks.
pub fn validate(pod: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata(&mut errors, &pod["metadata"]);
    errors.extend(create(pod));
    errors
}

/// What is wrong with a new Pod apart from its metadata.
pub(super) fn create(pod: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(&mut errors, pod);
    let path = Path::ROOT.field("spec");
    let spec = &pod["spec"];
    if !list(spec, "ephemeralContainers").is_empty() {
        errors.push(FieldError::forbidden(&path.field("ephemeralContainers"), "cannot be set on create"));
    }
    if !text(spec, "nodeName").is_empty() && !list(spec, "schedulingGates").is_empty() {
        let why = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(&path.field("nodeName"), why));
    }
    annotations::agree(&mut errors, &pod["metadata"], spec, &path);
    errors
}

/// What every Pod must keep to, new or changed.
pub(super) fn check(errors: &mut Vec<FieldError>, pod: &Value) {
    let (meta, spec) = (&pod["metadata"], &pod["spec"]);
    annotations::check(errors, meta, spec, &Path::ROOT.field("metadata").field("annotations"));
    let path = Path::ROOT.field("spec");
    spec::check(errors, spec, &path, Some(meta));
    if text(spec, "serviceAccountName").is_empty() {
        tokens_of_nobody(errors, spec, &path);
    }
    for field in ["containers", "initContainers"] {
        let containers = path.field(field);
        for (index, container) in list(spec, field).iter().enumerate() {
            containers::trimmed_image(errors, container, &containers.index(index));
        }
    }
}

/// A token is that of the pod's account.
fn tokens_of_nobody(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let volumes = path.field("volumes");
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let volume_at = volumes.index(index);
        let projected = volume_at.field("projected");
        let sources = projected.field("sources");
        for (index, source) in list(&volume["projected"], "sources").iter().enumerate() {
            if has(source, "serviceAccountToken") {
                let why = "must not be specified when serviceAccountName is not set";
                let at = sources.index(index);
                errors.push(FieldError::forbidden(&at.field("serviceAccountToken"), why));
            }
        }
    }
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
    labels(errors, &meta["labels"], &path.field("labels"));
    annotations::form(errors, meta, &path.field("annotations"));
}

#[cfg(test)]
mod tests;
