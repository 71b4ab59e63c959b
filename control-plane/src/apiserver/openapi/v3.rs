//! Operations and schemas as OpenAPI 3.0.

use serde_json::{Map, Value, json};

use super::definitions::{Definitions, REFERENCE};
use super::operations::{Operation, Paths, Shape};
use super::parameters::{PRETTY, Parameter};

/// What objects are answered as.
pub(super) const OBJECT_TYPES: [&str; 3] =
    ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// What watches are answered as.
pub(super) const WATCH_TYPES: [&str; 2] =
    ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// A document with the schemas that its operations reach.
pub(super) fn document(version: &str, paths: &Paths, definitions: &Definitions) -> Value {
    let watched = Definitions::meta("WatchEvent");
    let mut named: Vec<&str> = Vec::new();
    for operation in paths.values().flatten() {
        named.extend(operation.body.iter().map(|body| body.schema.as_str()));
        named.extend(operation.watch.then_some(watched.as_str()));
        if let Shape::Schema(name) = &operation.answer {
            named.push(name);
        }
    }
    let schemas = definitions.reached(named);
    let paths: Map<String, Value> = paths.iter().map(|(path, all)| (path.clone(), item(path, all))).collect();
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"BearerToken": {
            "type": "apiKey", "in": "header", "name": "authorization", "description": "Bearer Token authentication",
        }}},
        "security": [{"BearerToken": []}],
    })
}

fn item(path: &str, operations: &[Operation]) -> Value {
    let mut item: Map<String, Value> =
        operations.iter().map(|one| (one.method.to_owned(), operation(one))).collect();
    let mut shared: Vec<Value> = in_path(path).map(path_parameter).collect();
    if operations.iter().any(|one| one.kind.is_some() && !one.query.contains(&PRETTY)) {
        shared.push(query_parameter(&PRETTY));
    }
    if !shared.is_empty() {
        item.insert("parameters".to_owned(), Value::Array(shared));
    }
    Value::Object(item)
}

/// The names of a path's parameters.
pub(super) fn in_path(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// What a path's parameter is.
pub(super) fn about(parameter: &str) -> &'static str {
    match parameter {
        "namespace" => "The namespace of the object.",
        "path" => "The path at the other end.",
        _ => "The name of the object.",
    }
}

fn path_parameter(name: &str) -> Value {
    json!({
        "name": name, "in": "path", "required": true, "description": about(name),
        "schema": {"type": "string", "uniqueItems": true},
    })
}

fn query_parameter(&(name, kind, description): &Parameter) -> Value {
    let schema = json!({"type": kind, "uniqueItems": true});
    json!({"name": name, "in": "query", "description": description, "schema": schema})
}

fn operation(one: &Operation) -> Value {
    let mut out = json!({
        "operationId": one.id, "description": one.description, "tags": [one.tag],
        "responses": {"401": {"description": "Unauthorized"}},
    });
    let (schema, types) = match &one.answer {
        Shape::Schema(name) => (reference(name), &OBJECT_TYPES[..]),
        Shape::Text => (json!({"type": "string"}), &["*/*"][..]),
    };
    let watch = if one.watch { &WATCH_TYPES[..] } else { &[] };
    let content = content(&schema, types.iter().chain(watch));
    for (code, description) in one.codes {
        out["responses"][code] = json!({"description": description, "content": content});
    }
    if !one.query.is_empty() {
        out["parameters"] = one.query.iter().map(query_parameter).collect();
    }
    if let Some(body) = &one.body {
        let schema = reference(&body.schema);
        out["requestBody"] = json!({"content": self::content(&schema, body.types)});
        if body.required {
            out["requestBody"]["required"] = Value::Bool(true);
        }
    }
    extensions(one, &mut out);
    out
}

/// What both versions say of an operation's action and kind.
pub(super) fn extensions(one: &Operation, out: &mut Value) {
    if let Some(action) = one.action {
        out["x-kubernetes-action"] = Value::from(action);
    }
    if let Some(kind) = &one.kind {
        out["x-kubernetes-group-version-kind"] =
            json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{REFERENCE}{name}") })
}

fn content<'t>(schema: &Value, types: impl IntoIterator<Item = &'t &'t str>) -> Value {
    types
        .into_iter()
        .map(|media| ((*media).to_owned(), json!({ "schema": schema })))
        .collect::<Map<_, _>>()
        .into()
}
