//! Whether an object that is applied fits its schema. Errors name the path and print values as upstream does.

use std::collections::BTreeSet;
use std::fmt::Write;

use api_objects::schema::Node;
use serde_json::Value;

use super::{Shape, View, keys};
use crate::apiserver::go;

/// What does not fit, in upstream's words: one error as it is, several as a list.
pub(in crate::apiserver::apply) fn validate(view: View<'_>, value: &Value) -> Result<(), String> {
    let mut errors = Vec::new();
    walk(view, value, &mut String::new(), &mut errors);
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(many.iter().fold("errors:".to_owned(), |text, error| text + "\n  " + error)),
    }
}

fn walk(view: View<'_>, value: &Value, path: &mut String, errors: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    match (view.shape(value), value) {
        (Shape::Map | Shape::AtomicMap, Value::Object(entries)) => {
            for (name, value) in entries {
                let Some(inner) = view.field(name) else {
                    errors.push(format!("{path}.{name}: field not declared in schema"));
                    return;
                };
                below(path, &format!(".{name}"), |path| walk(inner, value, path, errors));
            }
        }
        (Shape::Map | Shape::AtomicMap, other) => {
            report(path, errors, &format!("expected map, got {}", shown(other)))
        }
        (Shape::List(of, declared), Value::Array(items)) => {
            let mut seen = BTreeSet::new();
            for (index, item) in items.iter().enumerate() {
                let element = match keys::element(of, declared, item) {
                    Ok(element) => element,
                    Err(why) => return report(path, errors, &format!("element {index}: {why}")),
                };
                let name = element.to_string();
                if !seen.insert(element) {
                    report(path, errors, &format!("duplicate entries for key {name}"));
                }
                below(path, &name, |path| walk(view.item(), item, path, errors));
            }
        }
        (Shape::AtomicList, Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                below(path, &format!("[{index}]"), |path| walk(view.item(), item, path, errors));
            }
        }
        (Shape::List(..) | Shape::AtomicList, other) => {
            report(path, errors, &format!("expected list, got {}", shown(other)));
        }
        (Shape::Scalar, value) => scalar(view, value, path, errors),
    }
}

fn scalar(view: View<'_>, value: &Value, path: &str, errors: &mut Vec<String>) {
    let View::Typed { of, .. } = view else { return };
    match of.node() {
        Node::Int32 { .. } | Node::Int64 { .. } | Node::Double { .. } if !value.is_number() => {
            let found = match value {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            report(path, errors, &format!("expected numeric (int or float), got {found}"));
        }
        Node::String { .. } | Node::Bytes { .. } if !value.is_string() => {
            let message = format!("expected string, got &value.valueUnstructured{{Value:{value}}}");
            report(path, errors, &message);
        }
        Node::Bool { .. } if !value.is_boolean() => {
            report(path, errors, &format!("expected boolean, got {}", shown(value)));
        }
        _ => {}
    }
}

/// A value as Go prints it behind a pointer.
fn shown(value: &Value) -> String {
    format!("&{{{}}}", go::value(value))
}

fn report(path: &str, errors: &mut Vec<String>, why: &str) {
    errors.push(if path.is_empty() { why.to_owned() } else { format!("{path}: {why}") });
}

fn below(path: &mut String, step: &str, inside: impl FnOnce(&mut String)) {
    let length = path.len();
    // Writing to a string does not fail.
    let _ = path.write_str(step);
    inside(path);
    path.truncate(length);
}
