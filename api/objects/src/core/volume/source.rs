//! Where a volume has its bytes.

use serde_json::{Value, json};

use super::disk::{self, Of};
use crate::check::{has, invalid_names, no_backsteps, required, text};
use crate::{FieldError, Path, fill, names};

/// The sources, in the order that they are looked at.
pub(super) const FIELDS: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// What a source has where it does not say.
const TEXTS: [(&str, &str, &str); 9] = [
    ("rbd", "pool", "rbd"),
    ("rbd", "user", "admin"),
    ("rbd", "keyring", "/etc/ceph/keyring"),
    ("iscsi", "iscsiInterface", "default"),
    ("azureDisk", "cachingMode", "ReadWrite"),
    ("azureDisk", "fsType", "ext4"),
    ("azureDisk", "kind", "Shared"),
    ("scaleIO", "storageMode", "ThinProvisioned"),
    ("scaleIO", "fsType", "xfs"),
];

pub(super) fn defaults(spec: &mut Value) {
    fill::part(spec, "hostPath").for_each(|source| fill::missing(source, "type", ""));
    fill::part(spec, "azureDisk").for_each(|source| fill::missing(source, "readOnly", json!(false)));
    for (field, name, value) in TEXTS {
        fill::part(spec, field).for_each(|source| fill::text(source, name, value));
    }
}

pub(super) fn check(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, name: &str) {
    let found: Vec<&str> = FIELDS.into_iter().filter(|field| has(spec, field)).collect();
    for (index, field) in found.iter().enumerate() {
        let at = path.field(field);
        // A flexVolume is never too many.
        if index > 0 && *field != "flexVolume" {
            let at = path.field(if *field == "cephfs" { "cephFS" } else { field });
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type"));
            continue;
        }
        let source = &spec[*field];
        match *field {
            "local" => {
                required(errors, source, &at, "path", "");
                no_backsteps(errors, &at.field("path"), text(source, "path"));
                if !has(spec, "nodeAffinity") {
                    let why = "Local volume requires node affinity";
                    errors.push(FieldError::required(&path.field("nodeAffinity"), why));
                }
            }
            "csi" => driver(errors, source, &at),
            field => disk::check(errors, field, source, path, Of::Cluster(name)),
        }
    }
    if found.is_empty() {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    if text(&spec["hostPath"], "path").trim_matches('/').is_empty()
        && has(spec, "hostPath")
        && spec["persistentVolumeReclaimPolicy"] == "Recycle"
    {
        let why = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(&path.field("persistentVolumeReclaimPolicy"), why));
    }
}

fn driver(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    driver_name(errors, text(source, "driver"), &path.field("driver"));
    required(errors, source, path, "volumeHandle", "");
    let secrets = [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ];
    for field in secrets.into_iter().filter(|field| has(source, field)) {
        let (secret, at) = (&source[field], path.field(field));
        for (field, form) in
            [("name", names::dns_subdomain as fn(&str) -> Vec<String>), ("namespace", names::dns_label)]
        {
            match text(secret, field) {
                "" => errors.push(FieldError::required(&at.field(field), "")),
                name => invalid_names(errors, &at.field(field), name, form),
            }
        }
    }
}

/// The name of a driver of storage.
pub(crate) fn driver_name(errors: &mut Vec<FieldError>, name: &str, path: &Path) {
    const MOST: usize = 63;
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    if name.len() > MOST {
        errors.push(FieldError::too_long(path, MOST));
    }
    invalid_names(errors, path, name, |name| names::dns_subdomain(&name.to_lowercase()));
}
