//! Filling in what was left out of an object.

use serde_json::Value;

/// Sets a field that is not there.
pub(crate) fn missing(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut()
        && map.get(field).is_none_or(Value::is_null)
    {
        map.insert(field.to_owned(), value.into());
    }
}

/// Sets a text that is not there or empty.
pub(crate) fn text(object: &mut Value, field: &str, value: &str) {
    if object[field].as_str().unwrap_or_default().is_empty()
        && let Some(map) = object.as_object_mut()
    {
        map.insert(field.to_owned(), value.into());
    }
}

/// The elements of a list, to fill in something in each.
pub(crate) fn each<'v>(object: &'v mut Value, field: &str) -> impl Iterator<Item = &'v mut Value> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

/// A part of an object, to fill in something in it.
pub(crate) fn part<'v>(object: &'v mut Value, field: &str) -> impl Iterator<Item = &'v mut Value> {
    object.get_mut(field).filter(|part| part.is_object()).into_iter()
}

/// Takes fields away.
pub(crate) fn remove(object: &mut Value, fields: &[&str]) {
    if let Some(map) = object.as_object_mut() {
        fields.iter().for_each(|field| drop(map.remove(*field)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_there_stays() {
        let mut object = json!({"a": "x", "b": "", "c": null, "l": [{}, {"a": 1}]});
        text(&mut object, "a", "y");
        text(&mut object, "b", "y");
        missing(&mut object, "b", "z");
        missing(&mut object, "c", 1);
        each(&mut object, "l").for_each(|element| missing(element, "a", 2));
        assert_eq!(object, json!({"a": "x", "b": "y", "c": 1, "l": [{"a": 2}, {"a": 1}]}));
        missing(&mut Value::Null, "a", 1);
        remove(&mut object, &["a", "l", "x"]);
        assert_eq!(object, json!({"b": "y", "c": 1}));
    }
}
