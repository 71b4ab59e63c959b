//! Reads a CRI message from the JSON of the recording: proto names, enums as numbers, bytes as text.

use std::collections::HashMap;
use std::sync::OnceLock;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use serde_json::{Value, json};

/// All messages of the protocol by their names, those of maps with their owner's before it.
pub(crate) fn messages() -> &'static HashMap<String, DescriptorProto> {
    static MESSAGES: OnceLock<HashMap<String, DescriptorProto>> = OnceLock::new();
    MESSAGES.get_or_init(|| {
        let files = FileDescriptorSet::decode(api_cri::DESCRIPTORS).unwrap_or_default();
        let mut all = HashMap::new();
        for message in files.file.into_iter().flat_map(|file| file.message_type) {
            for nested in &message.nested_type {
                all.insert(format!("{}.{}", message.name(), nested.name()), nested.clone());
            }
            all.insert(message.name().to_owned(), message);
        }
        all
    })
}

/// A message of package `runtime.v1`. A field that the protocol does not have is an error.
pub(crate) fn from_json<M: Message + Default>(name: &str, value: &Value) -> Result<M, String> {
    let mut bytes = Vec::new();
    encode(name, value, &mut bytes)?;
    M::decode(bytes.as_slice()).map_err(|error| error.to_string())
}

fn encode(name: &str, value: &Value, bytes: &mut Vec<u8>) -> Result<(), String> {
    let message = messages().get(name).ok_or_else(|| format!("no message {name}"))?;
    for (key, value) in value.as_object().into_iter().flatten() {
        let field = message
            .field
            .iter()
            .find(|field| field.name() == key)
            .ok_or_else(|| format!("{name} has no field {key}"))?;
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| one(field, item, bytes))?,
            Value::Object(entries) if field.label() == Label::Repeated => entries
                .iter()
                .try_for_each(|(key, value)| one(field, &json!({"key": key, "value": value}), bytes))?,
            value => one(field, value, bytes)?,
        }
    }
    Ok(())
}

fn one(field: &FieldDescriptorProto, value: &Value, bytes: &mut Vec<u8>) -> Result<(), String> {
    let number = u32::try_from(field.number()).map_err(|error| error.to_string())?;
    let varint = match (field.r#type(), value) {
        (Type::Bool, Value::Bool(value)) => Some(u64::from(*value)),
        (Type::String | Type::Bytes | Type::Message, _) => None,
        (_, Value::Number(number)) => number.as_u64().or_else(|| number.as_i64().map(i64::cast_unsigned)),
        _ => return Err(format!("{}: {value}", field.name())),
    };
    if let Some(varint) = varint {
        encode_key(number, WireType::Varint, bytes);
        encode_varint(varint, bytes);
        return Ok(());
    }
    let mut inner = Vec::new();
    match value {
        Value::String(text) => inner.extend_from_slice(text.as_bytes()),
        value => encode(field.type_name().trim_start_matches(".runtime.v1."), value, &mut inner)?,
    }
    encode_key(number, WireType::LengthDelimited, bytes);
    encode_varint(inner.len() as u64, bytes);
    bytes.extend(inner);
    Ok(())
}
