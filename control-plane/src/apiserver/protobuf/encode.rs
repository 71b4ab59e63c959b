//! A JSON object to a message's bytes, in the order and with the empty fields that Go writes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::MAX_DEPTH;
use super::error::EncodeError;
use super::special;
use super::table::{Field, Kind, Message, Shape, Table};
use super::wire::{Wire, put_bytes, put_integer, put_tag};

/// The message of an object.
pub(super) fn object(of: &Message, object: &Value) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    Encoder { table: Table::get() }.message(of, object, &mut out, MAX_DEPTH)?;
    Ok(out)
}

struct Encoder {
    table: &'static Table,
}

impl Encoder {
    fn message(
        &self,
        of: &Message,
        object: &Value,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), EncodeError> {
        let Some(depth) = depth.checked_sub(1) else { return Err(EncodeError::Depth { message: of.name() }) };
        for field in &of.fields {
            let value =
                if field.json.is_empty() { object } else { object.get(field.json).unwrap_or(&Value::Null) };
            match field.shape {
                Shape::Pointer if value.is_null() => {}
                Shape::One if field.kind == Kind::Bytes && value.is_null() => {}
                Shape::One | Shape::Pointer | Shape::Inline => {
                    self.put(of, field, field.number, value, out, depth)?
                }
                Shape::List => {
                    for item in list(of, field, value)? {
                        self.put(of, field, field.number, item, out, depth)?;
                    }
                }
                Shape::Map => {
                    for (key, value) in entries(of, field, value)? {
                        let mut entry = Vec::new();
                        put_bytes(&mut entry, 1, key.as_bytes());
                        self.put(of, field, 2, value, &mut entry, depth)?;
                        put_bytes(out, field.number, &entry);
                    }
                }
            }
        }
        Ok(())
    }

    /// One value; null stands for zero.
    fn put(
        &self,
        of: &Message,
        field: &Field,
        number: u32,
        value: &Value,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), EncodeError> {
        let wrong = |wanted| EncodeError::Type { message: of.name(), field: field.json.to_owned(), wanted };
        match (field.kind, value) {
            (Kind::String | Kind::Bytes, Value::Null) => put_bytes(out, number, b""),
            (Kind::String, Value::String(text)) => put_bytes(out, number, text.as_bytes()),
            (Kind::String, _) => return Err(wrong("a string")),
            (Kind::Bytes, Value::String(text)) => {
                put_bytes(out, number, &STANDARD.decode(text).map_err(|_| wrong("base64"))?);
            }
            (Kind::Bytes, _) => return Err(wrong("base64")),
            (Kind::Bool | Kind::Int32 | Kind::Int64, Value::Null) => put_integer(out, number, 0),
            (Kind::Bool, value) => {
                put_integer(out, number, value.as_bool().ok_or_else(|| wrong("a bool"))?.into())
            }
            (Kind::Int32, value) => {
                let int = value.as_i64().and_then(|int| i32::try_from(int).ok());
                put_integer(out, number, int.ok_or_else(|| wrong("an int32"))?.into());
            }
            (Kind::Int64, value) => {
                put_integer(out, number, value.as_i64().ok_or_else(|| wrong("an int64"))?)
            }
            (Kind::Double, value) => {
                let double = if value.is_null() { Some(0.0) } else { value.as_f64() };
                put_tag(out, number, Wire::Fixed64);
                out.extend_from_slice(&double.ok_or_else(|| wrong("a number"))?.to_le_bytes());
            }
            (Kind::Quantity | Kind::Time | Kind::MicroTime | Kind::IntOrString | Kind::Raw, value) => {
                let wanted = match field.kind {
                    Kind::Quantity => "a quantity",
                    Kind::IntOrString => "an int32 or a string",
                    _ => "a time",
                };
                put_bytes(out, number, &special::write(field.kind, value).ok_or_else(|| wrong(wanted))?);
            }
            (Kind::SchemaOrArray | Kind::SchemaOrBool | Kind::SchemaOrStrings, value) => {
                let mut inner = Vec::new();
                self.schema_or(of, field, value, &mut inner, depth)?;
                put_bytes(out, number, &inner);
            }
            (Kind::Message(index), value) => {
                let message = self.table.message(index);
                if message.items().is_none() && !value.is_object() && !value.is_null() {
                    return Err(wrong("an object"));
                }
                let mut inner = Vec::new();
                self.message(message, value, &mut inner, depth)?;
                put_bytes(out, number, &inner);
            }
        }
        Ok(())
    }

    fn schema_or(
        &self,
        of: &Message,
        field: &Field,
        value: &Value,
        out: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), EncodeError> {
        let schema = |number, value: &Value, out: &mut Vec<u8>| {
            let mut inner = Vec::new();
            self.message(self.table.json_schema(), value, &mut inner, depth)?;
            put_bytes(out, number, &inner);
            Ok(())
        };
        match (field.kind, value) {
            (_, Value::Null) => Ok(()),
            (Kind::SchemaOrBool, Value::Bool(allows)) => {
                put_integer(out, 1, i64::from(*allows));
                Ok(())
            }
            (Kind::SchemaOrBool, Value::Object(_)) => {
                // Go reads a schema as one that allows.
                put_integer(out, 1, 1);
                schema(2, value, out)
            }
            (Kind::SchemaOrArray | Kind::SchemaOrStrings, Value::Object(_)) => schema(1, value, out),
            (Kind::SchemaOrArray, Value::Array(list)) => {
                list.iter().try_for_each(|item| schema(2, item, out))
            }
            (Kind::SchemaOrStrings, Value::Array(list)) if list.iter().all(Value::is_string) => {
                list.iter().filter_map(Value::as_str).for_each(|text| put_bytes(out, 2, text.as_bytes()));
                Ok(())
            }
            _ => Err(EncodeError::Type {
                message: of.name(),
                field: field.json.to_owned(),
                wanted: "a schema",
            }),
        }
    }
}

fn list<'v>(of: &Message, field: &Field, value: &'v Value) -> Result<&'v [Value], EncodeError> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(items) => Ok(items),
        _ => Err(EncodeError::Type { message: of.name(), field: field.json.to_owned(), wanted: "a list" }),
    }
}

/// The entries of a map, sorted by key.
fn entries<'v>(
    of: &Message,
    field: &Field,
    value: &'v Value,
) -> Result<Vec<(&'v String, &'v Value)>, EncodeError> {
    let map = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Object(map) => map,
        _ => {
            return Err(EncodeError::Type {
                message: of.name(),
                field: field.json.to_owned(),
                wanted: "a map",
            });
        }
    };
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    Ok(entries)
}
