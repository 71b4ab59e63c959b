//! The object in a body.

use api_objects::decode::{self, DecodeError};
use api_objects::schema::Schema;
use bytes::Bytes;
use serde_json::{Value, json};

use super::target::Write;
use crate::apiserver::http::negotiate::{AVAILABLE, BodyType, body};
use crate::apiserver::kinds::Resource;
use crate::apiserver::protobuf;
use crate::apiserver::status::Status;

/// An object that was sent.
pub(super) struct Sent {
    /// In the form that is stored, but for defaults.
    pub object: Value,
    /// For the answer's `Warning` headers.
    pub warnings: Vec<String>,
}

/// Reads the object, which may leave out its type but may not have another one.
pub(super) fn decode(write: &Write<'_>, bytes: &Bytes) -> Result<Sent, Status> {
    let (kind, version) = (write.resource.kind.kind.as_str(), write.version.as_str());
    let json = json(write.context.content_type(), bytes, version, kind)?;
    let decoded = decode::decode(write.of, &json);
    let told = match &decoded {
        Ok(decoded) => decoded.value.clone(),
        Err(DecodeError::TooLarge) => return Err(Status::too_large(decode::MAX_BYTES)),
        Err(DecodeError::Syntax(why)) => return Err(unrecognized(kind, why, &json)),
        Err(DecodeError::Type(_)) => serde_json::from_slice(&json).unwrap_or_default(),
    };
    if let Value::Array(_) | Value::String(_) | Value::Number(_) | Value::Bool(_) = told {
        return Err(no_object(kind, &told, &json));
    }
    another_kind(write.resource, &told)?;
    let cannot = |why: &str| {
        Status::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: {why}",
            short(version)
        ))
    };
    let decoded = decoded.map_err(|error| cannot(&error.to_string()))?;
    let warnings = write.options.validation.judge(decoded.objections).map_err(|why| cannot(&why))?;
    let mut object = decoded.value;
    if !object.is_object() {
        object = json!({});
    }
    write.name_type(&mut object);
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
fn another_kind(resource: &Resource, told: &Value) -> Result<(), Status> {
    let served = resource.served();
    let (kind, version) = (&resource.kind.kind, served.api_version());
    let text = |field: &str| told[field].as_str().filter(|text| !text.is_empty());
    let (its_kind, its_version) =
        (text("kind").unwrap_or(kind), text("apiVersion").unwrap_or(&version).to_owned());
    if its_kind == kind && its_version == version {
        return Ok(());
    }
    let why = if Schema::builtin().kind_of(&its_version, its_kind).is_some() {
        let own = served.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
        format!("converting ({}.{its_kind}) to ({own}.{kind}): unknown conversion", short(&its_version))
    } else {
        format!(
            "no kind {its_kind:?} is registered for version {its_version:?} in scheme \
             \"pkg/api/legacyscheme/scheme.go:30\""
        )
    };
    let place = short(&its_version);
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
