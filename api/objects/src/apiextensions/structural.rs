//! What makes a schema structural: every field has a type of its own, and what only restricts values says nothing else.

use serde_json::{Value, json};

use crate::check::{entries, has, list, text};
use crate::{FieldError, Path};

/// Of what a schema is the schema.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
}

const INT_OR_STRING: &str = "x-kubernetes-int-or-string";
const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";

/// What is not structural, in the order of upstream: that of the sentences.
pub(super) fn check(schema: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    invariants(&mut errors, schema, Level::Root, path);
    errors.sort_by_key(ToString::to_string);
    errors
}

fn invariants(errors: &mut Vec<FieldError>, schema: &Value, level: Level, path: &Path) {
    let of = text(schema, "type");
    let set = |field: &str| schema[field] == true;
    if of == "array" && !has(schema, "items") {
        errors.push(FieldError::required(&path.field("items"), "must be specified"));
    }
    if schema["items"].is_object() {
        invariants(errors, &schema["items"], Level::Item, &path.field("items"));
    }
    let properties = path.field("properties");
    for (name, property) in entries(schema, "properties") {
        invariants(errors, property, Level::Field, &properties.key(name));
    }
    let (additional, at) = (&schema["additionalProperties"], path.field("additionalProperties"));
    if !additional.is_null() {
        if level == Level::Root {
            errors.push(FieldError::forbidden(&at, "must not be used at the root"));
        }
        if additional.is_object() {
            invariants(errors, additional, Level::Field, &at);
        }
        if set(EMBEDDED) {
            errors.push(FieldError::forbidden(
                &at,
                "must not be used if x-kubernetes-embedded-resource is set",
            ));
        }
    }
    if set(INT_OR_STRING) {
        let why = "must be false if x-kubernetes-int-or-string is true";
        for field in [PRESERVE, EMBEDDED].into_iter().filter(|field| set(field)) {
            errors.push(FieldError::invalid(&path.field(field), true, why));
        }
    }
    values(errors, schema, path);
    typed(errors, schema, level, &path.field("type"));
    let resource = level == Level::Root || set(EMBEDDED);
    for (name, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let Some(property) = schema["properties"].get(name) else { continue };
        let at = properties.key(name);
        if resource && property["type"] != wanted {
            let why = format!("must be {wanted}");
            errors.push(FieldError::invalid(&at.field("type"), text(property, "type"), &why));
        }
        if name == "metadata" && level == Level::Root {
            metadata(errors, property, &at);
        }
    }
    if set(EMBEDDED) && !set(PRESERVE) && entries(schema, "properties").next().is_none() {
        let why = "must not be empty if x-kubernetes-embedded-resource is true without \
                   x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(&properties, why));
    }
}

fn typed(errors: &mut Vec<FieldError>, schema: &Value, level: Level, path: &Path) {
    let of = text(schema, "type");
    let set = |field: &str| schema[field] == true;
    if set(EMBEDDED) && of != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if of.is_empty() {
            FieldError::required(path, why)
        } else {
            FieldError::invalid(path, of, why)
        });
    } else if of.is_empty() && !set(INT_OR_STRING) && !set(PRESERVE) {
        let why = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(path, why));
    }
    if level == Level::Root && !["", "object"].contains(&of) {
        errors.push(FieldError::invalid(path, of, "must be object at the root"));
    }
}

/// Of the metadata, names may be restricted, and nothing else.
fn metadata(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    let named = |name: &str| ["name", "generateName"].contains(&name);
    let others = |field: &String| !["type", "default", "properties"].contains(&field.as_str());
    let more = schema.as_object().is_some_and(|map| map.keys().any(others));
    if more || entries(schema, "properties").any(|(name, _)| !named(name)) {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(path, why));
    }
}

/// Restrictions that are joined say nothing of the form.
fn values(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    // The one exception: a number or a text, written out.
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    let own = schema[INT_OR_STRING] == true;
    let skip_any = own && schema["anyOf"] == either;
    let skip_first =
        own && !skip_any && list(schema, "allOf").first().is_some_and(|all| all["anyOf"] == either);
    joined(errors, schema, path, skip_any, skip_first);
}

fn joined(errors: &mut Vec<FieldError>, schema: &Value, path: &Path, skip_any: bool, skip_first: bool) {
    for field in ["anyOf", "allOf", "oneOf"] {
        if field == "anyOf" && skip_any {
            continue;
        }
        for (index, found) in list(schema, field).iter().enumerate() {
            let at = path.field(field);
            nested(errors, found, &at.index(index), field == "allOf" && index == 0 && skip_first);
        }
    }
    if schema["not"].is_object() {
        nested(errors, &schema["not"], &path.field("not"), false);
    }
}

fn nested(errors: &mut Vec<FieldError>, schema: &Value, path: &Path, skip_any: bool) {
    joined(errors, schema, path, skip_any, false);
    if schema["items"].is_object() {
        nested(errors, &schema["items"], &path.field("items"), false);
    }
    let properties = path.field("properties");
    for (name, property) in entries(schema, "properties") {
        nested(errors, property, &properties.key(name), false);
    }
    for (field, why) in [
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        (PRESERVE, "must be false to be structural"),
        (EMBEDDED, "must be false to be structural"),
        (INT_OR_STRING, "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
        ("x-kubernetes-validations", "must be empty to be structural"),
    ] {
        let said = match &schema[field] {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            _ => true,
        };
        if said {
            errors.push(FieldError::forbidden(&path.field(field), why));
        }
    }
    if schema["properties"].get("metadata").is_some() {
        let why = "must not be specified in a nested context";
        errors.push(FieldError::forbidden(&properties.key("metadata"), why));
    }
}
