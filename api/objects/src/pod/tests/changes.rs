//! What changes of a pod, and what is told of it.

use serde_json::{Value, json};

use super::pod;
use crate::pod::{RULES, keep_status, qos_class};
use crate::trial::{changed, told, updated, with};

#[test]
fn of_a_pod_little_may_change() {
    let base = with(&pod(), "/spec/activeDeadlineSeconds", &json!(9));
    let base = with(&base, "/spec/tolerations", &json!([{"key": "k", "operator": "Exists"}]));
    updated(
        &RULES,
        &base,
        &[
            (
                "/spec/containers/0/image",
                json!("j"),
                json!(""),
                &["spec.containers[0].image: Required value", "spec.containers[0].image: Required value"],
            ),
            (
                "/spec/activeDeadlineSeconds",
                json!(8),
                json!(10),
                &[
                    "spec.activeDeadlineSeconds: Invalid value: 10: must be less than or equal to previous value",
                ],
            ),
            (
                "/spec/activeDeadlineSeconds",
                json!(9),
                Value::Null,
                &[
                    "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value",
                ],
            ),
            (
                "/spec/tolerations",
                json!([{"key": "k", "operator": "Exists"}, {"key": "l"}]),
                json!([]),
                &[
                    "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
                ],
            ),
            (
                "/spec/containers/1",
                Value::Null,
                json!({"name": "d", "image": "i"}),
                &["spec.containers: Forbidden: pod updates may not add or remove containers"],
            ),
            (
                "/spec/schedulingGates",
                json!([]),
                json!([{"name": "g"}]),
                &[
                    "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'",
                ],
            ),
        ],
    );
    let other = changed(&RULES, &base, "/spec/nodeName", &json!("n"));
    assert_eq!(other.len(), 1);
    assert!(
        other[0].starts_with(
            "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        ) && other[0].ends_with("\n- spec.nodeName: null\n+ spec.nodeName: \"n\"\n"),
        "{other:?}"
    );
    let gated = with(&pod(), "/spec/schedulingGates", &json!([{"name": "g"}]));
    let none: Vec<String> = Vec::new();
    assert_eq!(
        changed(&RULES, &gated, "/spec/nodeSelector", &json!({"a": "b"})),
        none,
        "it is not scheduled yet"
    );
    assert_eq!(changed(&RULES, &gated, "/spec/affinity", &json!({"nodeAffinity": {}})), none);
    assert_eq!(changed(&RULES, &pod(), "/spec/nodeSelector", &json!({"a": "b"})).len(), 1);
}

#[test]
fn a_status_tells_what_can_be() {
    let base = json!({"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "c"}]}, "status": {
        "qosClass": "Burstable",
        "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0}}}],
    }});
    let failed = with(&base, "/status/containerStatuses/0/state/terminated/exitCode", &json!(1));
    let ended = json!([{"name": "c", "state": {"terminated": {"exitCode": 0}}}]);
    let running = json!([{"name": "c", "state": {"running": {}}}]);
    told(
        &RULES,
        &base,
        &[
            (
                "/status/qosClass",
                json!("Burstable"),
                json!("BestEffort"),
                &[r#"status.qosClass: Invalid value: "BestEffort": field is immutable"#],
            ),
            (
                "/status/containerStatuses",
                ended,
                running.clone(),
                &[
                    "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
                ],
            ),
            (
                "/status/observedGeneration",
                json!(1),
                json!(-1),
                &["status.observedGeneration: Invalid value: -1: must be a non-negative integer"],
            ),
            (
                "/status/podIPs",
                json!([{"ip": "1.2.3.4"}, {"ip": "::1"}]),
                json!([{"ip": "1.2.3.4"}, {"ip": "1.2.3.5"}]),
                &[concat!(
                    r#"status.podIPs: Invalid value: [{"ip":"1.2.3.4"},{"ip":"1.2.3.5"}]: "#,
                    "may specify no more than one IP for each IP family"
                )],
            ),
        ],
    );
    told(&RULES, &failed, &[("/status/containerStatuses", running, json!([]), &[])]);
}

#[test]
fn the_server_completes_what_is_made_and_told() {
    let gated = with(&pod(), "/spec/schedulingGates", &json!([{"name": "g"}]));
    let mut pod = with(&gated, "/metadata/labels", &json!({"x": "1"}));
    let selector = json!({"labelSelector": {}, "matchLabelKeys": ["x", "y"]});
    pod["spec"]["topologySpreadConstraints"] = json!([selector]);
    pod["metadata"]["annotations"] =
        json!({"container.apparmor.security.beta.kubernetes.io/c": "localhost/p"});
    (RULES.prepare)(&mut pod, None);
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(pod["status"]["qosClass"], "BestEffort");
    assert_eq!(pod["status"]["conditions"][0]["reason"], "SchedulingGated");
    assert_eq!(
        pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"],
        json!([{"key": "x", "operator": "In", "values": ["1"]}])
    );
    assert_eq!(
        pod["spec"]["containers"][0]["securityContext"]["appArmorProfile"],
        json!({"type": "Localhost", "localhostProfile": "p"})
    );
    let old = json!({"metadata": {"ownerReferences": [1]}, "status": {"qosClass": "Burstable", "conditions": [
        {"type": "Ready", "observedGeneration": 3}]}});
    let mut new = json!({"metadata": {}, "status": {"conditions": [{"type": "Ready"}, {"type": "Other"}]}});
    keep_status(&mut new, &old);
    assert_eq!(new["metadata"]["ownerReferences"], json!([1]));
    assert_eq!(
        new["status"],
        json!({"qosClass": "Burstable", "conditions": [
        {"type": "Ready", "observedGeneration": 3}, {"type": "Other"}]})
    );
}

#[test]
fn the_quality_of_service_follows_requests_and_limits() {
    let container = |resources: Value| json!({"resources": resources});
    let full = json!({"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "1", "memory": "1"}});
    for (spec, class) in [
        (json!({"containers": [{}]}), "BestEffort"),
        (json!({"containers": [container(full.clone())]}), "Guaranteed"),
        (json!({"containers": [container(full.clone()), {}]}), "Burstable"),
        (json!({"containers": [container(json!({"requests": {"cpu": "1"}}))]}), "Burstable"),
        (json!({"containers": [container(json!({"requests": {"a.b/c": "1"}}))]}), "BestEffort"),
        (json!({"containers": [{}], "resources": full}), "Guaranteed"),
    ] {
        assert_eq!(qos_class(&spec), class, "{spec}");
    }
}
