//! What is wrong with a field, in the API's wording.

use std::fmt;

use serde_json::Value;

use crate::Path;

/// A rule that a field breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Which rule, as the API's `causes` name it.
    pub kind: Kind,
    /// The field, `spec.containers[0].image`.
    pub field: String,
    /// The value and why it is wrong, without the field.
    pub message: String,
}

impl std::error::Error for FieldError {}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// The kinds of errors that the API tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It must have a value.
    Required,
    /// Its value breaks a rule.
    Invalid,
    /// Its value is none of a closed set.
    NotSupported,
    /// It is there twice.
    Duplicate,
    /// It names something that is not there.
    NotFound,
    /// It may not be set, here or together with something else.
    Forbidden,
    /// It is longer than allowed.
    TooLong,
    /// It has more elements than allowed.
    TooMany,
    /// It is of another JSON type.
    TypeInvalid,
    /// No such field exists. The API answers this while decoding, without a cause.
    Unknown,
}

impl Kind {
    /// The `reason` of the API's cause.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Unknown => "UnknownField",
        }
    }
}

impl FieldError {
    /// Must have a value. `why` may be empty.
    pub fn required(path: &Path, why: &str) -> Self {
        Self::with(Kind::Required, path, "Required value", why)
    }

    /// Must not be set.
    pub fn forbidden(path: &Path, why: &str) -> Self {
        Self::with(Kind::Forbidden, path, "Forbidden", why)
    }

    /// Breaks the rule `why`.
    pub fn invalid(path: &Path, value: impl Into<Value>, why: &str) -> Self {
        Self::with(Kind::Invalid, path, &format!("Invalid value: {}", value.into()), why)
    }

    /// Is of another JSON type than `wanted`.
    pub fn wrong_type(path: &Path, value: &Value, wanted: &str) -> Self {
        Self::with(Kind::TypeInvalid, path, &format!("Invalid value: {value}"), &format!("must be {wanted}"))
    }

    /// Is none of `allowed`.
    pub fn not_supported(path: &Path, value: impl Into<Value>, allowed: &[&str]) -> Self {
        let allowed: Vec<_> = allowed.iter().map(|value| format!("{value:?}")).collect();
        let why = format!("supported values: {}", allowed.join(", "));
        Self::with(Kind::NotSupported, path, &format!("Unsupported value: {}", value.into()), &why)
    }

    /// Was already there.
    pub fn duplicate(path: &Path, value: impl Into<Value>) -> Self {
        Self::with(Kind::Duplicate, path, &format!("Duplicate value: {}", value.into()), "")
    }

    /// Names nothing that exists.
    pub fn not_found(path: &Path, value: impl Into<Value>) -> Self {
        Self::with(Kind::NotFound, path, &format!("Not found: {}", value.into()), "")
    }

    /// Has more than `most` bytes.
    pub fn too_long(path: &Path, most: usize) -> Self {
        Self::with(Kind::TooLong, path, "Too long", &format!("may not be more than {most} bytes"))
    }

    /// Has more than `most` elements.
    pub fn too_many(path: &Path, count: usize, most: usize) -> Self {
        let noun = if most == 1 { "item" } else { "items" };
        Self::with(
            Kind::TooMany,
            path,
            &format!("Too many: {count}"),
            &format!("must have at most {most} {noun}"),
        )
    }

    /// No field of this name exists.
    pub fn unknown(path: &Path, value: &Value) -> Self {
        Self::with(Kind::Unknown, path, "unknown field", &format!("value {value}"))
    }

    fn with(kind: Kind, path: &Path, what: &str, why: &str) -> Self {
        let message = if why.is_empty() { what.to_owned() } else { format!("{what}: {why}") };
        Self { kind, field: path.to_string(), message }
    }
}
