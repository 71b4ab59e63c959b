use serde_json::{Value, json};

use super::*;
use crate::table::Table;

const GROUP: &str = "storage.k8s.io";

#[test]
fn classes() {
    let mut plain = json!({});
    class::defaults(&mut plain);
    assert_eq!(plain, json!({"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}));
    let good = json!({"provisioner": "A.b/c", "parameters": {"k": "v"},
        "allowedTopologies": [{"matchLabelExpressions": [{"key": "k", "values": ["v"]}]}]});
    let table = Table::of(GROUP, "StorageClass", good);
    let at = "/allowedTopologies/0/matchLabelExpressions";
    table.create(&[
        ("/provisioner", json!(""), &["provisioner: Required value"]),
        ("/provisioner", json!("A_"), &["provisioner: Invalid value: \"a_\""]),
        ("/parameters", json!({"": "v"}), &["parameters: Invalid value: \"\": field can not be empty."]),
        (
            "/parameters/k",
            json!("x".repeat(256 << 10)),
            &["parameters: Too long: may not be more than 262144 bytes"],
        ),
        ("/reclaimPolicy", json!("X"), &["reclaimPolicy: Unsupported value: \"X\""]),
        ("/volumeBindingMode", json!("X"), &["volumeBindingMode: Unsupported value: \"X\""]),
        (at, json!([]), &["allowedTopologies[0].matchLabelExpressions: Duplicate value: \"\""]),
        (
            &format!("{at}/0/key"),
            json!("-"),
            &["allowedTopologies[0].matchLabelExpressions[0].key: Invalid value"],
        ),
        (
            &format!("{at}/0/values"),
            json!([]),
            &["allowedTopologies[0].matchLabelExpressions[0].values: Required"],
        ),
        (
            &format!("{at}/0/values"),
            json!(["v", "v"]),
            &["allowedTopologies[0].matchLabelExpressions[0].values[1]: Dup"],
        ),
    ]);
    table.update(&[
        ("/parameters/k", json!("w"), &["parameters: Invalid value: {\"k\":\"w\"}: field is immutable"]),
        (
            "/reclaimPolicy",
            json!("Retain"),
            &["reclaimPolicy: Invalid value: \"Retain\": field is immutable"],
        ),
    ]);
    let table =
        Table::of(GROUP, "VolumeAttributesClass", json!({"driverName": "a", "parameters": {"k": "v"}}));
    table.create(&[(
        "/parameters",
        json!({}),
        &["parameters: Required value: must contain at least one key/value"],
    )]);
    table.update(&[(
        "/driverName",
        json!("b"),
        &["driverName: Forbidden: updates to driverName are forbidden."],
    )]);
}

#[test]
fn drivers() {
    let good =
        json!({"spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": 600}, {"audience": "b"}]}});
    let table = Table::of(GROUP, "CSIDriver", good);
    table.create(&[
        ("/spec/attachRequired", Value::Null, &["spec.attachedRequired: Required value"]),
        ("/spec/fsGroupPolicy", json!("X"), &["spec.fsGroupPolicy: Unsupported value: \"X\""]),
        (
            "/spec/tokenRequests/1/audience",
            json!("a"),
            &["spec.tokenRequests[1].audience: Duplicate value: \"a\""],
        ),
        (
            "/spec/tokenRequests/0/expirationSeconds",
            json!(1),
            &["spec.tokenRequests[0].expirationSeconds: Invalid value: 1"],
        ),
        (
            "/spec/volumeLifecycleModes",
            json!(["X"]),
            &["spec.volumeLifecycleModes: Unsupported value: \"X\""],
        ),
        (
            "/spec/nodeAllocatableUpdatePeriodSeconds",
            json!(9),
            &["spec.nodeAllocatableUpdatePeriodSeconds: Invalid"],
        ),
    ]);
    table.update(&[
        (
            "/spec/attachRequired",
            json!(false),
            &["spec.attachedRequired: Invalid value: false: field is immutable"],
        ),
        (
            "/spec/volumeLifecycleModes",
            json!(["Ephemeral"]),
            &["spec.volumeLifecycleModes: Invalid value: [\"Ephe"],
        ),
    ]);
    let bare = json!({"spec": {"serviceAccountTokenInSecrets": true, "tokenRequests": [{}]}});
    Table::of(GROUP, "CSIDriver", bare).create(&[(
        "/spec/tokenRequests",
        json!([]),
        &["spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountT"],
    )]);
}

#[test]
fn nodes_of_drivers() {
    let driver = json!({"name": "a", "nodeID": "n", "topologyKeys": ["k"], "allocatable": {"count": 1}});
    let table = Table::of(GROUP, "CSINode", json!({"spec": {"drivers": [driver]}}));
    table.create(&[
        ("/spec/drivers/0/name", json!(""), &["spec.drivers[0].name: Required value"]),
        (
            "/spec/drivers/0/name",
            json!("x".repeat(64)),
            &["spec.drivers[0].name: Too long: may not be more than 63"],
        ),
        ("/spec/drivers/0/nodeID", json!(""), &["spec.drivers[0].nodeID: Required value"]),
        (
            "/spec/drivers/0/allocatable/count",
            json!(-1),
            &["spec.drivers[0].allocatable.count: Invalid value: -1"],
        ),
        ("/spec/drivers", json!([driver, driver]), &["spec.drivers[1].name: Duplicate value: \"a\""]),
        ("/spec/drivers/0/topologyKeys", json!(["k", "k"]), &["spec.drivers[0]: Duplicate value: \"k\""]),
        ("/spec/drivers/0/topologyKeys/0", json!("-"), &["spec.drivers[0]: Invalid value: \"-\""]),
    ]);
    table.update(&[("/spec/drivers/0/nodeID", json!("m"), &["spec.drivers: Invalid value: {"])]);
    let table = Table::of(GROUP, "CSIStorageCapacity", json!({"storageClassName": "a", "capacity": "1Gi"}));
    table.create(&[
        ("/storageClassName", json!(""), &["storageClassName: Invalid value: \"\""]),
        ("/capacity", json!("-1"), &["capacity: Invalid value: \"-1\": must be greater than or equal to 0"]),
        (
            "/nodeTopology",
            json!({"matchLabels": {"-": ""}}),
            &["nodeTopology.matchLabels: Invalid value: \"-\""],
        ),
    ]);
    table.update(&[(
        "/storageClassName",
        json!("b"),
        &["storageClassName: Invalid value: \"b\": field is immutable"],
    )]);
}

#[test]
fn attachments() {
    let good = json!({"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "p"}},
        "status": {"attachError": {}}});
    let table = Table::of(GROUP, "VolumeAttachment", good);
    table.create(&[
        ("/spec/attacher", json!(""), &["spec.attacher: Required value"]),
        ("/spec/nodeName", json!("A"), &["spec.nodeName: Invalid value: \"A\""]),
        ("/spec/source", json!({}), &["spec.source: Required value: must specify exactly one of inlineVolumeSpec"]),
        ("/spec/source/inlineVolumeSpec", json!({}), &["spec.source: Forbidden: must specify exactly one of"]),
        ("/spec/source/persistentVolumeName", json!("A"), &["spec.source.persistentVolumeName: Invalid value: \"A\""]),
        ("/spec/source", json!({"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"]}}),
            &["spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline"]),
        ("/status/attachError/errorCode", json!(-1), &["status.attachError.errorCode: Invalid value: -1: must be"]),
        ("/status/attachError/message", json!("x".repeat(1025)), &["status.attachError.message: Too long"]),
    ]);
    table.update(&[("/spec/nodeName", json!("m"), &["spec: Invalid value: {"])]);
}
