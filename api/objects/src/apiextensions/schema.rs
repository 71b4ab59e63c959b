//! The schema of a version: what every schema of OpenAPI may not be, and the lists and maps of Kubernetes.

use serde_json::Value;

use super::{structural, value};
use crate::check::{entries, has, list, text, texts};
use crate::{FieldError, Path};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// What may stand beside `properties` at the root of a schema with a status.
const AT_ROOT: [&str; 22] = [
    "description",
    "type",
    "format",
    "title",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "required",
    "items",
    "properties",
    "externalDocs",
    "example",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];
/// The fields that OpenAPI has and resources do not.
const UNSUPPORTED: [&str; 6] =
    ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"];
const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// Checks `openAPIV3Schema` of a version, or of all of them.
pub(super) fn check(errors: &mut Vec<FieldError>, validation: &Value, path: &Path, status: bool) {
    if !has(validation, "openAPIV3Schema") {
        return;
    }
    let (schema, at) = (&validation["openAPIV3Schema"], path.field("openAPIV3Schema"));
    if status {
        at_root(errors, schema, &at);
    }
    if schema["nullable"] == true {
        errors.push(FieldError::forbidden(&at.field("nullable"), "nullable cannot be true at the root"));
    }
    let found = structural::check(schema, &at);
    if found.is_empty() {
        value::defaults(errors, schema, &at);
    }
    errors.extend(found);
    any(errors, schema, &at, &Place { root: true, meta: false, no_defaults: None });
}

fn at_root(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    let of = text(schema, "type");
    if !["", "object"].contains(&of) {
        let why = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        errors.push(FieldError::invalid(&path.field("type"), of, why));
    } else if schema.as_object().is_some_and(|map| map.keys().any(|field| !AT_ROOT.contains(&field.as_str())))
    {
        let why = format!(
            "only {AT_ROOT:?} fields are allowed at the root of the schema if the status subresource is enabled"
        );
        errors.push(FieldError::invalid(path, schema.clone(), &why));
    }
}

/// Where in a definition a schema stands.
struct Place {
    root: bool,
    /// Inside `metadata`, `kind` or `apiVersion` of a resource.
    meta: bool,
    /// Why there may be no defaults.
    no_defaults: Option<String>,
}

fn any(errors: &mut Vec<FieldError>, schema: &Value, path: &Path, place: &Place) {
    if !schema.is_object() {
        return;
    }
    standard(errors, schema, path, place);
    if schema["uniqueItems"] == true {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&path.field("uniqueItems"), why));
    }
    let inner = |meta: bool, no_defaults: Option<String>| Place {
        root: false,
        meta: place.meta || meta,
        no_defaults: no_defaults.or_else(|| place.no_defaults.clone()),
    };
    let additional = &schema["additionalProperties"];
    if entries(schema, "properties").next().is_some() && (additional == false || additional.is_object()) {
        let why = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(&path.field("additionalProperties"), why));
    }
    let why = place.meta.then(|| "inside additionalProperties applying to object metadata".to_owned());
    any(errors, additional, &path.field("additionalProperties"), &inner(false, why));
    let at = path.field("properties");
    let resource = place.root || schema["x-kubernetes-embedded-resource"] == true;
    for (name, property) in entries(schema, "properties") {
        let meta = resource && ["metadata", "kind", "apiVersion"].contains(&name);
        let why = (meta && place.root).then(|| format!("in top-level {name}"));
        any(errors, property, &at.key(name), &inner(meta, why));
    }
    any(errors, &schema["not"], &path.field("not"), &inner(false, None));
    for field in ["allOf", "oneOf", "anyOf"] {
        for (index, found) in list(schema, field).iter().enumerate() {
            let at = path.field(field);
            any(errors, found, &at.index(index), &inner(false, None));
        }
    }
    any(errors, &schema["items"], &path.field("items"), &inner(false, None));
    lists_and_maps(errors, schema, path);
    rules(errors, schema, path);
}

fn standard(errors: &mut Vec<FieldError>, schema: &Value, path: &Path, place: &Place) {
    let of = text(schema, "type");
    if !of.is_empty() && !TYPES.contains(&of) {
        errors.push(FieldError::not_supported(&path.field("type"), of, &TYPES));
    }
    if let Some(why) = place.no_defaults.as_ref().filter(|_| has(schema, "default")) {
        errors.push(FieldError::forbidden(&path.field("default"), &format!("must not be set {why}")));
    }
    for field in UNSUPPORTED.into_iter().filter(|field| has(schema, field)) {
        errors.push(FieldError::forbidden(&path.field(field), &format!("{field} is not supported")));
    }
    if of == "null" {
        let why = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(&path.field("type"), why));
    }
    if schema["items"].is_array() {
        let why = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(&path.field("items"), why));
    }
    if place.meta && schema["x-kubernetes-embedded-resource"] == true {
        let why = "must not be used inside of resource meta";
        errors.push(FieldError::forbidden(&path.field("x-kubernetes-embedded-resource"), why));
    }
}

