//! FieldsV1, the form in which sets are stored: an object whose keys are path elements; `.` says that the field
//! itself is meant where fields below it are too.

use serde_json::{Map, Value};

use super::element::Element;
use super::set::{FieldSet, Node};

/// Deeper sets are refused; objects do not nest deeper either.
const DEEPEST: usize = 128;

/// Reads a set.
pub(super) fn parse(fields: &Value) -> Result<FieldSet, String> {
    below(fields, 0)
}

fn below(fields: &Value, depth: usize) -> Result<FieldSet, String> {
    let Value::Object(fields) = fields else { return Err("a field set is an object".to_owned()) };
    if depth > DEEPEST {
        return Err("a field set nests too deep".to_owned());
    }
    let mut set = FieldSet::new();
    for (key, value) in fields {
        if key == "." {
            continue;
        }
        let element = Element::parse(key).ok_or_else(|| format!("{key:?} is no path element"))?;
        let below = below(value, depth + 1)?;
        let member = value.as_object().is_some_and(|inner| inner.is_empty() || inner.contains_key("."));
        set.put(element, Node { member, below });
    }
    Ok(set)
}

/// Writes a set.
pub(super) fn print(set: &FieldSet) -> Value {
    let mut fields = Map::new();
    for (element, node) in set.nodes() {
        let mut below = match print(&node.below) {
            Value::Object(below) => below,
            _ => Map::new(),
        };
        if node.member && !below.is_empty() {
            below.insert(".".to_owned(), Value::Object(Map::new()));
        }
        fields.insert(element.print(), Value::Object(below));
    }
    Value::Object(fields)
}
