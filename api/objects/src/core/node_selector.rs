//! Selectors of nodes: terms of which one must hold.

use serde_json::Value;

use crate::check::{invalid_names, list, text, texts};
use crate::{FieldError, Path, names};

/// Refuses what is wrong with a selector of nodes.
pub(super) fn check(errors: &mut Vec<FieldError>, selector: &Value, path: &Path) {
    let at = path.field("nodeSelectorTerms");
    let terms = list(selector, "nodeSelectorTerms");
    if terms.is_empty() {
        errors.push(FieldError::required(&at, "must have at least one node selector term"));
    }
    for (index, term) in terms.iter().enumerate() {
        let at = at.index(index);
        for (index, found) in list(term, "matchExpressions").iter().enumerate() {
            expression(errors, found, &at.field("matchExpressions").index(index));
        }
        for (index, found) in list(term, "matchFields").iter().enumerate() {
            field(errors, found, &at.field("matchFields").index(index));
        }
    }
}

fn expression(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    let at = path.field("values");
    let count = list(found, "values").len();
    match text(found, "operator") {
        "In" | "NotIn" if count == 0 => {
            errors.push(FieldError::required(&at, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&at, why));
        }
        "Gt" | "Lt" if count != 1 => {
            let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(FieldError::required(&at, why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => {
            let why = "not a valid selector operator";
            errors.push(FieldError::invalid(&path.field("operator"), other, why));
        }
    }
    invalid_names(errors, &path.field("key"), text(found, "key"), names::qualified_name);
    for (index, value) in texts(found, "values") {
        invalid_names(errors, &at.index(index), value, names::label_value);
    }
}

fn field(errors: &mut Vec<FieldError>, found: &Value, path: &Path) {
    let (at, operator) = (path.field("values"), text(found, "operator"));
    if !["In", "NotIn"].contains(&operator) {
        let why = "not a valid selector operator";
        errors.push(FieldError::invalid(&path.field("operator"), operator, why));
    } else if list(found, "values").len() != 1 {
        let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
        errors.push(FieldError::required(&at, why));
    }
    match text(found, "key") {
        "metadata.name" => {
            for (index, value) in texts(found, "values") {
                invalid_names(errors, &at.index(index), value, names::dns_subdomain);
            }
        }
        other => {
            let why = "not a valid field selector key";
            errors.push(FieldError::invalid(&path.field("key"), other, why));
        }
    }
}
