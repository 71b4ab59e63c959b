//! Deleting an object.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::deletion::{self, Next};
use super::options::Options;
use super::target::{Write, warn};
use super::{admit, allocate, decode, prepare, strategy};
use crate::apiserver::http::answer::Answer;
use crate::apiserver::http::query::Query;
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::server::Server;
use crate::apiserver::status::Status;
use crate::storage::{Change, Expect, Revision, StoreError};

/// What a deletion of a Job says that does not say what becomes of its pods.
const ORPHANS: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
    remove them or set propagationPolicy=Orphan to suppress this warning";

/// Deletes the object that the path names.
pub(in crate::apiserver) async fn delete(
    server: &Arc<Server>,
    context: &Context,
    resource: &Resource,
    body: Bytes,
) -> Result<Answer, Status> {
    let sent = sent(context, &body)?;
    let options = deletion::Options::of(&sent)?;
    let write = writer(server, context, resource)?;
    let name = context.target.name.as_str();
    let deleted = remove(&write, name, &options).await;
    let answer = deleted.and_then(|deleted| match deleted {
        Deleted { object, gone: true, .. } if !strategy::shows_deleted(&resource.kind.kind) => {
            Ok(Answer::json(&prepare::removed(&write, &object, name)))
        }
        Deleted { object, revision, .. } => write.answer(StatusCode::OK, &object, Some(revision), &[]),
    });
    let silent = sent["propagationPolicy"].is_null() && sent["orphanDependents"].is_null();
    if !silent || resource.qualified() != "jobs.batch" {
        return answer;
    }
    // Who is refused is told as well.
    let mut answer = answer.unwrap_or_else(|status| Answer::status(&status));
    warn(&mut answer, &[ORPHANS.to_owned()]);
    Ok(answer)
}

/// A deletion has options of its own, and needs of a write only what names objects.
pub(super) fn writer<'a>(
    server: &'a Arc<Server>,
    context: &'a Context,
    resource: &'a Resource,
) -> Result<Write<'a>, Status> {
    let plain = Context { query: Query::default(), ..context.clone() };
    Write::new(server, context, resource, Options::of(&plain, "DeleteOptions", false)?)
}

/// The `DeleteOptions` in the body, or those in the query where there is no body.
pub(super) fn sent(context: &Context, body: &Bytes) -> Result<Value, Status> {
    if !body.trim_ascii().is_empty() {
        let json = decode::json(context.content_type(), body, "v1", "DeleteOptions")?;
        let sent: Value =
            serde_json::from_slice(&json).map_err(|error| Status::bad_request(error.to_string()))?;
        let version = sent["apiVersion"].as_str().unwrap_or("v1");
        return match sent["kind"].as_str().filter(|kind| !kind.is_empty()) {
            Some(kind) if kind != "DeleteOptions" => Err(Status::bad_request(format!(
                "no kind {kind:?} is registered for version {version:?} in scheme \
                 \"pkg/apis/meta/internalversion/scheme/register.go:27\""
            ))),
            _ => Ok(sent),
        };
    }
    let query = &context.query;
    let mut options = json!({});
    if let Some(grace) = query.get("gracePeriodSeconds") {
        let grace: i64 = grace.parse().map_err(|_| {
            Status::bad_request(format!("strconv.ParseInt: parsing {grace:?}: invalid syntax"))
        })?;
        options["gracePeriodSeconds"] = grace.into();
    }
    if let Some(policy) = query.get("propagationPolicy") {
        options["propagationPolicy"] = policy.into();
    }
    if query.names("orphanDependents") {
        options["orphanDependents"] = query.flag("orphanDependents").into();
    }
    if query.names("dryRun") {
        options["dryRun"] = query.all("dryRun").collect();
    }
    Ok(options)
}

/// What became of an object.
pub(super) struct Deleted {
    /// As it is, or as it was at last.
    object: Value,
    revision: Revision,
    /// It is there no more.
    gone: bool,
}

/// Deletes an object, or tries it. Whoever changes it meanwhile does not change that it is to go.
pub(super) async fn remove(
    write: &Write<'_>,
    name: &str,
    options: &deletion::Options,
) -> Result<Deleted, Status> {
    let (key, store) = (write.key(name), write.server.caches.store());
    admit::delete(write, name).await?;
    loop {
        let entry = store.get(&key).await?.what.ok_or_else(|| Status::not_found(write.resource, name))?;
        let live = write.live(entry.modified, &entry.value)?;
        options.check(write.resource, name, &live)?;
        let (object, change, gone) = match deletion::plan(write.resource, &live, options, write.server.now())
        {
            Next::Pending => return Ok(Deleted { object: live, revision: entry.modified, gone: false }),
            Next::Remove(object) => (object, Change::Delete, true),
            Next::Mark(object) => {
                let value = write.stored(&object);
                (object, Change::Put { value, ttl: None }, false)
            }
        };
        if options.dry_run {
            return Ok(Deleted { object, revision: entry.modified, gone });
        }
        match store.write(&key, Expect::At(entry.modified), change).await {
            Ok(revision) => {
                if gone {
                    allocate::released(write, &object).await;
                }
                return Ok(Deleted { object, revision, gone });
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
