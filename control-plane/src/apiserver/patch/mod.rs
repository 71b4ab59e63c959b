//! The three patches: JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes' strategic merge patch.
//!
//! A patch is applied to the object in the form that is stored, and the result is brought into that form again, so
//! that nulls vanish and unknown fields are objected to. What the patch breaks is found by validation, later.

mod json;
mod merge;
mod strategic;

use api_objects::decode::{self, Decoded, FieldValidation};
use api_objects::schema::Type;
use serde_json::Value;

/// Which patch a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A list of operations.
    Json,
    /// What is to change, lists as a whole.
    Merge,
    /// What is to change, lists by their merge keys, and directives.
    Strategic,
}

impl Kind {
    /// The patch of a media type, without its parameters. Apply is another thing and not among them.
    pub fn of(media_type: &str) -> Option<Self> {
        Some(match media_type {
            "application/json-patch+json" => Self::Json,
            "application/merge-patch+json" => Self::Merge,
            "application/strategic-merge-patch+json" => Self::Strategic,
            _ => return None,
        })
    }
}

/// Why a patch is refused. The text is upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The body is no patch: 400, BadRequest.
    #[error("{0}")]
    Malformed(String),
    /// An operation does not apply: 422, Invalid, and upstream does not tell clients which.
    #[error("the server rejected our request due to an error in our request")]
    DoesNotApply(String),
    /// The result is no object of the kind: 422, Invalid, with the cause `patch`.
    #[error(" \"\" is invalid: patch: Invalid value: {}: {why}", Value::from(.result.as_str()))]
    Result {
        /// The patched object as JSON.
        result: String,
        /// What is wrong with it.
        why: String,
    },
    /// More operations than allowed: 413.
    #[error("The allowed maximum operations in a JSON patch is {most}, got {count}")]
    TooManyOperations {
        /// As many are allowed.
        most: usize,
        /// So many were sent.
        count: usize,
    },
    /// A directive of a strategic merge patch that cannot be followed: 500, without a reason.
    #[error("{0}")]
    Directive(String),
}

/// What a patch made.
#[derive(Clone, Debug, PartialEq)]
pub struct Patched {
    /// The object, in the form that is stored.
    pub object: Value,
    /// For the answer's `Warning` headers.
    pub warnings: Vec<String>,
}

/// Applies a patch to an object of a type.
pub fn apply(
    kind: Kind,
    current: &Value,
    body: &[u8],
    of: Type<'_>,
    validation: FieldValidation,
) -> Result<Patched, PatchError> {
    let Decoded { value: patch, mut objections } =
        decode::decode_any(body).map_err(|error| malformed(kind, &error.to_string()))?;
    let mut object = current.clone();
    match kind {
        Kind::Json => {
            let operations = json::parse(&patch, &mut objections)?;
            json::apply(&operations, &mut object)?;
        }
        Kind::Merge if patch.is_object() => merge::apply(&mut object, patch),
        Kind::Strategic if patch.is_object() => object = strategic::apply(object, patch, of)?,
        Kind::Merge | Kind::Strategic => return Err(not_a_map(kind, &patch)),
    }
    let invalid = |object: &Value, why: String| PatchError::Result { result: object.to_string(), why };
    let done = decode::normalise(of, &object).map_err(|error| invalid(&object, error.to_string()))?;
    objections.extend(done.objections);
    let warnings = validation.judge(objections).map_err(|why| invalid(&object, why))?;
    Ok(Patched { object: done.value, warnings })
}

fn malformed(kind: Kind, why: &str) -> PatchError {
    PatchError::Malformed(match kind {
        Kind::Strategic => why.to_owned(),
        Kind::Json | Kind::Merge => format!("error decoding patch: {why}"),
    })
}

fn not_a_map(kind: Kind, patch: &Value) -> PatchError {
    let found = decode::type_name(patch);
    malformed(
        kind,
        &format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"),
    )
}

#[cfg(test)]
mod tests;
