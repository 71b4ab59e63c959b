//! Who may do what, and what is let in.

use serde_json::Value;

use super::text::{Printed, count, human, int, list, scalar_or, selector, text, text_or};

pub(super) fn cells(kind: &str, o: &Printed<'_>) -> Option<Vec<Value>> {
    let (spec, status) = (&o.object["spec"], &o.object["status"]);
    Some(match kind {
        "PodDisruptionBudget" => vec![
            o.name(),
            scalar_or(&spec["minAvailable"], "N/A").into(),
            scalar_or(&spec["maxUnavailable"], "N/A").into(),
            int(&status["disruptionsAllowed"]).into(),
            o.age(),
        ],
        "RoleBinding" | "ClusterRoleBinding" => {
            let role = &o.object["roleRef"];
            let role = format!("{}/{}", text(&role["kind"]), text(&role["name"]));
            let [users, groups, accounts] =
                ["User", "Group", "ServiceAccount"].map(|k| subjects(o.object, k));
            vec![o.name(), role.into(), o.age(), users.into(), groups.into(), accounts.into()]
        }
        "CertificateSigningRequest" => {
            let lasts = spec["expirationSeconds"].as_i64().map_or("<none>".to_owned(), human);
            let signer = text_or(&spec["signerName"], "<none>");
            let user = text(&spec["username"]);
            vec![o.name(), o.age(), signer.into(), user.into(), lasts.into(), request_state(status).into()]
        }
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
            vec![o.name(), count(&o.object["webhooks"]).into(), o.age()]
        }
        "ValidatingAdmissionPolicy" => {
            vec![o.name(), count(&spec["validations"]).into(), parameter_kind(spec).into(), o.age()]
        }
        "MutatingAdmissionPolicy" => {
            vec![o.name(), count(&spec["mutations"]).into(), parameter_kind(spec).into(), o.age()]
        }
        "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => {
            vec![o.name(), text(&spec["policyName"]).into(), parameters(&spec["paramRef"]).into(), o.age()]
        }
        "FlowSchema" => {
            let dangling = list(&status["conditions"]).iter().find(|c| c["type"] == "Dangling");
            vec![
                o.name(),
                text(&spec["priorityLevelConfiguration"]["name"]).into(),
                int(&spec["matchingPrecedence"]).into(),
                text_or(&spec["distinguisherMethod"]["type"], "<none>").into(),
                o.age(),
                dangling.map_or("?".to_owned(), |c| text(&c["status"])).into(),
            ]
        }
        "PriorityLevelConfiguration" => {
            let (limited, queuing) = (&spec["limited"], &spec["limited"]["limitResponse"]["queuing"]);
            let number = |of: &Value, name: &str| match (&of[name], of.is_null()) {
                (_, true) => Value::from("<none>"),
                (Value::Null, false) => Value::from(0),
                (number, false) => number.clone(),
            };
            vec![
                o.name(),
                text(&spec["type"]).into(),
                number(limited, "nominalConcurrencyShares"),
                number(queuing, "queues"),
                number(queuing, "handSize"),
                number(queuing, "queueLengthLimit"),
                o.age(),
            ]
        }
        _ => return None,
    })
}

fn subjects(binding: &Value, kind: &str) -> String {
    let of_kind = list(&binding["subjects"]).iter().filter(|subject| subject["kind"] == kind);
    let names = of_kind.map(|subject| match kind {
        "ServiceAccount" => format!("{}/{}", text(&subject["namespace"]), text(&subject["name"])),
        _ => text(&subject["name"]),
    });
    names.collect::<Vec<_>>().join(", ")
}

fn request_state(status: &Value) -> String {
    let has = |kind: &str| list(&status["conditions"]).iter().any(|c| c["type"] == kind);
    let mut state = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !text(&status["certificate"]).is_empty() {
        state.push_str(",Issued");
    }
    state
}

fn parameter_kind(spec: &Value) -> String {
    match &spec["paramKind"] {
        Value::Null => "<unset>".to_owned(),
        kind => format!("{}/{}", text(&kind["apiVersion"]), text(&kind["kind"])),
    }
}

fn parameters(reference: &Value) -> String {
    let (name, namespace) = (text(&reference["name"]), text_or(&reference["namespace"], "*"));
    match (name.is_empty(), reference["selector"].is_null()) {
        (false, _) => format!("{namespace}/{name}"),
        (true, false) => selector(&reference["selector"]),
        (true, true) => "<unset>".to_owned(),
    }
}
