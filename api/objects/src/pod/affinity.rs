//! Which nodes and which other pods a pod wants to be near.

use serde_json::Value;

use super::scheduling::label_keys;
use crate::check::{has, invalid_names, label_selector, list, text, texts};
use crate::{FieldError, Path, names};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn check(errors: &mut Vec<FieldError>, affinity: &Value, path: &Path) {
    let (nodes, at) = (&affinity["nodeAffinity"], path.field("nodeAffinity"));
    if has(nodes, REQUIRED) {
        node_selector(errors, &nodes[REQUIRED], &at.field(REQUIRED));
    }
    let preferred = at.field(PREFERRED);
    for (index, term) in list(nodes, PREFERRED).iter().enumerate() {
        let at = preferred.index(index);
        weight(errors, term, &at);
        // What only weighs may name values that no label can have.
        node_term(errors, &term["preference"], &at.field("preference"), false);
    }
    for side in ["podAffinity", "podAntiAffinity"] {
        let (pods, at) = (&affinity[side], path.field(side));
        let required = at.field(REQUIRED);
        for (index, term) in list(pods, REQUIRED).iter().enumerate() {
            pod_term(errors, term, &required.index(index));
        }
        let preferred = at.field(PREFERRED);
        for (index, term) in list(pods, PREFERRED).iter().enumerate() {
            let at = preferred.index(index);
            weight(errors, term, &at);
            pod_term(errors, &term["podAffinityTerm"], &at.field("podAffinityTerm"));
        }
    }
}

fn weight(errors: &mut Vec<FieldError>, term: &Value, path: &Path) {
    let weight = term["weight"].as_i64().unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(&path.field("weight"), weight, "must be in the range 1-100"));
    }
}

/// Checks a selector of nodes: terms of which one must hold.
fn node_selector(errors: &mut Vec<FieldError>, selector: &Value, path: &Path) {
    let terms = path.field("nodeSelectorTerms");
    if list(selector, "nodeSelectorTerms").is_empty() {
        errors.push(FieldError::required(&terms, "must have at least one node selector term"));
    }
    for (index, term) in list(selector, "nodeSelectorTerms").iter().enumerate() {
        node_term(errors, term, &terms.index(index), true);
    }
}

fn node_term(errors: &mut Vec<FieldError>, term: &Value, path: &Path, values_of_labels: bool) {
    let expressions = path.field("matchExpressions");
    for (index, requirement) in list(term, "matchExpressions").iter().enumerate() {
        node_expression(errors, requirement, &expressions.index(index), values_of_labels);
    }
    let fields = path.field("matchFields");
    for (index, requirement) in list(term, "matchFields").iter().enumerate() {
        node_field(errors, requirement, &fields.index(index));
    }
}

fn node_expression(errors: &mut Vec<FieldError>, requirement: &Value, path: &Path, values_of_labels: bool) {
    let values = path.field("values");
    let count = list(requirement, "values").len();
    match text(requirement, "operator") {
        "In" | "NotIn" if count == 0 => {
            let why = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&values, why));
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&values, why));
        }
        "Gt" | "Lt" if count != 1 => {
            let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(FieldError::required(&values, why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => no_operator(errors, other, path),
    }
    invalid_names(errors, &path.field("key"), text(requirement, "key"), names::qualified_name);
    if values_of_labels {
        for (index, value) in texts(requirement, "values") {
            invalid_names(errors, &values.index(index), value, names::label_value);
        }
    }
}

fn no_operator(errors: &mut Vec<FieldError>, operator: &str, path: &Path) {
    errors.push(FieldError::invalid(&path.field("operator"), operator, "not a valid selector operator"));
}

fn node_field(errors: &mut Vec<FieldError>, requirement: &Value, path: &Path) {
    let values = path.field("values");
    match text(requirement, "operator") {
        "In" | "NotIn" => {
            if list(requirement, "values").len() != 1 {
                let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.push(FieldError::required(&values, why));
            }
        }
        other => no_operator(errors, other, path),
    }
    match text(requirement, "key") {
        "metadata.name" => {
            for (index, value) in texts(requirement, "values") {
                invalid_names(errors, &values.index(index), value, names::dns_subdomain);
            }
        }
        key => errors.push(FieldError::invalid(&path.field("key"), key, "not a valid field selector key")),
    }
}

fn pod_term(errors: &mut Vec<FieldError>, term: &Value, path: &Path) {
    label_selector(errors, &term["labelSelector"], &path.field("labelSelector"));
    label_selector(errors, &term["namespaceSelector"], &path.field("namespaceSelector"));
    for (_, name) in texts(term, "namespaces") {
        invalid_names(errors, &path.field("namespace"), name, names::dns_label);
    }
    label_keys(errors, term, path);
    let at = path.field("topologyKey");
    let key = text(term, "topologyKey");
    if key.is_empty() {
        errors.push(FieldError::required(&at, "can not be empty"));
    }
    invalid_names(errors, &at, key, names::qualified_name);
}
