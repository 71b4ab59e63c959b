//! Which nodes and which other pods a pod wants to be near.

use serde_json::Value;

use super::scheduling::label_keys;
use crate::check::{has, invalid_names, label_selector, list, text, texts};
use crate::core::node_selector::{self, Values};
use crate::{FieldError, Path, names};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn check(errors: &mut Vec<FieldError>, affinity: &Value, path: &Path) {
    let (nodes, at) = (&affinity["nodeAffinity"], path.field("nodeAffinity"));
    if has(nodes, REQUIRED) {
        node_selector::check(errors, &nodes[REQUIRED], &at.field(REQUIRED));
    }
    let preferred = at.field(PREFERRED);
    for (index, term) in list(nodes, PREFERRED).iter().enumerate() {
        let at = preferred.index(index);
        weight(errors, term, &at);
        // What only weighs may name values that no label can have.
        node_selector::term(errors, &term["preference"], &at.field("preference"), Values::Any);
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
