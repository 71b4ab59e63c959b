//! What leads out of a container: forbidden by baseline, and by restricted.

use std::collections::BTreeSet;

use serde_json::Value;

use super::restricted::proc_mount_restricted;
use super::{Found, Pod, items, named, plural, quoted, setters, text, violation};
use crate::apiserver::auth::quote;

pub(super) fn apparmor(pod: &Pod<'_>, _: u32) -> Found {
    let mut values = BTreeSet::new();
    let mut bad = |context: &Value| {
        let profile = &context["appArmorProfile"];
        let kind = text(&profile["type"]);
        let bad = profile.is_object() && !matches!(kind, "RuntimeDefault" | "Localhost");
        if bad {
            values.insert(kind.to_owned());
        }
        bad
    };
    let of_pod = bad(pod.context());
    let of_containers: Vec<_> =
        pod.contexts().filter(|(_, context)| bad(context)).map(|(name, _)| name).collect();
    let annotations: BTreeSet<_> = pod
        .annotations
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| {
            let value = text(value);
            let fine = value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
            key.starts_with("container.apparmor.security.beta.kubernetes.io/") && !fine
        })
        .map(|(key, value)| format!("{key}={}", quote::quoted(text(value))))
        .collect();
    let mut who: Vec<String> = setters(of_pod, &of_containers).into_iter().collect();
    if !annotations.is_empty() {
        who.push(plural("annotation", "annotations", annotations.len()).to_owned());
    }
    if who.is_empty() {
        return None;
    }
    let values: Vec<_> = values.into_iter().chain(annotations).collect();
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values.len());
    violation(
        reason,
        format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(values)),
    )
}

const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The containers that add others than these capabilities, and what they add.
pub(super) fn adding<'a>(pod: &Pod<'a>, allowed: &[&str]) -> (Vec<&'a str>, BTreeSet<&'a str>) {
    let mut added = BTreeSet::new();
    let mut containers = Vec::new();
    for (name, context) in pod.contexts() {
        let others: Vec<_> =
            items(&context["capabilities"]["add"]).map(text).filter(|one| !allowed.contains(one)).collect();
        if !others.is_empty() {
            containers.push(name);
            added.extend(others);
        }
    }
    (containers, added)
}

pub(super) fn capabilities(pod: &Pod<'_>, _: u32) -> Found {
    let (containers, added) = adding(pod, &CAPABILITIES);
    if containers.is_empty() {
        return None;
    }
    let detail = format!(
        "{} must not include {} in securityContext.capabilities.add",
        named(&containers),
        quoted(added)
    );
    violation("non-default capabilities", detail)
}

pub(super) fn host_namespaces(pod: &Pod<'_>, _: u32) -> Found {
    let set = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| pod.spec[*field] == true);
    let set: Vec<_> = set.map(|field| format!("{field}=true")).collect();
    if set.is_empty() { None } else { violation("host namespaces", set.join(", ")) }
}

pub(super) fn host_paths(pod: &Pod<'_>, _: u32) -> Found {
    let volumes = items(&pod.spec["volumes"]).filter(|volume| !volume["hostPath"].is_null());
    let volumes: Vec<_> = volumes.map(|volume| text(&volume["name"])).collect();
    if volumes.is_empty() {
        return None;
    }
    violation(
        "hostPath volumes",
        format!("{} {}", plural("volume", "volumes", volumes.len()), quoted(&volumes)),
    )
}

pub(super) fn host_ports(pod: &Pod<'_>, _: u32) -> Found {
    let mut ports = BTreeSet::new();
    let mut containers = Vec::new();
    for (name, container) in pod.containers() {
        let used =
            items(&container["ports"]).filter_map(|port| port["hostPort"].as_i64()).filter(|port| *port != 0);
        let used: Vec<_> = used.map(|port| port.to_string()).collect();
        if !used.is_empty() {
            containers.push(name);
            ports.extend(used);
        }
    }
    if containers.is_empty() {
        return None;
    }
    let (uses, noun) =
        (plural("uses", "use", containers.len()), plural("hostPort", "hostPorts", ports.len()));
    let ports: Vec<_> = ports.into_iter().collect();
    violation("hostPort", format!("{} {uses} {noun} {}", named(&containers), ports.join(", ")))
}

pub(super) fn probe_hosts(pod: &Pod<'_>, _: u32) -> Found {
    let (mut containers, mut hosts) = (BTreeSet::new(), BTreeSet::new());
    for (name, container) in pod.containers() {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| &container[probe]);
        let hooks = ["postStart", "preStop"].map(|hook| &container["lifecycle"][hook]);
        for handler in probes.into_iter().chain(hooks) {
            let set = ["httpGet", "tcpSocket"].map(|kind| text(&handler[kind]["host"]));
            for host in set.into_iter().filter(|host| !host.is_empty()) {
                containers.insert(name);
                hosts.insert(host);
            }
        }
    }
    if containers.is_empty() {
        return None;
    }
    let containers: Vec<_> = containers.into_iter().collect();
    let uses = plural("uses", "use", containers.len());
    let noun = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len());
    violation("probe or lifecycle host", format!("{} {uses} {noun} {}", named(&containers), quoted(hosts)))
}

