//! Volumes and where containers mount them.

use serde_json::Value;

use super::resources::quantity;
use super::{Meta, claim, projected};
use crate::check::{has, invalid_names, list, relative, required, required_one_of, text};
use crate::core::driver_name;
use crate::core::volume::disk::{self, Of};
use crate::{FieldError, Path, Quantity, names};

/// Checks a pod's volumes and returns those that may be mounted.
pub(super) fn check<'v>(
    errors: &mut Vec<FieldError>,
    spec: &'v Value,
    path: &Path,
    meta: Meta<'_>,
) -> Vec<&'v Value> {
    let pod = meta.map(|meta| text(meta, "name")).filter(|name| !name.is_empty());
    let volumes = list(spec, "volumes");
    let made = |volume: &&Value| has(volume, "ephemeral");
    let made: Vec<String> = pod.map_or_else(Vec::new, |pod| {
        volumes.iter().filter(made).map(|volume| format!("{pod}-{}", text(volume, "name"))).collect()
    });
    let mut known: Vec<&Value> = Vec::new();
    let volumes_at = path.field("volumes");
    for (index, volume) in volumes.iter().enumerate() {
        let at = volumes_at.index(index);
        let before = errors.len();
        let name = text(volume, "name");
        source(errors, volume, &at, pod, meta.is_some());
        if name.is_empty() {
            errors.push(FieldError::required(&at.field("name"), ""));
        } else {
            invalid_names(errors, &at.field("name"), name, names::dns_label);
        }
        if known.iter().any(|known| text(known, "name") == name) {
            errors.push(FieldError::duplicate(&at.field("name"), name));
        }
        if errors.len() == before {
            known.push(volume);
        }
        let wanted = text(&volume["persistentVolumeClaim"], "claimName");
        if has(volume, "persistentVolumeClaim") && made.iter().any(|made| made == wanted) {
            let why = "must not reference a PVC that gets created for an ephemeral volume";
            let at = at.field("persistentVolumeClaim");
            errors.push(FieldError::invalid(&at.field("claimName"), wanted, why));
        }
    }
    known
}

/// The kinds of volumes in the order in which the API looks at them; only the first one that is there is checked.
const KINDS: [&str; 30] = [
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

fn source(errors: &mut Vec<FieldError>, volume: &Value, path: &Path, pod: Option<&str>, is_pod: bool) {
    let mut kinds = KINDS.iter().filter(|kind| has(volume, kind));
    let Some(kind) = kinds.next() else {
        errors.push(FieldError::required(path, "must specify a volume type"));
        return;
    };
    let (source, at) = (&volume[*kind], path.field(kind));
    let name = text(volume, "name");
    match *kind {
        "emptyDir" => empty_dir(errors, source, &at),
        "secret" => files(errors, source, &at, "secretName"),
        "configMap" => files(errors, source, &at, "name"),
        "persistentVolumeClaim" => required(errors, source, &at, "claimName", ""),
        "downwardAPI" => {
            mode(errors, source, &at, "defaultMode");
            for file in list(source, "items") {
                downward_file(errors, file, &at);
            }
        }
        "projected" => projected::check(errors, source, &at),
        "ephemeral" => {
            let template_at = at.field("volumeClaimTemplate");
            if has(source, "volumeClaimTemplate") {
                claim::check_template(errors, &source["volumeClaimTemplate"], &template_at);
            } else {
                errors.push(FieldError::required(&template_at, ""));
            }
            if let Some(pod) = pod.filter(|_| !name.is_empty()) {
                let claim = format!("{pod}-{name}");
                for why in names::dns_subdomain(&claim) {
                    let why = format!("PVC name {claim:?}: {why}");
                    errors.push(FieldError::invalid(&path.field("name"), name, &why));
                }
            }
        }
        "image" => {
            if is_pod {
                required(errors, source, &at, "reference", "");
            }
            let policies = ["Always", "IfNotPresent", "Never"];
            required_one_of(errors, source, &at, "pullPolicy", &policies);
        }
        "csi" => csi(errors, source, &at),
        _ => disk::check(errors, kind, source, path, Of::Pod(name)),
    }
    for kind in kinds {
        // The API misspells these two here.
        let told = match *kind {
            "cephfs" => "cephFS",
            "downwardAPI" => "downwarAPI",
            kind => kind,
        };
        errors.push(FieldError::forbidden(&path.field(told), "may not specify more than 1 volume type"));
    }
}

fn empty_dir(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    let limit = source["sizeLimit"].as_str().map(str::parse::<Quantity>);
    match limit {
        Some(Ok(limit)) if limit.is_negative() => {
            let why = "SizeLimit field must be a valid resource quantity";
            errors.push(FieldError::forbidden(&path.field("sizeLimit"), why));
        }
        Some(Err(_)) => drop(quantity(errors, &path.field("sizeLimit"), &source["sizeLimit"])),
        _ => {}
    }
}

/// A volume that the node's driver makes for the pod.
fn csi(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    driver_name(errors, text(source, "driver"), &path.field("driver"));
    let secret = &source["nodePublishSecretRef"];
    if has(source, "nodePublishSecretRef") {
        match text(secret, "name") {
            "" => required(errors, secret, &path.field("nodePublishSecretRef"), "name", ""),
            name => invalid_names(errors, &path.field("name"), name, names::dns_subdomain),
        }
    }
}

/// A volume of a Secret's or a ConfigMap's entries.
fn files(errors: &mut Vec<FieldError>, source: &Value, path: &Path, name: &str) {
    required(errors, source, path, name, "");
    mode(errors, source, path, "defaultMode");
    let items = path.field("items");
    for (index, item) in list(source, "items").iter().enumerate() {
        key_to_path(errors, item, &items.index(index));
    }
}

/// An entry and the file that it becomes.
pub(super) fn key_to_path(errors: &mut Vec<FieldError>, item: &Value, path: &Path) {
    required(errors, item, path, "key", "");
    required(errors, item, path, "path", "");
    unreserved(errors, &path.field("path"), text(item, "path"));
    mode(errors, item, path, "mode");
}

/// A file that tells something of the pod.
pub(super) fn downward_file(errors: &mut Vec<FieldError>, file: &Value, path: &Path) {
    required(errors, file, path, "path", "");
    unreserved(errors, &path.field("path"), text(file, "path"));
    match (has(file, "fieldRef"), has(file, "resourceFieldRef")) {
        (true, both) => {
            field_ref(errors, &file["fieldRef"], &path.field("fieldRef"), &FILE_FIELDS);
            if both {
                let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(path, "resource", why));
            }
        }
        (false, true) => {
            resource_field(errors, &file["resourceFieldRef"], &path.field("resourceFieldRef"), true);
        }
        (false, false) => {
            errors.push(FieldError::required(path, "one of fieldRef and resourceFieldRef is required"));
        }
    }
    mode(errors, file, path, "mode");
}

