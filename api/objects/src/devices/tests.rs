use serde_json::json;

use super::*;
use crate::table::Table;

const GROUP: &str = "resource.k8s.io";

fn asked() -> Value {
    json!({"devices": {
        "requests": [
            {"name": "a", "exactly": {"deviceClassName": "c", "selectors": [{"cel": {"expression": "true"}}],
                "tolerations": [{"key": "k", "operator": "Exists"}]}},
            {"name": "b", "firstAvailable": [{"name": "x", "deviceClassName": "c"}, {"name": "y", "deviceClassName": "c"}]},
        ],
        "constraints": [{"requests": ["a", "b/x"], "matchAttribute": "d.e/f"}],
        "config": [{"requests": ["a"], "opaque": {"driver": "d", "parameters": {}}}],
    }})
}

#[test]
fn claims() {
    let mut filled = json!({"spec": asked()});
    claim_defaults(&mut filled);
    let exact = &filled["spec"]["devices"]["requests"][0]["exactly"];
    assert_eq!((&exact["allocationMode"], &exact["count"]), (&json!("ExactCount"), &json!(1)));
    let table = Table::of(GROUP, "ResourceClaim", json!({"spec": asked()}));
    for (pointer, value, want) in [
        ("requests/0/name", json!("A"), "requests[0].name: Invalid value: \"A\""),
        ("requests/1/name", json!("a"), "requests[1]: Duplicate value: \"a\""),
        ("requests/0/exactly", Value::Null, "requests[0]: Required value: exactly one of"),
        ("requests/0/firstAvailable", json!([{}]), "requests[0]: Invalid value: null: exactly one of"),
        (
            "requests/0/exactly/deviceClassName",
            json!(""),
            "requests[0].exactly.deviceClassName: Required value",
        ),
        (
            "requests/0/exactly/count",
            json!(-1),
            "requests[0].exactly.count: Invalid value: -1: must be greater",
        ),
        (
            "requests/0/exactly/allocationMode",
            json!("All"),
            "requests[0].exactly.count: Invalid value: 1: must not",
        ),
        (
            "requests/0/exactly/allocationMode",
            json!("X"),
            "requests[0].exactly.allocationMode: Unsupported value",
        ),
        ("requests/0/exactly/selectors/0", json!({}), "requests[0].exactly.selectors[0].cel: Required value"),
        (
            "requests/0/exactly/tolerations/0/operator",
            json!("X"),
            "requests[0].exactly.tolerations[0].operator: Unsupp",
        ),
        (
            "requests/0/exactly/tolerations/0/value",
            json!("v"),
            "requests[0].exactly.tolerations[0].value: Invalid value",
        ),
        (
            "requests/0/exactly/tolerations/0/effect",
            json!("X"),
            "requests[0].exactly.tolerations[0].effect: Unsupp",
        ),
        (
            "requests/1/firstAvailable/1/name",
            json!("x"),
            "requests[1].firstAvailable[1]: Duplicate value: \"x\"",
        ),
        (
            "constraints/0/requests/0",
            json!("z"),
            "constraints[0].requests[0]: Invalid value: \"z\": must be the name",
        ),
        (
            "constraints/0/requests/1",
            json!("b/z"),
            "constraints[0].requests[1]: Invalid value: \"b/z\": must be",
        ),
        ("constraints/0/matchAttribute", Value::Null, "constraints[0]: Required value: exactly one of"),
        (
            "constraints/0/matchAttribute",
            json!("f"),
            "constraints[0].matchAttribute: Invalid value: \"f\": a fully",
        ),
        (
            "constraints/0/matchAttribute",
            json!("d/-"),
            "constraints[0].matchAttribute: Invalid value: \"-\": a valid C",
        ),
        ("config/0/opaque", Value::Null, "config[0].opaque: Required value"),
        ("config/0/opaque/driver", json!(""), "config[0].opaque.driver: Required value"),
        ("config/0/opaque/parameters", Value::Null, "config[0].opaque.parameters: Required value"),
    ] {
        table.create(&[(&format!("/spec/devices/{pointer}"), value, &[&format!("spec.devices.{want}")])]);
    }
    table.update(&[("/spec/devices/requests", json!([]), &["spec: Invalid value: {"])]);
    let table = Table::of(GROUP, "ResourceClaimTemplate", json!({"spec": {"metadata": {}, "spec": asked()}}));
    table.create(&[
        ("/spec/metadata/labels", json!({"-": ""}), &["spec.metadata.labels: Invalid value: \"-\""]),
        (
            "/spec/spec/devices/requests/0/name",
            json!("A"),
            &["spec.spec.devices.requests[0].name: Invalid value"],
        ),
    ]);
    table.update(&[("/spec/metadata/labels", json!({"a": "b"}), &["spec: Invalid value: {"])]);
}

#[test]
fn classes_and_slices() {
    let good =
        json!({"spec": {"selectors": [{"cel": {"expression": "true"}}], "extendedResourceName": "a.b/c"}});
    Table::of(GROUP, "DeviceClass", good).create(&[
        ("/spec/selectors/0", json!({}), &["spec.selectors[0].cel: Required value"]),
        ("/spec/config", json!([{}]), &["spec.config[0].opaque: Required value"]),
        (
            "/spec/extendedResourceName",
            json!("x"),
            &["spec.extendedResourceName: Invalid value: \"x\": must be a valid"],
        ),
    ]);
    let good = json!({"spec": {"driver": "d", "pool": {"name": "p", "resourceSliceCount": 1}, "nodeName": "n",
        "devices": [{"name": "a"}, {"name": "b"}]}});
    let table = Table::of(GROUP, "ResourceSlice", good);
    table.create(&[
        ("/spec/driver", json!(""), &["spec.driver: Required value"]),
        ("/spec/pool/name", json!(""), &["spec.pool.name: Required value"]),
        (
            "/spec/pool/resourceSliceCount",
            json!(0),
            &["spec.pool.resourceSliceCount: Invalid value: 0: must be greater"],
        ),
        ("/spec/pool/generation", json!(-1), &["spec.pool.generation: Invalid value: -1"]),
        ("/spec/allNodes", json!(true), &["spec: Required value: exactly one of `nodeName`"]),
        ("/spec/nodeName", json!("A"), &["spec.nodeName: Invalid value: \"A\""]),
        ("/spec/devices/0/name", json!("b"), &["spec.devices[1].name: Duplicate value: \"b\""]),
    ]);
    table.update(&[
        ("/spec/driver", json!("e"), &["spec.driver: Invalid value: \"e\": field is immutable"]),
        ("/spec/pool/name", json!("q"), &["spec.pool.name: Invalid value: \"q\": field is immutable"]),
    ]);
}
