//! Roles and bindings, found by subject.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{GROUP, RoleRef, Rule, Subject, null_is_empty};
use crate::apiserver::auth::quote::{aggregated, quoted};
use crate::apiserver::auth::{Action, Authorizer, Target, User, Verdict, service_account_user};

/// The kinds of objects that the index is fed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rules in a namespace.
    Role,
    /// Rules for the cluster, or for whoever binds them in a namespace.
    ClusterRole,
    /// Grants in its namespace.
    RoleBinding,
    /// Grants everywhere.
    ClusterRoleBinding,
}

/// Namespace (empty for the cluster's own) and name.
type Key = (String, String);

#[derive(Debug)]
struct Binding {
    subjects: Vec<Subject>,
    role_ref: RoleRef,
}

/// Who may do what. It holds rules and bindings, not their objects.
#[derive(Debug, Default)]
pub struct Index {
    roles: HashMap<Key, Arc<[Rule]>>,
    bindings: BTreeMap<Key, Binding>,
    users: HashMap<String, BTreeSet<Key>>,
    groups: HashMap<String, BTreeSet<Key>>,
}

#[derive(Deserialize)]
struct Object {
    metadata: Meta,
    #[serde(default, deserialize_with = "null_is_empty")]
    rules: Vec<Rule>,
    #[serde(default, deserialize_with = "null_is_empty")]
    subjects: Vec<Subject>,
    #[serde(default, rename = "roleRef")]
    role_ref: RoleRef,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
    #[serde(default)]
    namespace: String,
}

/// A rule that applies to a user, or why the rules of a binding could not be found.
pub(super) enum Found<'a> {
    Rule { from: Source<'a>, rule: &'a Rule },
    Missing(String),
}

/// The binding that a rule comes from; reads as in `RBAC: allowed by …`.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    key: &'a Key,
    binding: &'a Binding,
    subject: &'a Subject,
}

impl std::fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (namespace, name) = self.key;
        let binding = match &namespace[..] {
            "" => format!("ClusterRoleBinding {}", quoted(name)),
            _ => format!("RoleBinding {}", quoted(&format!("{name}/{namespace}"))),
        };
        let subject = match &self.subject.kind[..] {
            "ServiceAccount" => {
                let own = Some(&self.subject.namespace).filter(|own| !own.is_empty());
                format!("{}/{}", self.subject.name, own.unwrap_or(namespace))
            }
            _ => self.subject.name.clone(),
        };
        let role = &self.binding.role_ref;
        write!(
            f,
            "{binding} of {} {} to {} {}",
            role.kind,
            quoted(&role.name),
            self.subject.kind,
            quoted(&subject)
        )
    }
}

impl Index {
    /// Takes in an object that was added or changed.
    ///
    /// # Errors
    /// When it is none of that kind; what was known of it is forgotten then, so that it grants nothing.
    pub fn insert(&mut self, kind: Kind, object: &Value) -> Result<(), serde_json::Error> {
        let parsed = Object::deserialize(object);
        if let Err(error) = parsed {
            let meta = Meta::deserialize(&object["metadata"])?;
            self.remove(kind, &meta.namespace, &meta.name);
            return Err(error);
        }
        let object = parsed?;
        let key = (object.metadata.namespace, object.metadata.name);
        match kind {
            Kind::Role | Kind::ClusterRole => {
                self.roles.insert(key, object.rules.into());
            }
            Kind::RoleBinding | Kind::ClusterRoleBinding => {
                self.remove(kind, &key.0, &key.1);
                for subject in &object.subjects {
                    if let Some((map, name)) = self.place(subject, &key.0) {
                        map.entry(name).or_default().insert(key.clone());
                    }
                }
                let binding = Binding { subjects: object.subjects, role_ref: object.role_ref };
                self.bindings.insert(key, binding);
            }
        }
        Ok(())
    }

    /// Forgets an object.
    pub fn remove(&mut self, kind: Kind, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        match kind {
            Kind::Role | Kind::ClusterRole => {
                self.roles.remove(&key);
            }
            Kind::RoleBinding | Kind::ClusterRoleBinding => {
                let Some(binding) = self.bindings.remove(&key) else { return };
                for subject in &binding.subjects {
                    let Some((map, name)) = self.place(subject, namespace) else { continue };
                    if let Some(bindings) = map.get_mut(&name) {
                        bindings.remove(&key);
                        if bindings.is_empty() {
                            map.remove(&name);
                        }
                    }
                }
            }
        }
    }

