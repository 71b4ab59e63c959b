//! PersistentVolumes.

pub(crate) mod disk;
mod source;

use serde_json::{Value, json};

use super::node_selector;
use super::resources::quantity;
use crate::check::{IMMUTABLE, entries, has, immutable, invalid_names, list, one_of, text, texts};
use crate::{FieldError, Path, fill, names};

pub(crate) use source::driver_name;

pub(super) const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub(super) const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];

pub(crate) fn defaults(volume: &mut Value) {
    fill::missing(volume, "status", json!({}));
    fill::part(volume, "status").for_each(|status| fill::text(status, "phase", "Pending"));
    for spec in fill::part(volume, "spec") {
        fill::text(spec, "persistentVolumeReclaimPolicy", "Retain");
        fill::missing(spec, "volumeMode", "Filesystem");
        source::defaults(spec);
    }
}

/// A new volume's phase began when it was made.
pub(crate) fn prepare(volume: &mut Value, old: Option<&Value>) {
    if old.is_none() {
        let now = volume["metadata"]["creationTimestamp"].clone();
        fill::part(volume, "status")
            .for_each(|status| fill::missing(status, "lastPhaseTransitionTime", now.clone()));
    }
}

pub(crate) fn create(volume: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    spec(&mut errors, &volume["spec"], &Path::ROOT.field("spec"), text(&volume["metadata"], "name"), false);
    errors
}

/// Checks what a volume is; one `inline` in an attachment is a migrated one and has less.
pub(crate) fn spec(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, name: &str, inline: bool) {
    const INLINE: &str = "may not be specified in the context of inline volumes";
    let capacity = path.field("capacity");
    if inline {
        if has(spec, "claimRef") {
            errors.push(FieldError::forbidden(&path.field("claimRef"), INLINE));
        }
        if entries(spec, "capacity").next().is_some() {
            errors.push(FieldError::forbidden(&capacity, INLINE));
        }
        if !has(spec, "csi") {
            let why = "has to be specified in the context of inline volumes";
            errors.push(FieldError::required(&path.field("csi"), why));
        }
    }
    if list(spec, "accessModes").is_empty() {
        errors.push(FieldError::required(&path.field("accessModes"), ""));
    }
    access_modes(errors, spec, path);
    if !inline {
        amounts(errors, spec, &capacity);
    }
    let policy = text(spec, "persistentVolumeReclaimPolicy");
    if inline && !["", "Retain"].contains(&policy) {
        let why = "may only be Retain in the context of inline volumes";
        errors.push(FieldError::forbidden(&path.field("persistentVolumeReclaimPolicy"), why));
    } else if !inline && !policy.is_empty() {
        one_of(errors, spec, path, "persistentVolumeReclaimPolicy", &["Delete", "Recycle", "Retain"]);
    }
    let affinity = path.field("nodeAffinity");
    if has(spec, "nodeAffinity") {
        let required = &spec["nodeAffinity"]["required"];
        if inline {
            errors.push(FieldError::forbidden(&affinity, INLINE));
        } else if required.is_null() {
            let why = "must specify required node constraints";
            errors.push(FieldError::required(&affinity.field("required"), why));
        } else {
            node_selector::check(errors, required, &affinity.field("required"));
        }
    }
    source::check(errors, spec, path, name);
    classes(errors, spec, path, inline);
}

pub(super) fn access_modes(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let at = path.field("accessModes");
    let (mut alone, mut shared) = (false, false);
    for (_, mode) in texts(spec, "accessModes") {
        match mode {
            "ReadWriteOncePod" => alone = true,
            mode if MODES.contains(&mode) => shared = true,
            mode => errors.push(FieldError::not_supported(&at, mode, &MODES)),
        }
    }
    if alone && shared {
        let why = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(&at, why));
    }
}

