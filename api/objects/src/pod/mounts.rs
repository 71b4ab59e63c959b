//! Where containers mount volumes, or find them as devices.

use serde_json::Value;

use super::containers::Around;
use crate::check::{has, list, no_backsteps, one_of, relative, required, text};
use crate::{FieldError, Path};

/// Checks a container's mounts against the volumes there are.
pub(super) fn check(errors: &mut Vec<FieldError>, container: &Value, path: &Path, around: &Around<'_>) {
    let mounts = path.field("volumeMounts");
    let privileged = container["securityContext"]["privileged"] == true;
    let devices = list(container, "volumeDevices");
    let mut seen: Vec<&str> = Vec::new();
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        let at = mounts.index(index);
        let (name, target) = (text(mount, "name"), text(mount, "mountPath"));
        required(errors, mount, &at, "name", "");
        if around.volume(name).is_none() {
            errors.push(FieldError::not_found(&at.field("name"), name));
        }
        required(errors, mount, &at, "mountPath", "");
        if seen.contains(&target) {
            errors.push(FieldError::invalid(&at.field("mountPath"), target, "must be unique"));
        }
        seen.push(target);
        if devices.iter().any(|device| text(device, "name") == name) {
            let why = "must not already exist in volumeDevices";
            errors.push(FieldError::invalid(&at.field("name"), name, why));
        }
        if devices.iter().any(|device| text(device, "devicePath") == target) {
            let why = "must not already exist as a path in volumeDevices";
            errors.push(FieldError::invalid(&at.field("mountPath"), target, why));
        }
        // What follows is told of the list, not of the mount.
        let (inside, expression) = (text(mount, "subPath"), text(mount, "subPathExpr"));
        relative(errors, &mounts.field("subPath"), inside);
        if !inside.is_empty() && !expression.is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            errors.push(FieldError::invalid(&at.field("subPathExpr"), expression, why));
        }
        relative(errors, &mounts.field("subPathExpr"), expression);
        let propagations = ["Bidirectional", "HostToContainer", "None"];
        one_of(errors, mount, &mounts, "mountPropagation", &propagations);
        if text(mount, "mountPropagation") == "Bidirectional" && !privileged {
            let why = "Bidirectional mount propagation is available only to privileged containers";
            errors.push(FieldError::forbidden(&mounts.field("mountPropagation"), why));
        }
        recursive(errors, mount, &mounts);
    }
}

fn recursive(errors: &mut Vec<FieldError>, mount: &Value, path: &Path) {
    one_of(errors, mount, path, "recursiveReadOnly", &["Disabled", "Enabled", "IfPossible"]);
    if !["Enabled", "IfPossible"].contains(&text(mount, "recursiveReadOnly")) {
        return;
    }
    let at = path.field("recursiveReadOnly");
    if mount["readOnly"] != true {
        errors.push(FieldError::forbidden(&at, "may only be specified when readOnly is true"));
    }
    if has(mount, "mountPropagation") && text(mount, "mountPropagation") != "None" {
        let why = "may only be specified when mountPropagation is None or not specified";
        errors.push(FieldError::forbidden(&at, why));
    }
}

/// Checks the volumes that a container has as devices.
pub(super) fn check_devices(
    errors: &mut Vec<FieldError>,
    container: &Value,
    path: &Path,
    around: &Around<'_>,
) {
    let devices = path.field("volumeDevices");
    let mounts = list(container, "volumeMounts");
    let (mut names, mut paths): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for (index, device) in list(container, "volumeDevices").iter().enumerate() {
        let at = devices.index(index);
        let (name_at, path_at) = (at.field("name"), at.field("devicePath"));
        let (name, place) = (text(device, "name"), text(device, "devicePath"));
        required(errors, device, &at, "name", "");
        if names.contains(&name) {
            errors.push(FieldError::invalid(&name_at, name, "must be unique"));
        }
        match around.volume(name) {
            None => errors.push(FieldError::not_found(&name_at, name)),
            Some(volume) if has(volume, "persistentVolumeClaim") || has(volume, "ephemeral") => {}
            Some(_) => {
                let why =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(FieldError::invalid(&name_at, name, why));
            }
        }
        required(errors, device, &at, "devicePath", "");
        if paths.contains(&place) {
            errors.push(FieldError::invalid(&path_at, place, "must be unique"));
        }
        let mut up = Vec::new();
        no_backsteps(&mut up, &path_at, place);
        if up.is_empty() {
            paths.push(place);
        } else {
            errors.push(FieldError::invalid(&path_at, place, "can not contain backsteps ('..')"));
        }
        if mounts.iter().any(|mount| text(mount, "name") == name) {
            let why = "must not already exist in volumeMounts";
            errors.push(FieldError::invalid(&name_at, name, why));
        }
        if mounts.iter().any(|mount| text(mount, "mountPath") == place) {
            let why = "must not already exist as a path in volumeMounts";
            errors.push(FieldError::invalid(&path_at, place, why));
        }
        if !name.is_empty() {
            names.push(name);
        }
    }
}
