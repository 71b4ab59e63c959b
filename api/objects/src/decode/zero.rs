//! What Go writes of values that nobody gave.

use serde_json::{Map, Value};

use crate::schema::{Field, Node, Struct, Type};

/// Adds the fields that are written even when they were not given.
pub(super) fn fill(of: Type<'_>, structure: &Struct, found: &mut Map<String, Value>) {
    for field in &structure.fields {
        if !found.contains_key(field.name)
            && let Some(value) = absent(field, of.at(field.of))
        {
            found.insert(field.name.to_owned(), value);
        }
    }
}

/// The value of a type that was declared and not set.
pub(super) fn value(of: Type<'_>) -> Value {
    match of.node() {
        Node::Struct(structure) => {
            let mut found = Map::new();
            fill(of, structure, &mut found);
            Value::Object(found)
        }
        Node::String { .. } => "".into(),
        Node::Bool { .. } => false.into(),
        Node::Int32 { .. } | Node::Int64 { .. } | Node::Double { .. } | Node::Intorstring => 0.into(),
        Node::Quantity => "0".into(),
        _ => Value::Null,
    }
}

/// `omitempty` leaves out empty texts, numbers, lists, maps and pointers, but never a struct, and to Go quantities,
/// times and the like are structs.
fn absent(field: &Field, of: Type<'_>) -> Option<Value> {
    if field.pointer {
        return field.keep.then_some(Value::Null);
    }
    let structure = match of.node() {
        Node::Struct(_) | Node::Time | Node::Microtime | Node::Quantity | Node::Intorstring => true,
        Node::Raw { go } => go.is_some(),
        _ => false,
    };
    let written = if structure { !field.omit_zero } else { field.keep };
    written.then(|| value(of))
}
