//! Values against a schema: the defaults that it names.

use serde_json::Value;

use crate::check::{entries, has, list, text};
use crate::error::Kind;
use crate::{FieldError, Path};

/// Refuses defaults that their own schema refuses.
pub(super) fn defaults(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    if has(schema, "default") {
        let at = path.field("default");
        one(errors, schema, &schema["default"], &at, "");
    }
    let at = path.field("properties");
    for (name, property) in entries(schema, "properties") {
        defaults(errors, property, &at.key(name));
    }
    for field in ["items", "additionalProperties"] {
        if schema[field].is_object() {
            defaults(errors, &schema[field], &path.field(field));
        }
    }
}

/// Checks one value; `name` is where it stands in the default.
fn one(errors: &mut Vec<FieldError>, schema: &Value, value: &Value, path: &Path, name: &str) {
    let (wanted, found) = (text(schema, "type"), kind_of(value));
    let either = schema["x-kubernetes-int-or-string"] == true && ["integer", "string"].contains(&found);
    let null = value.is_null() && schema["nullable"] == true;
    let fits = wanted.is_empty() || found == wanted || found == "integer" && wanted == "number";
    if !(fits || either || null) {
        errors.push(FieldError {
            kind: Kind::TypeInvalid,
            field: path.to_string(),
            message: format!("Invalid value: {found:?}: {name} in body must be of type {wanted}: {found:?}"),
        });
        return;
    }
    let mut refuse = |why: &str| {
        errors.push(FieldError::invalid(path, value.clone(), &format!("{name} in body {why}")));
    };
    if let Some(number) = value.as_f64() {
        bounds(schema, number, &mut refuse);
    }
    if let Some(text) = value.as_str() {
        counted(schema, text.chars().count(), ["minLength", "maxLength"], "chars long", &mut refuse);
    }
    if let Some(items) = value.as_array() {
        counted(schema, items.len(), ["minItems", "maxItems"], "items", &mut refuse);
    }
    let allowed = list(schema, "enum");
    if !allowed.is_empty() && !allowed.contains(value) {
        let shown: Vec<String> = allowed.iter().map(shown).collect();
        refuse(&format!("should be one of [{}]", shown.join(" ")));
    }
    let child = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    for required in list(schema, "required").iter().filter_map(Value::as_str) {
        if value.is_object() && value.get(required).is_none() {
            errors.push(FieldError::required(&path.field(required), ""));
        }
    }
    for (part, value) in value.as_object().into_iter().flatten() {
        if let Some(property) = schema["properties"].get(part) {
            one(errors, property, value, &path.field(part), &child(part));
        } else if schema["additionalProperties"].is_object() {
            one(errors, &schema["additionalProperties"], value, &path.key(part), &child(part));
        }
    }
    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
        if schema["items"].is_object() {
            one(errors, &schema["items"], value, &path.index(index), &format!("{name}[{index}]"));
        }
    }
}

fn bounds(schema: &Value, number: f64, refuse: &mut impl FnMut(&str)) {
    for (bound, exclusive, words, beyond) in [
        ("minimum", "exclusiveMinimum", "greater than", (|a, b| a < b) as fn(f64, f64) -> bool),
        ("maximum", "exclusiveMaximum", "less than", |a, b| a > b),
    ] {
        let Some(limit) = schema[bound].as_f64() else { continue };
        let strict = schema[exclusive] == true;
        if beyond(number, limit) || strict && number == limit {
            let or_equal = if strict { "" } else { " or equal to" };
            refuse(&format!("should be {words}{or_equal} {}", shown(&schema[bound])));
        }
    }
}

fn counted(
    schema: &Value,
    count: usize,
    [least, most]: [&str; 2],
    noun: &str,
    refuse: &mut impl FnMut(&str),
) {
    let bound = |field: &str| schema[field].as_u64().and_then(|bound| usize::try_from(bound).ok());
    if let Some(least) = bound(least).filter(|least| count < *least) {
        refuse(&format!("should be at least {least} {noun}"));
    }
    if let Some(most) = bound(most).filter(|most| count > *most) {
        refuse(&format!("should be at most {most} {noun}"));
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