fn must_be(errors: &mut Vec<FieldError>, schema: &Value, path: &Path, of: &str, extension: &str) {
    let at = path.field("type");
    let why = format!("must be {of} if {extension} is specified");
    match text(schema, "type") {
        found if found == of => {}
        "" => errors.push(FieldError::required(&at, &why)),
        found => errors.push(FieldError::invalid(&at, found, &why)),
    }
}

fn lists_and_maps(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        let at = path.field("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(&at, false, "must be true or undefined"));
    }
    if has(schema, "x-kubernetes-map-type") {
        must_be(errors, schema, path, "object", "x-kubernetes-map-type");
        let of = text(schema, "x-kubernetes-map-type");
        if !["atomic", "granular"].contains(&of) {
            let at = path.field("x-kubernetes-map-type");
            errors.push(FieldError::not_supported(&at, of, &["atomic", "granular"]));
        }
    }
    let (of, at) = (text(schema, "x-kubernetes-list-type"), path.field("x-kubernetes-list-type"));
    if has(schema, "x-kubernetes-list-type") {
        must_be(errors, schema, path, "array", "x-kubernetes-list-type");
        if of == "set" && schema["type"] == "array" {
            atomic_items(errors, &schema["items"], &path.field("items"));
        }
        let types = ["atomic", "set", "map"];
        if !types.contains(&of) {
            errors.push(FieldError::not_supported(&at, of, &types));
        }
    }
    if !list(schema, "x-kubernetes-list-map-keys").is_empty() && of != "map" {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(if of.is_empty() {
            FieldError::required(&at, why)
        } else {
            FieldError::invalid(&at, of, why)
        });
    }
    if of == "map" {
        keys(errors, schema, path);
    }
    let items = path.field("items");
    if ["set", "map"].contains(&of) && schema["items"]["nullable"] == true {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {of}");
        errors.push(FieldError::forbidden(&items.field("nullable"), &why));
    }
}

/// What is compared as a whole is owned as a whole.
fn atomic_items(errors: &mut Vec<FieldError>, items: &Value, path: &Path) {
    let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let (field, wrong) = match text(items, "type") {
        "array" => {
            ("x-kubernetes-list-type", !["", "atomic"].contains(&text(items, "x-kubernetes-list-type")))
        }
        "object" => ("x-kubernetes-map-type", text(items, "x-kubernetes-map-type") != "atomic"),
        _ => return,
    };
    if wrong {
        errors.push(FieldError::invalid(&path.field(field), items[field].clone(), why));
    }
}

fn keys(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    let keys_at = path.field("x-kubernetes-list-map-keys");
    let (items, at) = (&schema["items"], path.field("items"));
    let keys: Vec<&str> = texts(schema, "x-kubernetes-list-map-keys").map(|(_, key)| key).collect();
    if keys.is_empty() {
        errors.push(FieldError::required(&keys_at, "must not be empty if x-kubernetes-list-type is map"));
    }
    if items.is_null() {
        errors.push(FieldError::required(&at, "must have a schema if x-kubernetes-list-type is map"));
        return;
    }
    if items["type"] != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(&at.field("type"), text(items, "type"), why));
        return;
    }
    let properties = at.field("properties");
    for (index, key) in keys.iter().enumerate() {
        let (at, shown) = (properties.key(key), &schema["x-kubernetes-list-map-keys"]);
        let property = &items["properties"][*key];
        if property.is_null() {
            let why = "entries must all be names of item properties";
            errors.push(FieldError::invalid(&keys_at, shown.clone(), why));
        } else if ["array", "object"].contains(&text(property, "type")) {
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(&at.field("type"), "object", why));
        }
        if keys[..index].contains(key) {
            errors.push(FieldError::invalid(&keys_at, shown.clone(), "must not contain duplicate entries"));
        }
        if property.is_null() {
            continue;
        }
        if !list(items, "required").iter().any(|required| required == key) && !has(property, "default") {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(&at.field("default"), why));
        }
        if property["nullable"] == true {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(&at.field("nullable"), why));
        }
    }
}

fn rules(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    let at = path.field("x-kubernetes-validations");
    for (index, rule) in list(schema, "x-kubernetes-validations").iter().enumerate() {
        let at = at.index(index);
        let broken = |text: &str| text.contains(['\n', '\r']);
        let (expression, message) = (text(rule, "rule").trim(), text(rule, "message"));
        let message_at = at.field("message");
        if expression.is_empty() {
            errors.push(FieldError::required(&at.field("rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            errors.push(FieldError::invalid(&message_at, message, "must be non-empty if specified"));
        } else if broken(message.trim()) {
            errors.push(FieldError::invalid(&message_at, message, "must not contain line breaks"));
        } else if broken(expression) && message.is_empty() {
            let why = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(&message_at, why));
        }
        let told = text(rule, "messageExpression");
        if !told.is_empty() && told.trim().is_empty() {
            let why = "messageExpression must be non-empty if specified";
            errors.push(FieldError::required(&at.field("messageExpression"), why));
        }
        if has(rule, "reason") && !REASONS.contains(&text(rule, "reason")) {
            errors.push(FieldError::not_supported(&at.field("reason"), text(rule, "reason"), &REASONS));
        }
    }
}
