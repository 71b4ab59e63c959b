//! `application/vnd.kubernetes.protobuf`: bodies that stock clients send, to and from the JSON of the same object.
//!
//! A body is four bytes, then a `runtime.Unknown` that tells `apiVersion` and `kind` and holds the object's message.
//! What fields a message has stands in a table (`table`); whatever walks an object walks that table beside it, so that a
//! new kind is a new row. The JSON is the one that Go's encoder makes of the object after typed decoding, null and empty
//! values included: everything behind this module sees no difference between the two encodings.
//!
//! Values are passed on as they are written: quantities that are no quantities are refused where JSON's are.

mod decode;
mod encode;
mod error;
mod special;
mod table;
pub(super) mod wire;

use serde_json::Value;

pub use error::{DecodeError, EncodeError, Fault};
use table::Table;
use wire::{Reader, put_bytes};

/// The media type of an object in this encoding.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// The media type of a watch in this encoding.
pub const WATCH_MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf;stream=watch";
/// Messages nest no deeper; it is what `serde_json` allows JSON, too.
pub const MAX_DEPTH: usize = 128;
/// The longest body that is read, in bytes: upstream's limit of a request.
pub const MAX_SIZE: usize = 3 * 1024 * 1024;
/// Values that an object may have. Two bytes can make an object of a dozen fields that JSON writes out although they are
/// empty, so the size of a body does not bound the memory that it takes.
const MAX_VALUES: usize = 1 << 20;
/// How many values an object counts for, by the memory that a small map takes.
const VALUES_OF_AN_OBJECT: usize = 8;

/// What a body begins with.
const PREFIX: &[u8; 4] = b"k8s\0";

/// The object of a body as JSON has it, with `apiVersion` and `kind`.
///
/// `default` is the `apiVersion` and `kind` of a body that does not tell its own.
pub fn decode(body: &[u8], default: Option<(&str, &str)>) -> Result<Value, DecodeError> {
    if body.len() > MAX_SIZE {
        return Err(DecodeError::TooLarge);
    }
    let envelope = Envelope::read(body)?;
    let (default_version, default_kind) = default.unwrap_or_default();
    let or = |told: String, default: &str| if told.is_empty() { default.to_owned() } else { told };
    let api_version = or(envelope.api_version, default_version);
    let kind = or(envelope.kind, default_kind);
    if kind.is_empty() || api_version.is_empty() {
        return Err(DecodeError::NoKind);
    }
    let Some(message) = Table::get().kind(&api_version, &kind) else {
        return Err(DecodeError::UnknownKind { api_version, kind });
    };
    let mut object = decode::object(message, envelope.raw)?;
    object.insert("apiVersion".to_owned(), Value::String(api_version));
    object.insert("kind".to_owned(), Value::String(kind));
    Ok(Value::Object(object))
}

/// The body of an object, which has `apiVersion` and `kind`. Keys that the kind does not have are left out.
pub fn encode(object: &Value) -> Result<Vec<u8>, EncodeError> {
    let told = |key| object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (Some(api_version), Some(kind)) = (told("apiVersion"), told("kind")) else {
        return Err(EncodeError::NoKind);
    };
    let Some(message) = Table::get().kind(api_version, kind) else {
        return Err(EncodeError::UnknownKind { api_version: api_version.to_owned(), kind: kind.to_owned() });
    };
    let raw = encode::object(message, object)?;
    let mut type_meta = Vec::new();
    put_bytes(&mut type_meta, 1, api_version.as_bytes());
    put_bytes(&mut type_meta, 2, kind.as_bytes());
    let mut body = Vec::with_capacity(raw.len() + type_meta.len() + 24);
    body.extend_from_slice(PREFIX);
    put_bytes(&mut body, 1, &type_meta);
    put_bytes(&mut body, 2, &raw);
    // The encoding and the type of `raw`: empty, and written as Go writes them.
    put_bytes(&mut body, 3, b"");
    put_bytes(&mut body, 4, b"");
    Ok(body)
}

/// A watch's event (`ADDED`, `BOOKMARK`, …) as a frame of [`WATCH_MEDIA_TYPE`]: its length in four bytes, the greatest
/// first, then a `WatchEvent` that holds the object's body.
pub fn encode_watch_frame(event: &str, object: &Value) -> Result<Vec<u8>, EncodeError> {
    let mut extension = Vec::new();
    put_bytes(&mut extension, 1, &encode(object)?);
    let mut frame = vec![0; 4];
    put_bytes(&mut frame, 1, event.as_bytes());
    put_bytes(&mut frame, 2, &extension);
    let length = u32::try_from(frame.len() - 4).map_err(|_| EncodeError::TooLarge)?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Whether objects of a kind have this encoding; custom resources have none.
pub fn knows(api_version: &str, kind: &str) -> bool {
    Table::get().kind(api_version, kind).is_some()
}

/// A `runtime.Unknown`.
#[derive(Default)]
struct Envelope<'b> {
    api_version: String,
    kind: String,
    raw: &'b [u8],
}

impl<'b> Envelope<'b> {
    fn read(body: &'b [u8]) -> Result<Self, DecodeError> {
        let mut envelope = Self::default();
        let mut reader = Reader::new(body.strip_prefix(PREFIX).ok_or(DecodeError::NoPrefix)?);
        let at = |field: &'static str| move |fault: Fault| fault.at("runtime.Unknown", field);
        while let Some((number, wire)) = reader.tag().map_err(at("(tag)"))? {
            match number {
                1 => envelope.read_type(special::bytes(&mut reader, wire).map_err(at("typeMeta"))?)?,
                2 => envelope.raw = special::bytes(&mut reader, wire).map_err(at("raw"))?,
                _ => reader.skip(wire).map_err(at("(unknown)"))?,
            }
        }
        Ok(envelope)
    }

    fn read_type(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        let at = |field: &'static str| move |fault: Fault| fault.at("runtime.TypeMeta", field);
        while let Some((number, wire)) = reader.tag().map_err(at("(tag)"))? {
            match number {
                1 => self.api_version = special::text(&mut reader, wire).map_err(at("apiVersion"))?,
                2 => self.kind = special::text(&mut reader, wire).map_err(at("kind"))?,
                _ => reader.skip(wire).map_err(at("(unknown)"))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
