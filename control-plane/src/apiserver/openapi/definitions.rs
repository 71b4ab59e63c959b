//! The schemas of the built-in kinds.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::resources::Kind;

/// Written by `hack/openapi` from recorded documents of Kubernetes 1.36.
const BUILTIN: &str = include_str!("definitions.json");
/// What a reference begins with.
pub(super) const REFERENCE: &str = "#/components/schemas/";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// Schemas by name, and the names of kinds.
pub(super) struct Definitions {
    schemas: Map<String, Value>,
    kinds: HashMap<(String, String, String), String>,
}

impl Definitions {
    /// The built-in ones with the descriptions of `described`: an object of definitions, each with a `description` and
    /// `properties` that have theirs.
    pub(super) fn builtin(described: &Value) -> Self {
        let mut schemas: Map<String, Value> =
            serde_json::from_str(BUILTIN).expect("a test parses the committed file");
        let mut kinds = HashMap::new();
        for (name, schema) in &mut schemas {
            describe(schema, &described[name]);
            for kind in schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
                let part = |key: &str| kind[key].as_str().unwrap_or_default().to_owned();
                kinds.insert((part("group"), part("version"), part("kind")), name.clone());
            }
        }
        Self { schemas, kinds }
    }

    /// The name of a kind's schema; that of a list of it is asked for by `KINDList`.
    pub(super) fn name(&self, kind: &Kind) -> Option<&str> {
        let key = (kind.group.clone(), kind.version.clone(), kind.kind.clone());
        self.kinds.get(&key).map(String::as_str)
    }

    /// A schema of `meta/v1`.
    pub(super) fn meta(name: &str) -> String {
        format!("{META}{name}")
    }

    /// The schemas that are reached from some names, which they include.
    pub(super) fn reached<'n>(&self, from: impl IntoIterator<Item = &'n str>) -> Map<String, Value> {
        let mut names: BTreeSet<&str> = BTreeSet::new();
        let mut queue: Vec<&str> = from.into_iter().filter_map(|name| self.key(name)).collect();
        while let Some(name) = queue.pop() {
            if names.insert(name) {
                references(&self.schemas[name], &mut |to| queue.extend(self.key(to)));
            }
        }
        names.into_iter().map(|name| (name.to_owned(), self.schemas[name].clone())).collect()
    }

    /// All schemas.
    pub(super) fn all(&self) -> &Map<String, Value> {
        &self.schemas
    }

    fn key(&self, name: &str) -> Option<&str> {
        self.schemas.get_key_value(name).map(|(key, _)| key.as_str())
    }
}

fn references(schema: &Value, found: &mut dyn FnMut(&str)) {
    match schema {
        Value::Object(map) => {
            let own = map.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix(REFERENCE));
            own.into_iter().for_each(&mut *found);
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

fn describe(schema: &mut Value, described: &Value) {
    let Some(map) = schema.as_object_mut() else { return };
    if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            if let (Some(property), Some(text)) =
                (property.as_object_mut(), described["properties"][name]["description"].as_str())
            {
                property.insert("description".to_owned(), Value::from(text));
            }
        }
    }
    if let Some(text) = described["description"].as_str() {
        map.insert("description".to_owned(), Value::from(text));
    }
}
