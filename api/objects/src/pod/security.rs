//! Security contexts.

use serde_json::Value;

use super::windows;
use crate::check::{has, list, one_of, relative, text, within};
use crate::{FieldError, Path, names};

const MAX_ID: i64 = i32::MAX as i64;

/// Checks the security context of a pod.
pub(super) fn check_pod(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let context = &spec["securityContext"];
    let at = path.field("securityContext");
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(errors, context, &at, field);
    }
    let groups = at.field("supplementalGroups");
    for (index, group) in list(context, "supplementalGroups").iter().enumerate() {
        within(errors, &groups.index(index), group.as_i64().unwrap_or(0), 0, MAX_ID);
    }
    if spec["shareProcessNamespace"] == true && spec["hostPID"] == true {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(&at.field("shareProcessNamespace"), true, why));
    }
    sysctls(errors, spec, &at.field("sysctls"));
    one_of(errors, context, &at, "fsGroupChangePolicy", &["Always", "OnRootMismatch"]);
    seccomp(errors, context, &at);
    windows::options(errors, context, &at);
    apparmor(errors, context, &at);
    one_of(errors, context, &at, "supplementalGroupsPolicy", &["Merge", "Strict"]);
    one_of(errors, context, &at, "seLinuxChangePolicy", &["MountOption", "Recursive"]);
}

fn sysctls(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, sysctl) in list(&spec["securityContext"], "sysctls").iter().enumerate() {
        let at = path.index(index);
        let at = at.field("name");
        let name = text(sysctl, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !names::is_sysctl_name(name) {
            errors.push(FieldError::invalid(&at, name, SYSCTL));
        } else if seen.contains(&name) {
            errors.push(FieldError::duplicate(&at, name));
        }
        seen.push(name);
        for (shared, is_of) in [("hostNetwork", is_net as fn(&str) -> bool), ("hostIPC", is_ipc)] {
            if spec[shared] == true && is_of(&name.replace('/', ".")) {
                let why = format!("may not be specified when '{shared}' is true");
                errors.push(FieldError::invalid(&at, name, &why));
                break;
            }
        }
    }
}

/// A sysctl of the network namespace, written with dots.
fn is_net(name: &str) -> bool {
    name.starts_with("net.")
}

/// A sysctl of the IPC namespace, written with dots.
fn is_ipc(name: &str) -> bool {
    let of_kernel = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| name.starts_with(prefix));
    of_kernel || name == "kernel.sem"
}

const SYSCTL: &str = r"must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// Checks the security context of a container.
pub(super) fn check_container(
    errors: &mut Vec<FieldError>,
    container: &Value,
    path: &Path,
    host_users: bool,
) {
    if !has(container, "securityContext") {
        return;
    }
    let context = &container["securityContext"];
    let at = path.field("securityContext");
    for field in ["runAsUser", "runAsGroup"] {
        id(errors, context, &at, field);
    }
    one_of(errors, context, &at, "procMount", &["Default", "Unmasked"]);
    if host_users && text(context, "procMount") == "Unmasked" {
        let why = "`hostUsers` must be false to use `Unmasked`";
        errors.push(FieldError::invalid(&at.field("procMount"), "Unmasked", why));
    }
    seccomp(errors, context, &at);
    if context["allowPrivilegeEscalation"] == false {
        if context["privileged"] == true {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(&at, context.clone(), why));
        }
        if list(&context["capabilities"], "add").iter().any(|name| name == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(&at, context.clone(), why));
        }
    }
    windows::options(errors, context, &at);
    apparmor(errors, context, &at);
}

fn id(errors: &mut Vec<FieldError>, context: &Value, path: &Path, field: &str) {
    if let Some(id) = context[field].as_i64() {
        within(errors, &path.field(field), id, 0, MAX_ID);
    }
}

/// The kinds of profiles of seccomp and AppArmor.
const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

fn seccomp(errors: &mut Vec<FieldError>, context: &Value, path: &Path) {
    if !has(context, "seccompProfile") {
        return;
    }
    let profile = &context["seccompProfile"];
    let at = path.field("seccompProfile");
    let file_at = at.field("localhostProfile");
    match text(profile, "type") {
        "" => errors
            .push(FieldError::required(&at.field("type"), "type is required when seccompProfile is set")),
        kind if PROFILES.contains(&kind) => {}
        other => errors.push(FieldError::not_supported(&at.field("type"), other, &PROFILES)),
    }
    match (text(profile, "type"), profile["localhostProfile"].as_str()) {
        ("Localhost", None) => {
            errors.push(FieldError::required(&file_at, "must be set when seccomp type is Localhost"));
        }
        ("Localhost", Some(file)) => relative(errors, &file_at, file),
        (_, Some(_)) => {
            let why = "can only be set when seccomp type is Localhost";
            errors.push(FieldError::invalid(&file_at, profile.clone(), why));
        }
        (_, None) => {}
    }
}

/// A path less the zero behind it.
const MAX_APPARMOR: usize = 4095;

fn apparmor(errors: &mut Vec<FieldError>, context: &Value, path: &Path) {
    if !has(context, "appArmorProfile") {
        return;
    }
    let profile = &context["appArmorProfile"];
    let at = path.field("appArmorProfile");
    let name_at = at.field("localhostProfile");
    let missing = "must be set when AppArmor type is Localhost";
    match (text(profile, "type"), profile["localhostProfile"].as_str()) {
        ("Localhost", None) => errors.push(FieldError::required(&name_at, missing)),
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                errors.push(FieldError::invalid(&name_at, name, "must not be padded with whitespace"));
            } else if name.is_empty() {
                errors.push(FieldError::required(&name_at, missing));
            }
            if name.len() > MAX_APPARMOR {
                errors.push(FieldError::too_long(&name_at, MAX_APPARMOR));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            let why = "can only be set when AppArmor type is Localhost";
            errors.push(FieldError::invalid(&name_at, name, why));
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => {
            let why = "type is required when appArmorProfile is set";
            errors.push(FieldError::required(&at.field("type"), why));
        }
        (other, _) => errors.push(FieldError::not_supported(&at.field("type"), other, &PROFILES)),
    }
}
