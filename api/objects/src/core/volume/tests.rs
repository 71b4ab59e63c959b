use serde_json::json;

use super::*;
use crate::core::claim;
use crate::table::Table;

fn local() -> Value {
    json!({"metadata": {"name": "a", "creationTimestamp": "t"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "s", "local": {"path": "/x"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{
            "matchExpressions": [{"key": "beta.kubernetes.io/os", "operator": "In", "values": ["v"]}],
            "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}],
        }]}},
    }})
}

#[test]
fn volumes() {
    let mut new = local();
    defaults(&mut new);
    prepare(&mut new, None);
    assert_eq!(new["status"], json!({"phase": "Pending", "lastPhaseTransitionTime": "t"}));
    assert_eq!(new["spec"]["persistentVolumeReclaimPolicy"], "Retain");
    let table = Table::of("", "PersistentVolume", local());
    table.create(&[
        ("/spec/accessModes", json!([]), &["spec.accessModes: Required value"]),
        ("/spec/accessModes/0", json!("X"), &["spec.accessModes: Unsupported value: \"X\""]),
        (
            "/spec/accessModes",
            json!(["ReadWriteOnce", "ReadWriteOncePod"]),
            &["spec.accessModes: Forbidden: may not use"],
        ),
        (
            "/spec/capacity",
            json!({}),
            &["spec.capacity: Required value", "spec.capacity: Unsupported value: {}"],
        ),
        (
            "/spec/capacity/storage",
            json!("0"),
            &["spec.capacity[storage]: Invalid value: \"0\": must be greater than ze"],
        ),
        (
            "/spec/persistentVolumeReclaimPolicy",
            json!("X"),
            &["spec.persistentVolumeReclaimPolicy: Unsupported value"],
        ),
        ("/spec/storageClassName", json!("A"), &["spec.storageClassName: Invalid value: \"A\""]),
        ("/spec/volumeMode", json!("X"), &["spec.volumeMode: Unsupported value: \"X\""]),
        (
            "/spec/volumeAttributesClassName",
            json!(""),
            &["spec.volumeAttributesClassName: Required value: an empty"],
        ),
        ("/spec/local", Value::Null, &["spec: Required value: must specify a volume type"]),
        ("/spec/local/path", json!(""), &["spec.local.path: Required value"]),
        (
            "/spec/local/path",
            json!("/a/.."),
            &["spec.local.path: Invalid value: \"/a/..\": must not contain '..'"],
        ),
        (
            "/spec/nfs",
            json!({"server": "s", "path": "/"}),
            &["spec.local: Forbidden: may not specify more than 1 volume"],
        ),
        (
            "/spec/nodeAffinity",
            Value::Null,
            &["spec.nodeAffinity: Required value: Local volume requires node affinity"],
        ),
        (
            "/spec/nodeAffinity/required",
            Value::Null,
            &["spec.nodeAffinity.required: Required value: must specify req"],
        ),
    ]);
    let at = "/spec/nodeAffinity/required/nodeSelectorTerms";
    let told = "spec.nodeAffinity.required.nodeSelectorTerms";
    for (pointer, value, want) in [
        ("", json!([]), ": Required value: must have at least one node selector term"),
        ("/0/matchExpressions/0/key", json!("-"), "[0].matchExpressions[0].key: Invalid value: \"-\""),
        (
            "/0/matchExpressions/0/operator",
            json!("X"),
            "[0].matchExpressions[0].operator: Invalid value: \"X\"",
        ),
        ("/0/matchExpressions/0/operator", json!("Exists"), "[0].matchExpressions[0].values: Forbidden"),
        ("/0/matchExpressions/0/values", json!([]), "[0].matchExpressions[0].values: Required value"),
        (
            "/0/matchExpressions/0/values/0",
            json!("-"),
            "[0].matchExpressions[0].values[0]: Invalid value: \"-\"",
        ),
        (
            "/0/matchFields/0/operator",
            json!("Exists"),
            "[0].matchFields[0].operator: Invalid value: \"Exists\"",
        ),
        ("/0/matchFields/0/values", json!([]), "[0].matchFields[0].values: Required value"),
        (
            "/0/matchFields/0/key",
            json!("x"),
            "[0].matchFields[0].key: Invalid value: \"x\": not a valid field",
        ),
    ] {
        table.create(&[(&format!("{at}{pointer}"), value, &[&format!("{told}{want}")])]);
    }
    table.update(&[
        (
            "/spec/local/path",
            json!("/y"),
            &["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is"],
        ),
        ("/spec/volumeMode", json!("Block"), &["volumeMode: Invalid value: \"Block\": field is immutable"]),
        (&format!("{at}/0/matchExpressions/0/values/0"), json!("w"), &["nodeAffinity: Invalid value: {"]),
    ]);
    let mut renamed = local();
    renamed["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["key"] =
        "kubernetes.io/os".into();
    assert_eq!(update(&renamed, &local()), []);
}

#[test]
fn sources_have_what_they_cannot_do_without() {
    for (field, good, part, bad, want) in [
        ("hostPath", json!({"path": "/x"}), "type", json!("X"), "hostPath.type: Unsupported value: \"X\""),
        (
            "nfs",
            json!({"server": "s", "path": "/x"}),
            "path",
            json!("x"),
            "nfs.path: Invalid value: \"x\": must be an abs",
        ),
        (
            "rbd",
            json!({"monitors": ["m"], "image": "i"}),
            "monitors",
            json!([]),
            "rbd.monitors: Required value",
        ),
        ("cephfs", json!({"monitors": ["m"]}), "monitors", json!([]), "cephfs.monitors: Required value"),
        (
            "iscsi",
            json!({"targetPortal": "t", "iqn": "iqn.2001-04.com.example:a"}),
            "iqn",
            json!("x"),
            "iscsi.iqn: Invalid value: \"x\"",
        ),
        (
            "iscsi",
            json!({"targetPortal": "t", "iqn": "iqn.2001-04.com.example:a"}),
            "lun",
            json!(256),
            "iscsi.lun: Invalid value: 256",
        ),
        (
            "iscsi",
            json!({"targetPortal": "t", "iqn": "iqn.2001-04.com.example:a"}),
            "iqn",
            json!("iqn.a"),
            "iscsi.iqn: Invalid value: \"iqn.a\": must be valid format",
        ),
        (
            "cinder",
            json!({"volumeID": "v", "secretRef": {"name": "s", "namespace": "n"}}),
            "secretRef",
            json!({"name": "s"}),
            "cinder.secretRef.namespace: Required value",
        ),
        (
            "storageos",
            json!({"volumeName": "v"}),
            "volumeName",
            json!("V"),
            "storageos.volumeName: Invalid value: \"V\"",
        ),
        (
            "glusterfs",
            json!({"endpoints": "e", "path": "p", "endpointsNamespace": "n"}),
            "endpointsNamespace",
            json!(""),
            "glusterfs.endpointsNamespace: Invalid value: \"\"",
        ),
        ("fc", json!({"targetWWNs": ["w"], "lun": 1}), "lun", json!(null), "fc.lun: Required value"),
        (
            "fc",
            json!({"wwids": ["w"]}),
            "wwids",
            json!([]),
            "fc.targetWWNs: Required value: must specify either",
        ),
        (
            "flexVolume",
            json!({"driver": "d"}),
            "options",
            json!({"k8s.io/a": ""}),
            "flexVolume.options[k8s.io/a]: Invalid",
        ),
        (
            "gcePersistentDisk",
            json!({"pdName": "p"}),
            "partition",
            json!(256),
            "persistentDisk.partition: Invalid value",
        ),
        (
            "azureFile",
            json!({"secretName": "s", "shareName": "s"}),
            "shareName",
            json!(""),
            "azureFile.shareName: Required",
        ),
        (
            "azureFile",
            json!({"secretName": "s", "shareName": "s", "secretNamespace": "n"}),
            "secretNamespace",
            json!(""),
            "azureFile.secretNamespace: Required",
        ),
        (
            "csi",
            json!({"driver": "d", "volumeHandle": "v"}),
            "volumeHandle",
            json!(""),
            "csi.volumeHandle: Required value",
        ),
        (
            "csi",
            json!({"driver": "d", "volumeHandle": "v"}),
            "nodePublishSecretRef",
            json!({"name": "n"}),
            "csi.nodePublishSecretRef.namespace: Required value",
        ),
    ] {
        let mut volume = local();
        fill::remove(&mut volume["spec"], &["local"]);
        volume["spec"][field] = good;
        let table = Table::of("", "PersistentVolume", volume);
        table.create(&[(&format!("/spec/{field}/{part}"), bad, &[&format!("spec.{want}")])]);
    }
}

#[test]
fn claims() {
    let good = json!({"metadata": {"name": "a"}, "spec": {
        "accessModes": ["ReadWriteMany"], "storageClassName": "s", "selector": {"matchLabels": {"a": "b"}},
        "resources": {"requests": {"storage": "2Gi"}}, "dataSource": {"kind": "PersistentVolumeClaim", "name": "x"},
    }});
    let mut new = good.clone();
    claim::prepare(&mut new, None);
    assert_eq!(new["spec"]["dataSourceRef"], new["spec"]["dataSource"]);
    new["spec"]["dataSource"] = json!({"kind": "Pod", "name": "x"});
    fill::remove(&mut new["spec"], &["dataSourceRef"]);
    claim::prepare(&mut new, None);
    assert_eq!(new["spec"].get("dataSource"), None);
    let table = Table::of("", "PersistentVolumeClaim", good);
    table.create(&[
        (
            "/spec/accessModes",
            json!([]),
            &["spec.accessModes: Required value: at least 1 access mode is required"],
        ),
        ("/spec/accessModes/0", json!("X"), &["spec.accessModes: Unsupported value: \"X\""]),
        ("/spec/resources/requests", json!({}), &["spec.resources[storage]: Required value"]),
        (
            "/spec/resources/requests/storage",
            json!("-1"),
            &["spec.resources[storage]: Invalid value: \"-1\": must be g"],
        ),
        ("/spec/selector/matchLabels/a", json!("-"), &["spec.selector.matchLabels: Invalid value: \"-\""]),
        ("/spec/storageClassName", json!("A"), &["spec.storageClassName: Invalid value: \"A\""]),
        ("/spec/volumeMode", json!("X"), &["spec.volumeMode: Unsupported value: \"X\""]),
        ("/spec/dataSource/name", json!(""), &["spec.dataSource.name: Required value"]),
        (
            "/spec/dataSource/kind",
            json!("X"),
            &["spec.dataSource: Invalid value: \"X\": must be 'PersistentVolumeClaim'"],
        ),
        (
            "/spec/dataSourceRef",
            json!({"kind": "PersistentVolumeClaim", "name": "y"}),
            &["spec: Invalid value: \"spec.dataSource\": must match dataSourceRef"],
        ),
    ]);
    table.update(&[
        (
            "/spec/accessModes/0",
            json!("ReadWriteOnce"),
            &["spec: Forbidden: spec is immutable after creation except"],
        ),
        (
            "/spec/resources/requests/storage",
            json!("3Gi"),
            &["spec: Forbidden: spec is immutable after creation except"],
        ),
        (
            "/spec/volumeMode",
            json!("Block"),
            &["spec: Forbidden", "volumeMode: Invalid value: \"Block\": field is imm"],
        ),
    ]);
    table.status(&[
        (
            "/status/capacity",
            json!({"storage": "-1"}),
            &["status.capacity[storage]: Invalid value: -1: must be a valid"],
        ),
        (
            "/status/allocatedResources",
            json!({"cpu": "1"}),
            &["status.allocatedResources: Unsupported value: \"cpu\""],
        ),
        (
            "/status/allocatedResourceStatuses",
            json!({"storage": "X"}),
            &["status.allocatedResourceStatuses: Unsupported value: \"storage\""],
        ),
    ]);
    let mut old =
        json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}, "status": {"phase": "Bound"}});
    old["status"]["capacity"] = json!({"storage": "2Gi"});
    let mut grown = old.clone();
    grown["spec"]["resources"]["requests"]["storage"] = "3Gi".into();
    let lines = |new: &Value| crate::table::lines(&claim::update(new, &old)).join("\n");
    assert!(!lines(&grown).contains("immutable"));
    grown["spec"]["resources"]["requests"]["storage"] = "1Gi".into();
    assert!(lines(&grown).contains("field can not be less than status.capacity"));
}
