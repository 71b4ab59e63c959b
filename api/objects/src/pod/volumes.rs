//! Volumes and where containers mount them.

use serde_json::Value;

use super::resources::quantity;
use super::validate::{invalid_names, one_of};
use super::{entries, has, list, text};
use crate::{FieldError, Path, names};

/// Checks a Pod's volumes and returns the names that may be mounted.
pub(super) fn check<'v>(errors: &mut Vec<FieldError>, spec: &'v Value, path: &Path) -> Vec<&'v str> {
    let mut known: Vec<&str> = Vec::new();
    let volumes = path.field("volumes");
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let at = volumes.index(index);
        let before = errors.len();
        let name = text(volume, "name");
        source(errors, volume, &at);
        if name.is_empty() {
            errors.push(FieldError::required(&at.field("name"), ""));
        } else {
            invalid_names(errors, &at.field("name"), name, names::dns_label);
        }
        if known.contains(&name) {
            errors.push(FieldError::duplicate(&at.field("name"), name));
        }
        if errors.len() == before {
            known.push(name);
        }
    }
    known
}

fn source(errors: &mut Vec<FieldError>, volume: &Value, path: &Path) {
    let sources: Vec<_> =
        volume.as_object().into_iter().flatten().filter(|(key, _)| *key != "name").collect();
    if sources.is_empty() {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
    for (kind, _) in sources.iter().skip(1) {
        errors.push(FieldError::forbidden(&path.field(kind), "may not specify more than 1 volume type"));
    }
    let Some((kind, source)) = sources.first() else { return };
    let at = path.field(kind);
    match kind.as_str() {
        "emptyDir" if has(source, "sizeLimit") => {
            quantity(errors, &at.field("sizeLimit"), &source["sizeLimit"]);
        }
        "hostPath" => host_path(errors, source, &at),
        "downwardAPI" => downward(errors, source, &at),
        "projected" => {
            for (index, projection) in list(source, "sources").iter().enumerate() {
                let sources = at.field("sources");
                let at = sources.index(index);
                for (kind, projection) in entries_of(projection) {
                    if kind == "downwardAPI" {
                        downward(errors, projection, &at.field(kind));
                    }
                }
            }
        }
        _ => {}
    }
}

fn entries_of(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn host_path(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    match text(source, "path") {
        "" => errors.push(FieldError::required(&path.field("path"), "")),
        value => no_backsteps(errors, &path.field("path"), value),
    }
    let types =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    one_of(errors, source, path, "type", &types);
}

fn downward(errors: &mut Vec<FieldError>, source: &Value, path: &Path) {
    mode(errors, source, path, "defaultMode");
    let items = path.field("items");
    for (index, file) in list(source, "items").iter().enumerate() {
        let at = items.index(index);
        match text(file, "path") {
            "" => errors.push(FieldError::required(&at.field("path"), "")),
            value => relative(errors, &at.field("path"), value),
        }
        mode(errors, file, &at, "mode");
        match (has(file, "fieldRef"), has(file, "resourceFieldRef")) {
            (false, false) => {
                let why = "one of fieldRef and resourceFieldRef is required";
                errors.push(FieldError::required(&at, why));
            }
            (true, true) => {
                let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(&at, "resource", why));
            }
            (false, true) if text(&file["resourceFieldRef"], "containerName").is_empty() => {
                let at = at.field("resourceFieldRef");
                errors.push(FieldError::required(&at.field("containerName"), ""));
            }
            (true, false) => {
                let at = at.field("fieldRef");
                field_ref(errors, &file["fieldRef"], &at, &VOLUME_FIELDS);
            }
            _ => {}
        }
    }
}

const VOLUME_FIELDS: [&str; 5] =
    ["metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid"];

/// Checks a reference to a field of the Pod.
pub(super) fn field_ref(errors: &mut Vec<FieldError>, selector: &Value, path: &Path, allowed: &[&str]) {
    let at = path.field("fieldPath");
    match text(selector, "fieldPath") {
        "" => errors.push(FieldError::required(&at, "")),
        value => {
            let subscripted = ["metadata.labels['", "metadata.annotations['"];
            let of_map = subscripted.iter().any(|prefix| value.starts_with(prefix)) && value.ends_with("']");
            if !of_map && !allowed.contains(&value) {
                errors.push(FieldError::not_supported(&at, value, allowed));
            }
        }
    }
}

fn mode(errors: &mut Vec<FieldError>, object: &Value, path: &Path, field: &str) {
    if let Some(mode) = object[field].as_i64().filter(|mode| !(0..=0o777).contains(mode)) {
        let why = "must be a number between 0 and 0777 (octal), both inclusive";
        errors.push(FieldError::invalid(&path.field(field), mode, why));
    }
}

/// Checks a container's mounts against the volumes there are.
pub(super) fn check_mounts(errors: &mut Vec<FieldError>, container: &Value, path: &Path, known: &[&str]) {
    let mounts = path.field("volumeMounts");
    let privileged = container["securityContext"]["privileged"] == true;
    let mut seen: Vec<&str> = Vec::new();
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        let at = mounts.index(index);
        let name = text(mount, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&at.field("name"), ""));
        }
        if !known.contains(&name) {
            errors.push(FieldError::not_found(&at.field("name"), name));
        }
        let target = text(mount, "mountPath");
        if target.is_empty() {
            errors.push(FieldError::required(&at.field("mountPath"), ""));
        } else if seen.contains(&target) {
            errors.push(FieldError::invalid(&at.field("mountPath"), target, "must be unique"));
        }
        seen.push(target);
        for field in ["subPath", "subPathExpr"] {
            relative(errors, &at.field(field), text(mount, field));
        }
        if !text(mount, "subPath").is_empty() && !text(mount, "subPathExpr").is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(&at.field("subPathExpr"), text(mount, "subPathExpr"), why));
        }
        let propagations = ["None", "HostToContainer", "Bidirectional"];
        one_of(errors, mount, &at, "mountPropagation", &propagations);
        if text(mount, "mountPropagation") == "Bidirectional" && !privileged {
            let why = "Bidirectional mount propagation is available only to privileged containers";
            errors.push(FieldError::forbidden(&at.field("mountPropagation"), why));
        }
        recursive(errors, mount, &at);
    }
}

fn recursive(errors: &mut Vec<FieldError>, mount: &Value, path: &Path) {
    one_of(errors, mount, path, "recursiveReadOnly", &["Disabled", "IfPossible", "Enabled"]);
    let wanted = text(mount, "recursiveReadOnly");
    if wanted.is_empty() {
        return;
    }
    let at = path.field("recursiveReadOnly");
    if mount["readOnly"] != true {
        errors.push(FieldError::forbidden(&at, "may only be specified when readOnly is true"));
    } else if wanted != "Disabled" && !["", "None"].contains(&text(mount, "mountPropagation")) {
        let why = "may only be specified when mountPropagation is None or not specified";
        errors.push(FieldError::forbidden(&at, why));
    }
}

fn relative(errors: &mut Vec<FieldError>, path: &Path, value: &str) {
    if value.starts_with('/') {
        errors.push(FieldError::invalid(path, value, "must be a relative path"));
    }
    no_backsteps(errors, path, value);
}

fn no_backsteps(errors: &mut Vec<FieldError>, path: &Path, value: &str) {
    if value.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path, value, "must not contain '..'"));
    }
}

/// Whether a map of the Pod is named in a list; unused entries are fine.
pub(super) fn has_any(object: &Value, field: &str) -> bool {
    entries(object, field).next().is_some()
}
