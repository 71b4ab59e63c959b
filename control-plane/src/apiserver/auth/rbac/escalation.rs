//! Nobody grants what they do not hold: checks before a role or a binding is written.
//!
//! A role may be written by whoever holds its rules or has the verb `escalate` on it, a binding by whoever holds the
//! rules of its role or has the verb `bind` on that role. Members of `system:masters` may do both.

use serde::Deserialize;
use serde_json::Value;

use super::cover::{described, missing};
use super::index::MissingRole;
use super::{GROUP, Index, RoleRef, Rule, null_is_empty};
use crate::apiserver::auth::quote::{aggregated, quoted, quoted_list};
use crate::apiserver::auth::{Action, Authorizer, MASTERS, Resource, Status, User};

/// A write that is checked.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    /// Who writes.
    pub user: &'a User,
    /// Of the request's path: the plural resource, the namespace (or empty), and the name (empty while creating).
    pub resource: &'a str,
    /// See `resource`.
    pub namespace: &'a str,
    /// See `resource`.
    pub name: &'a str,
    /// What was there, unless it is being created.
    pub old: Option<&'a Value>,
    /// What is to be written.
    pub new: &'a Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Role {
    #[serde(deserialize_with = "null_is_empty")]
    rules: Vec<Rule>,
}

/// May this Role or ClusterRole be written?
///
/// # Errors
/// Why not, in the API's words.
pub fn check_role(index: &Index, authorizer: &dyn Authorizer, write: &Write<'_>) -> Result<(), Status> {
    let escalate = Resource {
        group: GROUP,
        resource: write.resource,
        namespace: write.namespace,
        name: write.name,
        ..Resource::default()
    };
    if write.user.in_group(MASTERS)
        || authorizer.authorize(write.user, &Action::on("escalate", escalate)).allowed
        || write.old.is_some_and(|old| only_garbage_collection_differs(old, write.new))
    {
        return Ok(());
    }
    let name = write.new["metadata"]["name"].as_str().unwrap_or(write.name);
    let refuse = |why: &str| Status::forbidden(GROUP, write.resource, name, why);
    let role = Role::deserialize(write.new).map_err(|error| Status::bad_request(error.to_string()))?;
    held(index, write, &role.rules).map_err(|why| refuse(&why))?;
    // Such a role takes in rules of others later on, whatever they are.
    if aggregates(write.new) || write.old.is_some_and(aggregates) {
        let all = || vec!["*".to_owned()];
        let resources = Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() };
        let paths = Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() };
        held(index, write, &[resources, paths])
            .map_err(|_| refuse("must have cluster-admin privileges to use the aggregationRule"))?;
    }
    Ok(())
}

/// May this RoleBinding or ClusterRoleBinding be written?
///
/// # Errors
/// Why not, in the API's words.
pub fn check_binding(index: &Index, authorizer: &dyn Authorizer, write: &Write<'_>) -> Result<(), Status> {
    if write.user.in_group(MASTERS)
        || write.old.is_some_and(|old| only_garbage_collection_differs(old, write.new))
    {
        return Ok(());
    }
    let role = RoleRef::deserialize(&write.new["roleRef"]).map_err(|e| Status::bad_request(e.to_string()))?;
    let resource = match &role.kind[..] {
        "ClusterRole" => "clusterroles",
        _ => "roles",
    };
    let bind = Resource {
        group: &role.api_group,
        resource,
        namespace: write.namespace,
        name: &role.name,
        ..Resource::default()
    };
    let known = matches!(&role.kind[..], "ClusterRole" | "Role");
    if known && authorizer.authorize(write.user, &Action::on("bind", bind)).allowed {
        return Ok(());
    }
    let rules = index.role_rules(&role, write.namespace).map_err(|missing| match missing {
        MissingRole::NotFound { .. } => Status::missing(GROUP, resource, &role.name),
        MissingRole::Unsupported(_) => Status::bad_request(missing.to_string()),
    })?;
    let name = write.new["metadata"]["name"].as_str().unwrap_or(write.name);
    held(index, write, rules).map_err(|why| Status::forbidden(GROUP, write.resource, name, &why))
}

/// Does the user hold all these rules in the namespace that is written to?
fn held(index: &Index, write: &Write<'_>, rules: &[Rule]) -> Result<(), String> {
    let (own, errors) = index.rules_for(write.user, write.namespace);
    let missing = missing(&own, rules);
    if missing.is_empty() {
        return Ok(());
    }
    let errors = match &errors[..] {
        [] => String::new(),
        _ => format!("; resolution errors: [{}]", aggregated(&errors)),
    };
    Err(format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}{errors}",
        quoted(&write.user.name),
        quoted_list(&write.user.groups),
        described(&missing).join("\n"),
    ))
}

fn aggregates(role: &Value) -> bool {
    role["aggregationRule"]["clusterRoleSelectors"].as_array().is_some_and(|list| !list.is_empty())
}

/// Do two versions differ in nothing but what deleting the object needs?
fn only_garbage_collection_differs(old: &Value, new: &Value) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.retain(|key, _| !matches!(&key[..], "ownerReferences" | "finalizers" | "managedFields"));
        }
        object
    };
    rest(old) == rest(new)
}

#[cfg(test)]
mod tests;
