//! A client of the API server in its own process: the same way as everybody's requests, without a connection.
//!
//! Controllers, the scheduler and simulated nodes write through it, each under the identity that upstream gives it, so
//! that validation, admission, authorization and ownership of fields are the same for them as for people. What can do
//! with little may also ask a server elsewhere ([`remote`]), as who it is known there, or as others where that one may
//! act for them.

mod fence;
pub mod kubeconfig;
pub mod remote;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use jiff::Timestamp;
use serde_json::{Value, json};

pub use self::fence::Fence;
use self::remote::Remote;
use crate::apiserver::auth::User;
use crate::apiserver::server::Server;

/// A kind as one group-version serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvr {
    /// The group; empty for the core one.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The resource, in the plural.
    pub resource: &'static str,
}

/// Names of kinds that are only known at run time. They are kept for ever, each once: there are no more of them than
/// there ever were kinds, and every object of a kind refers to them.
static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

fn keep(name: &str) -> &'static str {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    match names.get(name) {
        Some(kept) => kept,
        None => {
            let kept: &'static str = Box::leak(name.into());
            names.insert(kept);
            kept
        }
    }
}

impl Gvr {
    /// A kind that is known when this is built.
    pub const fn of(group: &'static str, version: &'static str, resource: &'static str) -> Self {
        Self { group, version, resource }
    }

    /// A kind that is only known at run time.
    pub fn named(group: &str, version: &str, resource: &str) -> Self {
        Self { group: keep(group), version: keep(version), resource: keep(resource) }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        crate::apiserver::kinds::api_version(self.group, self.version)
    }

    /// The path of an object; of a collection where the name is empty, of all namespaces' objects, or of objects that
    /// live in none, where the namespace is empty.
    pub fn path(&self, namespace: &str, name: &str) -> String {
        let mut path =
            if self.group.is_empty() { "/api/".to_owned() } else { format!("/apis/{}/", self.group) };
        path.push_str(self.version);
        if !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        path.push('/');
        path.push_str(self.resource);
        if !name.is_empty() {
            path.push('/');
            escape(name, &mut path);
        }
        path
    }
}

/// Writes a name as a segment of a path (RFC 3986, 3.3).
fn escape(name: &str, path: &mut String) {
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                path.push(byte.into())
            }
            other => path.push_str(&format!("%{other:02X}")),
        }
    }
}

/// An object's place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// Its kind.
    pub kind: Gvr,
    /// Its namespace; empty where it lives in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Id {
    /// The place of an object.
    pub fn new(kind: &Gvr, namespace: &str, name: &str) -> Self {
        Self { kind: *kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Its path.
    pub fn path(&self) -> String {
        self.kind.path(&self.namespace, &self.name)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind.resource, self.namespace, self.name)
    }
}

/// How a patch is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 7386.
    Merge,
    /// With lists merged by their keys.
    Strategic,
    /// Server-side apply by a manager of this name, who takes what others own.
    Apply(&'static str),
}

impl PatchType {
    fn media(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            // JSON is YAML.
            Self::Apply(_) => "application/apply-patch+yaml",
        }
    }
}

/// A request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// The HTTP status.
    pub code: u16,
    /// The reason that programs look at.
    pub reason: String,
    /// In words.
    pub message: String,
    /// The reasons of the details' causes.
    pub causes: Vec<String>,
}

impl Refused {
    /// There is no such object.
    pub fn is_not_found(&self) -> bool {
        self.code == 404
    }

    /// Somebody else was faster, or there is such an object already.
    pub fn is_conflict(&self) -> bool {
        self.code == 409
    }

    /// Nothing can be made in a namespace that is going.
    pub fn is_namespace_going(&self) -> bool {
        self.causes.iter().any(|cause| cause == "NamespaceTerminating")
    }

    /// Something went wrong on the way, so that it is not known what became of the request.
    pub(crate) fn unclear(message: String) -> Self {
        Self { code: 500, reason: "InternalError".to_owned(), message, causes: Vec::new() }
    }

    /// Who asks may not write any more, and did not.
    fn late() -> Self {
        let message = "whoever leads now writes this".to_owned();
        Self { code: 503, reason: "ServiceUnavailable".to_owned(), message, causes: Vec::new() }
    }

    /// A `Status` that came as an object.
    pub(crate) fn of_status(status: &Value) -> Self {
        let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        Self::of(code.unwrap_or(500), status)
    }

    pub(crate) fn of(code: u16, answer: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let causes = answer["details"]["causes"].as_array().into_iter().flatten();
        Self {
            code,
            reason: text(&answer["reason"]),
            message: answer["message"].as_str().map_or_else(|| format!("status {code}"), str::to_owned),
            causes: causes.map(|cause| text(&cause["reason"])).collect(),
        }
    }
}

