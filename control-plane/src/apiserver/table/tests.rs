use api_objects::time;
use serde_json::json;

use super::*;
use crate::apiserver::kinds::Registry;

fn cells_of(group: &str, resource: &str, object: &Value) -> String {
    let table = Registry::builtin().unwrap().table();
    let kind =
        table.kinds().iter().find(|k| k.resource == resource && k.stored().group == group).unwrap().clone();
    let now = time::parse("2026-01-01T01:00:00Z").unwrap();
    let row = row(&kind, object, now);
    assert!(row.cells.len() >= kind.columns.len(), "{resource}");
    let texts = row.cells.iter().map(|cell| cell.as_str().map_or(cell.to_string(), str::to_owned));
    texts.collect::<Vec<_>>().join("|")
}

#[test]
fn every_kind_prints_an_object_that_has_nothing() {
    let table = Registry::builtin().unwrap().table();
    for kind in table.kinds().iter().filter(|kind| !kind.columns.is_empty()) {
        let row = row(kind, &json!({}), Timestamp::UNIX_EPOCH);
        // An IPAddress has a cell without a column.
        let surplus = usize::from(kind.kind == "IPAddress");
        assert_eq!(row.cells.len(), kind.columns.len() + surplus, "{}", kind.kind);
    }
}

#[test]
fn ages_are_the_coarser_the_older() {
    for (seconds, expected) in [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (11_400, "3h10m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
        (63_158_400, "2y1d"),
        (260_000_000, "8y"),
    ] {
        assert_eq!(text::human(seconds), expected, "{seconds}");
    }
}

/// A container's status: its state, ready, restarts.
fn container(name: &str, state: Value, ready: bool, restarts: i64) -> Value {
    json!({"name": name, "state": state, "ready": ready, "started": ready, "restartCount": restarts})
}

#[test]
fn a_pods_state_is_one_word() {
    let running = || json!({"running": {}});
    let waiting = |why: &str| json!({"waiting": {"reason": why}});
    let ended = |code: i64, why: &str| json!({"terminated": {"exitCode": code, "reason": why}});
    let pod = |init: Vec<Value>, main: Vec<Value>| {
        json!({
            "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:59:00Z"},
            "spec": {
                "containers": [{"name": "a"}, {"name": "b"}],
                "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
            },
            "status": {"phase": "Running", "initContainerStatuses": init, "containerStatuses": main},
        })
    };
    let done = || vec![container("i", ended(0, "Completed"), false, 1), container("s", running(), true, 0)];
    let check = |object: &Value, expected: &str| {
        let cells = cells_of("", "pods", object);
        assert_eq!(cells.split('|').skip(1).take(4).collect::<Vec<_>>().join("|"), expected, "{object}");
    };
    let both = vec![container("a", running(), true, 0), container("b", running(), true, 2)];
    check(&pod(done(), both.clone()), "3/3|Running|2|60s");
    check(&pod(vec![container("i", running(), false, 0)], vec![]), "0/3|Init:0/2|0|60s");
    check(
        &pod(vec![container("i", waiting("CrashLoopBackOff"), false, 4)], vec![]),
        "0/3|Init:CrashLoopBackOff|4|60s",
    );
    check(&pod(vec![container("i", ended(2, ""), false, 0)], vec![]), "0/3|Init:ExitCode:2|0|60s");
    let crashed =
        vec![container("a", waiting("CrashLoopBackOff"), false, 3), container("b", running(), true, 0)];
    check(&pod(done(), crashed), "2/3|CrashLoopBackOff|3|60s");
    let mixed =
        vec![container("a", ended(0, "Completed"), false, 0), container("b", ended(1, "Error"), false, 0)];
    check(&pod(done(), mixed), "1/3|Error|0|60s");
    let half = vec![container("a", ended(0, "Completed"), false, 0), container("b", running(), true, 0)];
    check(&pod(done(), half), "2/3|NotReady|0|60s");

    let mut restarted = pod(done(), both.clone());
    restarted["status"]["containerStatuses"][1]["lastState"] =
        json!({"terminated": {"finishedAt": "2026-01-01T00:57:00Z"}});
    check(&restarted, "3/3|Running|2 (3m ago)|60s");
    let mut ending = pod(done(), both);
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:59:59Z".into();
    check(&ending, "3/3|Terminating|2|60s");
    let gated = json!({"status": {"phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}});
    check(&gated, "0/0|SchedulingGated|0|<unknown>");
    assert_eq!(
        pod::conditions(&json!({"status": {"phase": "Failed"}})).unwrap()[0]["message"],
        "The pod failed."
    );
}

#[test]
fn kinds_that_no_recorded_table_shows() {
    let meta = json!({"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"});
    for (group, resource, object, expected) in [
        (
            "",
            "services",
            json!({"spec": {"type": "NodePort", "clusterIPs": ["10.0.0.1"], "selector": {"a": "b"},
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}),
            "x|NodePort|10.0.0.1|<none>|80:30080/TCP,53/UDP|60m|a=b",
        ),
        (
            "",
            "services",
            json!({"spec": {"type": "LoadBalancer", "externalIPs": ["1.1.1.1"]},
                "status": {"loadBalancer": {"ingress": [{"hostname": "h"}, {"ip": "2.2.2.2"}]}}}),
            "x|LoadBalancer|<none>|2.2.2.2,h,1.1.1.1|<none>|60m|<none>",
        ),
        (
            "autoscaling",
            "horizontalpodautoscalers",
            json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3, "minReplicas": 1,
                "metrics": [
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}},
                    {"type": "Pods", "pods": {"target": {"averageValue": "5"}}},
                    {"type": "Zz"}]},
                "status": {"currentReplicas": 2, "currentMetrics": [
                    {"type": "Resource", "resource": {"current": {"averageUtilization": 40}}}]}}),
            "x|Deployment/d|cpu: 40%/80%, <unknown>/5 + 1 more...|1|3|2|60m",
        ),
        (
            "rbac.authorization.k8s.io",
            "rolebindings",
            json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"},
                {"kind": "User", "name": "v"}, {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]}),
            "x|Role/r|60m|u, v||n/s",
        ),
        (
            "apiregistration.k8s.io",
            "apiservices",
            json!({"spec": {"service": {"namespace": "n", "name": "s"}},
                "status": {"conditions": [{"type": "Available", "status": "False", "reason": "Gone"}]}}),
            "x|n/s|False (Gone)|60m",
        ),
        (
            "flowcontrol.apiserver.k8s.io",
            "prioritylevelconfigurations",
            json!({"spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 5,
                "limitResponse": {"queuing": {"queues": 64, "handSize": 6, "queueLengthLimit": 50}}}}}),
            "x|Limited|5|64|6|50|60m",
        ),
        ("apiextensions.k8s.io", "customresourcedefinitions", json!({}), "x|2026-01-01T00:00:00Z"),
    ] {
        let mut object = object;
        object["metadata"] = meta.clone();
        assert_eq!(cells_of(group, resource, &object), expected, "{resource}");
    }
}
