use serde_json::{Value, json};

use super::*;
use crate::rules;
use crate::table::Table;

#[test]
fn namespaces() {
    let mut new = json!({"metadata": {"name": "a"}});
    namespace::defaults(&mut new);
    namespace::prepare(&mut new, None);
    assert_eq!(new["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "a"}));
    assert_eq!(new["spec"], json!({"finalizers": ["kubernetes"]}));
    let old = json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["x/y"]}});
    namespace::prepare(&mut new, Some(&old));
    assert_eq!(new["spec"], json!({"finalizers": ["x/y"]}));
    let table = Table::of("", "Namespace", new);
    table.create(&[(
        "/spec/finalizers/0",
        json!("x"),
        &["spec.finalizers: Invalid value: \"x\": name is neither"],
    )]);
    table.status(&[
        (
            "/status/phase",
            json!("Terminating"),
            &["status.Phase: Invalid value: \"Terminating\": may only be 'Active'"],
        ),
        (
            "/metadata/deletionTimestamp",
            json!("t"),
            &["status.Phase: Invalid value: \"Active\": may only be 'Term"],
        ),
    ]);
}

#[test]
fn service_accounts_name_their_secrets() {
    let mut account = json!({"secrets": [{"name": "a", "namespace": "b"}, {}]});
    service_account::prepare(&mut account, None);
    assert_eq!(account, json!({"secrets": [{"name": "a"}, {}]}));
}

#[test]
fn secrets() {
    let of = |kind: &str, data: Value| json!({"type": format!("kubernetes.io/{kind}"), "data": data});
    let mut plain = json!({"stringData": {"a": "b"}});
    (rules::of("", "Secret").unwrap().defaults)(&mut plain);
    assert_eq!(plain, json!({"type": "Opaque", "data": {"a": "Yg=="}}));
    Table::of("", "Secret", plain).create(&[
        ("/data/a b", json!(""), &["data[a b]: Invalid value: \"a b\": a valid config key must"]),
        ("/data/a", json!("QUFB".repeat(350_000)), &["data: Too long: may not be more than 1048576 bytes"]),
    ]);
    let registry = of("dockercfg", json!({".dockercfg": "e30="}));
    Table::of("", "Secret", registry).create(&[
        ("/data", json!({}), &["data[.dockercfg]: Required value"]),
        (
            "/data/.dockercfg",
            json!("W10="),
            &["data[.dockercfg]: Invalid value: \"<secret contents redacted>\""],
        ),
    ]);
    let registry = of("dockerconfigjson", json!({".dockerconfigjson": "e30="}));
    Table::of("", "Secret", registry).create(&[(
        "/data",
        json!({}),
        &["data[.dockerconfigjson]: Required value"],
    )]);
    let tls = of("tls", json!({"tls.crt": "", "tls.key": ""}));
    Table::of("", "Secret", tls).create(&[(
        "/data",
        json!({}),
        &["data[tls.crt]: Required value", "data[tls.key]: Required value"],
    )]);
    let login = of("basic-auth", json!({"username": ""}));
    Table::of("", "Secret", login).create(&[(
        "/data",
        json!({}),
        &["data[username]: Required value", "data[password]: Required value"],
    )]);
    let ssh = of("ssh-auth", json!({"ssh-privatekey": "YQ=="}));
    Table::of("", "Secret", ssh).create(&[("/data", json!({}), &["data[ssh-privatekey]: Required value"])]);
    let mut token = of("service-account-token", json!({}));
    token["metadata"] = json!({"annotations": {"kubernetes.io/service-account.name": "a"}});
    Table::of("", "Secret", token).create(&[(
        "/metadata/annotations",
        json!({}),
        &["metadata.annotations[kubernetes.io/service-account.name]: Required"],
    )]);
    let frozen = json!({"type": "Opaque", "immutable": true, "data": {"a": ""}});
    Table::of("", "Secret", frozen).update(&[
        ("/type", json!("x/y"), &["type: Invalid value: \"x/y\": field is immutable"]),
        ("/immutable", json!(false), &["immutable: Forbidden: field is immutable when `immutable` is set"]),
        ("/data/b", json!(""), &["data: Forbidden: field is immutable when `immutable` is set"]),
    ]);
}

