//! What every cluster has: written when the server starts where it is not there, and mended where upgrades need it.
//!
//! Namespaces come first, since the rest stands in them, then what Services have of the cluster; everything else is
//! written side by side.

use std::collections::HashMap;
use std::sync::Arc;

use api_objects::time;
use futures_util::future::{try_join, try_join_all};
use http::Method;
use serde_json::{Value, json};

use crate::apiserver::auth::rbac::{self, reconcile};
use crate::apiserver::server::Server;
use crate::apiserver::services::{default_range, repair};
use crate::client::{Client, Gvr, Id, Refused};
use crate::controllers::flow::{self, ensure};

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// What the node and the cluster cannot do without goes before everything of users, whose priorities end at 10⁹.
const PRIORITIES: [(&str, i64, &str); 2] = [
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
];

const NAMESPACE: Gvr = Gvr::of("", "v1", "namespaces");
const SERVICE_RANGE: Gvr = Gvr::of("networking.k8s.io", "v1", "servicecidrs");
const PRIORITY_CLASS: Gvr = Gvr::of("scheduling.k8s.io", "v1", "priorityclasses");

/// Something could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {}: {why}", why.code)]
pub struct BootstrapError {
    path: String,
    why: Refused,
}

/// Writes what is missing, and says what is wrong with the ports of Services.
///
/// # Errors
/// When the store does not take it.
pub async fn prepare(server: &Arc<Server>) -> Result<Vec<repair::Fault>, BootstrapError> {
    let client = &Client::master(server.clone(), "kube-apiserver");
    let namespaces = NAMESPACES.map(|name| json!({ "metadata": { "name": name } }));
    try_join_all(namespaces.iter().map(|object| create(client, &NAMESPACE, object))).await?;
    keep_range(server, client).await?;
    let faults = repair::pass(server, &mut repair::Leaks::new()).await.map_err(|status| BootstrapError {
        path: "the ports of Services".to_owned(),
        why: Refused::of(status.code.as_u16(), &status.to_json()),
    })?;
    let priorities = PRIORITIES.map(|(name, value, description)| {
        json!({ "metadata": { "name": name }, "value": value, "description": description })
    });
    try_join_all(priorities.iter().map(|object| create(client, &PRIORITY_CLASS, object))).await?;
    try_join(rules(client), flows(&Client::master(server.clone(), flow::PRODUCER))).await?;
    Ok(faults)
}

/// The standard roles and bindings.
async fn rules(client: &Client) -> Result<(), BootstrapError> {
    let mut found = HashMap::new();
    for kind in
        [rbac::Kind::ClusterRole, rbac::Kind::ClusterRoleBinding, rbac::Kind::Role, rbac::Kind::RoleBinding]
    {
        let kind = resource(kind);
        for object in all(client, &kind).await? {
            found.insert(id(&kind, &object), object);
        }
    }
    let steps = reconcile::plan(|kind, namespace, name| {
        found.get(&Id::new(&resource(kind), namespace, name)).cloned()
    });
    try_join_all(steps.into_iter().map(|step| take(client, step))).await?;
    Ok(())
}

/// The standard priority levels and flow schemas.
async fn flows(client: &Client) -> Result<(), BootstrapError> {
    let (levels, schemas) = try_join(all(client, &flow::LEVELS), all(client, &flow::SCHEMAS)).await?;
    for steps in ensure::together(&ensure::plan(&levels, &schemas)) {
        try_join_all(steps.iter().map(|step| keep(client, step))).await?;
    }
    Ok(())
}

