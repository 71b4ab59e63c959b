//! IngressClasses.

use serde_json::Value;

use crate::check::{has, immutable, invalid_names, text};
use crate::{FieldError, Path, fill, names};

/// The bytes that a controller's name may have.
const MOST: usize = 250;

pub(crate) fn defaults(class: &mut Value) {
    for spec in fill::part(class, "spec") {
        fill::part(spec, "parameters").for_each(|parameters| fill::missing(parameters, "scope", "Cluster"));
    }
}

pub(crate) fn create(class: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (path, spec) = (Path::ROOT.field("spec"), &class["spec"]);
    let (at, controller) = (path.field("controller"), text(spec, "controller"));
    if controller.len() > MOST {
        errors.push(FieldError::too_long(&at, MOST));
    }
    if controller.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        let faults = names::domain_prefixed_path(controller);
        errors.extend(faults.into_iter().map(|(part, why)| FieldError::invalid(&at, part, &why)));
    }
    if has(spec, "parameters") {
        parameters(&mut errors, &spec["parameters"], &path.field("parameters"));
    }
    errors
}

fn parameters(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    object_reference(errors, found, path);
    let at = path.field("namespace");
    let scopes = ["Cluster", "Namespace"];
    match found["scope"].as_str() {
        None => errors.push(FieldError::required(&path.field("scope"), "")),
        Some("Namespace") if !has(found, "namespace") => {
            errors.push(FieldError::required(&at, "`parameters.scope` is set to 'Namespace'"));
        }
        Some("Namespace") => invalid_names(errors, &at, text(found, "namespace"), names::dns_label),
        Some("Cluster") if has(found, "namespace") => {
            errors.push(FieldError::forbidden(&at, "`parameters.scope` is set to 'Cluster'"));
        }
        Some("Cluster") => {}
        Some(other) => errors.push(FieldError::not_supported(&path.field("scope"), other, &scopes)),
    }
}

/// A reference to an object by its group, kind and name.
pub(super) fn object_reference(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    if has(found, "apiGroup") {
        invalid_names(errors, &path.field("apiGroup"), text(found, "apiGroup"), names::dns_subdomain);
    }
    for field in ["kind", "name"] {
        match text(found, field) {
            "" => errors.push(FieldError::required(&path.field(field), "")),
            name => invalid_names(errors, &path.field(field), name, names::path_segment),
        }
    }
}

pub(crate) fn update(class: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::ROOT.field("spec");
    immutable(&mut errors, &class["spec"], &old["spec"], &path, "controller");
    errors.extend(create(class));
    errors
}
