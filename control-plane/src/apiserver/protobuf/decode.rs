//! A message's bytes to the JSON object that Go makes of them.
//!
//! As in the Go decoder, a field that comes twice wins with its last value, lists go on, and messages merge; unknown
//! fields are passed over. What is absent is then filled in where JSON has it all the same.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::error::{DecodeError, Fault};
use super::special;
use super::table::{Field, Kind, Message, Shape, Table};
use super::wire::{Reader, Wire};
use super::{MAX_DEPTH, MAX_VALUES, VALUES_OF_AN_OBJECT};

type Object = Map<String, Value>;

/// The object of a message.
pub(super) fn object(of: &Message, bytes: &[u8]) -> Result<Object, DecodeError> {
    let mut decoder = Decoder { table: Table::get(), values: MAX_VALUES, depth: MAX_DEPTH };
    let mut object = Object::new();
    decoder.message(of, bytes, &mut object)?;
    Ok(object)
}

/// What is left of the bounds.
struct Decoder {
    table: &'static Table,
    values: usize,
    depth: usize,
}

impl Decoder {
    fn message(&mut self, of: &Message, bytes: &[u8], into: &mut Object) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.tag().map_err(|fault| fault.at(of.name(), "(tag)"))? {
            match of.field(number) {
                Some(field) => self.field(of, field, wire, &mut reader, into)?,
                None => reader.skip(wire).map_err(|fault| fault.at(of.name(), format!("#{number}")))?,
            }
        }
        self.fill(of, into)
    }

    fn field(
        &mut self,
        of: &Message,
        field: &Field,
        wire: Wire,
        reader: &mut Reader<'_>,
        into: &mut Object,
    ) -> Result<(), DecodeError> {
        if let (Shape::Inline, Kind::Message(inner)) = (field.shape, field.kind) {
            let bytes = special::bytes(reader, wire).map_err(|fault| error(fault, of, field))?;
            return self
                .deeper(of, field, |decoder| decoder.message(decoder.table.message(inner), bytes, into));
        }
        if !into.contains_key(field.json) {
            into.insert(field.json.to_owned(), Value::Null);
        }
        let slot = &mut into[field.json];
        match field.shape {
            Shape::List => self.items(of, field, wire, reader, slot),
            Shape::Map => {
                let bytes = special::bytes(reader, wire).map_err(|fault| error(fault, of, field))?;
                if !slot.is_object() {
                    *slot = Value::Object(Object::new());
                }
                let Value::Object(entries) = slot else { unreachable!("it has just been made one") };
                self.entry(of, field, bytes, entries)
            }
            Shape::One | Shape::Pointer | Shape::Inline => {
                *slot = self.value(of, field, wire, reader, slot.take())?;
                if is_left_out(field, slot) {
                    into.remove(field.json);
                }
                Ok(())
            }
        }
    }

    /// One item, or many numbers of a packed list.
    fn items(
        &mut self,
        of: &Message,
        field: &Field,
        wire: Wire,
        reader: &mut Reader<'_>,
        slot: &mut Value,
    ) -> Result<(), DecodeError> {
        if !slot.is_array() {
            *slot = Value::Array(Vec::new());
        }
        let Value::Array(items) = slot else { unreachable!("it has just been made one") };
        let element = match field.kind {
            Kind::Bool | Kind::Int32 | Kind::Int64 => Wire::Varint,
            Kind::Double => Wire::Fixed64,
            _ => Wire::Bytes,
        };
        if wire != Wire::Bytes || element == Wire::Bytes {
            items.push(self.value(of, field, wire, reader, Value::Null)?);
            return Ok(());
        }
        let mut packed = Reader::new(reader.bytes().map_err(|fault| error(fault, of, field))?);
        while !packed.is_empty() {
            items.push(self.value(of, field, element, &mut packed, Value::Null)?);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        of: &Message,
        field: &Field,
        bytes: &[u8],
        entries: &mut Object,
    ) -> Result<(), DecodeError> {
        let (mut reader, mut key, mut value) = (Reader::new(bytes), String::new(), None);
        while let Some((number, wire)) = reader.tag().map_err(|fault| error(fault, of, field))? {
            match number {
                1 => key = special::text(&mut reader, wire).map_err(|fault| error(fault, of, field))?,
                2 => value = Some(self.value(of, field, wire, &mut reader, Value::Null)?),
                _ => reader.skip(wire).map_err(|fault| error(fault, of, field))?,
            }
        }
        let value = match value {
            Some(value) => value,
            None => self.zero(of, field)?,
        };
        // Go makes an entry's list before it reads it.
        let list = matches!(field.kind, Kind::Message(index) if self.table.message(index).items().is_some());
        let value = if list && value.is_null() { Value::Array(Vec::new()) } else { value };
        entries.insert(key, value);
        Ok(())
    }

    /// One value. `old` is what came before it, with which a message merges.
    fn value(
        &mut self,
        of: &Message,
        field: &Field,
        wire: Wire,
        reader: &mut Reader<'_>,
        old: Value,
    ) -> Result<Value, DecodeError> {
        self.spend(1, of, field)?;
        let value = match field.kind {
            Kind::String => special::text(reader, wire).map(Value::from),
            Kind::Bool => special::integer(reader, wire).map(|number| Value::from(number != 0)),
            Kind::Int32 => special::integer(reader, wire).map(|number| Value::from(number as i32)),
            Kind::Int64 => special::integer(reader, wire).map(Value::from),
            Kind::Double => special::double(reader, wire),
            Kind::Bytes => special::bytes(reader, wire).map(|bytes| Value::from(STANDARD.encode(bytes))),
            Kind::Quantity | Kind::Time | Kind::MicroTime | Kind::IntOrString | Kind::Raw => {
                special::bytes(reader, wire).and_then(|bytes| special::read(field.kind, bytes))
            }
            Kind::SchemaOrArray | Kind::SchemaOrBool | Kind::SchemaOrStrings => {
                let bytes = special::bytes(reader, wire).map_err(|fault| error(fault, of, field))?;
                return self.deeper(of, field, |decoder| decoder.schema_or(of, field, bytes));
            }
            Kind::Message(index) => {
                let bytes = special::bytes(reader, wire).map_err(|fault| error(fault, of, field))?;
                let inner = self.table.message(index);
                return self.deeper(of, field, |decoder| decoder.nested(inner, bytes, old));
            }
        };
        value.map_err(|fault| error(fault, of, field))
    }

    fn nested(&mut self, inner: &Message, bytes: &[u8], old: Value) -> Result<Value, DecodeError> {
        if let Some(items) = inner.items() {
            // Its one field is the list itself.
            let mut list = old;
            let mut reader = Reader::new(bytes);
            while let Some((number, wire)) = reader.tag().map_err(|fault| fault.at(inner.name(), "(tag)"))? {
                match number == items.number {
                    true => self.items(inner, items, wire, &mut reader, &mut list)?,
                    false => reader.skip(wire).map_err(|fault| error(fault, inner, items))?,
                }
            }
            return Ok(list);
        }
        let mut object = match old {
            Value::Object(object) => object,
            _ => Object::new(),
        };
        self.message(inner, bytes, &mut object)?;
        Ok(Value::Object(object))
    }

    /// A JSON schema in field 1, or something else in field 2; the bool is in field 1 and the schema in field 2.
    fn schema_or(&mut self, of: &Message, field: &Field, bytes: &[u8]) -> Result<Value, DecodeError> {
        let props = self.table.json_schema();
        let (mut schema, mut list, mut allows) = (Value::Null, Vec::new(), false);
        let mut reader = Reader::new(bytes);
        while let Some((number, wire)) = reader.tag().map_err(|fault| error(fault, of, field))? {
            let fault = |fault| error(fault, of, field);
            match (field.kind, number) {
                (Kind::SchemaOrBool, 1) => allows = special::integer(&mut reader, wire).map_err(fault)? != 0,
                (Kind::SchemaOrBool, 2) | (Kind::SchemaOrArray | Kind::SchemaOrStrings, 1) => {
                    let bytes = special::bytes(&mut reader, wire).map_err(fault)?;
                    schema = self.nested(props, bytes, schema)?;
                }
                (Kind::SchemaOrArray, 2) => {
                    let bytes = special::bytes(&mut reader, wire).map_err(fault)?;
                    list.push(self.nested(props, bytes, Value::Null)?);
                }
                (Kind::SchemaOrStrings, 2) => {
                    self.spend(1, of, field)?;
                    list.push(Value::from(special::text(&mut reader, wire).map_err(fault)?));
                }
                _ => reader.skip(wire).map_err(fault)?,
            }
        }
        Ok(match field.kind {
            _ if !list.is_empty() => Value::Array(list),
            Kind::SchemaOrBool if schema.is_null() => Value::Bool(allows),
            _ => schema,
        })
    }

    /// Adds what JSON has of fields that did not come.
    fn fill(&mut self, of: &Message, into: &mut Object) -> Result<(), DecodeError> {
        for field in &of.fields {
            if let (Shape::Inline, Kind::Message(inner)) = (field.shape, field.kind) {
                self.fill(self.table.message(inner), into)?;
            } else if !into.contains_key(field.json) && is_there_when_absent(field) {
                let value = match field.shape {
                    Shape::One if field.kind != Kind::Bytes => self.zero(of, field)?,
                    _ => Value::Null,
                };
                into.insert(field.json.to_owned(), value);
            }
        }
        Ok(())
    }

    /// The zero value of a field's type.
    fn zero(&mut self, of: &Message, field: &Field) -> Result<Value, DecodeError> {
        self.spend(1, of, field)?;
        Ok(match field.kind {
            Kind::String | Kind::Bytes => Value::from(""),
            Kind::Bool | Kind::SchemaOrBool => Value::from(false),
            Kind::Int32 | Kind::Int64 | Kind::Double | Kind::IntOrString => Value::from(0),
            Kind::Quantity => Value::from("0"),
            Kind::Time | Kind::MicroTime | Kind::Raw | Kind::SchemaOrArray | Kind::SchemaOrStrings => {
                Value::Null
            }
            Kind::Message(index) => {
                let inner = self.table.message(index);
                return self.deeper(of, field, |decoder| decoder.nested(inner, &[], Value::Null));
            }
        })
    }

    /// Goes into a message of a field.
    fn deeper<T>(
        &mut self,
        of: &Message,
        field: &Field,
        inside: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        self.spend(VALUES_OF_AN_OBJECT, of, field)?;
        self.depth = self.depth.checked_sub(1).ok_or_else(|| error(Fault::Depth, of, field))?;
        let result = inside(self);
        self.depth += 1;
        result
    }

    fn spend(&mut self, values: usize, of: &Message, field: &Field) -> Result<(), DecodeError> {
        self.values = self.values.checked_sub(values).ok_or_else(|| error(Fault::Count, of, field))?;
        Ok(())
    }
}

fn error(fault: Fault, of: &Message, field: &Field) -> DecodeError {
    let unnamed = if field.shape == Shape::Inline { "(inline)" } else { "items" };
    fault.at(of.name(), if field.json.is_empty() { unnamed } else { field.json })
}

/// Whether JSON leaves out a value that came.
fn is_left_out(field: &Field, value: &Value) -> bool {
    let scalar = matches!(
        field.kind,
        Kind::String | Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Double | Kind::Bytes
    );
    match field.shape {
        Shape::One if scalar && !field.keep => is_zero(value),
        Shape::One => field.omit_zero && value.is_null(),
        _ => false,
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Whether JSON has a field that did not come.
fn is_there_when_absent(field: &Field) -> bool {
    let structure = match field.kind {
        Kind::String | Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Double | Kind::Bytes => false,
        // A list in JSON, which Go's `omitempty` leaves out.
        Kind::Message(index) => Table::get().message(index).items().is_none(),
        _ => true,
    };
    match field.shape {
        Shape::One => field.keep || structure && !field.omit_zero,
        _ => field.keep,
    }
}
