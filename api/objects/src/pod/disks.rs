//! Volumes of storage outside the cluster. Nodes have no drivers for most of them any more; their rules remain.

use serde_json::Value;

use crate::check::{entries, has, invalid_names, list, one_of, required, text};
use crate::{FieldError, Path, names};

/// Checks the source of a volume of this kind; `path` is the volume's.
pub(super) fn check(errors: &mut Vec<FieldError>, kind: &str, source: &Value, path: &Path, volume: &str) {
    let at = path.field(kind);
    match kind {
        "gitRepo" => {
            required(errors, source, &at, "repository", "");
            super::volumes::relative(errors, &at.field("directory"), text(source, "directory"));
        }
        // The API tells of this kind by a name that no field has.
        "gcePersistentDisk" => partition(errors, source, &path.field("persistentDisk"), "pdName"),
        "awsElasticBlockStore" => partition(errors, source, &at, "volumeID"),
        "nfs" => {
            all(errors, source, &at, &["server", "path"]);
            let directory = text(source, "path");
            if !directory.starts_with('/') {
                let why = "must be an absolute path";
                errors.push(FieldError::invalid(&at.field("path"), directory, why));
            }
        }
        "iscsi" => {
            iscsi(errors, source, &at);
            if has(source, "initiatorName") && volume.len() + 1 + text(source, "targetPortal").len() > 64 {
                let why = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                           iscsi.initiatorName is specified.";
                errors.push(FieldError::invalid(&path.field("name"), volume, why));
            }
        }
        "glusterfs" => all(errors, source, &at, &["endpoints", "path"]),
        "flocker" => flocker(errors, source, &at),
        "rbd" => {
            some(errors, source, &at, "monitors");
            required(errors, source, &at, "image", "");
        }
        "cinder" => {
            required(errors, source, &at, "volumeID", "");
            secret(errors, source, &at);
        }
        "cephfs" => some(errors, source, &at, "monitors"),
        "quobyte" => quobyte(errors, source, &at),
        "fc" => fibre_channel(errors, source, &at),
        "flexVolume" => flex(errors, source, &at),
        "azureFile" => all(errors, source, &at, &["secretName", "shareName"]),
        "vsphereVolume" => required(errors, source, &at, "volumePath", ""),
        "photonPersistentDisk" => required(errors, source, &at, "pdID", ""),
        "portworxVolume" => required(errors, source, &at, "volumeID", ""),
        "azureDisk" => azure_disk(errors, source, &at),
        "storageos" => {
            match text(source, "volumeName") {
                "" => errors.push(FieldError::required(&at.field("volumeName"), "")),
                name => invalid_names(errors, &at.field("volumeName"), name, names::dns_label),
            }
            let namespace = text(source, "volumeNamespace");
            if !namespace.is_empty() {
                invalid_names(errors, &at.field("volumeNamespace"), namespace, names::dns_label);
            }
            secret(errors, source, &at);
        }
        "scaleIO" => all(errors, source, &at, &["gateway", "system", "volumeName"]),
        "csi" => csi(errors, source, &at),
        _ => {}
    }
}

fn all(errors: &mut Vec<FieldError>, source: &Value, path: &Path, fields: &[&str]) {
    fields.iter().for_each(|field| required(errors, source, path, field, ""));
}

fn some(errors: &mut Vec<FieldError>, source: &Value, path: &Path, field: &str) {
    if list(source, field).is_empty() {
        errors.push(FieldError::required(&path.field(field), ""));
    }
}

fn secret(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    if has(source, "secretRef") {
        required(errors, &source["secretRef"], &path.field("secretRef"), "name", "");
    }
}

fn partition(errors: &mut Vec<FieldError>, source: &Value, path: &Path, name: &str) {
    required(errors, source, path, name, "");
    let number = source["partition"].as_i64().unwrap_or(0);
    if !(0..=255).contains(&number) {
        let why = "must be between 0 and 255, inclusive";
        errors.push(FieldError::invalid(&path.field("partition"), number, why));
    }
}

fn iscsi(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    all(errors, source, path, &["targetPortal", "iqn"]);
    let target = text(source, "iqn");
    if !target.is_empty() {
        iscsi_name(errors, target, &path.field("iqn"));
    }
    let lun = source["lun"].as_i64().unwrap_or(0);
    if !(0..=255).contains(&lun) {
        errors.push(FieldError::invalid(&path.field("lun"), lun, "must be between 0 and 255, inclusive"));
    }
    let secrets = source["chapAuthDiscovery"] == true || source["chapAuthSession"] == true;
    if secrets && !has(source, "secretRef") {
        errors.push(FieldError::required(&path.field("secretRef"), ""));
    }
    if let Some(name) = source["initiatorName"].as_str() {
        iscsi_name(errors, name, &path.field("initiatorname"));
    }
}

