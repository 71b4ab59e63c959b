//! Role-based access control: rules that are granted to subjects by bindings, cluster-wide or in a namespace.
//!
//! [`Index`] answers who may do what, fed with the four kinds of objects. [`escalation`] keeps a user from granting
//! what that user does not hold. [`aggregate`] fills aggregated ClusterRoles, [`standard`] are the roles that every
//! cluster has, and [`reconcile`] says what to write at start so that they are there.

pub mod aggregate;
mod cover;
pub mod escalation;
mod index;
pub mod reconcile;
pub mod standard;

pub use index::{Index, Kind};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Action, Target};

/// The API group of all four kinds.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// What may be done to what. A rule grants; nothing forbids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// `*` is every verb.
    #[serde(deserialize_with = "null_is_empty")]
    pub verbs: Vec<String>,
    /// `*` is every group, the empty text the core group.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// `*` is every resource and subresource, `pods/log` one subresource, `*/scale` that subresource of all.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Only these objects, when not empty.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths outside the resources; a `*` at the end takes every rest.
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub non_resource_urls: Vec<String>,
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

impl Rule {
    /// Does this rule grant that?
    pub fn allows(&self, action: &Action<'_>) -> bool {
        has(&self.verbs, "*", action.verb)
            && match action.target {
                Target::Path(path) => self.non_resource_urls.iter().any(|url| covers_path(url, path)),
                Target::Resource(on) => {
                    has(&self.api_groups, "*", on.group)
                        && self.resources.iter().any(|rule| names_resource(rule, on.resource, on.subresource))
                        && (self.resource_names.is_empty()
                            || self.resource_names.iter().any(|name| name == on.name))
                }
            }
    }
}

fn has(list: &[String], all: &str, wanted: &str) -> bool {
    list.iter().any(|one| one == all || one == wanted)
}

fn covers_path(url: &str, path: &str) -> bool {
    url == path || url.ends_with('*') && path.starts_with(url.trim_end_matches('*'))
}

fn names_resource(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    match rule.split_once('/') {
        None => subresource.is_empty() && rule == resource,
        Some((of, sub)) => !subresource.is_empty() && sub == subresource && (of == "*" || of == resource),
    }
}

/// To whom a binding grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// Of users and groups, [`GROUP`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    /// Whose.
    pub name: String,
    /// Of service accounts; that of the binding when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// What a binding grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleRef {
    /// [`GROUP`].
    pub api_group: String,
    /// `Role` or `ClusterRole`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Resource;
    use super::*;

    fn rule(json: serde_json::Value) -> Rule {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_rule_grants_its_verbs_groups_resources_and_names() {
        let pods =
            rule(json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]}));
        let scale = rule(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/scale"]}));
        let named = rule(
            json!({"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}),
        );
        let all = rule(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        let on = |group, resource, subresource, name| Resource {
            group,
            resource,
            subresource,
            name,
            ..Resource::default()
        };
        for (rule, verb, on, allowed) in [
            (&pods, "get", on("", "pods", "", "p"), true),
            (&pods, "get", on("", "pods", "log", "p"), true),
            (&pods, "get", on("", "pods", "exec", "p"), false),
            (&pods, "delete", on("", "pods", "", "p"), false),
            (&pods, "get", on("apps", "pods", "", "p"), false),
            (&pods, "get", on("", "secrets", "", "p"), false),
            (&scale, "update", on("apps", "deployments", "scale", "d"), true),
            (&scale, "update", on("apps", "deployments", "", "d"), false),
            (&scale, "update", on("apps", "deployments", "status", "d"), false),
            (&named, "get", on("", "secrets", "", "a"), true),
            (&named, "get", on("", "secrets", "", "b"), false),
            (&named, "get", on("", "secrets", "", ""), false),
            (&all, "impersonate", on("", "users", "", "x"), true),
            (&all, "get", on("a", "b", "c", "d"), true),
        ] {
            assert_eq!(rule.allows(&Action::on(verb, on)), allowed, "{verb} {on:?}");
        }
        assert!(!all.allows(&Action::path("get", "/healthz")), "resources are not paths");
    }

    #[test]
    fn a_rule_grants_its_paths() {
        let urls = rule(json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*"]}));
        let all = rule(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
        for (rule, verb, path, allowed) in [
            (&urls, "get", "/healthz", true),
            (&urls, "get", "/healthz/etcd", false),
            (&urls, "get", "/api/v1", true),
            (&urls, "get", "/api/", true),
            (&urls, "get", "/api", false),
            (&urls, "post", "/healthz", false),
            (&all, "post", "/anything", true),
        ] {
            assert_eq!(rule.allows(&Action::path(verb, path)), allowed, "{verb} {path}");
        }
    }

    #[test]
    fn null_lists_are_empty_ones() {
        assert_eq!(rule(json!({"verbs": null, "resources": null})), Rule::default());
    }
}
