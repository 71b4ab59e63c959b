//! Replacing an object, or its status.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::change::{Made, change};
use super::options::Options;
use super::target::Write;
use super::{decode, prepare, strategy};
use crate::apiserver::http::answer::Answer;
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::server::Server;
use crate::apiserver::status::Status;

/// Replaces the object that the path names with the one in the body.
pub(in crate::apiserver) async fn update(
    server: &Arc<Server>,
    context: &Context,
    resource: &Resource,
    body: Bytes,
) -> Result<Answer, Status> {
    let options = Options::of(context, "UpdateOptions", false)?;
    let write = Write::new(server, context, resource, options)?;
    let decode::Sent { object, warnings } = decode::decode(&write, &body)?;
    let mut object = write.complete(object)?;
    prepare::same_name(&write, &mut object)?;
    let name = context.target.name.as_str();
    change(&write, |live| {
        if live.is_none() && (write.is_status() || !strategy::creates_on_update(&resource.kind.kind)) {
            return Err(Status::not_found(resource, name));
        }
        if let Some(live) = live {
            same_identity(resource, name, live, &object)?;
        }
        let manager = &write.options.manager;
        let owned = write.with_kind(|kind| kind.update(live, object.clone(), manager, &write.now()));
        Ok(Made { object: owned, warnings: warnings.clone() })
    })
    .await
}

/// Who names a uid means that object, and none that has its name since.
fn same_identity(resource: &Resource, name: &str, live: &Value, object: &Value) -> Result<(), Status> {
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let (wanted, found) = (uid(object), uid(live));
    if wanted.is_empty() || wanted == found {
        return Ok(());
    }
    let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}");
    Err(Status::conflict(resource, name, &why))
}
