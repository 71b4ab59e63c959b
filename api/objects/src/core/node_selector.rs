//! Selectors of nodes: terms of which one must hold.

use serde_json::Value;

use crate::check::{invalid_names, list, text, texts};
use crate::{FieldError, Path, names};

/// Which values a requirement may compare a label with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// Those that a label can have.
    OfLabels,
    /// All: a term that only weighs may name values that no label can have.
    Any,
}

/// Refuses what is wrong with a selector of nodes.
pub(crate) fn check(errors: &mut Vec<FieldError>, selector: &Value, path: &Path) {
    let at = path.field("nodeSelectorTerms");
    let terms = list(selector, "nodeSelectorTerms");
    if terms.is_empty() {
        errors.push(FieldError::required(&at, "must have at least one node selector term"));
    }
    for (index, term) in terms.iter().enumerate() {
        self::term(errors, term, &at.index(index), Values::OfLabels);
    }
}

/// Refuses what is wrong with one term.
pub(crate) fn term(errors: &mut Vec<FieldError>, term: &Value, path: &Path, values: Values) {
    let at = path.field("matchExpressions");
    for (index, found) in list(term, "matchExpressions").iter().enumerate() {
        expression(errors, found, &at.index(index), values);
    }
    let at = path.field("matchFields");
    for (index, found) in list(term, "matchFields").iter().enumerate() {
        field(errors, found, &at.index(index));
    }
}

fn expression(errors: &mut Vec<FieldError>, found: &Value, path: &Path, values: Values) {
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
    if values == Values::OfLabels {
        for (index, value) in texts(found, "values") {
            invalid_names(errors, &at.index(index), value, names::label_value);
        }
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
