//! Reading objects: get, list, watch.

pub mod encode;
mod plan;
mod scale;
mod token;
mod watch;

use std::sync::Arc;

use hyper::body::Bytes;

use super::cache::{Keys, Listed, Object, Page, When};
use super::http::answer::{Answer, Body};
use super::http::negotiate::Form;
use super::http::query::ListOptions;
use super::http::request::Context;
use super::kinds::Resource;
use super::selectors::Selection;
use super::server::Server;
use super::status::Status;

pub use scale::{of as scale_of, scale};
pub use watch::watch;

/// One object.
pub async fn get(server: &Server, context: &Context, resource: &Resource) -> Result<Answer, Status> {
    let version = context.query.get("resourceVersion").unwrap_or_default();
    let when = match plan::revision(version).map_err(Status::unexpected)? {
        None => When::Latest,
        Some(0) => When::Any,
        Some(revision) => When::NotOlderThan(revision),
    };
    let key = resource.kind.key(Some(&context.target.namespace), Some(&context.target.name));
    let object = server.caches.get(&resource.kind, &key, when).await?;
    let object = object.ok_or_else(|| Status::not_found(resource, &context.target.name))?;
    answer_object(server, context, resource, &object, http::StatusCode::OK)
}

/// The answer that is one object.
pub fn answer_object(
    server: &Server,
    context: &Context,
    resource: &Resource,
    object: &Arc<Object>,
    code: http::StatusCode,
) -> Result<Answer, Status> {
    let json = match context.representation.form {
        Form::Whole => encode::whole(resource, object),
        Form::Metadata(meta) => encode::metadata(meta, resource, object),
        Form::Table(meta) => {
            let include = encode::Include::parse(context.query.get("includeObject"))?;
            let listed =
                Listed { objects: vec![object.clone()], revision: object.revision, ..Listed::default() };
            encode::table(meta, resource, &listed, None, include, server.now()).concat().into()
        }
    };
    Ok(Answer::new(code, context.representation.encoding, Body::of(vec![json])))
}

/// A list, or a part of one.
pub async fn list(server: &Server, context: &Context, resource: &Resource) -> Result<Answer, Status> {
    let options = ListOptions::parse(&context.query, false)?;
    let selection = Selection::new(resource, options.labels.clone(), &options.fields)?;
    let plan = plan::list(&options)?;
    let prefix = scope(context, resource);
    let after = plan.after.map(|after| format!("{prefix}{after}"));
    let page = Page {
        keys: Keys { prefix: &prefix, after: after.as_deref() },
        when: plan.when,
        limit: plan.limit,
        everything: selection.is_everything(),
    };
    let listed = server.caches.list(&resource.kind, page, |object| selection.selects(object)).await;
    let listed = match listed {
        // A continued list may be gone on with from what there is now.
        Err(mut status) if status.reason == "Expired" && after.is_some() => {
            let rest = after.as_deref().and_then(|key| key.strip_prefix(prefix.as_str())).unwrap_or_default();
            status.message = token::EXPIRED.to_owned();
            status.continue_token = Some(token::encode(token::LATEST, rest));
            return Err(status);
        }
        listed => listed?,
    };
    let next = listed.more.then(|| {
        let last = listed.objects.last().map_or("", |object| &*object.key);
        let revision = i64::try_from(listed.revision).unwrap_or(i64::MAX);
        token::encode(revision, last.strip_prefix(prefix.as_str()).unwrap_or_default())
    });
    let parts: Vec<Bytes> = match context.representation.form {
        Form::Whole => encode::list(resource, &listed, next.as_deref()),
        Form::Metadata(meta) => encode::metadata_list(meta, resource, &listed, next.as_deref()),
        Form::Table(meta) => {
            let include = encode::Include::parse(context.query.get("includeObject"))?;
            encode::table(meta, resource, &listed, next.as_deref(), include, server.now())
        }
    };
    Ok(Answer::new(http::StatusCode::OK, context.representation.encoding, Body::of(parts)))
}

/// The beginning of the keys that a collection request is about.
pub fn scope(context: &Context, resource: &Resource) -> String {
    let namespace = Some(context.target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    resource.kind.key(namespace, None)
}
