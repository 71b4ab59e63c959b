use serde_json::json;

use super::super::set_defaults;
use super::*;

/// What is wrong with a pod of this spec, as lines.
fn wrong(spec: Value) -> Vec<String> {
    let mut pod = json!({"metadata": {"name": "a"}, "spec": spec});
    set_defaults(&mut pod);
    validate(&pod).iter().map(ToString::to_string).collect()
}

/// The same for one container with more fields.
fn container(more: Value) -> Vec<String> {
    let mut container = json!({"name": "c", "image": "i"});
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    wrong(json!({"containers": [container], "volumes": [{"name": "v"}]}))
}

#[test]
fn a_good_pod_has_nothing_wrong() {
    assert_eq!(container(json!({})), Vec::<String>::new());
}

#[test]
fn what_is_missing_is_named_with_its_path() {
    assert_eq!(wrong(json!({})), ["spec.containers: Required value"]);
    let errors = wrong(json!({"containers": [{"name": "c"}], "initContainers": [{"image": "i"}]}));
    assert_eq!(
        errors,
        ["spec.containers[0].image: Required value", "spec.initContainers[0].name: Required value"]
    );
    let errors: Vec<_> = validate(&json!({})).iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "metadata.name: Required value: name or generateName is required",
            "spec.terminationGracePeriodSeconds: Required value",
            "spec.containers: Required value",
            "spec.restartPolicy: Required value",
            "spec.dnsPolicy: Required value"
        ]
    );
}

#[test]
fn each_rule_has_the_apis_sentence() {
    let at = "spec.containers[0].";
    for (more, want) in [
        (
            json!({"imagePullPolicy": "X"}),
            r#"imagePullPolicy: Unsupported value: "X": supported values: "Always", "IfNotPresent", "Never""#,
        ),
        (
            json!({"ports": [{"containerPort": 70000}]}),
            "ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            json!({"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            r#"env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty"#,
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {}}}]}),
            "env[0].valueFrom.resourceFieldRef.resource: Required value",
        ),
        (
            json!({"volumeMounts": [{"name": "w", "mountPath": "/w"}]}),
            r#"volumeMounts[0].name: Not found: "w""#,
        ),
        (
            json!({"volumeMounts": [{"name": "v", "mountPath": "/w", "subPath": "../x"}]}),
            r#"volumeMounts.subPath: Invalid value: "../x": must not contain '..'"#,
        ),
        (
            json!({"volumeMounts": [{"name": "v", "mountPath": "/w", "mountPropagation": "Bidirectional"}]}),
            "volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
        ),
        (json!({"livenessProbe": {}}), "livenessProbe: Required value: must specify a handler type"),
        (
            json!({"livenessProbe": {"tcpSocket": {"port": 0}}}),
            "livenessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            json!({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}),
            r#"resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#,
        ),
        (
            json!({"resources": {"limits": {"cpu": "x"}}}),
            r#"resources.limits[cpu]: Invalid value: "x": quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"#,
        ),
        (
            json!({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false}}),
            r#"securityContext: Invalid value: {"allowPrivilegeEscalation":false,"privileged":true}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true"#,
        ),
    ] {
        let errors = container(more.clone());
        assert!(errors.contains(&format!("{at}{want}")), "{more} gives {errors:?}");
    }
}

#[test]
fn names_and_host_ports_are_unique() {
    let errors = wrong(json!({
        "containers": [
            {"name": "c", "image": "i", "ports": [{"containerPort": 1, "hostPort": 9}]},
            {"name": "c", "image": "i", "ports": [{"containerPort": 2, "hostPort": 9}]},
        ],
    }));
    assert_eq!(
        errors,
        [
            r#"spec.containers[1].name: Duplicate value: "c""#,
            r#"spec.containers[1].ports[0].hostPort: Duplicate value: "TCP//9""#,
        ]
    );
}
