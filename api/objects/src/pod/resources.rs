//! Requests and limits.

use serde_json::Value;

use super::{entries, list};
use crate::{FieldError, Path, Quantity};

/// What may be requested on a node beside `hugepages-…` and names with a domain.
const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

pub(super) fn check(errors: &mut Vec<FieldError>, resources: &Value, path: &Path) {
    let limits_at = path.field("limits");
    let requests_at = path.field("requests");
    let parsed = |errors: &mut Vec<FieldError>, at: &Path, name: &str, value: &Value| {
        let quantity = quantity(errors, &at.key(name), value);
        if !STANDARD.contains(&name) && !name.contains('/') && !name.starts_with("hugepages-") {
            let why = "must be a standard resource type or fully qualified";
            errors.push(FieldError::invalid(&at.key(name), name, why));
        }
        quantity
    };
    for (name, value) in entries(resources, "limits") {
        parsed(errors, &limits_at, name, value);
    }
    for (name, value) in entries(resources, "requests") {
        let Some(request) = parsed(errors, &requests_at, name, value) else { continue };
        let limit = resources["limits"][name].as_str().and_then(|text| text.parse::<Quantity>().ok());
        let Some(limit) = limit else { continue };
        let huge = name.starts_with("hugepages-");
        if huge && request != limit {
            let why = format!("must be equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(&requests_at, request.to_string(), &why));
        } else if request > limit {
            let why = format!("must be less than or equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(&requests_at, request.to_string(), &why));
        }
    }
}

/// Checks one quantity.
pub(super) fn quantity(errors: &mut Vec<FieldError>, path: &Path, value: &Value) -> Option<Quantity> {
    let text = value.as_str().unwrap_or_default();
    match text.parse::<Quantity>() {
        Ok(quantity) if quantity.is_negative() => {
            errors.push(FieldError::invalid(path, text, "must be greater than or equal to 0"));
            None
        }
        Ok(quantity) => Some(quantity),
        Err(error) => {
            errors.push(FieldError::invalid(path, value.clone(), &error.to_string()));
            None
        }
    }
}

pub(super) fn check_resize(errors: &mut Vec<FieldError>, container: &Value, path: &Path) {
    let at = path.field("resizePolicy");
    let one = |errors: &mut Vec<FieldError>, value: &str, allowed: &[&str]| match value {
        "" => errors.push(FieldError::required(&at, "")),
        value if !allowed.contains(&value) => errors.push(FieldError::not_supported(&at, value, allowed)),
        _ => {}
    };
    for policy in list(container, "resizePolicy") {
        one(errors, super::text(policy, "resourceName"), &["cpu", "memory"]);
        one(errors, super::text(policy, "restartPolicy"), &["NotRequired", "RestartContainer"]);
    }
}