fn amounts(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let count = entries(spec, "capacity").count();
    if count == 0 {
        errors.push(FieldError::required(path, ""));
    }
    if count > 1 || spec["capacity"].get("storage").is_none() {
        errors.push(FieldError::not_supported(path, spec["capacity"].clone(), &["storage"]));
    }
    for (name, amount) in entries(spec, "capacity") {
        let amount = quantity(amount);
        let at = path.key(name);
        if amount.is_negative() {
            errors.push(FieldError::invalid(&at, amount.units(), "must be a valid resource quantity"));
        }
        if amount.is_negative() || amount.is_zero() {
            errors.push(FieldError::invalid(&at, amount.to_string(), "must be greater than zero"));
        }
    }
}

fn classes(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, inline: bool) {
    let (at, class) = (path.field("storageClassName"), text(spec, "storageClassName"));
    if !class.is_empty() {
        if inline {
            let why = "may not be specified in the context of inline volumes";
            errors.push(FieldError::forbidden(&at, why));
        } else {
            invalid_names(errors, &at, class, names::dns_subdomain);
        }
    }
    if !inline {
        one_of(errors, spec, path, "volumeMode", &VOLUME_MODES);
    } else if has(spec, "volumeMode") && spec["volumeMode"] != "Filesystem" {
        let why = "may not specify volumeMode other than Filesystem in the context of inline volumes";
        errors.push(FieldError::forbidden(&path.field("volumeMode"), why));
    }
    if has(spec, "volumeAttributesClassName") && !inline {
        let at = path.field("volumeAttributesClassName");
        match text(spec, "volumeAttributesClassName") {
            "" => errors.push(FieldError::required(&at, "an empty string is disallowed")),
            class => invalid_names(errors, &at, class, names::dns_subdomain),
        }
        if !has(spec, "csi") {
            let why = "has to be specified when using volumeAttributesClassName";
            errors.push(FieldError::required(&path.field("csi"), why));
        }
    }
}

pub(crate) fn update(volume: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = create(volume);
    let (new, old) = (&volume["spec"], &old["spec"]);
    let path = Path::ROOT.field("spec");
    // The secret for growing a volume may come later.
    let sources = |spec: &Value| -> Vec<Value> {
        let mut found: Vec<Value> = source::FIELDS.iter().map(|field| spec[*field].clone()).collect();
        let secret = "controllerExpandSecretRef";
        if old["csi"][secret].is_null() {
            found.iter_mut().for_each(|source| fill::remove(source, &[secret]));
        }
        found
    };
    if sources(new) != sources(old) {
        let at = path.field("persistentvolumesource");
        errors.push(FieldError::forbidden(&at, "spec.persistentvolumesource is immutable after creation"));
    }
    immutable(&mut errors, new, old, &Path::ROOT, "volumeMode");
    if has(old, "nodeAffinity") && !same_affinity(&new["nodeAffinity"], &old["nodeAffinity"]) {
        let why = format!("{IMMUTABLE}, except for updating from beta label to GA");
        let at = Path::ROOT.field("nodeAffinity");
        errors.push(FieldError::invalid(&at, new["nodeAffinity"].clone(), &why));
    }
    if has(old, "volumeAttributesClassName") && !has(new, "volumeAttributesClassName") {
        let why = "update from non-nil value to nil is forbidden";
        errors.push(FieldError::forbidden(&path.field("volumeAttributesClassName"), why));
    }
    errors
}

/// Labels of nodes that were renamed may be named by their new names.
fn same_affinity(new: &Value, old: &Value) -> bool {
    const RENAMED: [(&str, &str); 5] = [
        ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
        ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
        ("beta.kubernetes.io/os", "kubernetes.io/os"),
        ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
        ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ];
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            new.len() == old.len()
                && new.iter().all(|(field, value)| {
                    let Some(before) = old.get(field) else { return false };
                    let renamed = |pair: &(&str, &str)| before == pair.0 && value == pair.1;
                    field == "key" && RENAMED.iter().any(renamed) || same_affinity(value, before)
                })
        }
        (Value::Array(new), Value::Array(old)) => {
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| same_affinity(new, old))
        }
        (new, old) => new == old,
    }
}

#[cfg(test)]
mod tests;
