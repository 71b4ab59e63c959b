use serde_json::json;

use super::*;
use crate::table::Table;

#[test]
fn roles() {
    let rule = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
    for kind in ["Role", "ClusterRole"] {
        Table::of(GROUP, kind, json!({"rules": [rule]})).create(&[
            (
                "/rules/0/verbs",
                json!([]),
                &["rules[0].verbs: Required value: verbs must contain at least one value"],
            ),
            (
                "/rules/0/apiGroups",
                json!([]),
                &["rules[0].apiGroups: Required value: resource rules must supply"],
            ),
            (
                "/rules/0/resources",
                json!([]),
                &["rules[0].resources: Required value: resource rules must supply"],
            ),
        ]);
    }
    Table::of(GROUP, "Role", json!({"rules": [rule]})).create(&[(
        "/rules/0/nonResourceURLs",
        json!(["/"]),
        &[
            "rules[0].nonResourceURLs: Invalid value: [\"/\"]: namespaced rules",
            "rules[0].nonResourceURLs: Invalid value: [\"/\"]: rules cannot apply to both",
        ],
    )]);
    let good = json!({"rules": [{"nonResourceURLs": ["/"], "verbs": ["get"]}],
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
    Table::of(GROUP, "ClusterRole", good).create(&[
        (
            "/rules/0/resources",
            json!(["pods"]),
            &["rules[0].nonResourceURLs: Invalid value: [\"/\"]: rules cannot"],
        ),
        (
            "/aggregationRule",
            json!({}),
            &["aggregationRule.clusterRoleSelectors: Required value: at least one"],
        ),
        (
            "/aggregationRule/clusterRoleSelectors/0/matchLabels/a",
            json!("-"),
            &["aggregationRule.clusterRoleSelectors[0].matchLabels: Invalid value: \"-\""],
        ),
    ]);
}

#[test]
fn bindings() {
    let good = json!({"roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [
        {"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
    ]});
    let mut filled = good.clone();
    binding_defaults(&mut filled);
    assert_eq!([&filled["roleRef"]["apiGroup"], &filled["subjects"][0]["apiGroup"]], [GROUP, GROUP]);
    for kind in ["RoleBinding", "ClusterRoleBinding"] {
        let table = Table::of(GROUP, kind, good.clone());
        table.create(&[
            ("/roleRef/apiGroup", json!("x"), &["roleRef.apiGroup: Unsupported value: \"x\""]),
            ("/roleRef/kind", json!("x"), &["roleRef.kind: Unsupported value: \"x\""]),
            ("/roleRef/name", json!(""), &["roleRef.name: Required value"]),
            ("/roleRef/name", json!("a/b"), &["roleRef.name: Invalid value: \"a/b\": may not contain '/'"]),
            ("/subjects/0/name", json!(""), &["subjects[0].name: Required value"]),
            ("/subjects/0/kind", json!("x"), &["subjects[0].kind: Unsupported value: \"x\""]),
            ("/subjects/0/apiGroup", json!("x"), &["subjects[0].apiGroup: Unsupported value: \"x\""]),
            ("/subjects/1/name", json!("A"), &["subjects[1].name: Invalid value: \"A\""]),
            ("/subjects/1/apiGroup", json!("x"), &["subjects[1].apiGroup: Unsupported value: \"x\""]),
        ]);
        let shown = "roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"ClusterRole\",\
            \"Name\":\"edit\"}: cannot change";
        table.update(&[("/roleRef/name", json!("edit"), &[shown])]);
    }
    Table::of(GROUP, "ClusterRoleBinding", good).create(&[
        ("/roleRef/kind", json!("Role"), &["roleRef.kind: Unsupported value: \"Role\""]),
        ("/subjects/1/namespace", json!(""), &["subjects[1].namespace: Required value"]),
    ]);
}
