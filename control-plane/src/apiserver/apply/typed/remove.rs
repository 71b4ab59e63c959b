//! Takes fields out of an object.

use serde_json::{Map, Value};

use super::{Shape, View, keys};
use crate::apiserver::apply::element::Element;
use crate::apiserver::apply::set::FieldSet;

/// The object without these fields, each with all that is below it. What had fields in it stays, even when it is
/// empty then.
pub(in crate::apiserver::apply) fn remove(view: View<'_>, value: &Value, fields: &FieldSet) -> Value {
    if fields.is_empty() {
        return value.clone();
    }
    match (view.shape(value), value) {
        (Shape::Map, Value::Object(entries)) => {
            let mut left = Map::new();
            for (name, value) in entries {
                let element = Element::field(name);
                if fields.has(&element) {
                    continue;
                }
                let value = match (fields.below(&element), view.field(name)) {
                    (Some(below), Some(inner)) => remove(inner, value, below),
                    _ => value.clone(),
                };
                left.insert(name.clone(), value);
            }
            Value::Object(left)
        }
        (Shape::List(of, declared), Value::Array(items)) => {
            let mut left = Vec::with_capacity(items.len());
            for item in items {
                let Ok(element) = keys::element(of, declared, item) else {
                    left.push(item.clone());
                    continue;
                };
                if fields.has(&element) {
                    continue;
                }
                left.push(match fields.below(&element) {
                    Some(below) => remove(view.item(), item, below),
                    None => item.clone(),
                });
            }
            Value::Array(left)
        }
        // There are no fields below these; a set that names some is of another schema.
        _ => value.clone(),
    }
}
