//! Containers of each kind.

use serde_json::{Value, json};

use super::{pod, rows_at};

#[test]
fn each_kind_of_container_has_its_rules() {
    let container = |more: Value| {
        let mut container = json!({"name": "d", "image": "i"});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([container])
    };
    let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]);
    rows_at(
        &pod(),
        "/spec/",
        "spec.",
        &[
            (
                "initContainers",
                container(json!({"restartPolicy": "Always", "livenessProbe": {"exec": {"command": ["x"]}}})),
                container(json!({"livenessProbe": {"exec": {"command": ["x"]}}})),
                &[concat!(
                    "initContainers[0].livenessProbe: Forbidden: ",
                    "may not be set for init containers without restartPolicy=Always"
                )],
            ),
            (
                "initContainers",
                container(json!({})),
                container(json!({"name": "c"})),
                &[r#"initContainers[0].name: Duplicate value: "c""#],
            ),
            (
                "initContainers",
                container(json!({"restartPolicy": "Never", "restartPolicyRules": rules})),
                container(json!({"restartPolicyRules": rules})),
                &[concat!(
                    "initContainers[0].restartPolicy: Required value: ",
                    "must specify restartPolicy when restart rules are used"
                )],
            ),
            (
                "ephemeralContainers",
                Value::Null,
                container(json!({"targetContainerName": "x"})),
                &[
                    r#"ephemeralContainers[0].targetContainerName: Not found: "x""#,
                    "ephemeralContainers: Forbidden: cannot be set on create",
                ],
            ),
            (
                "ephemeralContainers",
                Value::Null,
                container(json!({"ports": [{"containerPort": 1}], "resources": {"limits": {"cpu": "1"}}})),
                &[
                    "ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
                    "ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral Container",
                    "ephemeralContainers: Forbidden: cannot be set on create",
                ],
            ),
            (
                "containers/0/restartPolicyRules",
                Value::Null,
                rules.clone(),
                &[concat!(
                    "containers[0].restartPolicy: Required value: ",
                    "must specify restartPolicy when restart rules are used"
                )],
            ),
            (
                "containers/0/volumeDevices",
                json!([{"name": "p", "devicePath": "/d"}]),
                json!([{"name": "v", "devicePath": "/d"}]),
                &[concat!(
                    "containers[0].volumeDevices[0].name: Invalid value: \"v\": ",
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
                )],
            ),
            (
                "containers/0/env",
                json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
                json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]),
                &["containers[0].env[0].valueFrom.secretKeyRef.key: Required value"],
            ),
            (
                "containers/0/env",
                json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}}]),
                json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]),
                &[concat!(
                    "containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\": ",
                    "supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", ",
                    "\"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", ",
                    "\"status.podIP\", \"status.podIPs\""
                )],
            ),
            (
                "containers/0/env",
                json!([{"name": "A", "valueFrom": {"fileKeyRef": {"key": "k", "path": "f", "volumeName": "v"}}}]),
                json!([{"name": "A", "valueFrom": {"fileKeyRef": {"key": "k", "path": "f", "volumeName": "p"}}}]),
                &[concat!(
                    "containers[0].env[0].valueFrom.fileKeyRef.volumeName: Invalid value: \"p\": ",
                    "referenced volume must be of type emptyDir"
                )],
            ),
            (
                "containers/0/envFrom",
                json!([{"configMapRef": {"name": "c-"}}]),
                json!([{}]),
                &[
                    r#"containers[0].envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`"#,
                ],
            ),
            (
                "containers/0/resources",
                json!({"limits": {"a.b/c": "1"}}),
                json!({"limits": {"a.b/c": "500m"}}),
                &[
                    r#"containers[0].resources.limits[a.b/c]: Invalid value: "500m": must be an integer"#,
                    r#"containers[0].resources.requests[a.b/c]: Invalid value: "500m": must be an integer"#,
                ],
            ),
            (
                "containers/0/resources",
                json!({"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}}),
                json!({"limits": {"hugepages-2Mi": "4Mi"}}),
                &["containers[0].resources: Forbidden: HugePages require cpu or memory"],
            ),
            (
                "containers/0/resources/claims",
                json!([]),
                json!([{"name": "x"}]),
                &[concat!(
                    "containers[0].resources.claims[0]: Not found: \"x\": ",
                    "must be one of the names in pod.spec.resourceClaims which is empty"
                )],
            ),
        ],
    );
}
