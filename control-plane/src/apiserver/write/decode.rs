//! The object in a body.

use api_objects::decode::{self, DecodeError, FieldValidation};
use api_objects::schema::{Schema, Type};
use bytes::Bytes;
use serde_json::{Value, json};

use super::target::Write;
use crate::apiserver::http::negotiate::{AVAILABLE, BodyType, body};
use crate::apiserver::http::request::Context;
use crate::apiserver::protobuf;
use crate::apiserver::status::Status;

/// An object that was sent.
pub(super) struct Sent {
    /// In the form that is stored, but for defaults.
    pub object: Value,
    /// For the answer's `Warning` headers.
    pub warnings: Vec<String>,
}

/// What is to be in a body.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    pub of: Type<'static>,
    /// `apps/v1`
    pub version: &'a str,
    pub kind: &'a str,
}

impl<'a> Expected<'a> {
    /// An object of a kind that has a schema.
    pub(super) fn of(version: &'a str, kind: &'a str) -> Result<Self, Status> {
        let of = Schema::builtin().kind_of(version, kind);
        let of =
            of.ok_or_else(|| Status::unexpected(format!("there is no schema of {kind} in {version}")))?;
        Ok(Self { of, version, kind })
    }
}

/// Reads the object of a write, which may leave out its type but may not have another one.
pub(super) fn decode(write: &Write<'_>, bytes: &Bytes) -> Result<Sent, Status> {
    let kind = write.resource.kind.kind.as_str();
    let expected = Expected { of: write.of, version: &write.version, kind };
    decode_as(&expected, write.context, write.options.validation, bytes)
}

/// Reads an object, which may leave out its type but may not have another one.
pub(super) fn decode_as(
    expected: &Expected<'_>,
    context: &Context,
    validation: FieldValidation,
    bytes: &Bytes,
) -> Result<Sent, Status> {
    let Expected { of, version, kind } = *expected;
    let json = json(context.content_type(), bytes, version, kind)?;
    let decoded = decode::decode(of, &json);
    let told = match &decoded {
        Ok(decoded) => decoded.value.clone(),
        Err(DecodeError::TooLarge) => return Err(Status::too_large(decode::MAX_BYTES)),
        Err(DecodeError::Syntax(why)) => return Err(unrecognized(kind, why, &json)),
        Err(DecodeError::Type(_)) => serde_json::from_slice(&json).unwrap_or_default(),
    };
    if let Value::Array(_) | Value::String(_) | Value::Number(_) | Value::Bool(_) = told {
        return Err(no_object(kind, &told, &json));
    }
    another_kind(expected, &told)?;
    let cannot = |why: &str| {
        Status::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: {why}",
            short(version)
        ))
    };
    let decoded = decoded.map_err(|error| cannot(&error.to_string()))?;
    let warnings = validation.judge(decoded.objections).map_err(|why| cannot(&why))?;
    let mut object = decoded.value;
    if !object.is_object() {
        object = json!({});
    }
    object["apiVersion"] = version.into();
    object["kind"] = kind.into();
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    Ok(Sent { object, warnings })
}

/// The body as JSON. `version` and `kind` are those of an encoding that can leave them out.
pub(super) fn json(
    content_type: Option<&str>,
    bytes: &Bytes,
    version: &str,
    kind: &str,
) -> Result<Bytes, Status> {
    let wrong = |error: &dyn std::fmt::Display| Status::bad_request(error.to_string());
    match body(content_type).ok_or_else(|| Status::unknown_body(AVAILABLE))? {
        BodyType::Json if bytes.trim_ascii() == b"null" => Ok(Bytes::from_static(b"{}")),
        BodyType::Json => Ok(bytes.clone()),
        BodyType::Yaml => yaml(bytes).map(|value| value.to_string().into()),
        BodyType::Protobuf => {
            let object = protobuf::decode(bytes, Some((version, kind))).map_err(|error| wrong(&error))?;
            Ok(object.to_string().into())
        }
    }
}

/// What YAML means.
pub(super) fn yaml(bytes: &Bytes) -> Result<Value, Status> {
    let wrong = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
    let text = std::str::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))
}

/// An object of another kind or version than what it is sent to.
fn another_kind(expected: &Expected<'_>, told: &Value) -> Result<(), Status> {
    let Expected { version, kind, .. } = *expected;
    let text = |field: &str| told[field].as_str().filter(|text| !text.is_empty());
    let (its_kind, its_version) = (text("kind").unwrap_or(kind), text("apiVersion").unwrap_or(version));
    if its_kind == kind && its_version == version {
        return Ok(());
    }
    let why = if Schema::builtin().kind_of(its_version, its_kind).is_some() {
        let group = version.rsplit_once('/').map_or("core", |(group, _)| group);
        let own = group.split('.').next().unwrap_or(group);
        format!("converting ({}.{its_kind}) to ({own}.{kind}): unknown conversion", short(its_version))
    } else {
        format!(
            "no kind {its_kind:?} is registered for version {its_version:?} in scheme \
             \"pkg/api/legacyscheme/scheme.go:30\""
        )
    };
    let place = short(its_version);
    Err(Status::bad_request(format!("{its_kind} in version {place:?} cannot be handled as a {kind}: {why}")))
}

/// The version of an `apiVersion`, without its group.
fn short(api_version: &str) -> &str {
    api_version.rsplit('/').next().unwrap_or_default()
}

fn unrecognized(kind: &str, why: &str, body: &[u8]) -> Status {
    let text = String::from_utf8_lossy(body);
    let shown = if text.is_empty() { "<empty>" } else { &text };
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: \
         {why} ({shown})"
    ))
}

/// JSON that is no object.
fn no_object(kind: &str, value: &Value, body: &[u8]) -> Status {
    let found = match value {
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        _ => "number",
    };
    // The type is what every object begins with, and is printed as Go prints a struct.
    let why = format!(
        "json: cannot unmarshal {found} into Go value of type struct {{ APIVersion string \
         \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
    );
    let shown: String = body.iter().take(1024).map(|byte| format!("{byte:02x}")).collect();
    unrecognized(kind, &why, shown.as_bytes())
}
