//! Kubernetes' own patch: maps merge, lists merge by the key that the schema gives them, and directives say the rest.
//!
//! | directive | where | meaning |
//! |---|---|---|
//! | `$patch: replace` | map, element of a list | replaces the map, or the whole list by the other elements |
//! | `$patch: delete` | map, element of a list | empties the map, or deletes the elements of that key |
//! | `$retainKeys: […]` | map | all other keys of the object vanish |
//! | `$deleteFromPrimitiveList/F: […]` | map | removes values from the list F |
//! | `$setElementOrder/F: […]` | map | the order of the list F |
//!
//! Lists and maps that the schema does not merge are replaced. Errors have upstream's words, which print values as
//! Go does.

mod list;
mod order;

use api_objects::schema::{Node, Patch, Type};
use serde_json::{Map, Value};

use super::PatchError;
use crate::apiserver::go;

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

type Object = Map<String, Value>;

/// Applies a patch to an object of a type.
pub(super) fn apply(object: Value, patch: Value, of: Type<'_>) -> Result<Value, PatchError> {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => merge(object, patch, of).map(Value::Object),
        (_, patch) => Ok(patch),
    }
}

fn refuse<T>(why: impl Into<String>) -> Result<T, PatchError> {
    Err(PatchError::Directive(why.into()))
}

fn merge(mut object: Object, mut patch: Object, of: Type<'_>) -> Result<Object, PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Object::new()),
            _ => refuse(unknown_directive(&patch)),
        };
    }
    retain(&mut object, &mut patch)?;
    set_orders(&mut object, &mut patch, of)?;
    for (key, value) in patch {
        if let Some(name) = list_of(&key, DELETE_FROM)? {
            if let Some(Value::Array(items)) = object.get_mut(name) {
                let Value::Array(gone) = value else { return refuse(BAD_DELETIONS) };
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if value.is_null() {
            object.remove(&key);
            continue;
        }
        let merged = match (object.remove(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                let (inner, patch) = lookup(of, &key)?;
                Some(Value::Object(if patch.replace { new } else { merge(old, new, inner)? }))
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                let (inner, patch) = lookup(of, &key)?;
                Some(Value::Array(if patch.merge { list::merge(old, new, inner, patch.key)? } else { new }))
            }
            (_, new) => plain(new),
        };
        if let Some(merged) = merged {
            object.insert(key, merged);
        }
    }
    Ok(object)
}

/// A value that nothing was there to merge with: without nulls and directives, and nothing at all where the value
/// itself is a directive.
fn plain(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => {
            let entries = map.into_iter().filter(|(_, value)| !value.is_null());
            Some(Value::Object(entries.filter_map(|(key, value)| Some((key, plain(value)?))).collect()))
        }
        Value::Array(items) => Some(items.into_iter().filter_map(plain).collect()),
        other => Some(other),
    }
}

/// The field of a struct and the way it is patched.
fn lookup<'s>(of: Type<'s>, key: &str) -> Result<(Type<'s>, Patch), PatchError> {
    match of.node() {
        Node::Struct(structure) => match of.field(key) {
            Some((field, inner)) => Ok((inner, field.patch())),
            None => refuse(format!(
                "unable to find api field in struct {} for the json field {key:?}",
                structure.short()
            )),
        },
        Node::Raw { .. } => {
            let name = of.go().rsplit('.').next().unwrap_or_default();
            refuse(format!("unable to find api field in struct {name} for the json field {key:?}"))
        }
        _ => refuse("merging an object in json but data type is not struct, instead is: map"),
    }
}

/// The field that a directive `PREFIX/FIELD` is about.
fn list_of<'k>(key: &'k str, prefix: &str) -> Result<Option<&'k str>, PatchError> {
    match key.strip_prefix(prefix) {
        None => Ok(None),
        Some(rest) => match rest.strip_prefix('/') {
            Some(name) => Ok(Some(name)),
            None if prefix == DELETE_FROM => refuse(BAD_DELETIONS),
            None => refuse(BAD_ORDER),
        },
    }
}

const BAD_DELETIONS: &str = "invalid patch format of primitive list";
const BAD_ORDER: &str = "invalid patch format of setElementOrder list";
const BAD_RETAIN: &str = "invalid patch format of retainKeys";

/// Follows `$retainKeys`: what it does not name goes, and the patch may not set anything else.
fn retain(object: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let Some(keys) = patch.remove(RETAIN) else { return Ok(()) };
    let Value::Array(keys) = keys else { return refuse(BAD_RETAIN) };
    let named = |key: &str| keys.iter().any(|named| named.as_str() == Some(key));
    let stray = patch.iter().any(|(key, value)| {
        !value.is_null() && !key.starts_with(DELETE_FROM) && !key.starts_with(SET_ORDER) && !named(key)
    });
    if stray {
        return refuse(BAD_RETAIN);
    }
    object.retain(|key, _| named(key));
    Ok(())
}

/// Follows every `$setElementOrder`: merges the list that it is about and orders the result.
fn set_orders(object: &mut Object, patch: &mut Object, of: Type<'_>) -> Result<(), PatchError> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let Some(order) = patch.remove(&directive) else { continue };
        let Value::Array(order) = order else { return refuse(not_a_list(&order)) };
        let Some(name) = list_of(&directive, SET_ORDER)? else { continue };
        let (inner, strategy) = lookup(of, name)?;
        let old = as_list(object.get(name))?;
        let new = as_list(patch.get(name))?;
        list::check_order(&new, &order, strategy.key)?;
        let merged = match (object.contains_key(name), patch.contains_key(name)) {
            (false, false) => continue,
            (true, false) => old.clone(),
            (false, true) => new.into_iter().filter_map(plain).collect(),
            (true, true) if strategy.merge => list::merge(old.clone(), new, inner, strategy.key)?,
            (true, true) => new,
        };
        patch.remove(name);
        object.insert(name.to_owned(), Value::Array(order::normalise(merged, &order, &old, strategy.key)?));
    }
    Ok(())
}

fn as_list(value: Option<&Value>) -> Result<Vec<Value>, PatchError> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items.clone()),
        Some(other) => refuse(not_a_list(other)),
    }
}

fn not_a_list(found: &Value) -> String {
    format!("expected a []interface {{}}, but received a {}", go_type(found))
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn unknown_directive(patch: &Object) -> String {
    let directive = patch.get(DIRECTIVE).map(go::value).unwrap_or_default();
    format!("unknown patch type: {directive} in map: {}", go::map(patch))
}

fn no_merge_key(map: &Object, key: &str) -> String {
    format!("map: {} does not contain declared merge key: {key}", go::map(map))
}