    /// Where a subject's bindings are listed, and under which name.
    fn place(
        &mut self,
        subject: &Subject,
        namespace: &str,
    ) -> Option<(&mut HashMap<String, BTreeSet<Key>>, String)> {
        match &subject.kind[..] {
            "User" => Some((&mut self.users, subject.name.clone())),
            "Group" => Some((&mut self.groups, subject.name.clone())),
            "ServiceAccount" => {
                let namespace =
                    Some(&subject.namespace[..]).filter(|own| !own.is_empty()).unwrap_or(namespace);
                let user = service_account_user(namespace, &subject.name);
                (!namespace.is_empty()).then_some((&mut self.users, user))
            }
            _ => None,
        }
    }

    /// The rules of the role that a binding in `namespace` (empty for a cluster's binding) refers to.
    ///
    /// # Errors
    /// The kind and name of a role that is not there.
    pub fn role_rules(&self, role: &RoleRef, namespace: &str) -> Result<&[Rule], MissingRole> {
        let of = match &role.kind[..] {
            "Role" => namespace,
            "ClusterRole" => "",
            _ => return Err(MissingRole::Unsupported(role.kind.clone())),
        };
        match self.roles.get(&(of.to_owned(), role.name.clone())) {
            Some(rules) if role.kind == "ClusterRole" || !of.is_empty() => Ok(rules),
            _ => Err(MissingRole::NotFound { kind: role.kind.to_lowercase(), name: role.name.clone() }),
        }
    }

    /// Calls `visit` with every rule that applies to the user in the namespace, the cluster's bindings first, each
    /// by name from the last to the first, until it returns false.
    pub(super) fn visit<'a>(
        &'a self,
        user: &User,
        namespace: &str,
        mut visit: impl FnMut(Found<'a>) -> bool,
    ) {
        let of_groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        let mut keys: Vec<&Key> = self
            .users
            .get(&user.name)
            .into_iter()
            .chain(of_groups)
            .flatten()
            .filter(|(of, _)| of.is_empty() || of == namespace)
            .collect();
        // Upstream keeps no order; with this one the reasons are those that were recorded of it.
        keys.sort_unstable_by(|one, other| (&one.0, &other.1).cmp(&(&other.0, &one.1)));
        keys.dedup();
        for key in keys {
            let Some((key, binding)) = self.bindings.get_key_value(key) else { continue };
            let Some(subject) = binding.subjects.iter().find(|one| applies(one, user, &key.0)) else {
                continue;
            };
            let from = Source { key, binding, subject };
            match self.role_rules(&binding.role_ref, &key.0) {
                Ok(rules) => {
                    for rule in rules {
                        if !visit(Found::Rule { from, rule }) {
                            return;
                        }
                    }
                }
                Err(missing) => {
                    if !visit(Found::Missing(missing.to_string())) {
                        return;
                    }
                }
            }
        }
    }

    /// Every rule that applies to the user in the namespace, and what could not be found out.
    pub fn rules_for(&self, user: &User, namespace: &str) -> (Vec<Rule>, Vec<String>) {
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        self.visit(user, namespace, |found| {
            match found {
                Found::Rule { rule, .. } => rules.push(rule.clone()),
                Found::Missing(error) => errors.push(error),
            }
            true
        });
        (rules, errors)
    }
}

fn applies(subject: &Subject, user: &User, namespace: &str) -> bool {
    match &subject.kind[..] {
        "User" => subject.name == user.name,
        "Group" => user.in_group(&subject.name),
        "ServiceAccount" => {
            let namespace = Some(&subject.namespace[..]).filter(|own| !own.is_empty()).unwrap_or(namespace);
            !namespace.is_empty() && user.name == service_account_user(namespace, &subject.name)
        }
        _ => false,
    }
}

/// A binding refers to a role that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MissingRole {
    /// No such role.
    #[error("{kind}.{GROUP} {} not found", quoted(name))]
    NotFound {
        /// `role` or `clusterrole`.
        kind: String,
        /// Its name.
        name: String,
    },
    /// It is neither a Role nor a ClusterRole.
    #[error("unsupported role reference kind: {}", quoted(.0))]
    Unsupported(String),
}

impl Authorizer for Index {
    fn authorize(&self, user: &User, action: &Action<'_>) -> Verdict {
        let namespace = match action.target {
            Target::Resource(on) => on.namespace,
            Target::Path(_) => "",
        };
        let (mut allowed, mut errors) = (None, Vec::new());
        self.visit(user, namespace, |found| {
            match found {
                Found::Rule { from, rule } if rule.allows(action) => allowed = Some(from),
                Found::Rule { .. } => {}
                Found::Missing(error) => errors.push(error),
            }
            allowed.is_none()
        });
        match allowed {
            Some(from) => Verdict::allow(format!("RBAC: allowed by {from}")),
            None if errors.is_empty() => Verdict::refuse(""),
            None => Verdict::refuse(format!("RBAC: {}", aggregated(&errors))),
        }
    }
}

#[cfg(test)]
mod tests;