/// Checks a name of the forms `iqn.YEAR-MONTH.DOMAIN:ANY`, `eui.` and 16 digits, `naa.` and 32 digits.
fn iscsi_name(errors: &mut Vec<FieldError>, name: &str, path: &Path) {
    let digits = |rest: &str, count| rest.len() == count && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    let good = match name.split_once('.') {
        Some(("iqn", rest)) => is_qualified(rest),
        Some(("eui", rest)) => digits(rest, 16),
        Some(("naa", rest)) => digits(rest, 32),
        _ => false,
    };
    if !["iqn", "eui", "naa"].iter().any(|form| name.starts_with(form)) {
        let why = "must be valid format starting with iqn, eui, or naa";
        errors.push(FieldError::invalid(path, name, why));
    } else if !good {
        errors.push(FieldError::invalid(path, name, "must be valid format"));
    }
}

/// `2001-04.com.example:ANY`
fn is_qualified(rest: &str) -> bool {
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = rest.split_once('.').and_then(|(date, name)| {
        let ((year, month), (domain, own)) = (date.split_once('-')?, name.split_once(':')?);
        let dated = digits(year, 4) && digits(month, 2);
        let named = domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        Some(dated && named && !domain.is_empty() && !own.is_empty())
    });
    parts == Some(true) && !rest.contains([',', ';', '*', '&', '$', '|', ' ', '\t', '\n', '\r'])
}

fn flocker(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    let (name, id) = (text(source, "datasetName"), text(source, "datasetUUID"));
    if name.is_empty() && id.is_empty() {
        errors.push(FieldError::required(path, "one of datasetName and datasetUUID is required"));
    }
    if !name.is_empty() && !id.is_empty() {
        let why = "datasetName and datasetUUID can not be specified simultaneously";
        errors.push(FieldError::invalid(path, "resource", why));
    }
    if name.contains('/') {
        errors.push(FieldError::invalid(&path.field("datasetName"), name, "must not contain '/'"));
    }
}

fn quobyte(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    let why = "must be a host:port pair or multiple pairs separated by commas";
    let registry = text(source, "registry");
    let at = path.field("registry");
    if registry.is_empty() {
        errors.push(FieldError::required(&at, why));
    } else if text(source, "tenant").len() >= 65 {
        let why = "must be a UUID and may not exceed a length of 64 characters";
        errors.push(FieldError::required(&path.field("tenant"), why));
    } else {
        let pair = |text: &&str| {
            text.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'))
        };
        let wrong = registry.split(',').filter(|text| !pair(text));
        errors.extend(wrong.map(|_| FieldError::invalid(&at, registry, why)));
    }
    required(errors, source, path, "volume", "");
}

fn fibre_channel(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    let (names, ids) = (list(source, "targetWWNs"), list(source, "wwids"));
    let at = path.field("targetWWNs");
    if names.is_empty() && ids.is_empty() {
        errors.push(FieldError::required(&at, "must specify either targetWWNs or wwids, but not both"));
    }
    if !names.is_empty() && !ids.is_empty() {
        let why = "targetWWNs and wwids can not be specified simultaneously";
        errors.push(FieldError::invalid(&at, source["targetWWNs"].clone(), why));
    }
    if names.is_empty() {
        return;
    }
    let at = path.field("lun");
    match source["lun"].as_i64() {
        None => errors.push(FieldError::required(&at, "lun is required if targetWWNs is specified")),
        Some(0..=255) => {}
        Some(lun) => errors.push(FieldError::invalid(&at, lun, "must be between 0 and 255, inclusive")),
    }
}

fn flex(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    required(errors, source, path, "driver", "");
    let options = path.field("options");
    for (key, _) in entries(source, "options") {
        let domain = format!(".{}", key.split('/').next().unwrap_or_default().to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            let why = "kubernetes.io and k8s.io namespaces are reserved";
            errors.push(FieldError::invalid(&options.key(key), key, why));
        }
    }
}

fn azure_disk(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    all(errors, source, path, &["diskName", "diskURI"]);
    one_of(errors, source, path, "cachingMode", &["None", "ReadOnly", "ReadWrite"]);
    one_of(errors, source, path, "kind", &["Dedicated", "Managed", "Shared"]);
    let uri = text(source, "diskURI");
    let (good, form) = match source["kind"].as_str() {
        None => return,
        Some("Managed") => (uri.starts_with("/subscriptions/"), MANAGED_DISK),
        Some(_) => (uri.starts_with("https://"), BLOB),
    };
    if !good {
        errors.push(FieldError::not_supported(&path.field("diskURI"), uri, &[form]));
    }
}

const MANAGED_DISK: &str =
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
const BLOB: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";

fn csi(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    let (driver, at) = (text(source, "driver"), path.field("driver"));
    if driver.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else {
        if driver.len() > 63 {
            errors.push(FieldError::too_long(&at, 63));
        }
        let wrong = names::dns_subdomain(&driver.to_lowercase());
        errors.extend(wrong.iter().map(|why| FieldError::invalid(&at, driver, why)));
    }
    let secret = &source["nodePublishSecretRef"];
    if has(source, "nodePublishSecretRef") {
        match text(secret, "name") {
            "" => required(errors, secret, &path.field("nodePublishSecretRef"), "name", ""),
            name => invalid_names(errors, &path.field("name"), name, names::dns_subdomain),
        }
    }
}
