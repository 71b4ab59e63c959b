//! Deleting all objects that are selected.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::delete::{remove, sent, writer};
use super::deletion;
use crate::apiserver::cache::{Keys, Page, When};
use crate::apiserver::http::answer::{Answer, Body};
use crate::apiserver::http::query::ListOptions;
use crate::apiserver::http::request::Context;
use crate::apiserver::kinds::Resource;
use crate::apiserver::read::{self, encode};
use crate::apiserver::selectors::Selection;
use crate::apiserver::server::Server;
use crate::apiserver::status::Status;

/// Deletes what the selectors select; answers with what there was of it.
pub(in crate::apiserver) async fn delete_collection(
    server: &Arc<Server>,
    context: &Context,
    resource: &Resource,
    body: Bytes,
) -> Result<Answer, Status> {
    let options = deletion::Options::of(&sent(context, &body)?)?;
    let list = ListOptions::parse(&context.query, false)?;
    let selection = Selection::new(resource, list.labels.clone(), &list.fields)?;
    let prefix = read::scope(context, resource);
    let page = Page {
        keys: Keys { prefix: &prefix, after: None },
        when: When::Latest,
        limit: list.limit,
        everything: selection.is_everything(),
    };
    let listed = server.caches.list(&resource.kind, page, |object| selection.selects(object)).await?;
    let write = writer(server, context, resource)?;
    for object in &listed.objects {
        let name = object.key.rsplit('/').next().unwrap_or_default();
        match remove(&write, name, &options).await {
            // Somebody else deleted it.
            Err(status) if status.code == StatusCode::NOT_FOUND => {}
            deleted => drop(deleted?),
        }
    }
    let parts = encode::list(resource, &listed, None);
    Ok(Answer::new(StatusCode::OK, context.representation.encoding, Body::of(parts)))
}
