use serde_json::json;

use super::*;
use crate::table::Table;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

#[test]
fn schemas() {
    let good = json!({"metadata": {"name": "a"}, "spec": {"priorityLevelConfiguration": {"name": "catch-all"}, "rules": [{
        "subjects": [{"kind": "User", "user": {"name": "u"}},
            {"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "n"}}],
        "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["n"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["/a/*"]}],
    }]}, "status": {"conditions": [{"type": "X"}]}});
    let table = Table::of(GROUP, "FlowSchema", good);
    table.create(&[
        (
            "/spec/matchingPrecedence",
            json!(-1),
            &["spec.matchingPrecedence: Invalid value: -1: must be a positive"],
        ),
        (
            "/spec/matchingPrecedence",
            json!(1),
            &["spec.matchingPrecedence: Invalid value: 1: only the schema named"],
        ),
        (
            "/spec/matchingPrecedence",
            json!(10_001),
            &["spec.matchingPrecedence: Invalid value: 10001: must not be gr"],
        ),
        ("/spec/distinguisherMethod", json!({}), &["spec.distinguisherMethod.type: Unsupported value"]),
        (
            "/spec/priorityLevelConfiguration/name",
            json!(""),
            &["spec.priorityLevelConfiguration.name: Required value"],
        ),
        ("/metadata/name", json!("exempt"), &["spec: Invalid value: "]),
        ("/status/conditions/0/type", json!(""), &["status.conditions[0].type: Required value"]),
    ]);
    for (pointer, value, want) in [
        ("subjects", json!([]), ".subjects: Required value: subjects must contain at least one value"),
        ("subjects/0/kind", json!("X"), ".subjects[0].kind: Unsupported value: \"X\""),
        (
            "subjects/0/user",
            json!(null),
            ".subjects[0].user: Required value: user is required when subject kind",
        ),
        (
            "subjects/0/group",
            json!({}),
            ".subjects[0].group: Forbidden: group is forbidden when subject kind is not",
        ),
        (
            "subjects/1/serviceAccount/name",
            json!("A"),
            ".subjects[1].serviceAccount.name: Invalid value: \"A\"",
        ),
        (
            "subjects/1/serviceAccount/namespace",
            json!(""),
            ".subjects[1].serviceAccount.namespace: Required value",
        ),
        ("resourceRules/0/verbs", json!([]), ".resourceRules[0].verbs: Required value"),
        ("resourceRules/0/verbs", json!(["x"]), ".resourceRules[0].verbs: Unsupported value: [\"x\"]"),
        (
            "resourceRules/0/verbs",
            json!(["*", "get"]),
            ".resourceRules[0].verbs: Invalid value: [\"*\",\"get\"]",
        ),
        ("resourceRules/0/apiGroups", json!([]), ".resourceRules[0].apiGroups: Required value"),
        (
            "resourceRules/0/resources",
            json!(["*", "a"]),
            ".resourceRules[0].resources: Invalid value: [\"*\",\"a\"]",
        ),
        ("resourceRules/0/namespaces", json!([]), ".resourceRules[0].namespaces: Required value"),
        (
            "resourceRules/0/namespaces",
            json!(["A"]),
            ".resourceRules[0].namespaces[0]: Invalid value: \"A\": each",
        ),
        (
            "nonResourceRules/0/nonResourceURLs",
            json!(["a"]),
            ".nonResourceRules[0].nonResourceURLs[0]: Invalid value",
        ),
        (
            "nonResourceRules/0/nonResourceURLs",
            json!(["/a*"]),
            ".nonResourceRules[0].nonResourceURLs[0]: Invalid value",
        ),
    ] {
        table.create(&[(&format!("/spec/rules/0/{pointer}"), value, &[&format!("spec.rules[0]{want}")])]);
    }
}

#[test]
fn levels() {
    let good = json!({"metadata": {"name": "a"}, "spec": {"type": "Limited",
        "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}});
    let mut filled = good.clone();
    level::defaults(&mut filled);
    let limited = json!({"nominalConcurrencyShares": 30, "lendablePercent": 0, "limitResponse":
        {"type": "Queue", "queuing": {"handSize": 8, "queues": 64, "queueLengthLimit": 50}}});
    assert_eq!(filled["spec"]["limited"], limited);
    let table = Table::of(GROUP, "PriorityLevelConfiguration", good);
    table.create(&[
        ("/spec/type", json!("X"), &["spec.type: Unsupported value: \"X\""]),
        (
            "/spec/type",
            json!("Exempt"),
            &[
                "spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if",
                "spec.limited: Forbidden",
            ],
        ),
        ("/spec/exempt", json!({}), &["spec.exempt: Forbidden: must be nil if the type is Limited"]),
        (
            "/spec/limited",
            json!(null),
            &["spec.limited: Required value: must not be empty when type is Limited"],
        ),
        (
            "/spec/limited/nominalConcurrencyShares",
            json!(-1),
            &["spec.limited.nominalConcurrencyShares: Invalid value"],
        ),
        ("/spec/limited/lendablePercent", json!(101), &["spec.limited.lendablePercent: Invalid value: 101"]),
        (
            "/spec/limited/borrowingLimitPercent",
            json!(-1),
            &["spec.limited.borrowingLimitPercent: Invalid value: -1"],
        ),
        (
            "/spec/limited/limitResponse/type",
            json!("X"),
            &["spec.limited.limitResponse.type: Unsupported value: \"X\""],
        ),
        (
            "/spec/limited/limitResponse/type",
            json!("Reject"),
            &["spec.limited.limitResponse.queuing: Forbidden"],
        ),
        (
            "/spec/limited/limitResponse/queuing/queues",
            json!(-1),
            &["spec.limited.limitResponse.queuing.queues: Invalid"],
        ),
        (
            "/spec/limited/limitResponse/queuing/handSize",
            json!(65),
            &["spec.limited.limitResponse.queuing.handSize: Inv"],
        ),
        (
            "/spec/limited/limitResponse/queuing/handSize",
            json!(20),
            &["spec.limited.limitResponse.queuing.handSize: Inv"],
        ),
        ("/metadata/name", json!("catch-all"), &["spec: Invalid value: "]),
    ]);
    let exempt = json!({"metadata": {"name": "exempt"}, "spec": {"type": "Exempt", "exempt": {"lendablePercent": 50}}});
    Table::of(GROUP, "PriorityLevelConfiguration", exempt).create(&[(
        "/spec/exempt/nominalConcurrencyShares",
        json!(-1),
        &["spec.exempt.nominalConcurrencyShares: Invalid value"],
    )]);
}
