use serde_json::{Value, json};

use super::RULES;
use crate::trial::{created, told};

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
    '93%', regex used for validation is '[0-9]+%')";

#[test]
fn a_budget_is_told_in_one_way() {
    let percent = format!("spec.maxUnavailable: Invalid value: \"x\": {PERCENT}");
    created(
        &RULES,
        &json!({"metadata": {"name": "a"}, "spec": {}}),
        &[
            (
                "/spec",
                json!({"minAvailable": 1}),
                json!({"minAvailable": 1, "maxUnavailable": 1}),
                &[concat!(
                    r#"spec: Invalid value: {"maxUnavailable":1,"minAvailable":1}: "#,
                    "minAvailable and maxUnavailable cannot be both set"
                )],
            ),
            ("/spec/maxUnavailable", json!("30%"), json!("x"), &[&percent]),
            (
                "/spec/minAvailable",
                json!("100%"),
                json!("101%"),
                &[r#"spec.minAvailable: Invalid value: "101%": must not be greater than 100%"#],
            ),
            (
                "/spec/minAvailable",
                json!(0),
                json!(-1),
                &["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (
                "/spec/unhealthyPodEvictionPolicy",
                json!("AlwaysAllow"),
                json!("x"),
                &[concat!(
                    r#"spec.unhealthyPodEvictionPolicy: Unsupported value: "x": "#,
                    r#"supported values: "AlwaysAllow", "IfHealthyBudget""#
                )],
            ),
            (
                "/spec/selector",
                json!({}),
                json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
                &[concat!(
                    "spec.selector.matchExpressions[0].values: Required value: ",
                    "must be specified when `operator` is 'In' or 'NotIn'"
                )],
            ),
        ],
    );
}

#[test]
fn a_budgets_status_has_whole_conditions() {
    let base = json!({"status": {"conditions": [{
        "type": "A", "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    let at = "/status/conditions/0";
    let place = |field: &str| format!("{at}/{field}");
    let reason = format!("status.conditions[0].reason: Invalid value: \"1\": {}", super::REASON);
    told(
        &RULES,
        &base,
        &[
            (
                "/status/disruptionsAllowed",
                json!(0),
                json!(-1),
                &["status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0"],
            ),
            (
                &place("status"),
                json!("Unknown"),
                json!("x"),
                &[concat!(
                    r#"status.conditions[0].status: Unsupported value: "x": "#,
                    r#"supported values: "False", "True", "Unknown""#
                )],
            ),
            (
                &place("lastTransitionTime"),
                json!("2026-01-02T00:00:00Z"),
                Value::Null,
                &["status.conditions[0].lastTransitionTime: Required value"],
            ),
            (&place("reason"), json!("A_b,C:d"), json!("1"), &[&reason]),
            (
                &place("observedGeneration"),
                json!(0),
                json!(-1),
                &[concat!(
                    "status.conditions[0].observedGeneration: Invalid value: -1: ",
                    "must be greater than or equal to zero"
                )],
            ),
            (
                "/status/conditions/1",
                json!({"type": "B", "status": "True", "reason": "R", "lastTransitionTime": "t"}),
                json!({"type": "A", "status": "True", "reason": "R", "lastTransitionTime": "t"}),
                &[r#"status.conditions[1].type: Duplicate value: "A""#],
            ),
        ],
    );
}
