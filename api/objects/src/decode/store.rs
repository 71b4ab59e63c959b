//! The last step before an object is stored.

use serde_json::Value;

use crate::schema::{Node, Type};

/// Writes null for the lists and maps that are there and empty, as upstream's store does: its format has no empty
/// ones. Until here they are told apart, since who sends an empty list owns it.
pub(super) fn empties(of: Type<'_>, value: &mut Value) {
    match (of.node(), value) {
        (Node::Struct(structure), Value::Object(fields)) => {
            for (name, value) in fields {
                let Some(field) = structure.field(name) else { continue };
                let of = of.at(field.of);
                let empty = match (of.node(), &*value) {
                    (Node::List(_), Value::Array(items)) => items.is_empty(),
                    (Node::Map { .. }, Value::Object(entries)) => entries.is_empty(),
                    _ => false,
                };
                if empty {
                    *value = Value::Null;
                } else {
                    empties(of, value);
                }
            }
        }
        (Node::List(list), Value::Array(items)) => {
            items.iter_mut().for_each(|item| empties(of.at(list.of), item))
        }
        (Node::Map { of: values, .. }, Value::Object(entries)) => {
            entries.values_mut().for_each(|value| empties(of.at(*values), value));
        }
        _ => {}
    }
}