async fn keep(client: &Client, step: &ensure::Step) -> Result<(), BootstrapError> {
    let (id, done) = match step {
        ensure::Step::Create(kind, object) => return create(client, kind, object).await,
        ensure::Step::Update(id, object) => (id, client.replace(id, "", object).await),
        ensure::Step::Delete { id, uid, revision } => {
            let options = json!({ "preconditions": { "uid": uid, "resourceVersion": revision.to_string() } });
            (id, client.delete(id, &options).await)
        }
    };
    match done {
        // Somebody was faster. It is looked at again as long as controllers run.
        Err(why) if why.is_conflict() || why.is_not_found() => Ok(()),
        done => done.map(drop).map_err(|why| failed(id.path(), why)),
    }
}

/// The objects of a kind.
async fn all(client: &Client, kind: &Gvr) -> Result<Vec<Value>, BootstrapError> {
    let mut list = client.list(kind, "", "").await.map_err(|why| failed(kind.path("", ""), why))?;
    Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
}

/// Makes the ServiceCIDR that every cluster has, and says that it is ready.
///
/// # Errors
/// When the store does not take it.
pub async fn keep_range(server: &Server, client: &Client) -> Result<(), BootstrapError> {
    let id = Id::new(&SERVICE_RANGE, "", default_range::NAME);
    let told: Vec<String> = server.network.ranges.blocks().map(|block| block.to_string()).collect();
    loop {
        let found = match client.get(&id).await {
            Err(why) if why.is_not_found() => None,
            found => Some(found.map_err(|why| failed(id.path(), why))?),
        };
        let written = match default_range::plan(found.as_ref(), &told, &time::format(server.now())) {
            default_range::Step::Nothing => return Ok(()),
            default_range::Step::Otherwise => {
                tracing::debug!(
                    ?told,
                    "the ServiceCIDR {} names other blocks than this server was told",
                    id.name
                );
                return Ok(());
            }
            default_range::Step::Create(object) => client.create(&id.kind, "", &object).await,
            default_range::Step::Replace(object) => client.replace(&id, "", &object).await,
            default_range::Step::Ready(status) => {
                let query = format!("fieldManager={}&force=true", default_range::WRITER);
                let path = format!("{}/status?{query}", id.path());
                client.send(Method::PATCH, &path, "application/apply-patch+yaml", Some(&status)).await
            }
        };
        match written {
            // Another server of the cluster was faster.
            Err(why) if why.is_conflict() => {}
            written => drop(written.map_err(|why| failed(id.path(), why))?),
        }
    }
}

async fn take(client: &Client, step: reconcile::Step) -> Result<(), BootstrapError> {
    match step {
        reconcile::Step::Create(kind, object) => create(client, &resource(kind), &object).await,
        reconcile::Step::Update(kind, object) => {
            let id = id(&resource(kind), &object);
            client.replace(&id, "", &object).await.map(drop).map_err(|why| failed(id.path(), why))
        }
        reconcile::Step::Recreate { kind, uid, object } => {
            let id = id(&resource(kind), &object);
            let options = json!({ "preconditions": { "uid": uid } });
            client.delete(&id, &options).await.map_err(|why| failed(id.path(), why))?;
            create(client, &id.kind, &object).await
        }
    }
}

fn resource(kind: rbac::Kind) -> Gvr {
    let resource = match kind {
        rbac::Kind::Role => "roles",
        rbac::Kind::ClusterRole => "clusterroles",
        rbac::Kind::RoleBinding => "rolebindings",
        rbac::Kind::ClusterRoleBinding => "clusterrolebindings",
    };
    Gvr::of(rbac::GROUP, "v1", resource)
}

fn id(kind: &Gvr, object: &Value) -> Id {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
    Id::new(kind, text("namespace"), text("name"))
}

/// Creates an object unless it is there.
async fn create(client: &Client, kind: &Gvr, object: &Value) -> Result<(), BootstrapError> {
    let id = id(kind, object);
    match client.create(kind, &id.namespace, object).await {
        Err(why) if !why.is_conflict() => Err(failed(id.path(), why)),
        _ => Ok(()),
    }
}

fn failed(path: String, why: Refused) -> BootstrapError {
    BootstrapError { path, why }
}
