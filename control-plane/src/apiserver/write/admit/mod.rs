//! What other objects have to say about a new one: admission.
//!
//! ```text
//!   create ─▶ grants only what is held ─▶ namespace is there, and stays ─▶ of a pod: account ─▶ priority
//!          ─▶ tolerations ─▶ checked by its rules ─▶ Pod Security ─▶ stored
//!   update ─▶ grants only what is held ─▶ checked by its rules ─▶ Pod Security ─▶ stored
//! ```
//!
//! The plugins decide on values; what they need of other objects is looked up here, as new as every acknowledged
//! write.

mod grant;
mod namespace;
mod pod_security;
mod priority;
mod service_account;
mod tolerations;

use serde_json::Value;

use super::part::Part;
use super::target::Write;
use crate::apiserver::cache::{Keys, Page, When};
use crate::apiserver::status::Status;

/// Lets a new object come to be, changed perhaps, or refuses it.
pub(super) async fn create(write: &Write<'_>, object: &mut Value) -> Result<(), Status> {
    grant::check(write, None, object).await?;
    let kind = &write.resource.kind;
    let namespace = write.context.target.namespace.as_str();
    if kind.namespaced {
        let found = find(write, "", "namespaces", "", namespace).await?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        namespace::check(write.resource, namespace, name, found.as_ref())?;
    }
    if write.resource.qualified() != "pods" {
        return Ok(());
    }
    let refuse = |why: String| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        Status::forbidden("", "pods", name, &why)
    };
    if service_account::applies(object).map_err(&refuse)? {
        let account = service_account::name(object).to_owned();
        let found = find(write, "", "serviceaccounts", namespace, &account).await?;
        let found = found.ok_or_else(|| {
            let why = format!(
                "error looking up service account {namespace}/{account}: serviceaccount {account:?} not found"
            );
            refuse(why)
        })?;
        service_account::put(object, &found, &super::create::suffix());
    }
    let classes = list(write, "scheduling.k8s.io", "priorityclasses").await?;
    let refuse = |why: String| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        Status::forbidden("", "pods", name, &why)
    };
    let class = priority::of(object, &classes).map_err(refuse)?;
    priority::put(object, &class);
    tolerations::put(object);
    Ok(())
}

/// Lets an object become another one, or refuses it.
pub(super) async fn update(write: &Write<'_>, old: &Value, new: &Value) -> Result<(), Status> {
    if write.part == Part::Whole { grant::check(write, Some(old), new).await } else { Ok(()) }
}

/// Looks at an object that is complete and follows its rules; the warnings for who wrote it are returned.
pub(super) async fn complete(
    write: &Write<'_>,
    old: Option<&Value>,
    new: &Value,
) -> Result<Vec<String>, Status> {
    match write.part {
        Part::Whole | Part::Ephemeral => pod_security::check(write, old, new).await,
        _ => Ok(Vec::new()),
    }
}

/// Lets an object go, or refuses it.
pub(super) fn delete(write: &Write<'_>, name: &str) -> Result<(), Status> {
    if write.resource.qualified() == "namespaces" { namespace::may_go(name) } else { Ok(()) }
}

async fn find(
    write: &Write<'_>,
    group: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> Result<Option<Value>, Status> {
    let kind = write.server.kinds.known(group, "v1", resource);
    let kind = kind.map_err(|error| Status::unexpected(error.to_string()))?.kind;
    let key = kind.key(Some(namespace), Some(name));
    let found = write.server.caches.get(&kind, &key, When::Latest).await?;
    Ok(found.and_then(|object| serde_json::from_slice(&object.stored().json).ok()))
}

async fn list(write: &Write<'_>, group: &str, resource: &str) -> Result<Vec<Value>, Status> {
    let kind = write.server.kinds.known(group, "v1", resource);
    let kind = kind.map_err(|error| Status::unexpected(error.to_string()))?.kind;
    let keys = Keys { prefix: &kind.prefix, after: None };
    let page = Page { keys, when: When::Latest, limit: 0, everything: true };
    let listed = write.server.caches.list(&kind, page, |_| true).await?;
    Ok(listed
        .objects
        .iter()
        .filter_map(|object| serde_json::from_slice(&object.stored().json).ok())
        .collect())
}
