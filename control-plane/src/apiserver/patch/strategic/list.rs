//! Lists that merge: of plain values, and of maps by a key.

use api_objects::schema::Type;
use serde_json::Value;

use super::{BAD_ORDER, DIRECTIVE, Object, go_type, no_merge_key, order, refuse, unknown_directive};
use crate::apiserver::go;
use crate::apiserver::patch::PatchError;

/// Merges a patch into a list of a type.
pub(super) fn merge(
    old: Vec<Value>,
    patch: Vec<Value>,
    of: Type<'_>,
    key: Option<&str>,
) -> Result<Vec<Value>, PatchError> {
    if old.is_empty() && patch.is_empty() {
        return Ok(old);
    }
    if !same_types(&old, &patch)? {
        let mut merged = Vec::with_capacity(old.len() + patch.len());
        for item in old.iter().chain(&patch) {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return order::normalise(merged, &patch, &old, None);
    }
    let Some(key) = key else { return refuse("cannot merge lists without merge key for struct") };
    let item = of.item().unwrap_or(of);
    let (old, patch) = directives(maps(old)?, maps(patch)?, key)?;
    let before: Vec<Value> = old.iter().cloned().map(Value::Object).collect();
    let mut merged = old;
    for element in &patch {
        let Some(id) = element.get(key) else { return refuse(no_merge_key(element, key)) };
        match merged.iter_mut().find(|other| other.get(key) == Some(id)) {
            Some(place) => *place = super::merge(std::mem::take(place), element.clone(), item)?,
            None => merged.push(element.clone()),
        }
    }
    let merged = merged.into_iter().map(Value::Object).collect();
    let patch: Vec<Value> = patch.into_iter().map(Value::Object).collect();
    order::normalise(merged, &patch, &before, Some(key))
}

/// Whether the elements are maps; all must be of one type.
fn same_types(old: &[Value], patch: &[Value]) -> Result<bool, PatchError> {
    let mut all = old.iter().chain(patch);
    let Some(first) = all.next() else { return Ok(false) };
    if first.is_array() {
        return refuse("lists of lists are not supported");
    }
    if all.any(|other| go_type(other) != go_type(first)) {
        let lists = Value::from(vec![Value::from(old.to_vec()), Value::from(patch.to_vec())]);
        let lists = go::value(&lists);
        return refuse(format!("list element types are not identical: {lists}"));
    }
    Ok(first.is_object())
}

fn maps(items: Vec<Value>) -> Result<Vec<Object>, PatchError> {
    let mut maps = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::Object(map) => maps.push(map),
            other => {
                return refuse(format!(
                    "expected a map[string]interface {{}}, but received a {}",
                    go_type(&other)
                ));
            }
        }
    }
    Ok(maps)
}

/// Follows the elements that are directives: deletes, or starts from nothing. Returns the list and the rest of the patch.
fn directives(
    mut old: Vec<Object>,
    patch: Vec<Object>,
    key: &str,
) -> Result<(Vec<Object>, Vec<Object>), PatchError> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    for element in patch {
        match element.get(DIRECTIVE).map(Value::as_str) {
            None => rest.push(element),
            Some(Some("delete")) => match element.get(key) {
                Some(id) => old.retain(|other| other.get(key) != Some(id)),
                None => return refuse(no_merge_key(&element, key)),
            },
            Some(Some("replace")) => replace = true,
            Some(Some("merge")) => return refuse("merging lists cannot yet be specified in the patch"),
            Some(_) => return refuse(unknown_directive(&element)),
        }
    }
    // As upstream: what replaces a list takes the place of the list, and nothing is left to merge into it.
    if replace { Ok((rest, Vec::new())) } else { Ok((old, rest)) }
}

/// Checks that the elements of a patch come in the order of `$setElementOrder` and are all in it.
pub(super) fn check_order(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let id = |item: &Value| -> Result<Value, PatchError> {
        let Some(key) = key else { return Ok(item.clone()) };
        let Value::Object(map) = item else { return refuse(BAD_ORDER) };
        match map.get(key) {
            Some(id) => Ok(id.clone()),
            None => refuse(no_merge_key(map, key)),
        }
    };
    let mut ordered = order.iter();
    for item in patch.iter().filter(|item| item.get(DIRECTIVE).is_none()) {
        let wanted = id(item)?;
        let mut found = false;
        for place in ordered.by_ref() {
            if id(place)? == wanted {
                found = true;
                break;
            }
        }
        if !found {
            let (patch, order) = (go::value(&patch.to_vec().into()), go::value(&order.to_vec().into()));
            return refuse(format!(
                "The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n"
            ));
        }
    }
    Ok(())
}
