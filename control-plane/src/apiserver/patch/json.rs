//! RFC 6902: a list of operations, applied in order; all or none.
//!
//! Three habits of the library that upstream uses are kept, since clients were written against it: `replace` of an
//! absent key adds it, `test` of an absent key against null holds, and a negative index counts from the end.

use api_objects::decode::{MAX_BYTES, type_name};
use serde_json::Value;

use super::PatchError;

/// More operations are refused.
const MOST_OPERATIONS: usize = 10_000;

/// One operation.
#[derive(Debug)]
pub(super) struct Operation<'a> {
    op: &'a str,
    path: Option<&'a str>,
    from: Option<&'a str>,
    value: Option<&'a Value>,
}

/// Reads the operations of a body; fields that an operation does not have are objected to.
pub(super) fn parse<'a>(
    patch: &'a Value,
    objections: &mut Vec<String>,
) -> Result<Vec<Operation<'a>>, PatchError> {
    let Some(items) = patch.as_array() else {
        return Err(mistyped(patch, "value", "[]handlers.jsonPatchOp"));
    };
    if items.len() > MOST_OPERATIONS {
        return Err(PatchError::TooManyOperations { most: MOST_OPERATIONS, count: items.len() });
    }
    let mut operations = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Some(fields) = item.as_object() else {
            return Err(mistyped(item, "value", "handlers.jsonPatchOp"));
        };
        let mut operation = Operation { op: "", path: None, from: None, value: fields.get("value") };
        for (name, value) in fields {
            let place = match name.as_str() {
                "op" => {
                    operation.op = text(name, value)?.unwrap_or_default();
                    continue;
                }
                "path" => &mut operation.path,
                "from" => &mut operation.from,
                "value" => continue,
                _ => {
                    objections.push(format!("unknown field \"[{index}].{name}\""));
                    continue;
                }
            };
            *place = text(name, value)?;
        }
        operations.push(operation);
    }
    for objection in objections {
        objection.insert_str(0, "json patch ");
    }
    Ok(operations)
}

fn text<'a>(name: &str, value: &'a Value) -> Result<Option<&'a str>, PatchError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        other => Err(mistyped(other, &format!("struct field jsonPatchOp.{name}"), "string")),
    }
}

fn mistyped(found: &Value, place: &str, wanted: &str) -> PatchError {
    let found = type_name(found);
    PatchError::Malformed(format!(
        "error decoding patch: json: cannot unmarshal {found} into Go {place} of type {wanted}"
    ))
}

/// Applies the operations; when one does not apply, the object is in between and the caller drops it.
pub(super) fn apply(operations: &[Operation<'_>], object: &mut Value) -> Result<(), PatchError> {
    let mut copied = 0;
    for (index, operation) in operations.iter().enumerate() {
        one(operation, object, &mut copied)
            .map_err(|why| PatchError::DoesNotApply(format!("operation {index}, {}: {why}", operation.op)))?;
    }
    Ok(())
}

fn one(operation: &Operation<'_>, object: &mut Value, copied: &mut usize) -> Result<(), &'static str> {
    let path = operation.path.ok_or("it has no path")?;
    let null = Value::Null;
    match operation.op {
        "add" => add(object, path, operation.value.ok_or("it has no value")?.clone()),
        "remove" => remove(object, path).map(drop),
        "replace" => replace(object, path, operation.value.ok_or("it has no value")?.clone()),
        "move" => {
            let value = remove(object, operation.from.ok_or("it has no from")?)?;
            add(object, path, value)
        }
        "copy" => {
            let value = get(object, operation.from.ok_or("it has no from")?)?.unwrap_or(&null).clone();
            *copied = copied.saturating_add(size(&value));
            if *copied > MAX_BYTES {
                return Err("all copies together are too large");
            }
            add(object, path, value)
        }
        "test" => {
            let same = get(object, path)?.unwrap_or(&null) == operation.value.unwrap_or(&null);
            if same { Ok(()) } else { Err("the value is another one") }
        }
        _ => Err("there is no such operation"),
    }
}

/// About as many bytes as the value has in JSON, without writing it.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 2,
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| key.len() + size(value) + 4).sum::<usize>() + 2
        }
    }
}

/// A step of a pointer as it stands in keys.
fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// The container of what a pointer names, and the last step. The whole object has none.
fn parent<'v>(object: &'v mut Value, path: &str) -> Result<(&'v mut Value, String), &'static str> {
    let steps = path.strip_prefix('/').ok_or("the path does not start with a slash")?;
    let (way, last) = steps.rsplit_once('/').map_or((None, steps), |(way, last)| (Some(way), last));
    let mut place = object;
    for step in way.into_iter().flat_map(|way| way.split('/')) {
        place = match place {
            Value::Object(entries) => entries.get_mut(&unescape(step)).ok_or(MISSING)?,
            Value::Array(items) => {
                let index = index(step, items.len(), items.len())?;
                items.get_mut(index).ok_or(MISSING)?
            }
            _ => return Err(MISSING),
        };
    }
    Ok((place, unescape(last)))
}

const MISSING: &str = "there is no such path";

/// An index below `end`, or counted back from `length`.
fn index(step: &str, end: usize, length: usize) -> Result<usize, &'static str> {
    let number: i64 = step.parse().map_err(|_| "the index of a list is a number")?;
    let index = if number < 0 { i64::try_from(length).unwrap_or(i64::MAX) + number } else { number };
    usize::try_from(index).ok().filter(|index| *index < end).ok_or("the list has no such index")
}

/// A value; nothing when its map lacks the key.
fn get<'v>(object: &'v mut Value, path: &str) -> Result<Option<&'v Value>, &'static str> {
    if path.is_empty() {
        return Ok(Some(object));
    }
    let (place, last) = parent(object, path)?;
    match place {
        Value::Object(entries) => Ok(entries.get(&last)),
        Value::Array(items) => Ok(items.get(index(&last, items.len(), items.len())?)),
        _ => Err(MISSING),
    }
}

fn add(object: &mut Value, path: &str, value: Value) -> Result<(), &'static str> {
    let (place, last) = parent(object, path)?;
    match place {
        Value::Object(entries) => {
            entries.insert(last, value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let index = index(&last, items.len() + 1, items.len() + 1)?;
            items.insert(index, value);
        }
        _ => return Err(MISSING),
    }
    Ok(())
}

fn remove(object: &mut Value, path: &str) -> Result<Value, &'static str> {
    let (place, last) = parent(object, path)?;
    match place {
        Value::Object(entries) => entries.remove(&last).ok_or(MISSING),
        Value::Array(items) => {
            let index = index(&last, items.len(), items.len())?;
            Ok(items.remove(index))
        }
        _ => Err(MISSING),
    }
}

fn replace(object: &mut Value, path: &str, value: Value) -> Result<(), &'static str> {
    if path.is_empty() {
        if !value.is_object() && !value.is_array() {
            return Err("the whole object is replaced by a map or a list only");
        }
        *object = value;
        return Ok(());
    }
    let (place, last) = parent(object, path)?;
    match place {
        Value::Object(entries) => {
            entries.insert(last, value);
        }
        Value::Array(items) => {
            let index = index(&last, items.len(), items.len())?;
            items[index] = value;
        }
        _ => return Err(MISSING),
    }
    Ok(())
}
