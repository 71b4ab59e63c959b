use serde_json::json;

use super::*;

const CONFIG_MAP: Kind<'_> = Kind { group: "", kind: "ConfigMap", namespaced: true };
const LEASE: Kind<'_> = Kind { group: "coordination.k8s.io", kind: "Lease", namespaced: true };

fn lines(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(|error| error.to_string().chars().take(70).collect()).collect()
}

/// What is wrong with an object of this metadata in a namespace.
fn wrong(meta: Value) -> Vec<String> {
    let mut object = json!({"metadata": {"name": "a", "namespace": "n"}});
    object["metadata"].as_object_mut().unwrap().extend(meta.as_object().unwrap().clone());
    lines(&create(&CONFIG_MAP, &object))
}

#[test]
fn good_metadata_has_nothing_wrong() {
    let good = json!({
        "generateName": "g-", "labels": {"a.b/C": "d"}, "annotations": {"A.b/C": "any thing"},
        "finalizers": ["a.b/c", "orphan"], "managedFields": [{"operation": "Apply", "fieldsType": "FieldsV1"}],
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "K", "name": "n", "uid": "u", "controller": true}],
    });
    assert_eq!(wrong(good), Vec::<String>::new());
}

#[test]
fn each_part_is_refused_in_the_apis_words() {
    let owner = json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "controller": true});
    for (meta, want) in [
        (json!({"name": ""}), vec!["metadata.name: Required value: name or generateName is required"]),
        (json!({"name": "A"}), vec![r#"metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain"#]),
        (json!({"generateName": "Ab-"}), vec![r#"metadata.generateName: Invalid value: "Ab-": a lower"#]),
        (json!({"namespace": ""}), vec!["metadata.namespace: Required value"]),
        (
            json!({"namespace": "a.b"}),
            vec![r#"metadata.namespace: Invalid value: "a.b": must not contain dots"#],
        ),
        (
            json!({"generation": -1}),
            vec!["metadata.generation: Invalid value: -1: must be greater than or equal"],
        ),
        (
            json!({"labels": {"a b": "c d"}}),
            vec![r#"metadata.labels: Invalid value: "a b""#, r#"metadata.labels: Invalid value: "c d""#],
        ),
        (json!({"annotations": {"a b": ""}}), vec![r#"metadata.annotations: Invalid value: "a b""#]),
        (
            json!({"annotations": {"a": "x".repeat(256 << 10)}}),
            vec!["metadata.annotations: Too long: may not be more than 262144 bytes"],
        ),
        (
            json!({"finalizers": ["x"]}),
            vec![r#"metadata.finalizers[0]: Invalid value: "x": name is neither a standard"#],
        ),
        (
            json!({"finalizers": ["orphan", "foregroundDeletion"]}),
            vec![r#"metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: f"#],
        ),
        (
            json!({"ownerReferences": [{"apiVersion": "a/b/c"}]}),
            vec![
                r#"metadata.ownerReferences.apiVersion: Invalid value: "a/b/c": v"#,
                r#"metadata.ownerReferences.kind: Invalid value: "": must not be "#,
                r#"metadata.ownerReferences.name: Invalid value: "": must not be "#,
                r#"metadata.ownerReferences.uid: Invalid value: "": must not be e"#,
            ],
        ),
        (
            json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "n", "uid": "u"}]}),
            vec!["metadata.ownerReferences: Invalid value: "],
        ),
        (json!({"ownerReferences": [owner, owner]}), vec!["metadata.ownerReferences: Invalid value: "]),
        (
            json!({"managedFields": [{"operation": "X", "fieldsType": "Y", "manager": "\u{7}"}]}),
            vec![
                r#"metadata.managedFields[0].operation: Invalid value: "X": must "#,
                r#"metadata.managedFields[0].fieldsType: Invalid value: "Y": must"#,
                r#"metadata.managedFields[0].manager: Invalid value: "\u0007": in"#,
            ],
        ),
    ] {
        let found = wrong(meta.clone());
        let same = found.len() == want.len() && found.iter().zip(&want).all(|(f, w)| f.starts_with(w));
        assert!(same, "{meta} gives {found:?}");
    }
}

#[test]
fn names_have_the_form_of_their_kind() {
    let named = |group, kind, name: &str, spec: Value| {
        let kind = Kind { group, kind, namespaced: false };
        create(&kind, &json!({"metadata": {"name": name}, "spec": spec})).is_empty()
    };
    for (group, kind, good, bad, spec) in [
        ("", "Namespace", "a-b", "a.b", json!({})),
        ("rbac.authorization.k8s.io", "ClusterRole", "system:a", "a/b", json!({})),
        ("networking.k8s.io", "IPAddress", "fd00::1", "a", json!({})),
        (
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            "a.b",
            "a.c",
            json!({"names": {"plural": "a"}, "group": "b"}),
        ),
        ("apiregistration.k8s.io", "APIService", "v1.b", "v1.", json!({"version": "v1", "group": "b"})),
    ] {
        assert!(named(group, kind, good, spec.clone()), "{kind} {good}");
        assert!(!named(group, kind, bad, spec), "{kind} {bad}");
    }
    let cluster = Kind { group: "", kind: "Node", namespaced: false };
    let errors = create(&cluster, &json!({"metadata": {"name": "a", "namespace": "n"}}));
    assert_eq!(lines(&errors), ["metadata.namespace: Forbidden: not allowed on this type"]);
}

#[test]
fn what_a_kind_does_not_look_at_is_refused_for_all_kinds() {
    let budget = Kind { group: "policy", kind: "PodDisruptionBudget", namespaced: true };
    let object = json!({"metadata": {"name": "a%", "namespace": "n"}});
    assert_eq!(create(&budget, &object), []);
    assert_eq!(
        lines(&create_any(&budget, &object)),
        [r#"metadata.name: Invalid value: "a%": may not contain '%'"#]
    );
}

#[test]
fn an_update_keeps_what_the_server_wrote() {
    let old = json!({"metadata": {
        "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1", "deletionTimestamp": "t", "finalizers": ["a.b/c"],
    }});
    assert_eq!(update(&LEASE, &old, &old, false), []);
    for (change, want) in [
        (json!({"uid": "v"}), r#"metadata.uid: Invalid value: "v": field is immutable"#),
        (
            json!({"deletionTimestamp": null}),
            "metadata.deletionTimestamp: Invalid value: null: field is immutable",
        ),
        (json!({"resourceVersion": ""}), r#"metadata.resourceVersion: Invalid value: "": must be specified"#),
        (
            json!({"finalizers": ["a.b/c", "d.e/f"]}),
            "metadata.finalizers: Forbidden: no new finalizers can be added",
        ),
    ] {
        let mut new = old.clone();
        new["metadata"].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let found = lines(&update(&LEASE, &new, &old, false));
        assert!(
            found.len() == 2 && found.iter().all(|line| line.starts_with(want)),
            "{change} gives {found:?}"
        );
    }
}
