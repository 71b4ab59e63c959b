//! Writing how many there are to be, whatever the kind.

use std::sync::Arc;

use api_objects::{FieldError, Path};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::change::{Made, change};
use super::decode::{self, Expected};
use super::options::Options;
use super::patch::refused;
use super::target::Write;
use crate::apiserver::http::answer::Answer;
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::patch::{self as patches, Kind, Patched};
use crate::apiserver::read;
use crate::apiserver::server::Server;
use crate::apiserver::status::Status;

const VERSION: &str = "autoscaling/v1";

/// Replaces or patches the scale of the object that the path names.
pub(in crate::apiserver) async fn scale(
    server: &Arc<Server>,
    context: &Context,
    resource: &Resource,
    body: Bytes,
) -> Result<Answer, Status> {
    let patch = context.info.verb == "patch";
    let kind = if patch { "PatchOptions" } else { "UpdateOptions" };
    let write = Write::new(server, context, resource, Options::of(context, kind, false)?)?;
    let expected = Expected::of(VERSION, "Scale")?;
    let name = context.target.name.as_str();
    let sent = match patch {
        true => None,
        false => Some(decode::decode_as(&expected, context, write.options.validation, &body)?.object),
    };
    let media = context.content_type().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    change(&write, |live| {
        let live = live.ok_or_else(|| Status::not_found(resource, name))?;
        let scale = match &sent {
            Some(scale) => scale.clone(),
            None => {
                let kind = Kind::of(media).ok_or_else(super::patch::unsupported)?;
                let is = read::scale_of(live);
                let patched = patches::apply(kind, &is, &body, expected.of, write.options.validation);
                let Patched { object, .. } = patched.map_err(refused)?;
                object
            }
        };
        Ok(Made { object: scaled(&write, live, &scale)?, warnings: Vec::new() })
    })
    .await?;
    let mut answer = read::scale(server, context, resource).await?;
    answer.code = StatusCode::OK;
    Ok(answer)
}

/// The object with as many as the scale says.
fn scaled(write: &Write<'_>, live: &Value, scale: &Value) -> Result<Value, Status> {
    let name = write.context.target.name.as_str();
    let told = scale["metadata"]["name"].as_str().unwrap_or_default();
    if told != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({told}) does not match the name on the URL ({name})"
        )));
    }
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let path = Path::ROOT.field("spec");
        let why = "must be greater than or equal to 0";
        let error = FieldError::invalid(&path.field("replicas"), replicas, why);
        return Err(Status::invalid("autoscaling", "Scale", name, vec![error]));
    }
    let mut object = live.clone();
    if let Some(version) = scale["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty())
    {
        object["metadata"]["resourceVersion"] = version.into();
    }
    object["spec"]["replicas"] = replicas.into();
    let manager = &write.options.manager;
    Ok(write.with_kind(|kind| kind.update(Some(live), object, manager, &write.now())))
}
