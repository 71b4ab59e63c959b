//! The levels and schemas that every cluster has, as Kubernetes 1.36 makes them.

use serde_json::{Value, json};

use super::ensure::AUTO_UPDATE;

/// The levels that a person may change: their shares, the percentage of these that others may borrow, their queues, and
/// how many of them one flow is spread over.
const LEVELS: [(&str, u32, u32, u32, u32); 6] = [
    ("system", 30, 33, 64, 6),
    ("node-high", 40, 25, 64, 6),
    ("leader-election", 10, 0, 16, 4),
    ("workload-high", 40, 50, 128, 6),
    ("workload-low", 100, 90, 128, 6),
    ("global-default", 20, 50, 128, 6),
];
/// So many requests may wait in a queue.
const LENGTH: u32 = 50;

const EXEMPT: &str = "exempt";
const CATCH_ALL: &str = "catch-all";

/// An object that every cluster has.
pub(super) struct Standard {
    /// Nobody may change it.
    pub mandatory: bool,
    /// As it is made.
    pub object: Value,
}

/// PriorityLevelConfigurations.
pub(super) fn levels() -> Vec<Standard> {
    let exempt = json!({
        "type": "Exempt",
        "exempt": { "nominalConcurrencyShares": 0, "lendablePercent": 0 },
    });
    let suggested = LEVELS.iter().map(|(name, shares, lendable, queues, hand)| {
        let queuing = json!({ "queues": queues, "handSize": hand, "queueLengthLimit": LENGTH });
        standard(name, false, limited(*shares, *lendable, json!({ "type": "Queue", "queuing": queuing })))
    });
    let catch_all = standard(CATCH_ALL, true, limited(5, 0, json!({ "type": "Reject" })));
    suggested.chain([catch_all, standard(EXEMPT, true, exempt)]).collect()
}

/// FlowSchemas. Of those that match a request, the one with the lowest precedence is meant.
pub(super) fn schemas() -> Vec<Standard> {
    let everybody = json!([group("system:unauthenticated"), group("system:authenticated")]);
    let everything = json!({
        "resourceRules": [resources(&["*"], "*", &["*"], true)],
        "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
    });
    let probes = json!({
        "nonResourceRules": [{ "verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"] }],
    });
    let leases = |verbs: &[&str]| resources(verbs, "coordination.k8s.io", &["leases"], false);
    let elections = json!({ "resourceRules": [leases(&["get", "create", "update"])] });
    let own_nodes = resources(&["*"], "", &["nodes", "nodes/status"], true);
    let health = json!({ "resourceRules": [own_nodes, leases(&["*"])] });
    let (manager, scheduler) = (user("system:kube-controller-manager"), user("system:kube-scheduler"));
    let accounts = json!({
        "kind": "ServiceAccount",
        "serviceAccount": { "namespace": "kube-system", "name": "*" },
    });
    let (by_user, by_namespace) = (Some("ByUser"), Some("ByNamespace"));
    let leaders = json!([manager, scheduler, accounts]);
    let nodes = json!([group("system:nodes")]);
    let all_accounts = json!([group("system:serviceaccounts")]);
    let schema = |name, level, precedence, flows, subjects: &Value, rule: &Value| {
        standard(name, false, leads(level, precedence, flows, subjects, rule))
    };
    let mandatory = |name, precedence, flows, subjects: &Value| {
        standard(name, true, leads(name, precedence, flows, subjects, &everything))
    };
    vec![
        schema("system-nodes", "system", 500, by_user, &nodes, &everything),
        schema("system-node-high", "node-high", 400, by_user, &nodes, &health),
        schema("probes", EXEMPT, 2, None, &everybody, &probes),
        schema("system-leader-election", "leader-election", 100, by_user, &leaders, &elections),
        schema("kube-controller-manager", "workload-high", 800, by_namespace, &json!([manager]), &everything),
        schema("kube-scheduler", "workload-high", 800, by_namespace, &json!([scheduler]), &everything),
        schema(
            "kube-system-service-accounts",
            "workload-high",
            900,
            by_namespace,
            &json!([accounts]),
            &everything,
        ),
        schema("service-accounts", "workload-low", 9000, by_user, &all_accounts, &everything),
        schema("global-default", "global-default", 9900, by_user, &everybody, &everything),
        mandatory(EXEMPT, 1, None, &json!([group("system:masters")])),
        mandatory(CATCH_ALL, 10_000, by_user, &everybody),
    ]
}

fn standard(name: &str, mandatory: bool, spec: Value) -> Standard {
    let metadata = json!({ "name": name, "annotations": { AUTO_UPDATE: "true" } });
    Standard { mandatory, object: json!({ "metadata": metadata, "spec": spec }) }
}

fn limited(shares: u32, lendable: u32, response: Value) -> Value {
    json!({
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": shares,
            "lendablePercent": lendable,
            "limitResponse": response,
        },
    })
}

/// The spec of a schema by which subjects' requests that a rule names go to a level; `flows` says what its requests are
/// told apart by.
fn leads(level: &str, precedence: u32, flows: Option<&str>, subjects: &Value, rule: &Value) -> Value {
    let mut rule = rule.clone();
    rule["subjects"] = subjects.clone();
    let mut spec = json!({
        "priorityLevelConfiguration": { "name": level },
        "matchingPrecedence": precedence,
        "rules": [rule],
    });
    if let Some(flows) = flows {
        spec["distinguisherMethod"] = json!({ "type": flows });
    }
    spec
}

fn resources(verbs: &[&str], group: &str, resources: &[&str], cluster: bool) -> Value {
    let mut rule =
        json!({ "verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"] });
    if cluster {
        rule["clusterScope"] = true.into();
    }
    rule
}

fn group(name: &str) -> Value {
    json!({ "kind": "Group", "group": { "name": name } })
}

fn user(name: &str) -> Value {
    json!({ "kind": "User", "user": { "name": name } })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_schema_leads_to_a_level_and_every_level_is_led_to() {
        let names = |all: Vec<Standard>, path: &str| -> BTreeSet<String> {
            let name = |one: &Standard| one.object.pointer(path)?.as_str().map(str::to_owned);
            all.iter().map(|one| name(one).expect(path)).collect()
        };
        let lead_to = names(schemas(), "/spec/priorityLevelConfiguration/name");
        assert_eq!(lead_to, names(levels(), "/metadata/name"));
        assert_eq!((levels().len(), schemas().len()), (8, 11));
        for all in [levels(), schemas()] {
            let mandatory: BTreeSet<_> = all
                .iter()
                .filter(|one| one.mandatory)
                .map(|one| one.object["metadata"]["name"].as_str().unwrap_or_default().to_owned())
                .collect();
            assert_eq!(mandatory, BTreeSet::from([CATCH_ALL.to_owned(), EXEMPT.to_owned()]));
        }
    }
}
