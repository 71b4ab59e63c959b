//! Security contexts.

use serde_json::Value;

use super::validate::{one_of, within};
use super::{has, list, text};
use crate::{FieldError, Path, names};

const MAX_ID: i64 = i32::MAX as i64;

pub(super) fn check_pod(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let context = &spec["securityContext"];
    let at = path.field("securityContext");
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        id(errors, context, &at, field);
    }
    let groups = at.field("supplementalGroups");
    for (index, group) in list(context, "supplementalGroups").iter().enumerate() {
        if let Some(group) = group.as_i64() {
            within(errors, &groups.index(index), group, 0, MAX_ID);
        }
    }
    one_of(errors, context, &at, "fsGroupChangePolicy", &["Always", "OnRootMismatch"]);
    one_of(errors, context, &at, "supplementalGroupsPolicy", &["Merge", "Strict"]);
    seccomp(errors, context, &at);
    let sysctls = at.field("sysctls");
    let mut seen: Vec<&str> = Vec::new();
    for (index, sysctl) in list(context, "sysctls").iter().enumerate() {
        let at = sysctls.index(index);
        let name = text(sysctl, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&at.field("name"), ""));
        } else if !names::is_sysctl_name(name) {
            errors.push(FieldError::invalid(&at.field("name"), name, SYSCTL));
        } else if seen.contains(&name) {
            errors.push(FieldError::duplicate(&at.field("name"), name));
        }
        seen.push(name);
    }
}

const SYSCTL: &str = r"must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

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
    let escalation = at.field("allowPrivilegeEscalation");
    if context["allowPrivilegeEscalation"] == false {
        if context["privileged"] == true {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(FieldError::invalid(&escalation, false, why));
        }
        if list(&context["capabilities"], "add").iter().any(|name| name == "CAP_SYS_ADMIN") {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(FieldError::invalid(&escalation, false, why));
        }
    }
}

fn id(errors: &mut Vec<FieldError>, context: &Value, path: &Path, field: &str) {
    if let Some(id) = context[field].as_i64() {
        within(errors, &path.field(field), id, 0, MAX_ID);
    }
}

fn seccomp(errors: &mut Vec<FieldError>, context: &Value, path: &Path) {
    if !has(context, "seccompProfile") {
        return;
    }
    let profile = &context["seccompProfile"];
    let at = path.field("seccompProfile");
    let localhost = text(profile, "localhostProfile");
    match text(profile, "type") {
        "" => errors
            .push(FieldError::required(&at.field("type"), "type is required when seccompProfile is set")),
        "Localhost" if localhost.is_empty() => {
            let why = "must be set when seccomp type is Localhost";
            errors.push(FieldError::required(&at.field("localhostProfile"), why));
        }
        "Localhost" => {
            if localhost.starts_with('/') || localhost.split('/').any(|part| part == "..") {
                let why = "must be a relative path without '..'";
                errors.push(FieldError::invalid(&at.field("localhostProfile"), localhost, why));
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if has(profile, "localhostProfile") {
                let why = "can only be set when seccomp type is Localhost";
                errors.push(FieldError::invalid(&at.field("localhostProfile"), localhost, why));
            }
        }
        other => {
            let allowed = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.push(FieldError::not_supported(&at.field("type"), other, &allowed));
        }
    }
}
