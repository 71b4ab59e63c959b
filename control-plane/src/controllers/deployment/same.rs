//! Whether two templates ask for the same.

use serde_json::Value;

use super::hash::LABEL;

/// What is empty is the same as what is not there.
fn nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(nothing),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Whether two values ask for the same.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let within = |x: &serde_json::Map<String, Value>, y: &serde_json::Map<String, Value>| {
                x.iter().all(|(name, value)| same(value, y.get(name).unwrap_or(&Value::Null)))
            };
            let more = y.iter().filter(|(name, _)| !x.contains_key(*name));
            within(x, y) && more.into_iter().all(|(_, value)| nothing(value))
        }
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y)),
        _ => a == b || (nothing(a) && nothing(b)),
    }
}

/// Whether two templates are the same but for the label that tells them apart.
pub(super) fn templates(a: &Value, b: &Value) -> bool {
    let plain = |template: &Value| {
        let mut template = template.clone();
        if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
            labels.remove(LABEL);
        }
        template
    };
    same(&plain(a), &plain(b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_empty_is_as_if_it_were_not_there() {
        let a = json!({"metadata": {"labels": {"a": "b", LABEL: "x"}, "creationTimestamp": null}, "spec": {"c": []}});
        let b = json!({"metadata": {"labels": {"a": "b"}}, "spec": {}});
        assert!(templates(&a, &b) && templates(&b, &a));
        assert!(!templates(&a, &json!({"metadata": {"labels": {"a": "c"}}})));
        assert!(!same(&json!({"a": [1, 2]}), &json!({"a": [2, 1]})));
        assert!(!same(&json!({"a": 0}), &json!({})));
    }
}
