//! Messages as the recordings write them, and how two of them differ.

use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MapKey, Value as Field};
use serde_json::{Map, Value, json};

/// A message of the CRI as JSON: fields by their names in the proto file, those at their default left out,
/// enumerations as numbers.
pub(crate) fn of(message: &impl Message, name: &str) -> Value {
    let pool = DescriptorPool::decode(api_cri::DESCRIPTORS).expect("the descriptors are valid");
    let descriptor = pool.get_message_by_name(&format!("runtime.v1.{name}")).expect("the message exists");
    let bytes = message.encode_to_vec();
    message_of(&DynamicMessage::decode(descriptor, bytes.as_slice()).expect("it is that message"))
}

fn message_of(message: &DynamicMessage) -> Value {
    message
        .fields()
        .map(|(field, value)| (field.name().to_owned(), field_of(value)))
        .collect::<Map<_, _>>()
        .into()
}

fn field_of(value: &Field) -> Value {
    match value {
        Field::Bool(value) => json!(value),
        Field::I32(value) | Field::EnumNumber(value) => json!(value),
        Field::I64(value) => json!(value),
        Field::U32(value) => json!(value),
        Field::U64(value) => json!(value),
        Field::F32(value) => json!(value),
        Field::F64(value) => json!(value),
        Field::String(value) => json!(value),
        Field::Bytes(value) => json!(String::from_utf8_lossy(value)),
        Field::Message(message) => message_of(message),
        Field::List(items) => items.iter().map(field_of).collect(),
        Field::Map(map) => {
            map.iter().map(|(key, value)| (key_of(key), field_of(value))).collect::<Map<_, _>>().into()
        }
    }
}

fn key_of(key: &MapKey) -> String {
    match key {
        MapKey::String(key) => key.clone(),
        other => format!("{other:?}"),
    }
}

/// Replaces text in every string and key of a value.
pub(crate) fn replace(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) => *text = text.replace(from, to),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, from, to)),
        Value::Object(map) => map.values_mut().for_each(|value| replace(value, from, to)),
        _ => {}
    }
}

/// The paths at which two values differ, with both sides.
pub(crate) fn differences(ours: &Value, theirs: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let names: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
            for name in names {
                let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let side = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or(Value::Null);
                differences(&side(ours), &side(theirs), &at, found);
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                differences(ours, theirs, &format!("{path}[{index}]"), found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push((path.to_owned(), format!("ours {ours}, stock {theirs}"))),
    }
}
