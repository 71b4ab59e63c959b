//! Who asks, and what they may do.
//!
//! ```text
//!  TLS, headers ──▶ authenticate ──▶ impersonate ──▶ chain: superuser, node, rbac ──▶ the request
//!                   certificate,                     Verdict { allowed, reason }
//!                   tokens, anonymous
//! ```
//!
//! Everything here decides from what it is given: the caller feeds the indices of [`rbac`] and [`node`] with objects,
//! answers questions about objects that tokens are bound to, and passes the time. Only [`files`] touches the disk.

mod authenticate;
mod bootstrap;
pub mod ca;
pub mod certificate;
mod chain;
pub mod files;
mod forbidden;
mod impersonate;
mod kubeconfig;
pub mod node;
pub mod podsecurity;
mod quote;
pub mod rbac;
pub mod reviews;
pub mod signer;
pub mod tls;
pub mod token;

use std::collections::BTreeMap;

pub use authenticate::{Authenticator, Lookup, Presented, Unauthenticated};
pub use bootstrap::BootstrapToken;
pub use chain::Chain;
pub use forbidden::forbidden;
pub use impersonate::impersonate;
pub use kubeconfig::kubeconfig;
use serde_json::{Map, Value, json};

use super::status::Status;

/// The user of requests that present no credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// Every user who is somebody.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The anonymous user.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// May do everything, without being asked further.
pub const MASTERS: &str = "system:masters";
/// Every node.
pub const NODES: &str = "system:nodes";
/// What a node's user name starts with.
pub const NODE_USER: &str = "system:node:";
/// What a service account's user name starts with: `system:serviceaccount:NAMESPACE:NAME`.
pub const SERVICE_ACCOUNT_USER: &str = "system:serviceaccount:";
/// The key of a user's `extra` that tells credentials apart in audit logs.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name that rules are about.
    pub name: String,
    /// Tells users of one name apart over time; often empty.
    pub uid: String,
    /// In the order in which they were found.
    pub groups: Vec<String>,
    /// What else the credentials say.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user of that name and those groups.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Self { name: name.to_owned(), groups, ..Self::default() }
    }

    /// Whoever may do everything, as what runs inside the server is called.
    pub fn master() -> Self {
        Self::new("system:apiserver", &[MASTERS])
    }

    /// The anonymous user.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS, &[UNAUTHENTICATED])
    }

    /// A service account, with the groups that all of them have.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: service_account_user(namespace, name),
            uid: uid.to_owned(),
            groups: service_account_groups(namespace),
            extra: BTreeMap::new(),
        }
    }

    /// Is this user in that group?
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|one| one == group)
    }

    /// The node that this user is: its user name and its group both say so.
    pub fn node(&self) -> Option<&str> {
        self.name.strip_prefix(NODE_USER).filter(|_| self.in_group(NODES))
    }

    /// The `userInfo` of a review's status.
    pub fn to_json(&self) -> Value {
        let mut info = Map::new();
        info.insert("username".into(), json!(self.name));
        if !self.uid.is_empty() {
            info.insert("uid".into(), json!(self.uid));
        }
        if !self.groups.is_empty() {
            info.insert("groups".into(), json!(self.groups));
        }
        if !self.extra.is_empty() {
            info.insert("extra".into(), json!(self.extra));
        }
        Value::Object(info)
    }
}

/// The user name of a service account.
pub fn service_account_user(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_USER}{namespace}:{name}")
}

/// The namespace and name of the service account that a user name is about, when both are well formed.
pub fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT_USER)?.split_once(':')?;
    let fits = api_objects::names::dns_label(namespace).is_empty()
        && api_objects::names::dns_subdomain(name).is_empty();
    fits.then_some((namespace, name))
}

fn service_account_groups(namespace: &str) -> Vec<String> {
    vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

/// What is to be done, as authorization sees it.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// `get`, `list`, `create`, `impersonate` …, for paths the HTTP method in lower case.
    pub verb: &'a str,
    /// To what.
    pub target: Target<'a>,
}

/// To what something is done.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// An object, or all of a kind.
    Resource(Resource<'a>),
    /// A path outside the resources: `/healthz`.
    Path(&'a str),
}

/// An object, or all objects of a kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resource<'a> {
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The plural name.
    pub resource: &'a str,
    /// `status`, `scale` …, or empty.
    pub subresource: &'a str,
    /// Empty for what is in no namespace, and for all namespaces.
    pub namespace: &'a str,
    /// Empty for all of them, and while creating.
    pub name: &'a str,
    /// The equalities that a field selector demands: field and value.
    pub fields: &'a [(String, String)],
}

impl<'a> Action<'a> {
    /// Something done to a resource.
    pub fn on(verb: &'a str, resource: Resource<'a>) -> Self {
        Self { verb, target: Target::Resource(resource) }
    }

    /// A request for a path outside the resources.
    pub fn path(verb: &'a str, path: &'a str) -> Self {
        Self { verb, target: Target::Path(path) }
    }
}

/// What authorization says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// May it be done?
    pub allowed: bool,
    /// Why, or why not; often empty.
    pub reason: String,
}

impl Verdict {
    /// It may be done.
    pub fn allow(reason: impl Into<String>) -> Self {
        Self { allowed: true, reason: reason.into() }
    }

    /// Nothing here allows it.
    pub fn refuse(reason: impl Into<String>) -> Self {
        Self { allowed: false, reason: reason.into() }
    }
}

/// Whatever can say who may do what.
pub trait Authorizer {
    /// May this user do that?
    fn authorize(&self, user: &User, action: &Action<'_>) -> Verdict;
}
