//! The roles and bindings that every cluster has, as Kubernetes 1.36 makes them.
//!
//! `standard.jsonl` is written by `hack/standard-roles` from a recording of a stock API server: one object a line,
//! without the label and the annotation that all of them carry.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{GROUP, Kind, Rule};

const LINES: &str = include_str!("standard.jsonl");

/// The standard objects, ClusterRoles first, then their bindings, then what is in namespaces.
///
/// # Panics
/// When `standard.jsonl` was damaged before it was compiled in; a test reads all of it.
pub fn objects() -> impl Iterator<Item = (Kind, Value)> {
    LINES.lines().map(|line| {
        let mut object: Value = serde_json::from_str(line).expect("standard.jsonl has one object a line");
        let kind = match object["kind"].as_str() {
            Some("ClusterRole") => Kind::ClusterRole,
            Some("ClusterRoleBinding") => Kind::ClusterRoleBinding,
            Some("Role") => Kind::Role,
            _ => Kind::RoleBinding,
        };
        object["apiVersion"] = json!(format!("{GROUP}/v1"));
        object["metadata"]["labels"]["kubernetes.io/bootstrapping"] = json!("rbac-defaults");
        object["metadata"]["annotations"] = json!({"rbac.authorization.kubernetes.io/autoupdate": "true"});
        (kind, object)
    })
}

/// What every node may do, before the node authorizer looks closer: the rules of the ClusterRole `system:node`.
pub fn node_rules() -> &'static [Rule] {
    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
        let is_node = |(kind, object): &(Kind, Value)| {
            *kind == Kind::ClusterRole && object["metadata"]["name"] == "system:node"
        };
        let rules = objects().find(is_node).and_then(|(_, object)| Vec::deserialize(&object["rules"]).ok());
        rules.unwrap_or_default()
    });
    &RULES
}

#[cfg(test)]
mod tests {
    use super::super::Index;
    use super::*;
    use crate::apiserver::auth::{Action, Authorizer, Resource, User};

    #[test]
    fn every_line_is_an_object_that_the_index_takes() {
        let mut index = Index::default();
        let mut count = 0;
        for (kind, object) in objects() {
            index.insert(kind, &object).unwrap();
            count += 1;
        }
        assert!(count > 120, "{count} objects");
        let pods = Resource { resource: "pods", namespace: "ns", ..Resource::default() };
        let delete = Action::on("delete", pods);
        assert!(index.authorize(&User::new("root", &["system:masters"]), &delete).allowed);
        assert!(!index.authorize(&User::new("alice", &["system:authenticated"]), &delete).allowed);
        let healthz = Action::path("get", "/healthz");
        assert!(index.authorize(&User::anonymous(), &healthz).allowed);
        assert!(!index.authorize(&User::anonymous(), &Action::path("get", "/metrics")).allowed);
    }

    #[test]
    fn nodes_have_rules() {
        let leases = Resource { group: "coordination.k8s.io", resource: "leases", ..Resource::default() };
        assert!(node_rules().iter().any(|rule| rule.allows(&Action::on("update", leases))));
    }
}
