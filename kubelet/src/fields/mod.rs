//! What this kubelet makes of every field of a Pod: implemented, inert with the reason, or refused by name.
//!
//! [`check`] walks a manifest by the tables of `pod` and `container`, so that a field it does not know, a value
//! of another JSON type, and a field that is not implemented are named before anything runs. A test compares the
//! tables with the API's schema.

mod container;
mod pod;
mod volume;

use api_objects::{FieldError, Path};
use serde_json::Value;

pub use pod::POD;

/// An error shows so much of a value.
const LONGEST_VALUE: usize = 100;

/// A type of the API and its fields.
#[derive(Debug)]
pub struct Type {
    /// The type's name in the API's schema, without the package.
    pub name: &'static str,
    /// All its fields.
    pub fields: &'static [Field],
}

/// A field and what is made of it.
#[derive(Debug)]
pub struct Field {
    /// As in JSON.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// What is made of it.
    pub support: Support,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Text.
    Text,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// A number or text such as `100m`.
    Quantity,
    /// A port's number or name.
    IntOrString,
    /// A list of text.
    Texts,
    /// A list of whole numbers.
    Integers,
    /// A map of text.
    TextMap,
    /// A map of quantities.
    Quantities,
    /// An object of a type.
    Object(&'static Type),
    /// A list of objects of a type.
    List(&'static Type),
    /// Not looked into: inert or refused as a whole.
    Any,
}

/// What is made of a field.
#[derive(Clone, Copy, Debug)]
pub enum Support {
    /// It has its effect; the text names the test that observes it.
    Done(&'static str),
    /// It has no effect on this node, for this reason.
    Inert(&'static str),
    /// Only these values are taken (the JSON text of scalars); the reason why others are not.
    Only(&'static [&'static str], &'static str),
    /// A manifest with it is refused, for this reason.
    Refused(&'static str),
}

/// A field of a table.
const fn field(name: &'static str, shape: Shape, support: Support) -> Field {
    Field { name, shape, support }
}

/// Everything in a pod's manifest that is unknown, of a wrong type, or not implemented. Null counts as not set.
pub fn check(pod: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    object(&mut errors, pod, &POD, &Path::ROOT);
    errors
}

fn object(errors: &mut Vec<FieldError>, value: &Value, of: &Type, path: &Path) {
    let Some(map) = value.as_object() else {
        errors.push(FieldError::wrong_type(path, value, "an object"));
        return;
    };
    for (name, value) in map {
        let at = path.field(name);
        match of.fields.iter().find(|field| field.name == name) {
            None => errors.push(FieldError::unknown(&at, value)),
            Some(_) if value.is_null() => {}
            Some(field) => one(errors, value, field, &at),
        }
    }
}

fn one(errors: &mut Vec<FieldError>, value: &Value, field: &Field, path: &Path) {
    match field.support {
        Support::Refused(_) if is_default(value) => return,
        Support::Refused(why) => {
            errors.push(FieldError::forbidden(path, &format!("{}: {why}", short(value))));
            return;
        }
        Support::Only(allowed, why) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if !allowed.contains(&text.as_str()) {
                errors.push(FieldError::forbidden(
                    path,
                    &format!("{} is not implemented: {why}", short(value)),
                ));
                return;
            }
        }
        Support::Done(_) | Support::Inert(_) => {}
    }
    shape(errors, value, field.shape, path);
}

/// A value as JSON, cut to what one can read.
pub(crate) fn short(value: &Value) -> String {
    cut(value.to_string(), LONGEST_VALUE)
}

/// The first `longest` characters.
pub(crate) fn cut(text: String, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Whether a value says no more than its absence: false, empty.
fn is_default(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        // An object chooses something by being there: `secret: {}`.
        Value::Object(_) => false,
    }
}

fn shape(errors: &mut Vec<FieldError>, value: &Value, shape: Shape, path: &Path) {
    let wanted = match shape {
        Shape::Any => return,
        Shape::Object(of) => return object(errors, value, of, path),
        Shape::List(of) => {
            return items(errors, value, path, |errors, item, at| object(errors, item, of, at));
        }
        Shape::Texts => {
            return items(errors, value, path, |errors, item, at| self::shape(errors, item, Shape::Text, at));
        }
        Shape::Integers => {
            return items(errors, value, path, |errors, item, at| {
                self::shape(errors, item, Shape::Integer, at)
            });
        }
        Shape::TextMap => return map(errors, value, Shape::Text, path),
        Shape::Quantities => return map(errors, value, Shape::Quantity, path),
        Shape::Text if !value.is_string() => "text",
        Shape::Integer if !value.is_i64() => "a whole number",
        Shape::Boolean if !value.is_boolean() => "true or false",
        Shape::Quantity if !value.is_string() && !value.is_number() => "a quantity",
        Shape::IntOrString if !value.is_string() && !value.is_i64() => "a whole number or text",
        Shape::Text | Shape::Integer | Shape::Boolean | Shape::Quantity | Shape::IntOrString => return,
    };
    errors.push(FieldError::wrong_type(path, value, wanted));
}

fn items(
    errors: &mut Vec<FieldError>,
    value: &Value,
    path: &Path,
    each: impl Fn(&mut Vec<FieldError>, &Value, &Path),
) {
    match value.as_array() {
        Some(items) => {
            items.iter().enumerate().for_each(|(index, item)| each(errors, item, &path.index(index)))
        }
        None => errors.push(FieldError::wrong_type(path, value, "a list")),
    }
}

fn map(errors: &mut Vec<FieldError>, value: &Value, shape: Shape, path: &Path) {
    match value.as_object() {
        Some(map) => {
            for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
                self::shape(errors, value, shape, &path.key(key));
            }
        }
        None => errors.push(FieldError::wrong_type(path, value, "a map")),
    }
}

#[cfg(test)]
mod tests;
