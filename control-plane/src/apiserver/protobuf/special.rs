//! Messages whose JSON is not an object of their fields: times, quantities, numbers or text, JSON in bytes.

use api_objects::time;
use jiff::Timestamp;
use serde_json::Value;

use super::error::Fault;
use super::table::Kind;
use super::wire::{Reader, Wire, put_bytes, put_integer};

/// Seconds of the first day of the year 1, which is Go's zero time and JSON's null.
const ZERO_TIME: i64 = -62_135_596_800;

/// A value that stands behind a length.
pub(super) fn bytes<'b>(reader: &mut Reader<'b>, wire: Wire) -> Result<&'b [u8], Fault> {
    expect(wire, Wire::Bytes)?;
    reader.bytes()
}

/// Text.
pub(super) fn text(reader: &mut Reader<'_>, wire: Wire) -> Result<String, Fault> {
    Ok(std::str::from_utf8(bytes(reader, wire)?).map_err(|_| Fault::Utf8)?.to_owned())
}

/// An integer.
pub(super) fn integer(reader: &mut Reader<'_>, wire: Wire) -> Result<i64, Fault> {
    expect(wire, Wire::Varint)?;
    Ok(reader.varint()? as i64)
}

/// A number with a fraction; a whole one is JSON's integer.
pub(super) fn double(reader: &mut Reader<'_>, wire: Wire) -> Result<Value, Fault> {
    expect(wire, Wire::Fixed64)?;
    let number = f64::from_bits(reader.fixed64()?);
    let whole = number.fract() == 0.0
        && number.abs() < i64::MAX as f64
        && !(number == 0.0 && number.is_sign_negative());
    if whole {
        return Ok(Value::from(number as i64));
    }
    serde_json::Number::from_f64(number).map(Value::Number).ok_or(Fault::Number)
}

fn expect(wire: Wire, wanted: Wire) -> Result<(), Fault> {
    if wire == wanted { Ok(()) } else { Err(Fault::WireType(wire.number())) }
}

/// The JSON of a special message.
pub(super) fn read(kind: Kind, bytes: &[u8]) -> Result<Value, Fault> {
    match kind {
        Kind::Quantity => read_quantity(bytes),
        Kind::Time | Kind::MicroTime => read_time(bytes, kind == Kind::MicroTime),
        Kind::IntOrString => read_int_or_string(bytes),
        _ => read_raw(bytes),
    }
}

fn read_quantity(message: &[u8]) -> Result<Value, Fault> {
    let (mut reader, mut found) = (Reader::new(message), None);
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => found = Some(text(&mut reader, wire)?),
            _ => reader.skip(wire)?,
        }
    }
    Ok(found.map_or_else(|| Value::from("0"), Value::from))
}

/// Without `micro` the fraction of a second is dropped, as JSON drops it.
fn read_time(message: &[u8], micro: bool) -> Result<Value, Fault> {
    if message.is_empty() {
        return Ok(Value::Null);
    }
    let (mut reader, mut seconds, mut nanos) = (Reader::new(message), 0, 0);
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => seconds = integer(&mut reader, wire)?,
            2 => nanos = integer(&mut reader, wire)? as i32,
            _ => reader.skip(wire)?,
        }
    }
    let micros = if micro { i64::from(nanos / 1000) } else { 0 };
    let whole =
        seconds.checked_mul(1_000_000).and_then(|whole| whole.checked_add(micros)).ok_or(Fault::Time)?;
    let at = Timestamp::from_microsecond(whole).map_err(|_| Fault::Time)?;
    let text = if micro { at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string() } else { time::format(at) };
    match (seconds, micros) {
        (ZERO_TIME, 0) => Ok(Value::Null),
        _ if text.starts_with('-') => Err(Fault::Time),
        _ => Ok(Value::from(text)),
    }
}

fn read_int_or_string(message: &[u8]) -> Result<Value, Fault> {
    let (mut reader, mut kind, mut int, mut string) = (Reader::new(message), 0, 0, String::new());
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => kind = integer(&mut reader, wire)?,
            2 => int = integer(&mut reader, wire)? as i32,
            3 => string = text(&mut reader, wire)?,
            _ => reader.skip(wire)?,
        }
    }
    match kind {
        0 => Ok(Value::from(int)),
        1 => Ok(Value::from(string)),
        _ => Err(Fault::IntOrString),
    }
}

fn read_raw(message: &[u8]) -> Result<Value, Fault> {
    let (mut reader, mut raw) = (Reader::new(message), &[][..]);
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => raw = bytes(&mut reader, wire)?,
            _ => reader.skip(wire)?,
        }
    }
    if raw.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(raw).map_err(|error| Fault::Json(error.to_string()))
}

/// The message of a special value's JSON; nothing when the JSON is not of that type.
pub(super) fn write(kind: Kind, value: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match (kind, value) {
        (Kind::Quantity, Value::Null) => put_bytes(&mut out, 1, b"0"),
        (Kind::Quantity, Value::String(text)) => put_bytes(&mut out, 1, text.as_bytes()),
        (Kind::Quantity, Value::Number(number)) => put_bytes(&mut out, 1, number.to_string().as_bytes()),
        (Kind::Time | Kind::MicroTime, Value::Null) => {}
        (Kind::Time | Kind::MicroTime, Value::String(text)) => {
            let micros = time::parse(text)?.as_microsecond();
            put_integer(&mut out, 1, micros.div_euclid(1_000_000));
            let fraction = if kind == Kind::MicroTime { micros.rem_euclid(1_000_000) * 1000 } else { 0 };
            put_integer(&mut out, 2, fraction);
        }
        (Kind::IntOrString, Value::String(text)) => put_int_or_string(&mut out, 1, 0, text),
        (Kind::IntOrString, Value::Null) => put_int_or_string(&mut out, 0, 0, ""),
        (Kind::IntOrString, number) => {
            put_int_or_string(&mut out, 0, i32::try_from(number.as_i64()?).ok()?, "");
        }
        (Kind::Raw, Value::Null) => {}
        (Kind::Raw, any) => put_bytes(&mut out, 1, any.to_string().as_bytes()),
        _ => return None,
    }
    Some(out)
}

fn put_int_or_string(out: &mut Vec<u8>, kind: i64, int: i32, string: &str) {
    put_integer(out, 1, kind);
    put_integer(out, 2, i64::from(int));
    put_bytes(out, 3, string.as_bytes());
}
