//! Operations and schemas as OpenAPI 2.0 (Swagger), made of those of 3.0.

use serde_json::{Map, Value, json};

use super::definitions::{Definitions, REFERENCE};
use super::operations::{Operation, Paths, Shape};
use super::parameters::{PRETTY, Parameter};
use super::v3::{OBJECT_TYPES, WATCH_TYPES, about, extensions, in_path};

const DEFINITIONS: &str = "#/definitions/";

/// The document of everything.
pub(super) fn document(version: &str, paths: &Paths, definitions: &Definitions) -> Value {
    let schemas: Map<String, Value> =
        definitions.all().iter().map(|(name, schema)| (name.clone(), lowered(schema))).collect();
    let paths: Map<String, Value> = paths.iter().map(|(path, all)| (path.clone(), item(path, all))).collect();
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "definitions": schemas,
        "securityDefinitions": {"BearerToken": {
            "type": "apiKey", "in": "header", "name": "authorization", "description": "Bearer Token authentication",
        }},
        "security": [{"BearerToken": []}],
    })
}

/// A schema with what 2.0 does not know in the form that clients of 2.0 expect: a reference stands alone, and a value of
/// several types is a string.
pub(super) fn lowered(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("$ref", Value::String(to)) => {
                        let name = to.strip_prefix(REFERENCE).unwrap_or(to);
                        out.insert("$ref".to_owned(), Value::from(format!("{DEFINITIONS}{name}")));
                    }
                    ("allOf", Value::Array(parts)) => {
                        let parts = parts.iter().map(lowered);
                        out.extend(parts.filter_map(|part| part.as_object().cloned()).flatten());
                    }
                    ("oneOf", _) => drop(out.insert("type".to_owned(), Value::from("string"))),
                    ("default", _) if map.contains_key("allOf") => {}
                    _ => drop(out.insert(key.clone(), lowered(value))),
                }
            }
            Value::Object(out)
        }
        Value::Array(items) => items.iter().map(lowered).collect(),
        other => other.clone(),
    }
}

fn item(path: &str, operations: &[Operation]) -> Value {
    let mut item: Map<String, Value> =
        operations.iter().map(|one| (one.method.to_owned(), operation(one))).collect();
    let mut shared: Vec<Value> = in_path(path)
        .map(|name| {
            let description = about(name);
            json!({
                "name": name, "in": "path", "required": true, "description": description,
                "type": "string", "uniqueItems": true,
            })
        })
        .collect();
    if operations.iter().any(|one| one.kind.is_some() && !one.query.contains(&PRETTY)) {
        shared.push(query_parameter(&PRETTY));
    }
    if !shared.is_empty() {
        item.insert("parameters".to_owned(), Value::Array(shared));
    }
    Value::Object(item)
}

fn query_parameter(&(name, kind, description): &Parameter) -> Value {
    json!({"name": name, "in": "query", "description": description, "type": kind, "uniqueItems": true})
}

fn operation(one: &Operation) -> Value {
    let (schema, mut types) = match &one.answer {
        Shape::Schema(name) => (reference(name), OBJECT_TYPES.to_vec()),
        Shape::Text => (json!({"type": "string"}), vec!["*/*"]),
    };
    if one.watch {
        types.extend(WATCH_TYPES);
    }
    let body = one.body.as_ref().map(|body| {
        let schema = reference(&body.schema);
        let mut parameter = json!({"name": "body", "in": "body", "schema": schema});
        if body.required {
            parameter["required"] = Value::Bool(true);
        }
        parameter
    });
    let parameters: Vec<Value> = body.into_iter().chain(one.query.iter().map(query_parameter)).collect();
    let mut out = json!({
        "operationId": one.id, "description": one.description, "tags": [one.tag], "schemes": ["https"],
        "consumes": one.body.as_ref().map_or(&["*/*"][..], |body| body.types),
        "produces": types,
        "responses": {"401": {"description": "Unauthorized"}},
    });
    for (code, description) in one.codes {
        out["responses"][code] = json!({"description": description, "schema": schema});
    }
    if !parameters.is_empty() {
        out["parameters"] = Value::Array(parameters);
    }
    extensions(one, &mut out);
    out
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{DEFINITIONS}{name}") })
}
