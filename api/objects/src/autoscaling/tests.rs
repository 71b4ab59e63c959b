use serde_json::{Value, json};

use super::RULES;
use crate::trial::{created, defaulted, told, updated};

fn base() -> Value {
    json!({"apiVersion": "autoscaling/v2", "metadata": {"name": "a"}, "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"},
        "minReplicas": 2, "maxReplicas": 5,
    }})
}

#[test]
fn each_version_has_its_defaults() {
    let second = defaulted(&RULES, &json!({"spec": {"behavior": {"scaleUp": {"selectPolicy": "Min"}}}}));
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    assert_eq!(
        second["spec"],
        json!({
            "minReplicas": 1,
            "metrics": [{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80},
            }}],
            "behavior": {
                "scaleUp": {"selectPolicy": "Min", "stabilizationWindowSeconds": 0, "policies": [pods, percent]},
                "scaleDown": {"selectPolicy": "Max", "policies": [percent]},
            },
        })
    );
    let first = defaulted(&RULES, &json!({"apiVersion": "autoscaling/v1", "spec": {}}));
    assert_eq!(first["spec"], json!({"minReplicas": 1, "targetCPUUtilizationPercentage": 80}));
}

#[test]
fn bounds_and_targets_are_checked() {
    created(
        &RULES,
        &base(),
        &[
            (
                "/spec/minReplicas",
                json!(1),
                json!(-1),
                &["spec.minReplicas: Invalid value: -1: must be greater than or equal to 1"],
            ),
            (
                "/spec/maxReplicas",
                json!(2),
                json!(1),
                &["spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`"],
            ),
            (
                "/spec/maxReplicas",
                json!(2),
                Value::Null,
                &[
                    "spec.maxReplicas: Required value: must be set and greater than 0",
                    "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
                ],
            ),
            (
                "/spec/scaleTargetRef/kind",
                json!("X"),
                json!(""),
                &["spec.scaleTargetRef.kind: Required value"],
            ),
            (
                "/spec/scaleTargetRef/name",
                json!("b"),
                json!("a/b"),
                &[r#"spec.scaleTargetRef.name: Invalid value: "a/b": may not contain '/'"#],
            ),
            (
                "/spec/scaleTargetRef/apiVersion",
                json!("b/v1"),
                json!("v1"),
                &[
                    r#"spec.scaleTargetRef.apiVersion: Invalid value: "v1": apiVersion must specify API group"#,
                ],
            ),
            (
                "/spec/scaleTargetRef",
                json!({"kind": "ReplicationController", "name": "a"}),
                json!({"kind": "ReplicationController", "name": "a", "apiVersion": "a/b/c"}),
                &[concat!(
                    r#"spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": "#,
                    "unexpected GroupVersion string: a/b/c"
                )],
            ),
        ],
    );
    let old = json!({"apiVersion": "autoscaling/v2", "spec": {
        "scaleTargetRef": {"kind": "X", "name": "a"}, "minReplicas": 0, "maxReplicas": 5,
        "metrics": [{"type": "External", "external": {
            "metric": {"name": "m"}, "target": {"type": "Value", "value": "1"},
        }}],
    }});
    // What was wrong before may stay as it is.
    updated(
        &RULES,
        &old,
        &[(
            "/spec/maxReplicas",
            json!(6),
            json!(-1),
            &[
                "spec.maxReplicas: Invalid value: -1: must be greater than or equal to 1",
                "spec.maxReplicas: Invalid value: -1: must be greater than or equal to `minReplicas`",
            ],
        )],
    );
}

#[test]
fn a_metric_has_one_source_and_a_target_of_its_kind() {
    let metric = |source: &str, kind: &str, value: Value| json!([{"type": kind, source: value}]);
    let target = |name: &str, value: Value| json!({"type": "Value", name: value});
    let named = |target: Value| json!({"metric": {"name": "m"}, "target": target});
    let at = |rest: &str| format!("spec.metrics[0].{rest}");
    let place = "/spec/metrics";
    let good = metric("pods", "Pods", named(target("averageValue", json!("1"))));
    let with_name = |name: &str| json!({"name": name, "container": "c", "target": target("averageUtilization", json!(5))});
    created(
        &RULES,
        &base(),
        &[
            (
                place,
                good.clone(),
                json!([{"type": "Pods"}]),
                &[&at("pods: Required value: must populate information for the given metric source")],
            ),
            (
                place,
                good.clone(),
                json!([{"type": "Pods", "pods": good[0]["pods"], "resource": {}}]),
                &[&at("resource: Forbidden: must populate the given metric source only")],
            ),
            (
                place,
                good.clone(),
                metric("pods", "Pods", named(target("value", json!("1")))),
                &[&at(
                    "pods.target.averageValue: Required value: must specify a positive target averageValue",
                )],
            ),
            (
                place,
                good.clone(),
                metric("pods", "Pods", named(target("averageValue", json!("0")))),
                &[&at(r#"pods.target.averageValue: Invalid value: "0": must be positive"#)],
            ),
            (
                place,
                metric("external", "External", named(target("value", json!("1")))),
                metric("external", "External", named(json!({"type": "Value"}))),
                &[&at(
                    "external.target.averageValue: Required value: must set either a target value for metric or a \
                     per-pod target",
                )],
            ),
            (
                place,
                metric("containerResource", "ContainerResource", with_name("cpu")),
                metric("containerResource", "ContainerResource", with_name("pods")),
                &[&at(
                    r#"containerResource.name: Invalid value: "pods": must be a standard resource for containers"#,
                )],
            ),
            (
                place,
                metric("resource", "Resource", with_name("cpu")),
                metric("resource", "Resource", json!({"name": "cpu", "target": {"type": "x"}})),
                &[
                    &at(
                        r#"resource.target.type: Invalid value: "x": must be either Utilization, Value, or AverageValue"#,
                    ),
                    &at(
                        "resource.target.averageUtilization: Required value: must set either a target raw value or a \
                         target utilization",
                    ),
                ],
            ),
        ],
    );
}

#[test]
fn scaling_policies_are_bounded() {
    let policy = json!({"type": "Pods", "value": 1, "periodSeconds": 60});
    let at = |rest: &str| format!("spec.behavior.scaleDown.{rest}");
    let place = |rest: &str| format!("/spec/behavior/scaleDown/{rest}");
    let (window, select, policies) =
        (place("stabilizationWindowSeconds"), place("selectPolicy"), place("policies"));
    let with = |field: &str, value: Value| json!([crate::trial::with(&policy, &format!("/{field}"), &value)]);
    created(
        &RULES,
        &base(),
        &[
            (
                &window,
                json!(3600),
                json!(3601),
                &[&at("stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600")],
            ),
            (
                &window,
                json!(0),
                json!(-1),
                &[&at(
                    "stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero",
                )],
            ),
            (
                &select,
                json!("Disabled"),
                json!("x"),
                &[&at(r#"selectPolicy: Unsupported value: "x": supported values: "Disabled", "Max", "Min""#)],
            ),
            (
                &policies,
                json!([policy]),
                json!([]),
                &[&at("policies: Required value: must specify at least one Policy")],
            ),
            (
                &policies,
                with("type", json!("Percent")),
                with("type", json!("x")),
                &[&at(r#"policies[0].type: Unsupported value: "x": supported values: "Percent", "Pods""#)],
            ),
            (
                &policies,
                with("value", json!(9)),
                with("value", json!(0)),
                &[&at("policies[0].value: Invalid value: 0: must be greater than zero")],
            ),
            (
                &policies,
                with("periodSeconds", json!(1800)),
                with("periodSeconds", json!(1801)),
                &[&at("policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800")],
            ),
            (
                &place("tolerance"),
                json!("0"),
                json!("-1"),
                &[&at(r#"tolerance: Invalid value: "-1": must be greater than or equal to 0"#)],
            ),
        ],
    );
}

#[test]
fn a_status_counts_no_negative_pods() {
    let said = "status.desiredReplicas: Invalid value: -1: must be greater than or equal to 0";
    told(&RULES, &base(), &[("/status/desiredReplicas", json!(0), json!(-1), &[said])]);
}
