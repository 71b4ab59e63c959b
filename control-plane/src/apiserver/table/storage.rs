//! Volumes, storage drivers and devices.

use serde_json::Value;

use super::text::{Printed, count, list, scalar_or, text, text_or};

pub(super) fn cells(kind: &str, o: &Printed<'_>) -> Option<Vec<Value>> {
    let (spec, status) = (&o.object["spec"], &o.object["status"]);
    let set = |value: &Value| Value::from(scalar_or(value, "<unset>"));
    let flag = |value: &Value, absent: bool| Value::from(value.as_bool().unwrap_or(absent));
    Some(match kind {
        "PersistentVolume" => {
            let claim = &spec["claimRef"];
            let claim = match claim.is_null() {
                true => String::new(),
                false => format!("{}/{}", text(&claim["namespace"]), text(&claim["name"])),
            };
            vec![
                o.name(),
                scalar_or(&spec["capacity"]["storage"], "0").into(),
                modes(&spec["accessModes"]).into(),
                text(&spec["persistentVolumeReclaimPolicy"]).into(),
                phase(o).into(),
                claim.into(),
                class(o.object).into(),
                set(&spec["volumeAttributesClassName"]),
                text(&status["reason"]).into(),
                o.age(),
                set(&spec["volumeMode"]),
            ]
        }
        "PersistentVolumeClaim" => {
            let bound = !text(&spec["volumeName"]).is_empty();
            let shown = |text: String| Value::from(if bound { text } else { String::new() });
            vec![
                o.name(),
                phase(o).into(),
                text(&spec["volumeName"]).into(),
                shown(scalar_or(&status["capacity"]["storage"], "0")),
                shown(modes(&status["accessModes"])),
                class(o.object).into(),
                set(&spec["volumeAttributesClassName"]),
                o.age(),
                set(&spec["volumeMode"]),
            ]
        }
        "StorageClass" => {
            let default = o.default_by(&[
                "storageclass.kubernetes.io/is-default-class",
                "storageclass.beta.kubernetes.io/is-default-class",
            ]);
            let name = text(&o.name()) + if default { " (default)" } else { "" };
            vec![
                name.into(),
                text(&o.object["provisioner"]).into(),
                text_or(&o.object["reclaimPolicy"], "Delete").into(),
                text_or(&o.object["volumeBindingMode"], "Immediate").into(),
                flag(&o.object["allowVolumeExpansion"], false),
                o.age(),
            ]
        }
        "VolumeAttributesClass" => vec![o.name(), text(&o.object["driverName"]).into(), o.age()],
        "CSIDriver" => {
            let modes: Vec<String> = list(&spec["volumeLifecycleModes"]).iter().map(text).collect();
            let modes = if modes.is_empty() { "<none>".to_owned() } else { modes.join(",") };
            let tokens = match spec["tokenRequests"].as_array() {
                None => "<unset>".to_owned(),
                Some(tokens) => {
                    tokens.iter().map(|token| text(&token["audience"])).collect::<Vec<_>>().join(",")
                }
            };
            vec![
                o.name(),
                flag(&spec["attachRequired"], true),
                flag(&spec["podInfoOnMount"], false),
                flag(&spec["storageCapacity"], false),
                tokens.into(),
                flag(&spec["requiresRepublish"], false),
                modes.into(),
                o.age(),
            ]
        }
        "CSINode" => vec![o.name(), count(&spec["drivers"]).into(), o.age()],
        "VolumeAttachment" => vec![
            o.name(),
            text(&spec["attacher"]).into(),
            text(&spec["source"]["persistentVolumeName"]).into(),
            text(&spec["nodeName"]).into(),
            flag(&status["attached"], false),
            o.age(),
        ],
        "ResourceClaim" => vec![o.name(), claim_state(o).into(), o.age()],
        "ResourceSlice" => vec![
            o.name(),
            text(&spec["nodeName"]).into(),
            text(&spec["driver"]).into(),
            text(&spec["pool"]["name"]).into(),
            o.age(),
        ],
        _ => return None,
    })
}

fn phase(o: &Printed<'_>) -> String {
    if o.deleting() { "Terminating".to_owned() } else { text(&o.object["status"]["phase"]) }
}

/// The class, which old objects name in an annotation.
fn class(object: &Value) -> String {
    let annotation = &object["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
    text(if annotation.is_null() { &object["spec"]["storageClassName"] } else { annotation })
}

fn modes(modes: &Value) -> String {
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let there = short.iter().filter(|(mode, _)| list(modes).iter().any(|m| m == mode));
    there.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

fn claim_state(o: &Printed<'_>) -> String {
    let status = &o.object["status"];
    let mut states = Vec::new();
    if o.deleting() {
        states.push("deleted");
    }
    if !status["allocation"].is_null() {
        states.push("allocated");
        if !list(&status["reservedFor"]).is_empty() {
            states.push("reserved");
        }
    } else if !o.deleting() {
        states.push("pending");
    }
    states.join(",")
}
