//! Annotations that mean something for a pod.

use serde_json::Value;

use crate::check::{entries, has, invalid_names, relative, text};
use crate::{FieldError, Path, names};

/// On the copy of a pod that a node runs without being asked by the API.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub(super) const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The bytes that all annotations may have together.
const MAX_BYTES: usize = 256 << 10;

/// Checks the form of annotations. The metadata of whole objects is checked elsewhere.
pub(super) fn form(errors: &mut Vec<FieldError>, meta: &Value, path: &Path) {
    let mut total = 0;
    for (key, value) in entries(meta, "annotations") {
        invalid_names(errors, path, key, |key| names::qualified_name(&key.to_lowercase()));
        total += key.len() + value.as_str().unwrap_or_default().len();
    }
    if total > MAX_BYTES {
        errors.push(FieldError::too_long(path, MAX_BYTES));
    }
}

/// Checks the annotations of a Pod or a template.
pub(super) fn check(errors: &mut Vec<FieldError>, meta: &Value, spec: &Value, path: &Path) {
    let annotations = &meta["annotations"];
    if let Some(value) = annotations[MIRROR].as_str()
        && text(spec, "nodeName").is_empty()
    {
        let why = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(FieldError::invalid(&path.key(MIRROR), value, why));
    }
    if let Some(value) = annotations[DELETION_COST].as_str()
        && !is_cost(value)
    {
        errors.push(FieldError::invalid(&path.key(DELETION_COST), value, "must be a 32bit integer"));
    }
    if let Some(value) = annotations[SECCOMP_POD].as_str() {
        seccomp(errors, value, &path.field(SECCOMP_POD));
    }
    for (key, value) in entries(meta, "annotations") {
        let value = value.as_str().unwrap_or_default();
        if key.starts_with(SECCOMP_CONTAINER) {
            seccomp(errors, value, &path.field(key));
        }
    }
    for (key, value) in entries(meta, "annotations") {
        let Some(container) = key.strip_prefix(APPARMOR) else { continue };
        let value = value.as_str().unwrap_or_default();
        let mut found = false;
        super::each_container(spec, &Path::ROOT, |c, _| found |= text(c, "name") == container);
        if !found {
            errors.push(FieldError::invalid(&path.key(key), container, "container not found"));
        }
        if !["", "runtime/default", "unconfined"].contains(&value) && !value.starts_with("localhost/") {
            let why = format!("invalid AppArmor profile name: {value:?}");
            errors.push(FieldError::invalid(&path.key(key), value, &why));
        }
    }
}

/// A number as the API reads it here: no plus before it and no zeros in front.
fn is_cost(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let odd = value.starts_with('+') || (digits.starts_with('0') && value != "0");
    !odd && value.parse::<i32>().is_ok()
}

fn seccomp(errors: &mut Vec<FieldError>, value: &str, path: &Path) {
    if ["runtime/default", "docker/default", "unconfined"].contains(&value) {
        return;
    }
    match value.strip_prefix("localhost/") {
        Some(profile) => relative(errors, path, profile),
        None => errors.push(FieldError::invalid(path, value, "must be a valid seccomp profile")),
    }
}

/// Where both an annotation and a field tell a profile, they tell the same one.
pub(super) fn agree(errors: &mut Vec<FieldError>, meta: &Value, spec: &Value, path: &Path) {
    let annotations = &meta["annotations"];
    let context = path.field("securityContext");
    let pod_profile = &spec["securityContext"]["seccompProfile"];
    same(errors, "seccomp", &annotations[SECCOMP_POD], pod_profile, &context.field("seccompProfile"));
    super::each_container(spec, path, |container, at| {
        let key = format!("{SECCOMP_CONTAINER}{}", text(container, "name"));
        let context = at.field("securityContext");
        let profile = &container["securityContext"]["seccompProfile"];
        same(errors, "seccomp", &annotations[&key], profile, &context.field("seccompProfile"));
    });
    if spec["os"]["name"] == "windows" {
        return;
    }
    super::each_container(spec, path, |container, at| {
        let key = format!("{APPARMOR}{}", text(container, "name"));
        let context = at.field("securityContext");
        let own = &container["securityContext"];
        let from = if has(own, "appArmorProfile") { own } else { &spec["securityContext"] };
        same(
            errors,
            "apparmor",
            &annotations[&key],
            &from["appArmorProfile"],
            &context.field("appArmorProfile"),
        );
    });
}

fn same(errors: &mut Vec<FieldError>, what: &str, annotation: &Value, profile: &Value, path: &Path) {
    let (Some(annotation), Some(kind)) = (annotation.as_str(), profile["type"].as_str()) else { return };
    let type_differs = match kind {
        "Unconfined" => annotation != "unconfined",
        "RuntimeDefault" => {
            annotation != "runtime/default" && !(what == "seccomp" && annotation == "docker/default")
        }
        "Localhost" => !annotation.starts_with("localhost/"),
        _ => false,
    };
    if type_differs {
        let why = format!("{what} type in annotation and field must match");
        errors.push(FieldError::forbidden(&path.field("type"), &why));
    } else if kind == "Localhost"
        && annotation.strip_prefix("localhost/") != profile["localhostProfile"].as_str()
    {
        let why = format!("{what} profile in annotation and field must match");
        errors.push(FieldError::forbidden(&path.field("localhostProfile"), &why));
    }
}

/// Refuses changes of the annotations that only whoever makes a pod may set.
pub(super) fn update(errors: &mut Vec<FieldError>, new: &Value, old: &Value, path: &Path) {
    let (new, old) = (&new["metadata"], &old["metadata"]);
    let what = |key: &str| match key {
        MIRROR => Some("mirror pod annotation"),
        key if key.starts_with(APPARMOR) => Some("AppArmor annotations"),
        _ => None,
    };
    for (key, value) in entries(old, "annotations") {
        if let Some(what) = what(key).filter(|_| new["annotations"].get(key) != Some(value)) {
            errors.push(FieldError::forbidden(&path.key(key), &format!("may not remove or update {what}")));
        }
    }
    for (key, _) in entries(new, "annotations") {
        if let Some(what) = what(key).filter(|_| old["annotations"].get(key).is_none()) {
            errors.push(FieldError::forbidden(&path.key(key), &format!("may not add {what}")));
        }
    }
}
