//! Patching an object or its status: JSON patch, merge patch, strategic merge patch, and apply.

use std::sync::Arc;

use api_objects::decode::{FieldValidation, decode_any};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::change::{Made, change};
use super::options::Options;
use super::target::Write;
use super::{decode, prepare};
use crate::apiserver::apply::ApplyError;
use crate::apiserver::http::answer::Answer;
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::patch::{self as patches, Kind, PatchError, Patched};
use crate::apiserver::server::Server;
use crate::apiserver::status::{Cause, Details, Status};

/// The media type of an apply.
const APPLY: &str = "application/apply-patch+yaml";

/// Patches the object that the path names; an apply may make it.
pub(in crate::apiserver) async fn patch(
    server: &Arc<Server>,
    context: &Context,
    resource: &Resource,
    body: Bytes,
) -> Result<Answer, Status> {
    let media = context.content_type().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if media == APPLY {
        return apply(server, context, resource, &body).await;
    }
    let Some(kind) = Kind::of(media) else { return Err(unsupported()) };
    let options = Options::of(context, "PatchOptions", false)?;
    let write = Write::new(server, context, resource, options)?;
    change(&write, |live| {
        let live = live.ok_or_else(|| Status::not_found(resource, &context.target.name))?;
        let patched = patches::apply(kind, live, &body, write.of, write.options.validation);
        let Patched { object, warnings } = patched.map_err(refused)?;
        let mut object = write.complete(object)?;
        prepare::same_name(&write, &mut object)?;
        let manager = &write.options.manager;
        let object = write.with_kind(|kind| kind.update(Some(live), object, manager, &write.now()));
        Ok(Made { object, warnings })
    })
    .await
}

async fn apply(
    server: &Arc<Server>,
    context: &Context,
    resource: &Resource,
    body: &Bytes,
) -> Result<Answer, Status> {
    let options = Options::of(context, "PatchOptions", true)?;
    let write = Write::new(server, context, resource, options)?;
    let (config, warnings) = configuration(body, write.options.validation)?;
    let Options { manager, force, .. } = &write.options;
    change(&write, |live| {
        if live.is_none() && write.is_status() {
            return Err(Status::not_found(resource, &context.target.name));
        }
        let applied = write.with_kind(|kind| kind.apply(live, &config, manager, *force, &write.now()));
        let object = write.normalise(&applied.map_err(conflicting)?)?;
        let mut object = write.complete(object)?;
        prepare::same_name(&write, &mut object)?;
        Ok(Made { object, warnings: warnings.clone() })
    })
    .await
}

/// The body of an apply, which is YAML and perhaps JSON, and what to warn of.
fn configuration(body: &Bytes, validation: FieldValidation) -> Result<(Value, Vec<String>), Status> {
    // JSON can say a field twice, and is much faster to read.
    match decode_any(body) {
        Ok(decoded) => {
            let warnings = validation.judge(decoded.objections);
            let refused = |why| Status::bad_request(format!("error strict decoding YAML: {why}"));
            Ok((decoded.value, warnings.map_err(refused)?))
        }
        Err(_) => Ok((decode::yaml(body)?, Vec::new())),
    }
}

pub(super) fn unsupported() -> Status {
    let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    with(Status::new(code, "UnsupportedMediaType", "415: Unsupported Media Type"), Details::default())
}

fn with(mut status: Status, details: Details) -> Status {
    status.details = Some(Box::new(details));
    status
}

pub(super) fn refused(error: PatchError) -> Status {
    let message = error.to_string();
    match error {
        PatchError::Malformed(_) => Status::bad_request(message),
        PatchError::DoesNotApply(_) => prepare::unprocessable(message),
        PatchError::Result { .. } => {
            let why = message.split_once(": patch: ").map_or("", |(_, why)| why).to_owned();
            let cause =
                Cause { reason: "FieldValueInvalid".to_owned(), message: why, field: "patch".to_owned() };
            with(prepare::unprocessable(message), Details { causes: vec![cause], ..Details::default() })
        }
        PatchError::TooManyOperations { .. } => {
            let code = StatusCode::PAYLOAD_TOO_LARGE;
            with(Status::new(code, "RequestEntityTooLarge", message), Details::default())
        }
        PatchError::Directive(_) => Status::unexpected(message),
    }
}

fn conflicting(error: ApplyError) -> Status {
    let message = error.to_string();
    match error {
        ApplyError::BadRequest(_) => Status::bad_request(message),
        ApplyError::Unfit(_) => Status::unexpected(message),
        ApplyError::Conflicts(conflicts) => {
            let causes = conflicts.iter().map(|conflict| Cause {
                reason: "FieldManagerConflict".to_owned(),
                message: conflict.message(),
                field: conflict.field(),
            });
            let details = Details { causes: causes.collect(), ..Details::default() };
            with(Status::new(StatusCode::CONFLICT, "Conflict", message), details)
        }
    }
}
