use serde_json::{Value, json};

use crate::table::Table;

const GROUP: &str = "admissionregistration.k8s.io";

fn rule() -> Value {
    json!({"operations": ["CREATE"], "apiGroups": ["a.b"], "apiVersions": ["v1"], "resources": ["foos", "foos/bar"]})
}

#[test]
fn webhooks() {
    let hook = json!({"name": "a.b.c", "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": [rule()],
        "clientConfig": {"url": "https://a/b"}, "matchConditions": [{"name": "m", "expression": "true"}]});
    let good = json!({"webhooks": [hook]});
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        let table = Table::of(GROUP, kind, good.clone());
        for (pointer, value, want) in [
            ("name", json!(""), "name: Required value"),
            ("name", json!("a.b"), "name: Invalid value: \"a.b\": should be a domain with at least three"),
            ("name", json!("A.b.c"), "name: Invalid value: \"A.b.c\""),
            (
                "admissionReviewVersions",
                json!([]),
                "admissionReviewVersions: Required value: must specify one of v1",
            ),
            (
                "admissionReviewVersions",
                json!(["v1", "v1"]),
                "admissionReviewVersions[1]: Invalid value: \"v1\": dupl",
            ),
            (
                "admissionReviewVersions/0",
                json!("v2"),
                "admissionReviewVersions: Invalid value: [\"v2\"]: must include",
            ),
            (
                "sideEffects",
                Value::Null,
                "sideEffects: Required value: must specify one of None, NoneOnDryRun",
            ),
            ("sideEffects", json!("Some"), "sideEffects: Unsupported value: \"Some\""),
            ("failurePolicy", json!("X"), "failurePolicy: Unsupported value: \"X\""),
            ("matchPolicy", json!("X"), "matchPolicy: Unsupported value: \"X\""),
            (
                "timeoutSeconds",
                json!(31),
                "timeoutSeconds: Invalid value: 31: the timeout value must be between",
            ),
            (
                "clientConfig",
                json!({}),
                "clientConfig: Required value: exactly one of url or service is required",
            ),
            (
                "clientConfig/url",
                json!("http://a"),
                "clientConfig.url: Invalid value: \"http\": 'https' is the only",
            ),
            (
                "namespaceSelector",
                json!({"matchLabels": {"-": ""}}),
                "namespaceSelector.matchLabels: Invalid value",
            ),
            ("matchConditions/0/name", json!(""), "matchConditions[0].name: Required value"),
            ("matchConditions/0/expression", json!(" "), "matchConditions[0].expression: Required value"),
            ("rules/0/operations", json!([]), "rules[0].operations: Required value"),
            ("rules/0/operations/0", json!("X"), "rules[0].operations[0]: Unsupported value: \"X\""),
            (
                "rules/0/operations",
                json!(["*", "CREATE"]),
                "rules[0].operations: Invalid value: [\"*\",\"CREATE\"]",
            ),
            ("rules/0/apiGroups", json!([]), "rules[0].apiGroups: Required value"),
            ("rules/0/apiVersions/0", json!(""), "rules[0].apiVersions[0]: Required value"),
            ("rules/0/resources", json!([]), "rules[0].resources: Required value"),
            ("rules/0/resources/0", json!(""), "rules[0].resources[0]: Required value"),
            (
                "rules/0/resources",
                json!(["a/*", "a/b"]),
                "rules[0].resources[1]: Invalid value: \"a/b\": if 'a/*'",
            ),
            (
                "rules/0/resources",
                json!(["*/b", "a/b"]),
                "rules[0].resources[1]: Invalid value: \"a/b\": if '*/b'",
            ),
            (
                "rules/0/resources",
                json!(["*/*", "a"]),
                "rules[0].resources: Invalid value: [\"*/*\",\"a\"]: if '*/*'",
            ),
            (
                "rules/0/resources",
                json!(["*", "a"]),
                "rules[0].resources: Invalid value: [\"*\",\"a\"]: if '*' is",
            ),
            ("rules/0/scope", json!("X"), "rules[0].scope: Unsupported value: \"X\""),
        ] {
            table.create(&[(&format!("/webhooks/0/{pointer}"), value, &[&format!("webhooks[0].{want}")])]);
        }
        table.create(&[(
            "/webhooks",
            json!([hook, hook]),
            &["webhooks[1].name: Duplicate value: \"a.b.c\""],
        )]);
    }
    Table::of(GROUP, "MutatingWebhookConfiguration", good).create(&[(
        "/webhooks/0/reinvocationPolicy",
        json!("X"),
        &["webhooks[0].reinvocationPolicy: Unsupported value: \"X\""],
    )]);
}

