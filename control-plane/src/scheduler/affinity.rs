//! Which nodes a pod wants: node selectors and node affinity.

use std::collections::BTreeMap;

use api_objects::selector::{Operator, Requirement};
use serde_json::Value;

/// Labels of a node.
pub type Labels = BTreeMap<String, String>;

/// One alternative: everything in it must hold. Without anything, nothing fits.
#[derive(Debug, Clone, Default)]
struct Term {
    labels: Vec<Requirement>,
    /// What `metadata.name` must be.
    names: Vec<Requirement>,
    /// Something in it cannot be understood, or there is nothing in it.
    never: bool,
}

impl Term {
    fn of(term: &Value) -> Self {
        let mut read = Self::default();
        let list = |field: &str| term[field].as_array().map_or(&[][..], Vec::as_slice);
        for expression in list("matchExpressions") {
            match requirement(expression) {
                Some(requirement) => read.labels.push(requirement),
                None => read.never = true,
            }
        }
        for expression in list("matchFields") {
            match requirement(expression).filter(|requirement| requirement.key() == "metadata.name") {
                Some(requirement) => read.names.push(requirement),
                None => read.never = true,
            }
        }
        read.never |= read.labels.is_empty() && read.names.is_empty();
        read
    }

    fn fits(&self, name: &str, labels: &Labels) -> bool {
        let label =
            |requirement: &Requirement| requirement.holds(labels.get(requirement.key()).map(String::as_str));
        !self.never
            && self.labels.iter().all(label)
            && self.names.iter().all(|requirement| requirement.holds(Some(name)))
    }
}

fn requirement(expression: &Value) -> Option<Requirement> {
    let operator = match expression["operator"].as_str()? {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    let values = expression["values"].as_array().into_iter().flatten();
    let values = values.filter_map(|value| value.as_str().map(str::to_owned)).collect();
    Requirement::new(expression["key"].as_str()?, operator, values).ok()
}

/// What a pod asks of its node's name and labels.
#[derive(Debug, Clone, Default)]
pub struct Affinity {
    selector: Labels,
    /// One of these, where there are any.
    required: Option<Vec<Term>>,
    preferred: Vec<(i64, Term)>,
}

impl Affinity {
    /// Reads a pod's spec.
    pub fn of(spec: &Value) -> Self {
        let selector = spec["nodeSelector"].as_object().into_iter().flatten();
        let selector =
            selector.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
        let affinity = &spec["affinity"]["nodeAffinity"];
        let required = &affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        let preferred =
            affinity["preferredDuringSchedulingIgnoredDuringExecution"].as_array().into_iter().flatten();
        Self {
            selector: selector.collect(),
            required: required.as_array().map(|terms| terms.iter().map(Term::of).collect()),
            preferred: preferred
                .map(|wish| (wish["weight"].as_i64().unwrap_or(0), Term::of(&wish["preference"])))
                .collect(),
        }
    }

    /// Whether a node is one of those that the pod may run on.
    pub fn fits(&self, name: &str, labels: &Labels) -> bool {
        self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term.fits(name, labels)))
    }

    /// How much the pod would like a node.
    pub fn liking(&self, name: &str, labels: &Labels) -> i64 {
        self.preferred.iter().filter(|(_, term)| term.fits(name, labels)).map(|(weight, _)| weight).sum()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_fits_one_of_the_terms_and_the_whole_selector() {
        let labels: Labels = [("zone", "a"), ("size", "5")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let required = |terms: Value| {
            let terms = json!({"nodeSelectorTerms": terms});
            let spec = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}});
            Affinity::of(&spec).fits("n", &labels)
        };
        let expression = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        assert!(required(json!([
            expression("zone", "In", json!(["b"])),
            expression("zone", "In", json!(["a"]))
        ])));
        assert!(required(json!([expression("size", "Gt", json!(["4"]))])));
        assert!(!required(json!([expression("size", "Lt", json!(["4"]))])));
        assert!(required(json!([expression("gpu", "DoesNotExist", json!([]))])));
        assert!(!required(json!([{}])), "an empty term fits nothing");
        assert!(!required(json!([])), "nor do no terms");
        assert!(required(
            json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}])
        ));
        assert!(!required(
            json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["m"]}]}])
        ));
        assert!(Affinity::of(&json!({"nodeSelector": {"zone": "a"}})).fits("n", &labels));
        assert!(!Affinity::of(&json!({"nodeSelector": {"zone": "b"}})).fits("n", &labels));
        let wish = json!([{"weight": 7, "preference": expression("zone", "Exists", json!([]))}]);
        let spec =
            json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wish}}});
        assert_eq!(Affinity::of(&spec).liking("n", &labels), 7);
    }
}
