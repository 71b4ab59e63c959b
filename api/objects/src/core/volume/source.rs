//! Where a volume has its bytes. Of the sources that drivers have taken over, only what they cannot do without is asked.

use serde_json::{Value, json};

use crate::check::{has, invalid_names, list, one_of, required, text, within};
use crate::{FieldError, Path, fill, names};

/// The sources, in the order that they are looked at.
pub(super) const FIELDS: [&str; 21] = [
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
    "csi",
];

/// The texts that a source must have.
const REQUIRED: [(&str, &[&str]); 17] = [
    ("hostPath", &["path"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("glusterfs", &["endpoints", "path"]),
    ("nfs", &["server", "path"]),
    ("rbd", &["image"]),
    ("quobyte", &["registry", "volume"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("cinder", &["volumeID"]),
    ("flexVolume", &["driver"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("local", &["path"]),
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
        let at = path.field(if *field == "gcePersistentDisk" { "persistentDisk" } else { field });
        // A flexVolume is never too many.
        if index > 0 && *field != "flexVolume" {
            let at = path.field(if *field == "cephfs" { "cephFS" } else { field });
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type"));
            continue;
        }
        let source = &spec[*field];
        for (_, texts) in REQUIRED.iter().filter(|(of, _)| of == field) {
            texts.iter().for_each(|text| required(errors, source, &at, text, ""));
        }
        one(errors, field, source, &at, name);
        if *field == "local" && !has(spec, "nodeAffinity") {
            let why = "Local volume requires node affinity";
            errors.push(FieldError::required(&path.field("nodeAffinity"), why));
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

fn one(errors: &mut Vec<FieldError>, field: &str, source: &Value, path: &Path, name: &str) {
    let host = |path: &str| path.split('/').any(|part| part == "..");
    let at = path.field("path");
    let value = text(source, "path");
    match field {
        "hostPath" | "local" => {
            if host(value) {
                errors.push(FieldError::invalid(&at, value, "must not contain '..'"));
            }
            if field == "hostPath" {
                let types = [
                    "",
                    "BlockDevice",
                    "CharDevice",
                    "Directory",
                    "DirectoryOrCreate",
                    "File",
                    "FileOrCreate",
                    "Socket",
                ];
                one_of(errors, source, path, "type", &types);
            }
        }
        "nfs" if !value.starts_with('/') => {
            errors.push(FieldError::invalid(&at, value, "must be an absolute path"));
        }
        "rbd" | "cephfs" if list(source, "monitors").is_empty() => {
            errors.push(FieldError::required(&path.field("monitors"), ""));
        }
        "gcePersistentDisk" | "awsElasticBlockStore" => {
            within(errors, &path.field("partition"), source["partition"].as_i64().unwrap_or(0), 0, 255);
        }
        "iscsi" => iscsi(errors, source, path, name),
        "fc" => fibre_channel(errors, source, path),
        "flexVolume" => options(errors, source, path),
        "csi" => driver(errors, source, path),
        _ => {}
    }
}

fn iscsi(errors: &mut Vec<FieldError>, source: &Value, path: &Path, name: &str) {
    let portal = text(source, "targetPortal");
    if has(source, "initiatorName") && name.len() + 1 + portal.len() > 64 {
        let why = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                   iscsi.initiatorName is specified.";
        errors.push(FieldError::invalid(&path.field("targetportal"), portal, why));
    }
    let fits = |name: &str| ["iqn.", "eui.", "naa."].iter().any(|kind| name.starts_with(kind));
    for (field, told) in [("iqn", "iqn"), ("initiatorName", "initiatorname")] {
        let name = text(source, field);
        if !name.is_empty() && !fits(name) {
            errors.push(FieldError::invalid(&path.field(told), name, "must be valid format"));
        }
    }
    within(errors, &path.field("lun"), source["lun"].as_i64().unwrap_or(0), 0, 255);
    let secret = path.field("secretRef");
    if ["chapAuthDiscovery", "chapAuthSession"].iter().any(|field| source[*field] == true)
        && !has(source, "secretRef")
    {
        errors.push(FieldError::required(&secret, ""));
    }
    if has(source, "secretRef") {
        required(errors, &source["secretRef"], &secret, "name", "");
    }
}

fn fibre_channel(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    let (targets, ids) = (list(source, "targetWWNs"), list(source, "wwids"));
    let at = path.field("targetWWNs");
    match (targets.is_empty(), ids.is_empty()) {
        (true, true) => {
            errors.push(FieldError::required(&at, "must specify either targetWWNs or wwids, but not both"));
        }
        (false, false) => {
            let why = "targetWWNs and wwids can not be specified simultaneously";
            errors.push(FieldError::invalid(&at, targets, why));
        }
        _ => {}
    }
    if !targets.is_empty() {
        match source["lun"].as_i64() {
            None => {
                let why = "lun is required if targetWWNs is specified";
                errors.push(FieldError::required(&path.field("lun"), why));
            }
            Some(number) => within(errors, &path.field("lun"), number, 0, 255),
        }
    }
}

fn options(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    let at = path.field("options");
    for (key, _) in crate::check::entries(source, "options") {
        let domain = format!(".{}", key.split('/').next().unwrap_or_default().to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            let why = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(FieldError::invalid(&at.key(key), key, why));
        }
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
