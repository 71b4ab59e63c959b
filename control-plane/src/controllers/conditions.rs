//! Conditions in the status of objects.

use serde_json::{Value, json};

/// The condition of a type.
pub fn get<'v>(status: &'v Value, name: &str) -> Option<&'v Value> {
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == name)
}

/// Puts a condition in the place of the one of its type, at the end of the list.
pub fn put(status: &mut Value, condition: Value) {
    let name = condition["type"].as_str().unwrap_or_default().to_owned();
    remove(status, &name);
    match status["conditions"].as_array_mut() {
        Some(conditions) => conditions.push(condition),
        None => status["conditions"] = json!([condition]),
    }
}

/// Puts a condition where the one of its type is, or at the end of the list.
pub fn put_in_place(status: &mut Value, condition: Value) {
    let mut found = status["conditions"].as_array_mut().into_iter().flatten();
    match found.find(|other| other["type"] == condition["type"]) {
        Some(other) => *other = condition,
        None => put(status, condition),
    }
}

/// Takes the condition of a type away.
pub fn remove(status: &mut Value, name: &str) {
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    conditions.retain(|condition| condition["type"] != name);
    if conditions.is_empty()
        && let Some(status) = status.as_object_mut()
    {
        status.remove("conditions");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_there_once() {
        let mut status = json!({});
        put(&mut status, json!({"type": "A", "status": "True"}));
        put(&mut status, json!({"type": "B", "status": "True"}));
        put(&mut status, json!({"type": "A", "status": "False"}));
        assert_eq!(get(&status, "A").unwrap()["status"], "False");
        assert_eq!(status["conditions"].as_array().unwrap().len(), 2);
        put_in_place(&mut status, json!({"type": "B", "status": "False"}));
        put_in_place(&mut status, json!({"type": "C", "status": "False"}));
        let types: Vec<_> = status["conditions"].as_array().unwrap().iter().map(|c| &c["type"]).collect();
        assert_eq!(types, ["B", "A", "C"]);
        remove(&mut status, "A");
        remove(&mut status, "C");
        remove(&mut status, "B");
        assert_eq!(status, json!({}));
    }
}