#[test]
fn config_maps() {
    let table = Table::of(
        "",
        "ConfigMap",
        json!({"immutable": true, "data": {"a": "b"}, "binaryData": {"c": "YQ=="}}),
    );
    table.create(&[
        ("/data/a b", json!(""), &["data[a b]: Invalid value: \"a b\": a valid config key must"]),
        ("/data/c", json!(""), &["data[c]: Invalid value: \"c\": duplicate of key present in binaryData"]),
        ("/binaryData/..", json!(""), &["binaryData[..]: Invalid value: \"..\": must not be '..'"]),
        ("/data/a", json!("x".repeat((1 << 20) + 1)), &[": Too long: may not be more than 1048576 bytes"]),
    ]);
    table.update(&[
        ("/immutable", Value::Null, &["immutable: Forbidden: field is immutable when `immutable` is set"]),
        ("/data/d", json!(""), &["data: Forbidden: field is immutable when `immutable` is set"]),
        ("/binaryData/c", json!(""), &["binaryData: Forbidden: field is immutable when `immutable` is set"]),
    ]);
}

#[test]
fn endpoints_are_addresses_and_ports() {
    let good = json!({"subsets": [{"addresses": [{"ip": "10.1.1.1", "hostname": "h", "nodeName": "n"}],
        "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}]});
    Table::of("", "Endpoints", good).create(&[
        ("/subsets/0/addresses", json!([]), &["subsets[0]: Required value: must specify `addresses` or"]),
        (
            "/subsets/0/addresses/0/ip",
            json!("x"),
            &["subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid"],
        ),
        (
            "/subsets/0/addresses/0/ip",
            json!("127.0.0.1"),
            &["subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\""],
        ),
        (
            "/subsets/0/addresses/0/hostname",
            json!("A"),
            &["subsets[0].addresses[0].hostname: Invalid value: \"A\""],
        ),
        (
            "/subsets/0/addresses/0/nodeName",
            json!("A"),
            &["subsets[0].addresses[0].nodeName: Invalid value: \"A\""],
        ),
        ("/subsets/0/ports/0/name", json!(""), &["subsets[0].ports[0].name: Required value"]),
        (
            "/subsets/0/ports/0/port",
            json!(0),
            &["subsets[0].ports[0].port: Invalid value: 0: must be between"],
        ),
        (
            "/subsets/0/ports/0/protocol",
            json!("X"),
            &["subsets[0].ports[0].protocol: Unsupported value: \"X\""],
        ),
        (
            "/subsets/0/ports/0/appProtocol",
            json!("-"),
            &["subsets[0].ports[0].appProtocol: Invalid value: \"-\""],
        ),
    ]);
}

#[test]
fn events_of_the_older_version() {
    let good =
        json!({"apiVersion": "v1", "metadata": {"namespace": "n"}, "involvedObject": {"namespace": "n"}});
    Table::of("", "Event", good.clone()).create(&[
        (
            "/involvedObject/namespace",
            json!("x"),
            &["involvedObject.namespace: Invalid value: \"x\": does not match"],
        ),
        ("/involvedObject", json!({}), &["involvedObject.namespace: Invalid value: \"\": does not match"]),
    ]);
    let mut timed = good;
    for (field, value) in [
        ("eventTime", "t"),
        ("reportingComponent", "a"),
        ("reportingInstance", "b"),
        ("action", "c"),
        ("reason", "d"),
    ] {
        timed[field] = value.into();
    }
    Table::of("", "Event", timed).create(&[
        ("/reportingComponent", json!("-"), &["reportingComponent: Invalid value: \"-\""]),
        ("/action", json!(""), &["action: Required value"]),
        (
            "/reason",
            json!("x".repeat(129)),
            &["reason: Invalid value: \"\": can have at most 128 characters"],
        ),
        (
            "/message",
            json!("x".repeat(1025)),
            &["message: Invalid value: \"\": can have at most 1024 characters"],
        ),
    ]);
}

#[test]
fn events_of_the_newer_version() {
    let good = json!({"apiVersion": "events.k8s.io/v1", "metadata": {"namespace": "n"}, "regarding": {"namespace": "n"},
        "eventTime": "t", "reportingController": "a", "reportingInstance": "b", "action": "c", "reason": "d",
        "type": "Normal", "series": {"count": 2, "lastObservedTime": "t"}});
    let table = Table::of("events.k8s.io", "Event", good);
    table.create(&[
        ("/series/count", json!(1), &["series.count: Invalid value: \"\": should be at least 2"]),
        ("/series/lastObservedTime", Value::Null, &["series.lastObservedTime: Required value"]),
        ("/type", json!("X"), &["type: Invalid value: \"\": has invalid value: X"]),
        ("/deprecatedCount", json!(1), &["count: Invalid value: \"\": needs to be unset"]),
    ]);
    table.update(&[("/note", json!("x"), &["message: Invalid value: \"x\": field is immutable"])]);
}

#[test]
fn limit_ranges() {
    let good = json!({"spec": {"limits": [
        {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m"}, "maxLimitRequestRatio": {"cpu": "4"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "5Gi"}},
    ]}});
    let mut filled = good.clone();
    limit_range::defaults(&mut filled);
    assert_eq!(filled["spec"]["limits"][0]["default"], json!({"cpu": "2"}));
    assert_eq!(filled["spec"]["limits"][0]["defaultRequest"], json!({"cpu": "2"}));
    let at = "spec.limits[0].";
    let wants = [
        ("/spec/limits/0/type", json!("x"), "type: Invalid value: \"x\": must be a standard limit type"),
        (
            "/spec/limits/0/max/x",
            json!("1"),
            "max[x]: Invalid value: \"x\": must be a standard resource type",
        ),
        (
            "/spec/limits/0/max/pods",
            json!("1"),
            "max[pods]: Invalid value: \"pods\": must be a standard resource for c",
        ),
        (
            "/spec/limits/0/min/cpu",
            json!("3"),
            "min[cpu]: Invalid value: \"3\": min value 3 is greater than max value 2",
        ),
        (
            "/spec/limits/0/default/cpu",
            json!("3"),
            "default[cpu]: Invalid value: \"2\": default value 3 is greater",
        ),
        (
            "/spec/limits/0/defaultRequest/cpu",
            json!("50m"),
            "defaultRequest[cpu]: Invalid value: \"50m\": min value",
        ),
        (
            "/spec/limits/0/maxLimitRequestRatio/cpu",
            json!("0"),
            "maxLimitRequestRatio[cpu]: Invalid value: \"0\": ratio 0",
        ),
        (
            "/spec/limits/0/maxLimitRequestRatio/cpu",
            json!("21"),
            "maxLimitRequestRatio[cpu]: Invalid value: \"21\": ratio 21 is greater than max/min = 20.000000",
        ),
    ];
    let table = Table::of("", "LimitRange", good);
    for (pointer, value, want) in wants {
        table.create(&[(pointer, value, &[&format!("{at}{want}")])]);
    }
    table.create(&[
        ("/spec/limits/1/type", json!("Container"), &["spec.limits[1].type: Duplicate value: \"Container\""]),
        (
            "/spec/limits/1/max",
            json!({}),
            &["spec.limits[1].limits: Required value: either minimum or maximum"],
        ),
    ]);
    let pod = json!({"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}});
    Table::of("", "LimitRange", pod).create(&[(
        "/spec/limits/0/default",
        json!({"cpu": "1"}),
        &["spec.limits[0].default: Forbidden: may not be specified when"],
    )]);
}

#[test]
fn resource_quotas() {
    let table = Table::of(
        "",
        "ResourceQuota",
        json!({"status": {"hard": {"pods": "1"}}, "spec": {
            "hard": {"pods": "3", "requests.cpu": "1"}, "scopes": ["NotBestEffort"],
            "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["x"]}]},
        }}),
    );
    let at = "/spec/scopeSelector/matchExpressions/0";
    table.create(&[
        (
            "/spec/hard/x",
            json!("1"),
            &[
                "spec.hard[x]: Invalid value: \"x\": must be a standard resource type",
                "spec.hard[x]: Invalid value: \"x\": must be a standard resource for quota",
            ],
        ),
        (
            "/spec/hard/pods",
            json!("-1"),
            &["spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal"],
        ),
        ("/spec/hard/pods", json!("100m"), &["spec.hard[pods]: Invalid value: \"100m\": must be an integer"]),
        ("/spec/scopes/0", json!("x"), &["spec.scopes: Invalid value: [\"x\"]: unsupported scope"]),
        (
            "/spec/scopes",
            json!(["BestEffort"]),
            &["spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope app"],
        ),
        (
            "/spec/scopes",
            json!(["Terminating", "NotTerminating"]),
            &["spec.scopes: Invalid value: [\"Terminating\",\"NotT"],
        ),
        (
            &format!("{at}/scopeName"),
            json!("x"),
            &["spec.scopeSelector.matchExpressions.scopeName: Invalid value: \"x\""],
        ),
        (
            &format!("{at}/operator"),
            json!("x"),
            &["spec.scopeSelector.matchExpressions.operator: Invalid value: \"x\""],
        ),
        (
            &format!("{at}/operator"),
            json!("Exists"),
            &["spec.scopeSelector.matchExpressions.values: Invalid value: [\"x\"]"],
        ),
        (
            &format!("{at}/values"),
            json!([]),
            &["spec.scopeSelector.matchExpressions.values: Required value: must be"],
        ),
        (
            &format!("{at}/scopeName"),
            json!("Terminating"),
            &["spec.scopeSelector.matchExpressions.operator: Invalid value"],
        ),
    ]);
    table.update(&[("/spec/scopes", json!([]), &["spec.scopes: Invalid value: []: field is immutable"])]);
    table.status(&[("/status/hard/x", json!("1"), &["status.hard[x]: Invalid value: \"x\": must be"])]);
}

#[test]
fn nodes() {
    let good = json!({"spec": {"podCIDR": "10.5.0.0/24", "providerID": "x://y",
        "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]},
        "status": {"capacity": {"pods": "110"}, "addresses": [{"type": "Hostname", "address": "a"}]}});
    let table = Table::of("", "Node", good);
    let taint = json!({"key": "k", "effect": "NoSchedule"});
    table.create(&[
        ("/spec/taints/0/key", json!("-"), &["metadata.taints[0].key: Invalid value: \"-\""]),
        ("/spec/taints/0/value", json!("-"), &["metadata.taints[0].value: Invalid value: \"-\""]),
        ("/spec/taints/0/effect", json!(""), &["metadata.taints[0].effect: Required value"]),
        ("/spec/taints/0/effect", json!("X"), &["metadata.taints[0].effect: Unsupported value: \"X\""]),
        ("/spec/taints", json!([taint, taint]), &["metadata.taints[1]: Duplicate value: {"]),
        ("/spec/podCIDRs", json!(["x"]), &["spec.podCIDRs[0]: Invalid value: \"x\": must be a valid CIDR"]),
        (
            "/spec/podCIDRs",
            json!(["10.0.0.0/8", "11.0.0.0/8"]),
            &["spec.podCIDRs: Invalid value: [\"10.0.0.0/8\""],
        ),
        (
            "/status/capacity/pods",
            json!("-1"),
            &["status.capacity.pods: Invalid value: \"-1\": must be greater"],
        ),
        (
            "/status/allocatable/pods",
            json!("1500m"),
            &["status.allocatable.pods: Invalid value: \"1500m\": must be an"],
        ),
    ]);
    table.update(&[
        (
            "/spec/podCIDRs",
            json!(["10.6.0.0/24"]),
            &["spec.podCIDRs: Forbidden: node updates may not change podCIDR"],
        ),
        (
            "/spec/providerID",
            json!("z"),
            &["spec.providerID: Forbidden: node updates may not change providerID"],
        ),
    ]);
    let twice = json!([{"address": "a"}, {"address": "a"}]);
    table.status(&[("/status/addresses", twice, &["status.addresses[1]: Duplicate value: {"])]);
}
