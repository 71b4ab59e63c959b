//! Storage outside the cluster, and a node's own paths, as a pod and a PersistentVolume name them alike. Nodes have no
//! drivers for most of them any more; their rules remain.

use serde_json::Value;

use crate::check::{
    entries, has, invalid_names, list, no_backsteps, one_of, relative, required, text, within,
};
use crate::{FieldError, Path, names};

const PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// What has the source.
#[derive(Clone, Copy)]
pub(crate) enum Of<'v> {
    /// A pod's volume of this name.
    Pod(&'v str),
    /// The PersistentVolume of this name. Of no namespace itself, it names one where it names an object of one.
    Cluster(&'v str),
}

/// Checks a source of this kind; `path` is that of what has it.
pub(crate) fn check(errors: &mut Vec<FieldError>, kind: &str, source: &Value, path: &Path, of: Of<'_>) {
    let at = path.field(kind);
    match kind {
        "hostPath" => host_path(errors, source, &at),
        "gitRepo" => {
            required(errors, source, &at, "repository", "");
            relative(errors, &at.field("directory"), text(source, "directory"));
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
            iscsi(errors, source, &at, of);
            if let Of::Pod(volume) = of
                && is_too_long_for_iscsi(source, volume)
            {
                errors.push(FieldError::invalid(&path.field("name"), volume, TOO_LONG_FOR_ISCSI));
            }
        }
        "glusterfs" => {
            all(errors, source, &at, &["endpoints", "path"]);
            if let (Of::Cluster(_), Some(namespace)) = (of, source["endpointsNamespace"].as_str()) {
                let at = at.field("endpointsNamespace");
                match namespace {
                    "" => {
                        let why = "if the endpointnamespace is set, it must be a valid namespace name";
                        errors.push(FieldError::invalid(&at, namespace, why));
                    }
                    namespace => invalid_names(errors, &at, namespace, names::dns_label),
                }
            }
        }
        "flocker" => flocker(errors, source, &at),
        "rbd" => {
            some(errors, source, &at, "monitors");
            required(errors, source, &at, "image", "");
        }
        "cinder" => {
            required(errors, source, &at, "volumeID", "");
            secret(errors, source, &at, of);
        }
        "cephfs" => some(errors, source, &at, "monitors"),
        "quobyte" => quobyte(errors, source, &at),
        "fc" => fibre_channel(errors, source, &at),
        "flexVolume" => flex(errors, source, &at),
        "azureFile" => {
            all(errors, source, &at, &["secretName", "shareName"]);
            if matches!(of, Of::Cluster(_)) && has(source, "secretNamespace") {
                required(errors, source, &at, "secretNamespace", "");
            }
        }
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
            secret(errors, source, &at, of);
        }
        "scaleIO" => all(errors, source, &at, &["gateway", "system", "volumeName"]),
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

fn secret(errors: &mut Vec<FieldError>, source: &Value, path: &Path, of: Of<'_>) {
    if has(source, "secretRef") {
        let at = path.field("secretRef");
        required(errors, &source["secretRef"], &at, "name", "");
        if matches!(of, Of::Cluster(_)) {
            required(errors, &source["secretRef"], &at, "namespace", "");
        }
    }
}

fn host_path(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    match text(source, "path") {
        "" => errors.push(FieldError::required(&path.field("path"), "")),
        value => {
            no_backsteps(errors, &path.field("path"), value);
            one_of(errors, source, path, "type", &PATH_TYPES);
        }
    }
}

fn partition(errors: &mut Vec<FieldError>, source: &Value, path: &Path, name: &str) {
    required(errors, source, path, name, "");
    within(errors, &path.field("partition"), source["partition"].as_i64().unwrap_or(0), 0, 255);
}

const TOO_LONG_FOR_ISCSI: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                                  iscsi.initiatorName is specified.";

/// Whether the interface that a node would make for an initiator had too long a name.
fn is_too_long_for_iscsi(source: &Value, volume: &str) -> bool {
    has(source, "initiatorName") && volume.len() + 1 + text(source, "targetPortal").len() > 64
}

fn iscsi(errors: &mut Vec<FieldError>, source: &Value, path: &Path, of: Of<'_>) {
    required(errors, source, path, "targetPortal", "");
    if let Of::Cluster(volume) = of
        && is_too_long_for_iscsi(source, volume)
    {
        let at = path.field("targetportal");
        errors.push(FieldError::invalid(&at, text(source, "targetPortal"), TOO_LONG_FOR_ISCSI));
    }
    required(errors, source, path, "iqn", "");
    let target = text(source, "iqn");
    if !target.is_empty() {
        iscsi_name(errors, target, &path.field("iqn"), of);
    }
    within(errors, &path.field("lun"), source["lun"].as_i64().unwrap_or(0), 0, 255);
    let secret = path.field("secretRef");
    let wanted = source["chapAuthDiscovery"] == true || source["chapAuthSession"] == true;
    if wanted && !has(source, "secretRef") {
        errors.push(FieldError::required(&secret, ""));
    }
    if matches!(of, Of::Cluster(_)) && has(source, "secretRef") {
        required(errors, &source["secretRef"], &secret, "name", "");
    }
    if let Some(name) = source["initiatorName"].as_str() {
        iscsi_name(errors, name, &path.field("initiatorname"), of);
    }
}

/// Checks a name of the forms `iqn.YEAR-MONTH.DOMAIN:ANY`, `eui.` and 16 digits, `naa.` and 32 digits.
fn iscsi_name(errors: &mut Vec<FieldError>, name: &str, path: &Path, of: Of<'_>) {
    let digits = |rest: &str, count| rest.len() == count && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    let good = match name.split_once('.') {
        Some(("iqn", rest)) => is_qualified(rest),
        Some(("eui", rest)) => digits(rest, 16),
        Some(("naa", rest)) => digits(rest, 32),
        _ => false,
    };
    let known = ["iqn", "eui", "naa"].iter().any(|form| name.starts_with(form));
    if !known && matches!(of, Of::Pod(_)) {
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
        Some(lun) => within(errors, &at, lun, 0, 255),
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
