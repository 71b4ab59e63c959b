use serde_json::json;

use super::super::Kind;
use super::*;

/// `alice` may write roles and bindings in `ns` and read pods there; `carol` may also escalate and bind.
fn index() -> Index {
    let mut index = Index::default();
    let role =
        |name: &str, rules: Value| json!({"metadata": {"name": name, "namespace": "ns"}, "rules": rules});
    let bind = |who: &str, role: &str| {
        json!({"metadata": {"name": format!("{who}-{role}"), "namespace": "ns"},
               "subjects": [{"kind": "User", "name": who}],
               "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": role}})
    };
    let read = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]);
    let special = json!([{"verbs": ["escalate", "bind"], "apiGroups": [GROUP], "resources": ["roles", "clusterroles"]}]);
    for (kind, object) in [
        (Kind::Role, role("read", read)),
        (Kind::Role, role("special", special)),
        (Kind::RoleBinding, bind("alice", "read")),
        (Kind::RoleBinding, bind("carol", "special")),
        (
            Kind::ClusterRole,
            json!({"metadata": {"name": "all"}, "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]}),
        ),
    ] {
        index.insert(kind, &object).unwrap();
    }
    index
}

fn write<'a>(user: &'a User, resource: &'a str, old: Option<&'a Value>, new: &'a Value) -> Write<'a> {
    Write { user, resource, namespace: "ns", name: "", old, new }
}

fn role(verbs: &[&str]) -> Value {
    json!({"metadata": {"name": "r"}, "rules": [{"verbs": verbs, "apiGroups": [""], "resources": ["pods"]}]})
}

fn binding(kind: &str, name: &str) -> Value {
    json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": GROUP, "kind": kind, "name": name}})
}

#[test]
fn a_role_grants_at_most_what_its_writer_holds() {
    let index = index();
    let (alice, carol, root) =
        (User::new("alice", &["g"]), User::new("carol", &[]), User::new("root", &["system:masters"]));
    let (small, large) = (role(&["get"]), role(&["get", "delete", "patch"]));
    for (user, role, allowed) in
        [(&alice, &small, true), (&alice, &large, false), (&carol, &large, true), (&root, &large, true)]
    {
        assert_eq!(
            check_role(&index, &index, &write(user, "roles", None, role)).is_ok(),
            allowed,
            "{user:?} {role}"
        );
    }
    let refusal = check_role(&index, &index, &write(&alice, "roles", None, &large)).unwrap_err();
    assert_eq!(
        refusal.message,
        "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"alice\" (groups=[\"g\"]) is attempting to grant \
         RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\" \"patch\"]}"
    );
    assert_eq!(refusal.code, 403);
    assert_eq!(refusal.details.map(|details| details.kind).as_deref(), Some("roles"));
}

#[test]
fn only_who_may_do_everything_sets_an_aggregation() {
    let index = index();
    let (alice, root) = (User::new("alice", &[]), User::new("root", &["system:masters"]));
    let plain = json!({"metadata": {"name": "c"}, "rules": []});
    let aggregated = json!({"metadata": {"name": "c"}, "aggregationRule": {"clusterRoleSelectors": [{}]}});
    for (old, new, allowed) in
        [(&plain, &plain, true), (&plain, &aggregated, false), (&aggregated, &plain, false)]
    {
        let refused = check_role(&index, &index, &write(&alice, "clusterroles", Some(old), new)).err();
        assert_eq!(refused.is_none(), allowed, "{new}");
        if let Some(refusal) = refused {
            assert!(
                refusal.message.ends_with("must have cluster-admin privileges to use the aggregationRule")
            );
        }
        assert!(check_role(&index, &index, &write(&root, "clusterroles", Some(old), new)).is_ok());
    }
}

#[test]
fn a_binding_grants_at_most_what_its_writer_holds() {
    let index = index();
    let (alice, carol) = (User::new("alice", &[]), User::new("carol", &[]));
    let (read, all, gone) = (binding("Role", "read"), binding("ClusterRole", "all"), binding("Role", "gone"));
    let check =
        |user: &User, new: &Value| check_binding(&index, &index, &write(user, "rolebindings", None, new));
    assert_eq!(check(&alice, &read), Ok(()));
    assert_eq!(check(&carol, &all), Ok(()), "who may bind need not hold");
    assert_eq!(check(&carol, &gone), Ok(()));
    let refusal = check(&alice, &all).unwrap_err();
    assert!(
        refusal
            .message
            .starts_with("rolebindings.rbac.authorization.k8s.io \"b\" is forbidden: user \"alice\"")
    );
    let refusal = check(&alice, &gone).unwrap_err();
    assert_eq!(
        (refusal.code.as_u16(), &refusal.message[..]),
        (404, "roles.rbac.authorization.k8s.io \"gone\" not found")
    );
    assert_eq!(check(&alice, &binding("Other", "x")).unwrap_err().code, 400);
}

#[test]
fn the_garbage_collector_may_let_go_of_what_it_does_not_hold() {
    let index = index();
    let alice = User::new("alice", &[]);
    let old = role(&["delete"]);
    let mut new = old.clone();
    new["metadata"]["finalizers"] = json!(["f"]);
    assert_eq!(check_role(&index, &index, &write(&alice, "roles", Some(&old), &new)), Ok(()));
    new["metadata"]["labels"] = json!({"a": "b"});
    assert!(check_role(&index, &index, &write(&alice, "roles", Some(&old), &new)).is_err());
}
