//! What schedulers read.

use serde_json::{Value, json};

use super::{LABEL, pod, rows_at};
use crate::trial::with;

#[test]
fn what_schedulers_read_is_checked() {
    let key = format!("tolerations[0].key: Invalid value: \"-\": {LABEL}");
    let gate = format!("readinessGates[0].conditionType: Invalid value: \"-\": {LABEL}");
    let constraint = json!({"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"a": "b"}}});
    let spread = |field: &str, value: Value| json!([with(&constraint, &format!("/{field}"), &value)]);
    rows_at(
        &pod(),
        "/spec/",
        "spec.",
        &[
            (
                "tolerations",
                json!([{"operator": "Exists"}]),
                json!([{"operator": "Equal", "value": "v"}]),
                &[concat!(
                    "tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, ",
                    "which means \"match all values and all keys\""
                )],
            ),
            ("tolerations", json!([{"key": "a.b/c"}]), json!([{"key": "-"}]), &[&key]),
            (
                "tolerations",
                json!([{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]),
                json!([{"key": "k", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 1}]),
                &[concat!(
                    "tolerations[0].effect: Invalid value: \"NoSchedule\": ",
                    "effect must be 'NoExecute' when `tolerationSeconds` is set"
                )],
            ),
            (
                "tolerations",
                json!([{"key": "k", "operator": "Equal", "value": "v"}]),
                json!([{"key": "k", "operator": "Exists", "value": "v"}]),
                &[
                    r#"tolerations[0].operator: Invalid value: "v": value must be empty when `operator` is 'Exists'"#,
                ],
            ),
            ("readinessGates", json!([{"conditionType": "a/b"}]), json!([{"conditionType": "-"}]), &[&gate]),
            (
                "schedulingGates",
                json!([{"name": "a"}, {"name": "b"}]),
                json!([{"name": "a"}, {"name": "a"}]),
                &[r#"schedulingGates[1]: Duplicate value: "a""#],
            ),
            (
                "topologySpreadConstraints",
                json!([constraint]),
                spread("maxSkew", json!(0)),
                &["topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
            ),
            (
                "topologySpreadConstraints",
                spread("minDomains", json!(2)),
                json!([{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}]),
                &[concat!(
                    "topologySpreadConstraints[0].minDomains: Invalid value: 2: ",
                    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"
                )],
            ),
            (
                "topologySpreadConstraints",
                spread("nodeTaintsPolicy", json!("Honor")),
                json!([constraint, constraint]),
                &[concat!(
                    "topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: ",
                    "Duplicate value: \"{z, DoNotSchedule}\""
                )],
            ),
            (
                "topologySpreadConstraints",
                spread("matchLabelKeys", json!(["x"])),
                json!([{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["x"]}]),
                &[concat!(
                    "topologySpreadConstraints[0].matchLabelKeys: Forbidden: ",
                    "must not be specified when labelSelector is not set"
                )],
            ),
        ],
    );
}

#[test]
fn affinities_name_what_can_be_there() {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms =
        |requirement: Value| json!({required: {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}});
    let node = format!("nodeAffinity.{required}.nodeSelectorTerms");
    let pods = |term: Value| json!({required: [term]});
    rows_at(
        &pod(),
        "/spec/affinity/",
        "spec.affinity.",
        &[
            (
                "nodeAffinity",
                terms(json!({"key": "k", "operator": "Gt", "values": ["1"]})),
                json!({required: {}}),
                &[&format!("{node}: Required value: must have at least one node selector term")],
            ),
            (
                "nodeAffinity",
                terms(json!({"key": "k", "operator": "Exists"})),
                terms(json!({"key": "k", "operator": "Lt", "values": ["1", "2"]})),
                &[&format!(
                    "{node}[0].matchExpressions[0].values: Required value: must be specified single value when \
                     `operator` is 'Lt' or 'Gt'"
                )],
            ),
            (
                "nodeAffinity",
                json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": {}}]}),
                json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101, "preference": {}}]}),
                &[concat!(
                    "nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: ",
                    "Invalid value: 101: must be in the range 1-100"
                )],
            ),
            (
                "podAntiAffinity",
                pods(json!({"topologyKey": "z", "namespaces": ["n"]})),
                pods(json!({"topologyKey": "z", "matchLabelKeys": ["a"], "mismatchLabelKeys": ["a"],
                    "labelSelector": {}})),
                &[&format!(
                    "podAntiAffinity.{required}[0].matchLabelKeys[0]: Invalid value: \"a\": exists in both \
                     matchLabelKeys and mismatchLabelKeys"
                )],
            ),
        ],
    );
}
