//! The order of a merged list.
//!
//! What the patch names stands in the patch's order, what it does not name in the order it had. The two are
//! interleaved by the order they had together; an element that is new comes as early as it can.

use serde_json::Value;

use super::{no_merge_key, refuse};
use crate::apiserver::patch::PatchError;

/// Orders `merged` by the patch's order and the order before the patch. With a key, elements are the same when it is.
pub(super) fn normalise(
    merged: Vec<Value>,
    patch: &[Value],
    before: &[Value],
    key: Option<&str>,
) -> Result<Vec<Value>, PatchError> {
    if let Some(key) = key {
        for item in merged.iter().chain(patch).chain(before) {
            match item {
                Value::Object(map) if map.contains_key(key) => {}
                Value::Object(map) => return refuse(no_merge_key(map, key)),
                _ => return refuse("an element of a list of maps is no map"),
            }
        }
    }
    let place = |list: &[Value], item: &Value| list.iter().position(|other| id(other, key) == id(item, key));
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(patch, item).is_some());
    named.sort_by_key(|item| place(patch, item));
    others.sort_by_key(|item| place(before, item));

    let mut ordered = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for item in named {
        let limit = place(before, &item);
        while let Some(other) = others.peek() {
            match (place(before, other), limit) {
                (Some(other), Some(limit)) if other < limit => ordered.extend(others.next()),
                _ => break,
            }
        }
        ordered.push(item);
    }
    ordered.extend(others);
    Ok(ordered)
}

fn id<'v>(item: &'v Value, key: Option<&str>) -> Option<&'v Value> {
    match key {
        Some(key) => item.get(key),
        None => Some(item),
    }
}
