//! Deleting an object.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::apiserver::cache::Object;
use crate::apiserver::http::answer::Answer;
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::server::Server;
use crate::apiserver::status::{Status, about};
use crate::storage::{Change, Expect, StoreError};

/// Deletes the object that the path names.
pub(in crate::apiserver) async fn delete(
    server: &Arc<Server>,
    context: &Context,
    resource: &Resource,
    options: Bytes,
) -> Result<Answer, Status> {
    let name = &context.target.name;
    let options: Value = match options.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&options).map_err(|error| Status::bad_request(error.to_string()))?,
    };
    refuse(context, &options)?;
    let key = resource.kind.key(Some(&context.target.namespace), Some(name));
    let store = server.caches.store();
    // Whoever changed it meanwhile has not changed that it is to go.
    let metadata = loop {
        let entry = store.get(&key).await?.what.ok_or_else(|| Status::not_found(resource, name))?;
        let object = Object::decode(&resource.kind, &key, entry.modified, &entry.value);
        let object = object.map_err(|error| Status::unexpected(error.to_string()))?;
        let metadata: Value = serde_json::from_slice(&object.stored().metadata()).unwrap_or_default();
        check(resource, name, &metadata, &options["preconditions"])?;
        match store.write(&key, Expect::At(entry.modified), Change::Delete).await {
            Ok(_) => break metadata,
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let mut details = about(resource, name);
    details.uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
    Ok(Answer::json(&json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details.to_json(),
    })))
}

/// What would change how it is deleted and is not known here must not be passed over.
fn refuse(context: &Context, options: &Value) -> Result<(), Status> {
    let tried = context.query.names("dryRun") || !options["dryRun"].is_null();
    let how = context.query.get("propagationPolicy").or(options["propagationPolicy"].as_str());
    let dependents = !matches!(how, None | Some("Background")) || !options["orphanDependents"].is_null();
    for (asked, what) in [(tried, "dryRun"), (dependents, "propagationPolicy")] {
        if asked {
            let message = format!("{what} of a deletion is not implemented");
            return Err(Status::new(StatusCode::NOT_IMPLEMENTED, "", message));
        }
    }
    Ok(())
}

fn check(resource: &Resource, name: &str, metadata: &Value, preconditions: &Value) -> Result<(), Status> {
    for (field, what) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let (wanted, found) = (preconditions[field].as_str(), metadata[field].as_str());
        if let Some(wanted) = wanted
            && Some(wanted) != found
        {
            let found = found.unwrap_or_default();
            return Err(Status::conflict(
                resource,
                name,
                &format!(
                    "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The \
                     object might have been deleted and then recreated"
                ),
            ));
        }
    }
    if metadata["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty()) {
        let message = "deleting an object that has finalizers is not implemented";
        return Err(Status::new(StatusCode::NOT_IMPLEMENTED, "", message));
    }
    Ok(())
}
