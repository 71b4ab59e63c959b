//! What other objects have to say about one that is written: admission.
//!
//! ```text
//!   create ─▶ grants only what is held ─▶ namespace is there, and stays ─▶ limits fill in ─▶ account ─▶ what nodes may
//!          ─▶ taint, priority, tolerations, classes, finalizers ─▶ checked by its rules ─▶ complete
//!   update ─▶ grants only what is held ─▶ what nodes may ─▶ checked by its rules ─▶ complete
//!   complete: limits ─▶ Pod Security ─▶ sizes, certificates ─▶ quotas are charged ─▶ stored
//!   delete ─▶ some namespaces stay ─▶ what nodes may
//! ```
//!
//! In upstream's order, a file for each plugin. They decide on values; what they need of other objects is looked up as
//! new as every write that was acknowledged before the request. Of a kind that a plugin does not care for, it looks
//! nothing up.

mod certificate;
mod claim_resize;
mod default_class;
mod grant;
mod in_use;
mod limits;
mod namespace;
mod node;
mod node_taint;
mod pod_resize;
mod pod_security;
mod priority;
mod quota;
mod runtime_class;
mod service_account;
mod tolerations;
mod topology;

use serde_json::Value;

pub(super) use quota::Charged;

use super::part::Part;
use super::target::Write;
use crate::apiserver::status::Status;

/// What is done to an object.
#[derive(Clone, Copy)]
enum Operation<'v> {
    Create { new: &'v Value },
    Update { old: &'v Value, new: &'v Value },
    Delete { old: &'v Value },
}

/// What became of an object that is complete.
#[must_use]
pub(super) struct Admitted {
    /// For who wrote it.
    pub warnings: Vec<String>,
    /// What quotas were charged for it.
    pub charged: Charged,
}

/// Lets a new object come to be, changed perhaps, or refuses it.
pub(super) async fn create(write: &Write<'_>, object: &mut Value) -> Result<(), Status> {
    grant::check(write, None, object).await?;
    let (resource, name) = (write.resource.qualified(), name(object));
    if write.resource.kind.namespaced {
        let found = write.namespace().await?;
        namespace::check(write.resource, &write.context.target.namespace, &name, found)?;
    }
    if resource == "pods" {
        limits::fill(write, object).await?;
        service_account::admit(write, object).await?;
    }
    node::check(write, &name, Operation::Create { new: object }).await?;
    in_use::put(&resource, object);
    if resource == "nodes" {
        node_taint::put(object);
    }
    match resource.as_str() {
        "pods" => {
            priority::admit(write, object).await?;
            tolerations::put(object);
            runtime_class::put(write, object).await?;
            let node = object["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
            topology::put(write, object, &node).await
        }
        "priorityclasses.scheduling.k8s.io" => priority::only_default(write, object).await,
        "persistentvolumeclaims" => default_class::claim(write, object).await,
        "ingresses.networking.k8s.io" => default_class::ingress(write, object).await,
        _ => Ok(()),
    }
}

/// Lets an object become another one, changed perhaps, or refuses it.
pub(super) async fn update(write: &Write<'_>, old: &Value, new: &mut Value) -> Result<(), Status> {
    if write.part == Part::Whole {
        grant::check(write, Some(old), new).await?;
        if write.resource.qualified() == "priorityclasses.scheduling.k8s.io" {
            priority::only_default(write, new).await?;
        }
    }
    if write.part == Part::Resources {
        limits::fill(write, new).await?;
    }
    node::check(write, &write.context.target.name, Operation::Update { old, new }).await
}

/// Looks at an object that is complete and follows its rules, and charges it.
pub(super) async fn complete(
    write: &Write<'_>,
    old: Option<&Value>,
    new: &Value,
) -> Result<Admitted, Status> {
    let (whole, resize) = (write.part == Part::Whole, write.part == Part::Resources);
    let resource = write.resource.qualified();
    let mut warnings = Vec::new();
    match resource.as_str() {
        "pods" if resize || (whole && old.is_none()) => limits::check(write, old, new).await?,
        "persistentvolumeclaims" if whole => limits::check(write, old, new).await?,
        _ => {}
    }
    if whole || write.part == Part::Ephemeral {
        warnings = pod_security::check(write, old, new).await?;
    }
    match (resource.as_str(), old) {
        ("persistentvolumeclaims", Some(old)) if whole => claim_resize::check(write, old, new).await?,
        ("pods", Some(old)) if resize => pod_resize::check(write, old, new).await?,
        ("certificatesigningrequests.certificates.k8s.io", old) => {
            certificate::check(write, old, new).await?
        }
        _ => {}
    }
    let charged = quota::charge(write, old, new).await?;
    Ok(Admitted { warnings, charged })
}

/// Lets an object go, or refuses it.
pub(super) async fn delete(write: &Write<'_>, name: &str) -> Result<(), Status> {
    if write.resource.qualified() == "namespaces" {
        namespace::may_go(name)?;
    }
    // Only nodes are asked further.
    if write.context.user.node().is_none() {
        return Ok(());
    }
    let old = write.server.caches.store().get(&write.key(name)).await?.what;
    let old = old.ok_or_else(|| Status::not_found(write.resource, name))?;
    let old = write.live(old.modified, &old.value)?;
    node::check(write, name, Operation::Delete { old: &old }).await
}

/// Lets a token of an account be made, or refuses it.
pub(super) async fn token(write: &Write<'_>, request: &Value) -> Result<(), Status> {
    node::token(write, request).await
}

/// Writes into a pod that gets a node where that node stands.
pub(super) async fn bind(write: &Write<'_>, binding: &mut Value, node: &str) -> Result<(), Status> {
    topology::put(write, binding, node).await
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}
