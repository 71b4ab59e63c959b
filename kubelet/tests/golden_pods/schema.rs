//! The tables of fields against the API's schema.

use std::collections::BTreeSet;
use std::path::Path;

use kubelet::fields::{POD, Shape, Support, Type};
use serde_json::Value;

use crate::data;

/// Every field of the schema that the tables lack, every one that they invent, those of another type, and tests
/// that do not exist.
pub(crate) fn check(golden: &Path) -> Vec<String> {
    let schema = data::value(&golden.join("schema.json"));
    let pods = data::lines(&golden.join("pods.jsonl"));
    let tests = Tests {
        golden: pods
            .iter()
            .filter_map(|pod| Some(pod["pod"]["metadata"]["name"].as_str()?.to_owned()))
            .collect(),
        sources: data::text_below(&data::repository().join("kubelet/src")),
        integration: data::text_below(&data::repository().join("integration/tests/kubelet")),
    };
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    walk(&POD, &schema, &tests, &mut seen, &mut wrong);
    wrong
}

/// The tests that a field can name.
struct Tests {
    golden: BTreeSet<String>,
    sources: String,
    integration: String,
}

impl Tests {
    /// `golden POD`, `unit MODULE FUNCTION`, or `kubelet FUNCTION` of integration/tests/kubelet.
    fn has(&self, name: &str) -> bool {
        match name.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["golden", pod] => self.golden.contains(*pod),
            ["unit", _, function] => self.sources.contains(&format!("fn {function}()")),
            ["kubelet", function] => self.integration.contains(&format!("fn {function}()")),
            _ => false,
        }
    }
}

fn walk(
    of: &'static Type,
    schema: &Value,
    tests: &Tests,
    seen: &mut BTreeSet<&'static str>,
    wrong: &mut Vec<String>,
) {
    if !seen.insert(of.name) {
        return;
    }
    let packages = ["io.k8s.api.core.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1."];
    let found = packages.iter().find_map(|package| schema.get(format!("{package}{}", of.name)));
    let Some(properties) = found.and_then(|found| found["properties"].as_object()) else {
        wrong.push(format!("{}: is not in the schema", of.name));
        return;
    };
    for name in properties.keys().filter(|name| !of.fields.iter().any(|field| field.name == *name)) {
        wrong.push(format!("{}.{name}: is not in the table", of.name));
    }
    for field in of.fields {
        let at = format!("{}.{}", of.name, field.name);
        let Some(property) = properties.get(field.name) else {
            wrong.push(format!("{at}: is not in the schema"));
            continue;
        };
        if !same(field.shape, property) {
            wrong.push(format!("{at}: is {:?} in the table, {property} in the schema", field.shape));
        }
        if let Support::Done(test) = field.support
            && !tests.has(test)
        {
            wrong.push(format!("{at}: there is no test {test:?}"));
        }
        if let Shape::Object(of) | Shape::List(of) = field.shape {
            walk(of, schema, tests, seen, wrong);
        }
    }
}

fn same(shape: Shape, property: &Value) -> bool {
    let refers = |property: &Value, name: &str| {
        let direct = property["$ref"].as_str();
        let wrapped = property["allOf"][0]["$ref"].as_str();
        direct.or(wrapped).is_some_and(|reference| reference.ends_with(&format!(".{name}")))
    };
    let items = |kind: &str| property["type"] == "array" && property["items"]["type"] == kind;
    match shape {
        Shape::Any => true,
        Shape::Text => property["type"] == "string",
        Shape::Integer => property["type"] == "integer",
        Shape::Boolean => property["type"] == "boolean",
        Shape::Quantity => refers(property, "Quantity"),
        Shape::IntOrString => refers(property, "IntOrString"),
        Shape::Texts => items("string"),
        Shape::Integers => items("integer"),
        Shape::TextMap => property["additionalProperties"]["type"] == "string",
        Shape::Quantities => refers(&property["additionalProperties"], "Quantity"),
        Shape::Object(of) => refers(property, of.name),
        Shape::List(of) => property["type"] == "array" && refers(&property["items"], of.name),
    }
}
