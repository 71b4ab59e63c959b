use serde_json::json;

use super::*;
use crate::apiserver::auth::Resource;

fn subject(kind: &str, name: &str) -> Value {
    json!({"kind": kind, "name": name})
}

fn binding(namespace: &str, name: &str, role: (&str, &str), subjects: &[Value]) -> Value {
    json!({"metadata": {"name": name, "namespace": namespace}, "subjects": subjects,
           "roleRef": {"apiGroup": GROUP, "kind": role.0, "name": role.1}})
}

fn role(namespace: &str, name: &str, resource: &str) -> Value {
    let rules = json!([{"verbs": ["get"], "apiGroups": [""], "resources": [resource]}]);
    json!({"metadata": {"name": name, "namespace": namespace}, "rules": rules})
}

fn index() -> Index {
    let mut index = Index::default();
    for (kind, object) in [
        (Kind::ClusterRole, role("", "pods", "pods")),
        (Kind::Role, role("a", "secrets", "secrets")),
        (
            Kind::ClusterRoleBinding,
            binding("", "everywhere", ("ClusterRole", "pods"), &[subject("User", "root")]),
        ),
        (Kind::RoleBinding, binding("a", "here", ("ClusterRole", "pods"), &[subject("Group", "dev")])),
        (
            Kind::RoleBinding,
            binding(
                "a",
                "sa",
                ("Role", "secrets"),
                &[subject("User", "x"), subject("ServiceAccount", "robot")],
            ),
        ),
    ] {
        index.insert(kind, &object).unwrap();
    }
    index
}

fn get<'a>(resource: &'a str, namespace: &'a str) -> Action<'a> {
    Action::on("get", Resource { resource, namespace, name: "n", ..Resource::default() })
}

#[test]
fn bindings_grant_to_users_groups_and_accounts_everywhere_or_in_their_namespace() {
    let index = index();
    let robot = User::service_account("a", "robot", "");
    for (user, resource, namespace, reason) in [
        (
            User::new("root", &[]),
            "pods",
            "b",
            r#"RBAC: allowed by ClusterRoleBinding "everywhere" of ClusterRole "pods" to User "root""#,
        ),
        (
            User::new("root", &[]),
            "pods",
            "",
            r#"RBAC: allowed by ClusterRoleBinding "everywhere" of ClusterRole "pods" to User "root""#,
        ),
        (
            User::new("alice", &["ops", "dev"]),
            "pods",
            "a",
            r#"RBAC: allowed by RoleBinding "here/a" of ClusterRole "pods" to Group "dev""#,
        ),
        (
            robot.clone(),
            "secrets",
            "a",
            r#"RBAC: allowed by RoleBinding "sa/a" of Role "secrets" to ServiceAccount "robot/a""#,
        ),
        (User::new("root", &[]), "secrets", "a", ""),
        (User::new("alice", &["dev"]), "pods", "b", ""),
        (User::new("alice", &["dev"]), "pods", "", ""),
        (User::new("dev", &[]), "pods", "a", ""),
        (User::service_account("b", "robot", ""), "secrets", "a", ""),
        (robot, "secrets", "b", ""),
    ] {
        let verdict = index.authorize(&user, &get(resource, namespace));
        assert_eq!(
            (verdict.allowed, &verdict.reason[..]),
            (!reason.is_empty(), reason),
            "{user:?} {resource} {namespace}"
        );
    }
}

#[test]
fn an_account_of_another_namespace_is_named_with_it() {
    let mut index = index();
    let robot = json!({"kind": "ServiceAccount", "name": "robot", "namespace": "b"});
    index.insert(Kind::RoleBinding, &binding("a", "sa", ("Role", "secrets"), &[robot])).unwrap();
    assert!(index.authorize(&User::service_account("b", "robot", ""), &get("secrets", "a")).allowed);
    assert!(!index.authorize(&User::service_account("a", "robot", ""), &get("secrets", "a")).allowed);
}

#[test]
fn what_is_removed_or_changed_grants_no_more() {
    let mut index = index();
    let (root, dev) = (User::new("root", &[]), User::new("d", &["dev"]));
    index.remove(Kind::ClusterRoleBinding, "", "everywhere");
    assert!(!index.authorize(&root, &get("pods", "b")).allowed);
    index
        .insert(Kind::RoleBinding, &binding("a", "here", ("ClusterRole", "pods"), &[subject("User", "root")]))
        .unwrap();
    assert!(!index.authorize(&dev, &get("pods", "a")).allowed);
    assert!(index.authorize(&root, &get("pods", "a")).allowed);
    assert!(!index.groups.contains_key("dev"), "nothing is kept of who has no binding");
    // A role that cannot be read any more grants nothing, either.
    assert!(index.insert(Kind::ClusterRole, &json!({"metadata": {"name": "pods"}, "rules": 7})).is_err());
    assert!(!index.authorize(&root, &get("pods", "a")).allowed);
}

#[test]
fn a_role_that_is_missing_is_the_reason_unless_another_allows() {
    let mut index = index();
    let none = [subject("User", "root")];
    index.insert(Kind::ClusterRoleBinding, &binding("", "a1", ("ClusterRole", "gone"), &none)).unwrap();
    index.insert(Kind::RoleBinding, &binding("a", "a2", ("Role", "lost"), &none)).unwrap();
    index.insert(Kind::ClusterRoleBinding, &binding("", "a3", ("Role", "secrets"), &none)).unwrap();
    let root = User::new("root", &[]);
    assert!(index.authorize(&root, &get("pods", "a")).allowed);
    let gone = "clusterrole.rbac.authorization.k8s.io \"gone\" not found";
    let lost = "role.rbac.authorization.k8s.io \"lost\" not found";
    let secrets = "role.rbac.authorization.k8s.io \"secrets\" not found";
    assert_eq!(index.authorize(&root, &get("nodes", "")).reason, format!("RBAC: [{secrets}, {gone}]"));
    assert_eq!(
        index.authorize(&root, &get("nodes", "a")).reason,
        format!("RBAC: [{secrets}, {gone}, {lost}]")
    );
    assert_eq!(index.rules_for(&root, "a").1.len(), 3);
}

#[test]
fn the_rules_of_a_user_are_those_of_all_bindings_in_the_namespace() {
    let index = index();
    let user = User::new("root", &["dev"]);
    assert_eq!(index.rules_for(&user, "a").0.len(), 2);
    assert_eq!(index.rules_for(&user, "b").0.len(), 1);
    assert!(index.rules_for(&User::new("nobody", &[]), "a").0.is_empty());
}