/// Somebody who sends requests.
#[derive(Clone)]
pub struct Client {
    way: Way,
    agent: &'static str,
    fence: Option<Fence>,
}

/// Where the server is, and as whom it is asked.
#[derive(Clone)]
enum Way {
    /// In this process.
    Here(Arc<Server>, User),
    /// Elsewhere; without a user, as whoever is known there.
    There(Arc<Remote>, Option<User>),
}

impl Client {
    /// A user in groups. `agent` is who owns the fields that are written.
    pub fn new(server: Arc<Server>, name: &str, groups: &[&str], agent: &'static str) -> Self {
        Self { way: Way::Here(server, user(name, groups)), agent, fence: None }
    }

    /// Who asks a server elsewhere, as who is known there.
    pub fn remote(remote: Arc<Remote>, agent: &'static str) -> Self {
        Self { way: Way::There(remote, None), agent, fence: None }
    }

    /// Another user of the same server.
    pub fn acting_as(&self, name: &str, groups: &[&str]) -> Self {
        let way = match &self.way {
            Way::Here(server, _) => Way::Here(server.clone(), user(name, groups)),
            // Whoever authenticates is in the group of those who did: that is added there.
            Way::There(remote, _) => Way::There(remote.clone(), Some(User::new(name, groups))),
        };
        Self { way, agent: self.agent, fence: self.fence.clone() }
    }

    /// What runs inside the server, which may do everything.
    pub fn master(server: Arc<Server>, agent: &'static str) -> Self {
        Self { way: Way::Here(server, User::master()), agent, fence: None }
    }

    /// A service account of `kube-system`.
    pub fn service_account(server: Arc<Server>, name: &str, agent: &'static str) -> Self {
        let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system"];
        Self::new(server, &format!("system:serviceaccount:kube-system:{name}"), &groups, agent)
    }

    /// The same, who writes no longer once the fence holds no longer.
    pub fn fenced(self, fence: Option<Fence>) -> Self {
        Self { fence, ..self }
    }

    /// The time by which what is written is stamped.
    pub fn now(&self) -> Timestamp {
        match &self.way {
            Way::Here(server, _) => server.now(),
            Way::There(..) => Timestamp::now(),
        }
    }

    /// The name in the singular of a kind's objects, where that is known without asking.
    pub fn kind_of(&self, kind: &Gvr) -> Option<String> {
        let Way::Here(server, _) = &self.way else { return None };
        let table = server.kinds.table();
        table.find(kind.group, kind.version, kind.resource).map(|found| found.kind.kind.clone())
    }

