//! The object in a body.

use bytes::Bytes;
use serde_json::Value;

use crate::apiserver::http::negotiate::{AVAILABLE, BodyType, body};
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::status::Status;

/// Reads the object, which may leave out its type but may not have another one.
pub(super) fn decode(context: &Context, resource: &Resource, bytes: &Bytes) -> Result<Value, Status> {
    if body(context.content_type()) != Some(BodyType::Json) {
        return Err(Status::unknown_body(AVAILABLE));
    }
    let (kind, version) = (&resource.kind.kind, resource.served().api_version());
    let unrecognized = |why: String| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse \
             error: {why}"
        ))
    };
    let object: Value = serde_json::from_slice(bytes).map_err(|error| unrecognized(error.to_string()))?;
    if !object.is_object() {
        return Err(unrecognized("it is no object".to_owned()));
    }
    let named = |field: &str, default: &str| object[field].as_str().unwrap_or(default).to_owned();
    let (its_kind, its_version) = (named("kind", kind), named("apiVersion", &version));
    if its_kind != *kind || its_version != version {
        return Err(Status::bad_request(format!(
            "{its_kind} in version {its_version:?} cannot be handled as a {kind}"
        )));
    }
    Ok(object)
}