#[test]
fn policies() {
    let good = json!({"metadata": {"name": "a"}, "spec": {"matchConstraints": {"resourceRules": [rule()]},
        "paramKind": {"apiVersion": "a.b/v1", "kind": "Foo"}, "variables": [{"name": "v", "expression": "1"}],
        "validations": [{"expression": "true"}], "auditAnnotations": [{"key": "k", "valueExpression": "'x'"}]}});
    let table = Table::of(GROUP, "ValidatingAdmissionPolicy", good);
    table.create(&[
        ("/spec/failurePolicy", json!("X"), &["spec.failurePolicy: Unsupported value: \"X\""]),
        ("/spec/paramKind/apiVersion", json!(""), &["spec.paramKind.apiVersion: Required value"]),
        ("/spec/paramKind/apiVersion", json!("A/v1"), &["spec.paramKind.apiVersion: Invalid value: \"A\""]),
        (
            "/spec/paramKind/apiVersion",
            json!("a/b/c"),
            &["spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexp"],
        ),
        (
            "/spec/paramKind/kind",
            json!("-"),
            &["spec.paramKind.kind: Invalid value: \"-\": may have mixed case"],
        ),
        ("/spec/matchConstraints", Value::Null, &["spec.matchConstraints: Required value"]),
        (
            "/spec/matchConstraints/matchPolicy",
            json!("X"),
            &["spec.matchConstraints.matchPolicy: Unsupported value"],
        ),
        (
            "/spec/matchConstraints/resourceRules",
            json!([]),
            &["spec.matchConstraints.resourceRules: Required value"],
        ),
        (
            "/spec/matchConstraints/resourceRules/0/resourceNames",
            json!(["a", "a"]),
            &["spec.matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: \"a\""],
        ),
        (
            "/spec/variables/0/name",
            json!("in"),
            &["spec.variables[0].name: Invalid value: \"in\": must be a valid CEL"],
        ),
        ("/spec/variables/0/expression", json!(""), &["spec.variables[0].expression: Required value"]),
        (
            "/spec/validations/0/expression",
            json!(" "),
            &["spec.validations[0].expression: Required value: expression"],
        ),
        (
            "/spec/validations/0/message",
            json!("a\nb"),
            &["spec.validations[0].message: Invalid value: \"a\\nb\": must"],
        ),
        (
            "/spec/validations/0/messageExpression",
            json!(" "),
            &["spec.validations[0].messageExpression: Invalid value"],
        ),
        ("/spec/validations/0/reason", json!("X"), &["spec.validations[0].reason: Unsupported value: \"X\""]),
        (
            "/spec/auditAnnotations/0/key",
            json!("-"),
            &["spec.auditAnnotations[0].key: Invalid value: \"a/-\""],
        ),
        (
            "/spec/auditAnnotations/0/valueExpression",
            json!(""),
            &["spec.auditAnnotations[0].valueExpression: Required"],
        ),
    ]);
    let bare = json!({"spec": {"matchConstraints": {"resourceRules": [rule()]}, "validations": [{"expression": "true"}]}});
    Table::of(GROUP, "ValidatingAdmissionPolicy", bare).create(&[(
        "/spec/validations",
        json!([]),
        &[
            "spec.validations: Required value: validations or auditAnnotations must",
            "spec.auditAnnotations: Required value",
        ],
    )]);
}

#[test]
fn bindings() {
    let good = json!({"spec": {"policyName": "a", "validationActions": ["Deny", "Audit"], "matchResources": {},
        "paramRef": {"name": "p", "parameterNotFoundAction": "Deny"}}});
    for kind in ["ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding"] {
        Table::of(GROUP, kind, good.clone()).create(&[
            ("/spec/policyName", json!(""), &["spec.policyName: Required value"]),
            ("/spec/policyName", json!("A"), &["spec.policyName: Invalid value: \"A\""]),
            (
                "/spec/paramRef/name",
                json!(""),
                &["spec.paramRef: Required value: one of name or selector must be"],
            ),
            (
                "/spec/paramRef/selector",
                json!({}),
                &["spec.paramRef.name: Forbidden: name and selector are mutually"],
            ),
            (
                "/spec/paramRef/parameterNotFoundAction",
                json!("X"),
                &["spec.paramRef.parameterNotFoundAction: Unsupp"],
            ),
            (
                "/spec/matchResources/matchPolicy",
                json!("X"),
                &["spec.matchResources.matchPolicy: Unsupported value"],
            ),
        ]);
    }
    Table::of(GROUP, "ValidatingAdmissionPolicyBinding", good).create(&[
        (
            "/spec/validationActions",
            json!([]),
            &["spec.validationActions: Required value: at least one validation"],
        ),
        ("/spec/validationActions/0", json!("X"), &["spec.validationActions[0]: Unsupported value: \"X\""]),
        (
            "/spec/validationActions/1",
            json!("Deny"),
            &["spec.validationActions[1]: Duplicate value: \"Deny\""],
        ),
        (
            "/spec/validationActions/1",
            json!("Warn"),
            &["spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]"],
        ),
    ]);
}

#[test]
fn mutating_policies() {
    let good = json!({"spec": {"matchConstraints": {"resourceRules": [rule()]}, "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}]}});
    Table::of(GROUP, "MutatingAdmissionPolicy", good).create(&[
        (
            "/spec/mutations",
            json!([]),
            &["spec.mutations: Required value: mutations must contain at least one item"],
        ),
        (
            "/spec/mutations/0/patchType",
            json!("X"),
            &["spec.mutations[0].patchType: Unsupported value: \"X\""],
        ),
        ("/spec/mutations/0/jsonPatch", Value::Null, &["spec.mutations[0].jsonPatch: Required value"]),
        (
            "/spec/mutations/0/jsonPatch/expression",
            json!(""),
            &["spec.mutations[0].jsonPatch.expression: Required"],
        ),
        (
            "/spec/mutations/0/applyConfiguration",
            json!({}),
            &["spec.mutations[0].applyConfiguration: Invalid value: {}"],
        ),
        ("/spec/reinvocationPolicy", json!(""), &["spec.reinvocationPolicy: Required value"]),
    ]);
}
