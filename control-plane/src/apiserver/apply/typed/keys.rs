//! By which path element a list's element is known.

use api_objects::schema::{List, Type};
use serde_json::Value;

use crate::apiserver::apply::element::{Element, Scalar};

/// The path element of an element of a list that is owned element by element.
pub(super) fn element(of: Type<'_>, list: &List, item: &Value) -> Result<Element, String> {
    if list.keys.is_empty() {
        return match item {
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".to_owned())
            }
            scalar => Ok(Element::Value(Scalar(scalar.clone()))),
        };
    }
    let entries = match item {
        Value::Object(entries) => entries,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let mut keys = Vec::with_capacity(list.keys.len());
    for name in &list.keys {
        // A key that is left out has its default; without one, the element is another one than with the key.
        let default = || of.at(list.of).field(name).and_then(|(field, _)| field.default.clone());
        if let Some(value) = entries.get(*name).cloned().or_else(default) {
            keys.push(((*name).to_owned(), Scalar(value)));
        }
    }
    if keys.is_empty() {
        let names: Vec<_> = list.keys.iter().map(|name| format!("{name:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            names.join(" ")
        ));
    }
    keys.sort();
    Ok(Element::Keys(keys))
}