const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// The fields of a pod that can be named at all.
const FIELDS: [&str; 15] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.host",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Checks a reference to a field of the Pod.
pub(super) fn field_ref(errors: &mut Vec<FieldError>, selector: &Value, path: &Path, allowed: &[&str]) {
    let at = path.field("fieldPath");
    let (version, value) = (text(selector, "apiVersion"), text(selector, "fieldPath"));
    if version.is_empty() {
        errors.push(FieldError::required(&path.field("apiVersion"), ""));
        return;
    }
    if value.is_empty() {
        errors.push(FieldError::required(&at, ""));
        return;
    }
    let subscripted = value.strip_suffix("']").and_then(|rest| rest.split_once("['"));
    let why = match subscripted {
        _ if version != "v1" => format!("unsupported pod version: {version}"),
        Some(("metadata.annotations" | "metadata.labels", _)) => String::new(),
        Some(_) => format!("field label does not support subscript: {value}"),
        None if FIELDS.contains(&value) => String::new(),
        None => format!("field label not supported: {value}"),
    };
    if !why.is_empty() {
        errors.push(FieldError::invalid(&at, value, &format!("error converting fieldPath: {why}")));
        return;
    }
    // What it was called once.
    let value = if value == "spec.host" { "spec.nodeName" } else { value };
    match subscripted {
        Some(("metadata.annotations", key)) => {
            invalid_names(errors, path, &key.to_lowercase(), names::qualified_name);
        }
        Some((_, key)) => invalid_names(errors, path, key, names::qualified_name),
        None if !allowed.contains(&value) => {
            let mut allowed = allowed.to_vec();
            allowed.sort_unstable();
            errors.push(FieldError::not_supported(&at, value, &allowed));
        }
        None => {}
    }
}

const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// Checks a reference to what a container asks for; a file says of which one.
pub(super) fn resource_field(errors: &mut Vec<FieldError>, from: &Value, path: &Path, in_file: bool) {
    let name = text(from, "resource");
    let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| name.starts_with(prefix));
    if in_file && text(from, "containerName").is_empty() {
        errors.push(FieldError::required(&path.field("containerName"), ""));
    } else if name.is_empty() {
        errors.push(FieldError::required(&path.field("resource"), ""));
    } else if !RESOURCES.contains(&name) && !huge {
        errors.push(FieldError::not_supported(&path.field("resource"), name, &RESOURCES));
    }
    let divisor = from["divisor"].as_str().unwrap_or("0");
    let Some(divisor) = divisor.parse::<Quantity>().ok().filter(|divisor| !divisor.is_zero()) else { return };
    let divisor = divisor.to_string();
    let (what, allowed) = match name {
        "limits.cpu" | "requests.cpu" if ["1", "1m"].contains(&divisor.as_str()) => return,
        "limits.cpu" | "requests.cpu" => ("cpu", "1m and 1"),
        "limits.memory" | "requests.memory" => ("memory", SIZES),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => ("local ephemeral storage", SIZES),
        _ if huge => ("hugepages", SIZES),
        _ => return,
    };
    if !allowed.split(", ").any(|size| size == divisor) {
        let why = format!("only divisor's values {allowed} are supported with the {what} resource");
        errors.push(FieldError::invalid(&path.field("divisor"), name, &why));
    }
}

/// The units in which bytes can be told.
const SIZES: &str = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";

/// Checks the permissions of a file.
pub(super) fn mode(errors: &mut Vec<FieldError>, object: &Value, path: &Path, field: &str) {
    if let Some(mode) = object[field].as_i64().filter(|mode| !(0..=0o777).contains(mode)) {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(&path.field(field), mode, why));
    }
}

/// Refuses a path that leads out, or into what the node keeps for itself.
pub(super) fn unreserved(errors: &mut Vec<FieldError>, path: &Path, value: &str) {
    relative(errors, path, value);
    if value.starts_with("..") && !value.starts_with("../") {
        errors.push(FieldError::invalid(path, value, "must not start with '..'"));
    }
}
