use serde_json::{Value, json};

use super::rules;
use crate::rules::Rules;
use crate::trial::{changed, created, defaulted, told, updated, with, wrong};

fn of(kind: &str) -> &'static Rules {
    rules(kind).unwrap()
}

fn workload() -> Value {
    json!({"metadata": {"name": "a"}, "spec": {
        "selector": {"matchLabels": {"app": "a"}},
        "template": {
            "metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    }})
}

const NEGATIVE: &str = "Invalid value: -1: must be greater than or equal to 0";
const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
    '93%', regex used for validation is '[0-9]+%')";

fn negative(field: &str) -> String {
    format!("{field}: {NEGATIVE}")
}

#[test]
fn defaults_are_those_of_the_api() {
    let spec = |kind: &str| defaulted(of(kind), &workload())["spec"].clone();
    let deployment = spec("Deployment");
    assert_eq!(deployment["replicas"], 1);
    assert_eq!(deployment["revisionHistoryLimit"], 10);
    assert_eq!(deployment["progressDeadlineSeconds"], 600);
    assert_eq!(
        deployment["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}})
    );
    assert_eq!(deployment["template"]["spec"]["restartPolicy"], "Always");
    assert_eq!(
        deployment["template"]["spec"].get("enableServiceLinks"),
        None,
        "it is a pod's and no template's"
    );
    assert_eq!(spec("ReplicaSet")["replicas"], 1);
    assert_eq!(
        spec("DaemonSet")["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}})
    );
    let set = with(&workload(), "/spec/volumeClaimTemplates", &json!([{"metadata": {"name": "d"}}]));
    let set = defaulted(of("StatefulSet"), &set)["spec"].clone();
    assert_eq!(set["podManagementPolicy"], "OrderedReady");
    assert_eq!(set["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}));
    assert_eq!(
        set["persistentVolumeClaimRetentionPolicy"],
        json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
    );
    assert_eq!(
        set["volumeClaimTemplates"][0],
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "d"},
            "spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"},
        })
    );
    let recreate = with(&workload(), "/spec/strategy", &json!({"type": "Recreate"}));
    assert_eq!(defaulted(of("Deployment"), &recreate)["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[test]
fn a_selector_asks_for_the_pods_of_its_own_template() {
    let labels = "`selector` does not match template `labels`";
    for (kind, named, unread) in [
        ("Deployment", "deployment", Some("invalid label selector")),
        ("ReplicaSet", "deployment", Some("invalid label selector")),
        ("StatefulSet", "statefulset", Some("")),
        ("DaemonSet", "daemonset", None),
    ] {
        let wrong = |place: &str, value: Value| wrong(of(kind), &with(&workload(), place, &value));
        assert_eq!(wrong("/spec/minReadySeconds", json!(1)), Vec::<String>::new(), "{kind}");
        let missing =
            if kind == "DaemonSet" { vec![] } else { vec!["spec.selector: Required value".to_owned()] };
        let unmatched = format!(r#"spec.template.metadata.labels: Invalid value: {{"app":"a"}}: {labels}"#);
        assert_eq!(
            wrong("/spec/selector", Value::Null),
            [missing, vec![unmatched.clone()]].concat(),
            "{kind}: nothing is found without one"
        );
        assert_eq!(
            wrong("/spec/selector", json!({})),
            [format!("spec.selector: Invalid value: {{}}: empty selector is invalid for {named}")],
            "{kind}"
        );
        assert_eq!(wrong("/spec/selector/matchLabels/app", json!("b")), [unmatched], "{kind}");
        let errors = wrong("/spec/selector/matchLabels/app", json!("-"));
        assert!(errors[0].starts_with(r#"spec.selector.matchLabels: Invalid value: "-""#), "{errors:?}");
        let second = unread.map(|why| match why {
            "" => r#"spec.selector: Invalid value: {"matchLabels":{"app":"-"}}"#.to_owned(),
            why => format!(r#"spec.selector: Invalid value: {{"matchLabels":{{"app":"-"}}}}: {why}"#),
        });
        assert_eq!(errors.get(1), second.as_ref(), "{kind}: what cannot be read is told twice");
    }
}

#[test]
fn pods_of_workloads_run_for_good() {
    for (kind, told) in [
        ("Deployment", "ReplicaSet"),
        ("ReplicaSet", "ReplicaSet"),
        ("StatefulSet", "StatefulSet"),
        ("DaemonSet", "DaemonSet"),
    ] {
        let deadline = format!(
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in {told} is not Supported"
        );
        created(
            of(kind),
            &workload(),
            &[
                (
                    "/spec/template/spec/restartPolicy",
                    json!("Always"),
                    json!("Never"),
                    &[
                        r#"spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#,
                    ],
                ),
                ("/spec/template/spec/activeDeadlineSeconds", Value::Null, json!(1), &[&deadline]),
                (
                    "/spec/template/spec/containers/0/image",
                    json!(" i"),
                    json!(""),
                    &["spec.template.spec.containers[0].image: Required value"],
                ),
            ],
        );
    }
}

#[test]
fn a_deployments_own_rules() {
    let percent = format!("spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x\": {PERCENT}");
    created(
        of("Deployment"),
        &workload(),
        &[
            ("/spec/replicas", json!(0), json!(-1), &[&negative("spec.replicas")]),
            ("/spec/minReadySeconds", json!(3), json!(-1), &[&negative("spec.minReadySeconds")]),
            ("/spec/revisionHistoryLimit", json!(0), json!(-1), &[&negative("spec.revisionHistoryLimit")]),
            (
                "/spec/progressDeadlineSeconds",
                json!(1),
                json!(0),
                &["spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds"],
            ),
            (
                "/spec/strategy",
                json!({"type": "Recreate"}),
                json!({"type": "Recreate", "rollingUpdate": {}}),
                &[
                    "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
                ],
            ),
            (
                "/spec/strategy",
                json!({"type": "RollingUpdate"}),
                json!({"type": "x", "rollingUpdate": {"maxSurge": "1%", "maxUnavailable": 1}}),
                &[concat!(
                    r#"spec.strategy: Unsupported value: {"Type":"x","RollingUpdate":{"MaxUnavailable":1,"#,
                    r#""MaxSurge":"1%"}}: supported values: "Recreate", "RollingUpdate""#
                )],
            ),
            ("/spec/strategy/rollingUpdate/maxSurge", json!("200%"), json!("x"), &[&percent]),
            (
                "/spec/strategy/rollingUpdate/maxUnavailable",
                json!("100%"),
                json!("101%"),
                &[concat!(
                    "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": ",
                    "must not be greater than 100%"
                )],
            ),
            (
                "/spec/strategy/rollingUpdate",
                json!({"maxSurge": 0, "maxUnavailable": 1}),
                json!({"maxSurge": "0%", "maxUnavailable": 0}),
                &[concat!(
                    "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: ",
                    "may not be 0 when `maxSurge` is 0"
                )],
            ),
        ],
    );
}

#[test]
fn selectors_stay() {
    let other = json!({"matchLabels": {"app": "a", "b": "c"}});
    let base = with(&workload(), "/spec/template/metadata/labels/b", &json!("c"));
    let said = r#"spec.selector: Invalid value: {"matchLabels":{"app":"a","b":"c"}}: field is immutable"#;
    for kind in ["Deployment", "ReplicaSet", "DaemonSet"] {
        updated(
            of(kind),
            &base,
            &[("/spec/selector", base["spec"]["selector"].clone(), other.clone(), &[said])],
        );
    }
}

#[test]
fn a_daemon_sets_own_rules() {
    let surge = "spec.updateStrategy.rollingUpdate.maxSurge";
    created(
        of("DaemonSet"),
        &workload(),
        &[
            ("/spec/minReadySeconds", json!(1), json!(-1), &[&negative("spec.minReadySeconds")]),
            ("/spec/revisionHistoryLimit", json!(1), json!(-1), &[&negative("spec.revisionHistoryLimit")]),
            (
                "/spec/updateStrategy",
                json!({"type": "OnDelete"}),
                json!({"type": "x"}),
                &[concat!(
                    r#"spec.updateStrategy: Unsupported value: {"Type":"x","RollingUpdate":null}: "#,
                    r#"supported values: "RollingUpdate", "OnDelete""#
                )],
            ),
            (
                "/spec/updateStrategy/rollingUpdate/maxSurge",
                json!(0),
                json!(1),
                &[&format!("{surge}: Invalid value: 1: may not be set when maxUnavailable is non-zero")],
            ),
            (
                "/spec/updateStrategy/rollingUpdate",
                json!({"maxUnavailable": 0, "maxSurge": "10%"}),
                json!({"maxUnavailable": "0%", "maxSurge": 0}),
                &[concat!(
                    "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: ",
                    "cannot be 0 when maxSurge is 0"
                )],
            ),
        ],
    );
}

#[test]
fn changes_of_a_daemon_sets_template_are_counted_by_the_server() {
    let count = |set: &Value| {
        set["metadata"]["annotations"]["deprecated.daemonset.template.generation"].as_str().map(str::to_owned)
    };
    let mut old = defaulted(of("DaemonSet"), &workload());
    (of("DaemonSet").prepare)(&mut old, None);
    assert_eq!(count(&old).as_deref(), Some("1"));
    let mut same =
        with(&old, "/metadata/annotations", &json!({"deprecated.daemonset.template.generation": "9"}));
    (of("DaemonSet").prepare)(&mut same, Some(&old));
    assert_eq!(count(&same).as_deref(), Some("1"), "a writer's count is not taken");
    let mut other = with(&old, "/spec/template/spec/containers/0/image", &json!("j"));
    (of("DaemonSet").prepare)(&mut other, Some(&old));
    assert_eq!(count(&other).as_deref(), Some("2"));
}

#[test]
fn a_stateful_sets_own_rules() {
    let policy = "spec.persistentVolumeClaimRetentionPolicy.whenDeleted";
    let claim = |spec: Value| json!([{"metadata": {"name": "d"}, "spec": spec}]);
    let good = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    created(
        of("StatefulSet"),
        &workload(),
        &[
            ("/spec/replicas", json!(0), json!(-1), &[&negative("spec.replicas")]),
            ("/spec/minReadySeconds", json!(0), json!(-1), &[&negative("spec.minReadySeconds")]),
            (
                "/spec/ordinals",
                json!({"start": 5}),
                json!({"start": -1}),
                &[&negative("spec.ordinals.start")],
            ),
            (
                "/spec/podManagementPolicy",
                json!("Parallel"),
                json!("x"),
                &[r#"spec.podManagementPolicy: Invalid value: "x": must be 'OrderedReady' or 'Parallel'"#],
            ),
            (
                "/spec/updateStrategy",
                json!({"type": "OnDelete"}),
                json!({"type": "OnDelete", "rollingUpdate": {"partition": 1}}),
                &[concat!(
                    r#"spec.updateStrategy.rollingUpdate: Invalid value: {"partition":1}: "#,
                    "only allowed for updateStrategy 'RollingUpdate'"
                )],
            ),
            (
                "/spec/updateStrategy",
                json!({"type": "RollingUpdate"}),
                json!({"type": "x", "rollingUpdate": {"partition": 1}}),
                &[concat!(
                    r#"spec.updateStrategy: Invalid value: {"Type":"x","RollingUpdate":{"Partition":1,"#,
                    r#""MaxUnavailable":null}}: must be 'RollingUpdate' or 'OnDelete'"#
                )],
            ),
            (
                "/spec/updateStrategy/rollingUpdate/partition",
                json!(2),
                json!(-1),
                &[&negative("spec.updateStrategy.rollingUpdate.partition")],
            ),
            (
                "/spec/updateStrategy/rollingUpdate/maxUnavailable",
                json!("50%"),
                json!(0),
                &["spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0"],
            ),
            (
                "/spec/persistentVolumeClaimRetentionPolicy/whenDeleted",
                json!("Delete"),
                json!("x"),
                &[&format!(r#"{policy}: Unsupported value: "x": supported values: "Retain", "Delete""#)],
            ),
            (
                "/spec/volumeClaimTemplates",
                claim(good.clone()),
                claim(json!({})),
                &[
                    "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required",
                    "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value",
                ],
            ),
            // The pods' own name and subdomain are the controller's to give.
            ("/spec/template/spec/hostname", json!("A"), Value::Null, &[]),
        ],
    );
    let base = with(&workload(), "/spec/volumeClaimTemplates", &claim(good));
    let mount = json!([{"name": "d", "mountPath": "/d"}]);
    let mounted = with(&base, "/spec/template/spec/containers/0/volumeMounts", &mount);
    assert_eq!(wrong(of("StatefulSet"), &mounted), Vec::<String>::new(), "a claim is a volume");
    let long = wrong(of("StatefulSet"), &with(&base, "/spec/serviceName", &json!("x".repeat(64))));
    assert!(long[0].ends_with("must be no more than 63 characters"), "{long:?}");
}

#[test]
fn of_a_stateful_set_some_fields_stay() {
    let said = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                'minReadySeconds' are forbidden";
    updated(
        of("StatefulSet"),
        &workload(),
        &[
            ("/spec/replicas", json!(5), json!(-1), &[&negative("spec.replicas")]),
            (
                "/spec/template/spec/containers/0/image",
                json!("j"),
                json!(""),
                &["spec.template.spec.containers[0].image: Required value"],
            ),
            ("/spec/podManagementPolicy", json!("OrderedReady"), json!("Parallel"), &[said]),
            // What cannot change is not looked at again.
            ("/spec/serviceName", Value::Null, json!("-"), &[said]),
            ("/spec/volumeClaimTemplates", Value::Null, json!([{"metadata": {"name": "d"}}]), &[said]),
        ],
    );
}

#[test]
fn a_revision_holds_an_object_for_good() {
    let base = json!({"metadata": {"name": "a"}, "revision": 1, "data": {"a": 1}});
    created(
        of("ControllerRevision"),
        &base,
        &[
            ("/revision", json!(0), json!(-1), &[&negative("revision")]),
            ("/data", json!({}), Value::Null, &["data: Required value: data is mandatory"]),
            ("/data", json!({}), json!([]), &["data: Required value: data must be a valid JSON object"]),
        ],
    );
    updated(
        of("ControllerRevision"),
        &base,
        &[(
            "/data",
            json!({"a": 1}),
            json!({"a": 2}),
            &[r#"data: Invalid value: {"a":2}: field is immutable"#],
        )],
    );
    assert_eq!(changed(of("ControllerRevision"), &base, "/revision", &json!(2)), Vec::<String>::new());
}

#[test]
fn counts_of_a_status_are_parts_of_each_other() {
    let whole = "cannot be greater than status.replicas";
    let counted = |fields: &[&str], ready: &str, kind: &str| {
        let base = json!({"status": {"replicas": 2, "readyReplicas": 2, "collisionCount": 1}});
        for field in fields {
            let place = format!("/status/{field}");
            let below = negative(&format!("status.{field}"));
            let above = format!("status.{field}: Invalid value: 3: {whole}");
            let not_ready =
                format!("status.availableReplicas: Invalid value: 0: cannot be greater than {ready}");
            let said: &[&str] = if *field == "readyReplicas" { &[&below, &not_ready] } else { &[&below] };
            told(of(kind), &base, &[(&place, json!(2), json!(-1), said)]);
            let not_ready =
                format!("status.availableReplicas: Invalid value: 3: cannot be greater than {ready}");
            let said: &[&str] = if *field == "availableReplicas" { &[&above, &not_ready] } else { &[&above] };
            // What is available is ready.
            let good = if *field == "readyReplicas" { 2 } else { 1 };
            told(of(kind), &base, &[(&place, json!(good), json!(3), said)]);
        }
    };
    counted(&["updatedReplicas", "readyReplicas", "availableReplicas"], "readyReplicas", "Deployment");
    counted(&["fullyLabeledReplicas", "readyReplicas", "availableReplicas"], "readyReplicas", "ReplicaSet");
    let parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    counted(&parts, "status.readyReplicas", "StatefulSet");
    let base = json!({"status": {"collisionCount": 1}});
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        let said = "status.collisionCount: Invalid value: 0: cannot be decremented";
        told(of(kind), &base, &[("/status/collisionCount", json!(2), json!(0), &[said])]);
    }
    let said = negative("status.numberReady");
    told(of("DaemonSet"), &base, &[("/status/numberReady", json!(0), json!(-1), &[&said])]);
}
