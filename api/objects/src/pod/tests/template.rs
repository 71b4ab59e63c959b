//! Templates, and the controller that has no group.

use serde_json::{Value, json};

use crate::pod::{POD_TEMPLATE, REPLICATION_CONTROLLER};
use crate::trial::{created, defaulted, told};

#[test]
fn templates_are_pods_without_what_is_a_pods_own() {
    let template = json!({"metadata": {"name": "a"}, "template": {"spec": {
        "hostNetwork": true, "terminationGracePeriodSeconds": -1,
        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 1}],
            "resources": {"limits": {"cpu": "1"}}}],
    }}});
    let spec = defaulted(&POD_TEMPLATE, &template)["template"]["spec"].clone();
    assert_eq!(spec["containers"][0]["ports"][0], json!({"containerPort": 1, "protocol": "TCP"}));
    assert_eq!(spec["containers"][0]["resources"], json!({"limits": {"cpu": "1"}}));
    assert_eq!((spec.get("enableServiceLinks"), &spec["terminationGracePeriodSeconds"]), (None, &json!(-1)));
    let containers =
        "template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template";
    created(
        &POD_TEMPLATE,
        &template,
        &[
            (
                "/template/spec/containers/0/image",
                json!(" i "),
                json!(""),
                &["template.spec.containers[0].image: Required value"],
            ),
            (
                "/template/spec/ephemeralContainers",
                json!([]),
                json!([{"name": "e", "image": "i"}]),
                &[containers],
            ),
            (
                "/template/metadata/labels",
                json!({"a": "b"}),
                json!({"a": "-"}),
                &[concat!(
                    "template.labels: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric ",
                    "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or ",
                    "'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                )],
            ),
        ],
    );
}

#[test]
fn a_replication_controller_takes_its_selector_from_its_template() {
    let base = json!({"metadata": {"name": "a"}, "spec": {"template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
    }}});
    let whole = defaulted(&REPLICATION_CONTROLLER, &base);
    assert_eq!(whole["spec"]["selector"], json!({"a": "b"}));
    assert_eq!(whole["metadata"]["labels"], json!({"a": "b"}));
    created(
        &REPLICATION_CONTROLLER,
        &base,
        &[
            (
                "/spec/replicas",
                json!(0),
                json!(-1),
                &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (
                "/spec/selector",
                json!({"a": "b"}),
                json!({"a": "c"}),
                &[
                    r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#,
                ],
            ),
            (
                "/spec/template",
                base["spec"]["template"].clone(),
                Value::Null,
                &["spec.selector: Required value", "spec.template: Required value"],
            ),
        ],
    );
    let said = "status.readyReplicas: Invalid value: 1: cannot be greater than status.replicas";
    told(
        &REPLICATION_CONTROLLER,
        &json!({"status": {"replicas": 0}}),
        &[("/status/readyReplicas", json!(0), json!(1), &[said])],
    );
}