    /// Who owns the fields that are written.
    pub fn agent(&self) -> &'static str {
        self.agent
    }

    /// Sends a request and reads its answer, which is JSON, to the end.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Value, Refused> {
        let late = self.fence.as_ref().is_some_and(|fence| !fence.holds());
        if late && method != Method::GET {
            return Err(Refused::late());
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, content_type)
            .header(USER_AGENT, self.agent)
            .body(Full::new(bytes));
        let request = request.map_err(|error| Refused::unclear(format!("{path}: {error}")))?;
        let (code, bytes) = match &self.way {
            Way::Here(server, user) => {
                let (parts, body) = server.answer_as(user.clone(), request).await.into_parts();
                let bytes = body.collect().await.map_err(|never| match never {})?.to_bytes();
                (parts.status.as_u16(), bytes)
            }
            Way::There(remote, user) => {
                let (code, body) = ask(remote, user.as_ref(), request).await?;
                let body = body.collect().await;
                (code, body.map_err(|error| Refused::unclear(format!("{path}: {error}")))?.to_bytes())
            }
        };
        let answer = serde_json::from_slice(&bytes);
        match code {
            200..300 => {
                answer.map_err(|error| Refused::unclear(format!("{path}: reading the answer: {error}")))
            }
            code => Err(Refused::of(code, &answer.unwrap_or_default())),
        }
    }

    /// Reads a path of a server elsewhere whose answer goes on.
    pub(crate) async fn open(&self, path: &str) -> Result<Incoming, Refused> {
        let Way::There(remote, user) = &self.way else {
            return Err(Refused::unclear("a server in this process is followed by its caches".to_owned()));
        };
        let request = Request::get(path).header(ACCEPT, "application/json").header(USER_AGENT, self.agent);
        let request =
            request.body(Full::default()).map_err(|error| Refused::unclear(format!("{path}: {error}")))?;
        match ask(remote, user.as_ref(), request).await? {
            (200..300, body) => Ok(body),
            (code, body) => {
                let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                Err(Refused::of(code, &serde_json::from_slice(&bytes).unwrap_or_default()))
            }
        }
    }

    async fn json(&self, method: Method, path: &str, body: &Value) -> Result<Value, Refused> {
        self.send(method, path, "application/json", Some(body)).await
    }

    /// Reads an object.
    pub async fn get(&self, id: &Id) -> Result<Value, Refused> {
        self.send(Method::GET, &id.path(), "application/json", None).await
    }

    /// Lists a collection.
    pub async fn list(&self, kind: &Gvr, namespace: &str, query: &str) -> Result<Value, Refused> {
        let path = format!("{}?{query}", kind.path(namespace, ""));
        self.send(Method::GET, &path, "application/json", None).await
    }

    /// Creates an object.
    pub async fn create(&self, kind: &Gvr, namespace: &str, object: &Value) -> Result<Value, Refused> {
        self.json(Method::POST, &kind.path(namespace, ""), object).await
    }

    /// Posts to a subresource.
    pub async fn post(&self, id: &Id, subresource: &str, object: &Value) -> Result<Value, Refused> {
        self.json(Method::POST, &format!("{}/{subresource}", id.path()), object).await
    }

    /// Replaces an object, or a subresource of it.
    pub async fn replace(&self, id: &Id, subresource: &str, object: &Value) -> Result<Value, Refused> {
        self.json(Method::PUT, &below(id, subresource), object).await
    }

    /// Patches an object, or a subresource of it.
    pub async fn patch(
        &self,
        id: &Id,
        subresource: &str,
        how: PatchType,
        patch: &Value,
    ) -> Result<Value, Refused> {
        let mut path = below(id, subresource);
        if let PatchType::Apply(manager) = how {
            path.push_str(&format!("?fieldManager={manager}&force=true"));
        }
        self.send(Method::PATCH, &path, how.media(), Some(patch)).await
    }

    /// Deletes an object; `options` are those of `DeleteOptions`.
    pub async fn delete(&self, id: &Id, options: &Value) -> Result<Value, Refused> {
        let mut options = options.clone();
        options["apiVersion"] = json!("v1");
        options["kind"] = json!("DeleteOptions");
        self.json(Method::DELETE, &id.path(), &options).await
    }

    /// Deletes all objects of a kind in a namespace.
    pub async fn delete_collection(&self, kind: &Gvr, namespace: &str) -> Result<Value, Refused> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        self.json(Method::DELETE, &kind.path(namespace, ""), &options).await
    }
}

fn below(id: &Id, subresource: &str) -> String {
    if subresource.is_empty() { id.path() } else { format!("{}/{subresource}", id.path()) }
}

/// A user who authenticated.
fn user(name: &str, groups: &[&str]) -> User {
    User::new(name, &[groups, &["system:authenticated"]].concat())
}

/// Asks a server elsewhere.
async fn ask(
    remote: &Remote,
    user: Option<&User>,
    mut request: Request<Full<Bytes>>,
) -> Result<(u16, Incoming), Refused> {
    if let Some(user) = user {
        let groups = user.groups.iter().map(|group| ("impersonate-group", group));
        for (name, value) in [("impersonate-user", &user.name)].into_iter().chain(groups) {
            let value = HeaderValue::try_from(value).map_err(|error| Refused::unclear(error.to_string()))?;
            request.headers_mut().append(name, value);
        }
    }
    let answer = remote.send(request).await.map_err(|error| Refused::unclear(error.to_string()))?;
    let (parts, body) = answer.into_parts();
    Ok((parts.status.as_u16(), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        let pods = Gvr::of("", "v1", "pods");
        let roles = Gvr::of("rbac.authorization.k8s.io", "v1", "clusterroles");
        assert_eq!(pods.path("a", "b"), "/api/v1/namespaces/a/pods/b");
        assert_eq!(pods.path("", ""), "/api/v1/pods");
        assert_eq!(
            roles.path("", "system:a b/c"),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%20b%2Fc"
        );
        assert_eq!(roles.api_version(), "rbac.authorization.k8s.io/v1");
    }

    #[test]
    fn a_refusal_tells_what_programs_look_at() {
        let status = json!({"reason": "Forbidden", "message": "no",
            "details": {"causes": [{"reason": "NamespaceTerminating"}]}});
        let refused = Refused::of(403, &status);
        assert!(refused.is_namespace_going() && !refused.is_conflict());
        assert_eq!(Refused::of(502, &Value::Null).message, "status 502");
    }
}
