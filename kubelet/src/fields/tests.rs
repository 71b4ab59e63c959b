use serde_json::json;

use super::*;

fn errors(spec: Value) -> Vec<String> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec});
    check(&pod).iter().map(ToString::to_string).collect()
}

#[test]
fn unknown_fields_are_named_with_their_value() {
    assert_eq!(
        errors(json!({"containers": [{"name": "c", "imag": "x"}]})),
        [r#"spec.containers[0].imag: unknown field: value "x""#]
    );
}

#[test]
fn wrong_types_are_named_with_their_value() {
    assert_eq!(
        errors(json!({"containers": [{"name": 1, "args": "x", "tty": "yes"}]})),
        [
            r#"spec.containers[0].args: Invalid value: "x": must be a list"#,
            "spec.containers[0].name: Invalid value: 1: must be text",
            r#"spec.containers[0].tty: Invalid value: "yes": must be true or false"#,
        ]
    );
    assert_eq!(errors(json!({"containers": 3})), ["spec.containers: Invalid value: 3: must be a list"]);
}

#[test]
fn what_is_not_implemented_is_refused_unless_it_says_nothing() {
    assert_eq!(
        errors(json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]})),
        [
            r#"spec.volumes[0].configMap: Forbidden: {"name":"c"}: static pods may not reference objects of an API server"#
        ]
    );
    assert_eq!(
        errors(json!({"hostUsers": false})),
        ["spec.hostUsers: Forbidden: false is not implemented: pods share the node's user namespace"]
    );
    let nothing = json!({
        "hostUsers": true, "imagePullSecrets": [], "serviceAccountName": "", "runtimeClassName": null,
    });
    assert_eq!(errors(nothing), Vec::<String>::new());
}

#[test]
fn only_linux_pods_run() {
    assert_eq!(errors(json!({"os": {"name": "linux"}})), Vec::<String>::new());
    assert_eq!(
        errors(json!({"os": {"name": "windows"}})),
        [r#"spec.os.name: Forbidden: "windows" is not implemented: this node runs Linux"#]
    );
}

#[test]
fn quantities_may_be_numbers() {
    let spec = json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}}]});
    assert_eq!(errors(spec), Vec::<String>::new());
}
