//! What every cluster has: written when the server starts where it is not there, and mended where upgrades need it.
//!
//! Namespaces come first, since the rest stands in them; everything else is written side by side.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use super::auth::User;
use super::auth::rbac::{self, reconcile};
use super::server::Server;

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

/// Something could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{method} {path}: {code}: {message}")]
pub struct BootstrapError {
    method: Method,
    path: String,
    code: u16,
    message: String,
}

/// Writes what is missing.
///
/// # Errors
/// When the store does not take it.
pub async fn prepare(server: &Arc<Server>) -> Result<(), BootstrapError> {
    let namespaces = NAMESPACES.map(|name| json!({ "metadata": { "name": name } }));
    try_join_all(namespaces.iter().map(|object| create(server, "/api/v1/namespaces", object))).await?;
    let priorities = PRIORITIES.map(|(name, value, description)| {
        json!({ "metadata": { "name": name }, "value": value, "description": description })
    });
    let path = "/apis/scheduling.k8s.io/v1/priorityclasses";
    try_join_all(priorities.iter().map(|object| create(server, path, object))).await?;
    let mut found = HashMap::new();
    for kind in
        [rbac::Kind::ClusterRole, rbac::Kind::ClusterRoleBinding, rbac::Kind::Role, rbac::Kind::RoleBinding]
    {
        let list = send(server, Method::GET, &place(kind, ""), None).await?;
        for object in list["items"].as_array().into_iter().flatten() {
            found.insert(identity(kind, object), object.clone());
        }
    }
    let steps = reconcile::plan(|kind, namespace, name| {
        found.get(&(resource(kind), namespace.to_owned(), name.to_owned())).cloned()
    });
    try_join_all(steps.into_iter().map(|step| take(server, step))).await?;
    Ok(())
}

async fn take(server: &Arc<Server>, step: reconcile::Step) -> Result<(), BootstrapError> {
    let namespace = |object: &Value| object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let named = |kind, object: &Value| {
        format!(
            "{}/{}",
            place(kind, &namespace(object)),
            object["metadata"]["name"].as_str().unwrap_or_default()
        )
    };
    match step {
        reconcile::Step::Create(kind, object) => {
            create(server, &place(kind, &namespace(&object)), &object).await
        }
        reconcile::Step::Update(kind, object) => {
            send(server, Method::PUT, &named(kind, &object), Some(&object)).await.map(drop)
        }
        reconcile::Step::Recreate { kind, uid, object } => {
            let options = json!({ "preconditions": { "uid": uid } });
            send(server, Method::DELETE, &named(kind, &object), Some(&options)).await?;
            create(server, &place(kind, &namespace(&object)), &object).await
        }
    }
}

fn resource(kind: rbac::Kind) -> &'static str {
    match kind {
        rbac::Kind::Role => "roles",
        rbac::Kind::ClusterRole => "clusterroles",
        rbac::Kind::RoleBinding => "rolebindings",
        rbac::Kind::ClusterRoleBinding => "clusterrolebindings",
    }
}

fn place(kind: rbac::Kind, namespace: &str) -> String {
    let group = format!("/apis/{}/v1", rbac::GROUP);
    match namespace {
        "" => format!("{group}/{}", resource(kind)),
        _ => format!("{group}/namespaces/{namespace}/{}", resource(kind)),
    }
}

fn identity(kind: rbac::Kind, object: &Value) -> (&'static str, String, String) {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    (resource(kind), text("namespace"), text("name"))
}

/// Creates an object unless it is there.
async fn create(server: &Arc<Server>, path: &str, object: &Value) -> Result<(), BootstrapError> {
    match send(server, Method::POST, path, Some(object)).await {
        Err(error) if error.code == 409 => Ok(()),
        sent => sent.map(drop),
    }
}

async fn send(
    server: &Arc<Server>,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, BootstrapError> {
    let failed = |code, message: String| BootstrapError {
        method: method.clone(),
        path: path.to_owned(),
        code,
        message,
    };
    let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let request = Request::builder().method(method.clone()).uri(path).body(Full::new(bytes));
    let request = request.map_err(|error| failed(400, error.to_string()))?;
    let (parts, body) = server.answer_as(User::master(), request).await.into_parts();
    let bytes = body.collect().await.map_err(|error| failed(500, error.to_string()))?.to_bytes();
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if parts.status.is_success() {
        return Ok(answer);
    }
    Err(failed(parts.status.as_u16(), answer["message"].as_str().unwrap_or_default().to_owned()))
}
