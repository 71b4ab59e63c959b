//! From JSON to an object as the API stores it: one pass that checks, prunes and makes canonical.
//!
//! The API server of Kubernetes decodes into typed structs and encodes those again, and clients know the result:
//! unknown fields are gone, nulls and most empty values too, quantities and times have one spelling, and what Go
//! always writes is there (`status: {}`, `resources: {}`, a required list that nobody gave as `null`). Errors name
//! Go's types. This does the same by a schema, without the structs, and without defaults or validation.
//!
//! Of a key that is there twice, the last value counts.

pub(crate) mod base64;
mod context;
mod scalar;
mod store;
mod visit;
mod zero;

use serde::de::{DeserializeSeed, IgnoredAny};
use serde_json::Value;

pub use scalar::type_name;

use crate::schema::Type;
use context::Context;
use visit::Seed;

/// The largest object that is read, in bytes. It may nest 127 deep, as deep as everyone who reads it again takes.
pub const MAX_BYTES: usize = 3 << 20;

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object in the form that is stored.
    pub value: Value,
    /// What a strict reader objects to, in the order it was met: `unknown field "spec.replica"`.
    pub objections: Vec<String>,
}

/// Why nothing was read. The text is upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is no JSON.
    #[error("{0}")]
    Syntax(String),
    /// A value has another type than its field.
    #[error("{0}")]
    Type(String),
    /// It is longer than `MAX_BYTES`.
    #[error("Request entity too large: limit is {MAX_BYTES}")]
    TooLarge,
}

/// What to do about unknown and repeated fields: the parameter `fieldValidation` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// Refuse the request.
    Strict,
    /// Drop them and warn.
    Warn,
    /// Drop them.
    Ignore,
}

impl FieldValidation {
    /// Reads the parameter; empty is `Warn`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "Strict" => Self::Strict,
            "" | "Warn" => Self::Warn,
            "Ignore" => Self::Ignore,
            _ => return None,
        })
    }

    /// The warnings for the answer, or the error that refuses the request.
    pub fn judge(self, objections: Vec<String>) -> Result<Vec<String>, String> {
        match self {
            Self::Strict if objections.is_empty() => Ok(objections),
            Self::Strict => Err(strict_error(&objections)),
            Self::Warn => Ok(objections),
            Self::Ignore => Ok(Vec::new()),
        }
    }
}

/// The message that refuses a request for its unknown and repeated fields.
pub fn strict_error(objections: &[String]) -> String {
    format!("strict decoding error: {}", objections.join(", "))
}

/// Reads an object of a type.
pub fn decode(of: Type<'_>, json: &[u8]) -> Result<Decoded, DecodeError> {
    if json.len() > MAX_BYTES {
        return Err(DecodeError::TooLarge);
    }
    read(Some(of), json)
}

/// Reads any JSON: nothing is unknown, but a repeated key is objected to. The caller bounds the size.
pub fn decode_any(json: &[u8]) -> Result<Decoded, DecodeError> {
    read(None, json)
}

/// Brings an object that was already read, and was changed since, into the form that is stored.
pub fn normalise(of: Type<'_>, value: &Value) -> Result<Decoded, DecodeError> {
    let mut context = Context::default();
    let decoded = Seed::new(&mut context, Some(of)).deserialize(value);
    finish(context, decoded.map_err(|error| DecodeError::Syntax(error.to_string())))
}

/// Makes the last difference to what is stored: a decoded object still tells an empty list that is always written from
/// one that nobody gave.
pub fn for_storage(of: Type<'_>, object: &mut Value) {
    store::empties(of, object);
}

/// The form of an object of this type of which nothing is set.
pub fn empty(of: Type<'_>) -> Value {
    zero::value(of)
}

fn read(of: Option<Type<'_>>, json: &[u8]) -> Result<Decoded, DecodeError> {
    let mut context = Context::default();
    let mut reader = serde_json::Deserializer::from_slice(json);
    let decoded = Seed::new(&mut context, of).deserialize(&mut reader).and_then(|value| {
        reader.end()?;
        Ok(value)
    });
    if decoded.is_err() && context.failed() {
        // What is no JSON is refused as such, whatever else is wrong before the place.
        serde_json::from_slice::<IgnoredAny>(json).map_err(|error| syntax(&error, json))?;
    }
    finish(context, decoded.map_err(|error| syntax(&error, json)))
}

fn finish(context: Context, decoded: Result<Value, DecodeError>) -> Result<Decoded, DecodeError> {
    if (context.failed() || decoded.is_ok())
        && let Some(error) = context.error()
    {
        return Err(DecodeError::Type(error));
    }
    Ok(Decoded { value: decoded?, objections: context.objections() })
}

/// What Go says where JSON ends or goes on in a wrong way.
fn syntax(error: &serde_json::Error, json: &[u8]) -> DecodeError {
    if error.is_eof() {
        return DecodeError::Syntax("unexpected end of JSON input".to_owned());
    }
    let line = json.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let before = line.get(..error.column().saturating_sub(1)).unwrap_or_default();
    let text = String::from_utf8_lossy(line.get(before.len()..).unwrap_or_default());
    let Some(found) = text.chars().next() else { return DecodeError::Syntax(error.to_string()) };
    let said = error.to_string();
    // The reader tells the places apart by its text only.
    let place = PLACES.iter().find(|(start, _)| said.starts_with(start)).map(|(_, place)| *place);
    DecodeError::Syntax(match place {
        Some(place) => format!("invalid character {found:?} {place}"),
        None => said,
    })
}

const PLACES: [(&str, &str); 8] = [
    ("expected value", "looking for beginning of value"),
    ("expected ident", "in literal"),
    ("expected `:`", "after object key"),
    ("expected `,` or `}`", "after object key:value pair"),
    ("expected `,` or `]`", "after array element"),
    ("key must be a string", "looking for beginning of object key string"),
    ("trailing comma", "looking for beginning of object key string"),
    ("trailing characters", "after top-level value"),
];

#[cfg(test)]
mod tests;