pub(super) fn privileged(pod: &Pod<'_>, _: u32) -> Found {
    let containers = pod.containers_where(|context| context["privileged"] == true);
    if containers.is_empty() {
        return None;
    }
    violation("privileged", format!("{} must not set securityContext.privileged=true", named(&containers)))
}

pub(super) fn proc_mount(pod: &Pod<'_>, minor: u32) -> Found {
    if pod.has_own_users(minor) { None } else { proc_mount_restricted(pod, minor) }
}

pub(super) fn selinux(pod: &Pod<'_>, minor: u32) -> Found {
    let (mut types, mut user, mut role) = (BTreeSet::new(), false, false);
    let mut bad = |context: &Value| {
        let options = &context["seLinuxOptions"];
        let [kind, own_user, own_role] = ["type", "user", "role"].map(|key| text(&options[key]));
        let fine = matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || minor >= 31 && kind == "container_engine_t";
        if !fine {
            types.insert(kind.to_owned());
        }
        user |= !own_user.is_empty();
        role |= !own_role.is_empty();
        !fine || !own_user.is_empty() || !own_role.is_empty()
    };
    let of_pod = bad(pod.context());
    let of_containers: Vec<_> =
        pod.contexts().filter(|(_, context)| bad(context)).map(|(name, _)| name).collect();
    let who = setters(of_pod, &of_containers)?;
    let mut what = Vec::new();
    if !types.is_empty() {
        what.push(format!("{} {}", plural("type", "types", types.len()), quoted(&types)));
    }
    if user {
        what.push("user may not be set".to_owned());
    }
    if role {
        what.push("role may not be set".to_owned());
    }
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; "));
    violation("seLinuxOptions", detail)
}

/// The type of a context's seccomp profile, when it has one.
pub(super) fn seccomp_type(context: &Value) -> Option<&str> {
    context["seccompProfile"].as_object().map(|profile| profile.get("type").map(text).unwrap_or_default())
}

pub(super) fn is_confined(kind: &str) -> bool {
    matches!(kind, "RuntimeDefault" | "Localhost")
}

/// Profiles that are set and confine nothing.
pub(super) fn unconfined(pod: &Pod<'_>) -> Found {
    let bad = |context: &Value| seccomp_type(context).is_some_and(|kind| !is_confined(kind));
    let containers = pod.containers_where(bad);
    let who = setters(bad(pod.context()), &containers)?;
    let all = std::iter::once(pod.context()).chain(pod.contexts().map(|(_, context)| context));
    let kinds: BTreeSet<_> = all.filter_map(seccomp_type).filter(|kind| !is_confined(kind)).collect();
    violation(
        "seccompProfile",
        format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(kinds)),
    )
}

pub(super) fn seccomp(pod: &Pod<'_>, minor: u32) -> Found {
    if minor >= 19 {
        return unconfined(pod);
    }
    // Before there was a field, annotations said it.
    let of_pod = "seccomp.security.alpha.kubernetes.io/pod".to_owned();
    let of_containers =
        pod.containers().map(|(name, _)| format!("container.seccomp.security.alpha.kubernetes.io/{name}"));
    let mut found = BTreeSet::new();
    for key in std::iter::once(of_pod).chain(of_containers) {
        if let Some(value) = pod.annotations[&key].as_str()
            && !(matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/"))
        {
            found.insert(format!("{key}={}", quote::quoted(value)));
        }
    }
    if found.is_empty() {
        return None;
    }
    let noun = plural("annotation", "annotations", found.len());
    let found: Vec<_> = found.into_iter().collect();
    violation("seccompProfile", format!("forbidden {noun} {}", found.join(", ")))
}

pub(super) fn sysctls(pod: &Pod<'_>, minor: u32) -> Found {
    let since = |name: &str| match name {
        "kernel.shm_rmid_forced"
        | "net.ipv4.ip_local_port_range"
        | "net.ipv4.tcp_syncookies"
        | "net.ipv4.ping_group_range"
        | "net.ipv4.ip_unprivileged_port_start" => Some(0),
        "net.ipv4.ip_local_reserved_ports" => Some(27),
        "net.ipv4.tcp_keepalive_time"
        | "net.ipv4.tcp_fin_timeout"
        | "net.ipv4.tcp_keepalive_intvl"
        | "net.ipv4.tcp_keepalive_probes" => Some(29),
        "net.ipv4.tcp_rmem" | "net.ipv4.tcp_wmem" => Some(32),
        _ => None,
    };
    let names = items(&pod.context()["sysctls"]).map(|sysctl| text(&sysctl["name"]));
    let forbidden: Vec<_> = names.filter(|name| since(name).is_none_or(|since| minor < since)).collect();
    if forbidden.is_empty() { None } else { violation("forbidden sysctls", forbidden.join(", ")) }
}

pub(super) fn host_process(pod: &Pod<'_>, _: u32) -> Found {
    let bad = |context: &Value| context["windowsOptions"]["hostProcess"] == true;
    let who = setters(bad(pod.context()), &pod.containers_where(bad))?;
    violation("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}
