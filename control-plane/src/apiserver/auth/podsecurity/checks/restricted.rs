//! What a plain program does not need: forbidden by restricted alone.

use std::collections::BTreeSet;

use serde_json::Value;

use super::baseline::{adding, is_confined, seccomp_type, unconfined};
use super::{Found, Pod, items, named, plural, quoted, setters, text, violation};

pub(super) fn capabilities_restricted(pod: &Pod<'_>, minor: u32) -> Found {
    if minor >= 25 && pod.is_windows() {
        return None;
    }
    let drops_all = |context: &Value| items(&context["capabilities"]["drop"]).any(|one| one == "ALL");
    let keeping = pod.containers_where(|context| !drops_all(context));
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named(&keeping)));
    }
    let (containers, added) = adding(pod, &["NET_BIND_SERVICE"]);
    if !containers.is_empty() {
        let (who, what) = (named(&containers), quoted(added));
        details.push(format!("{who} must not include {what} in securityContext.capabilities.add"));
    }
    if details.is_empty() { None } else { violation("unrestricted capabilities", details.join("; ")) }
}

pub(super) fn proc_mount_restricted(pod: &Pod<'_>, _: u32) -> Found {
    let kind = |context: &Value| {
        context["procMount"].as_str().filter(|kind| *kind != "Default").map(ToOwned::to_owned)
    };
    let containers = pod.containers_where(|context| kind(context).is_some());
    if containers.is_empty() {
        return None;
    }
    let kinds: BTreeSet<_> = pod.contexts().filter_map(|(_, context)| kind(context)).collect();
    let detail =
        format!("{} must not set securityContext.procMount to {}", named(&containers), quoted(kinds));
    violation("procMount", detail)
}

pub(super) fn seccomp_restricted(pod: &Pod<'_>, minor: u32) -> Found {
    if minor >= 25 && pod.is_windows() {
        return None;
    }
    if let Some(found) = unconfined(pod) {
        return Some(found);
    }
    let of_pod = seccomp_type(pod.context()).is_some_and(is_confined);
    let without = pod.containers_where(|context| !of_pod && seccomp_type(context).is_none());
    if without.is_empty() {
        return None;
    }
    let must = "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
    violation("seccompProfile", format!("pod or {} {must}", named(&without)))
}

pub(super) fn privilege_escalation(pod: &Pod<'_>, minor: u32) -> Found {
    if minor >= 25 && pod.is_windows() {
        return None;
    }
    let containers = pod.containers_where(|context| context["allowPrivilegeEscalation"] != false);
    if containers.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", named(&containers));
    violation("allowPrivilegeEscalation != false", detail)
}

/// The volumes that anybody may use.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(super) fn volume_types(pod: &Pod<'_>, _: u32) -> Found {
    let (mut volumes, mut types) = (Vec::new(), BTreeSet::new());
    for volume in items(&pod.spec["volumes"]) {
        let set = volume
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, value)| *key != "name" && !value.is_null());
        let set: Vec<_> = set.map(|(key, _)| &key[..]).collect();
        if !set.iter().any(|kind| VOLUMES.contains(kind)) {
            volumes.push(text(&volume["name"]));
            types.insert(set.first().copied().unwrap_or("unknown"));
        }
    }
    if volumes.is_empty() {
        return None;
    }
    let (noun, uses) = (plural("volume", "volumes", volumes.len()), plural("uses", "use", volumes.len()));
    let kinds = plural("restricted volume type", "restricted volume types", types.len());
    violation(
        "restricted volume types",
        format!("{noun} {} {uses} {kinds} {}", quoted(volumes), quoted(types)),
    )
}

pub(super) fn run_as_non_root(pod: &Pod<'_>, minor: u32) -> Found {
    if pod.has_own_users(minor) {
        return None;
    }
    let reason = "runAsNonRoot != true";
    let of_pod = pod.context()["runAsNonRoot"].as_bool();
    let as_root = pod.containers_where(|context| context["runAsNonRoot"] == false);
    if let Some(who) = setters(of_pod == Some(false), &as_root) {
        return violation(reason, format!("{who} must not set securityContext.runAsNonRoot=false"));
    }
    let without = pod.containers_where(|context| of_pod != Some(true) && context["runAsNonRoot"].is_null());
    if without.is_empty() {
        return None;
    }
    violation(reason, format!("pod or {} must set securityContext.runAsNonRoot=true", named(&without)))
}

pub(super) fn run_as_user(pod: &Pod<'_>, minor: u32) -> Found {
    if pod.has_own_users(minor) {
        return None;
    }
    let bad = |context: &Value| context["runAsUser"] == 0;
    let who = setters(bad(pod.context()), &pod.containers_where(bad))?;
    violation("runAsUser=0", format!("{who} must not set runAsUser=0"))
}
