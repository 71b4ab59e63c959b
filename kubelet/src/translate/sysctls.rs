//! Sysctls of a pod: which are safe, and their spelling.

use std::collections::HashMap;

use api_k8s::v1::Pod;

use super::{Node, spec};

/// Those that belong to the pod's own namespaces and cannot starve others.
const SAFE: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_moderate_rcvbuf",
];

/// What belongs to the IPC namespace.
const IPC: [&str; 4] = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."];

/// The pod's sysctls, with dots.
pub(crate) fn of_pod(pod: &Pod) -> HashMap<String, String> {
    let context = spec(pod).security_context.as_ref();
    let sysctls = context.and_then(|context| context.sysctls.as_ref());
    sysctls.into_iter().flatten().map(|sysctl| (dotted(&sysctl.name), sysctl.value.clone())).collect()
}

/// Why a pod may not run here for one of its sysctls (`SysctlForbidden`), if so.
pub fn forbidden_sysctl(pod: &Pod, node: &Node) -> Option<String> {
    let spec = spec(pod);
    let mut names: Vec<_> = of_pod(pod).into_keys().collect();
    names.sort_unstable();
    names.into_iter().find_map(|name| {
        let ipc = IPC.iter().any(|prefix| name.starts_with(prefix));
        let net = name.starts_with("net.");
        if ipc && spec.host_ipc == Some(true) {
            return Some(format!("forbidden sysctl: {name:?} not allowed with host ipc enabled"));
        }
        if net && spec.host_network == Some(true) {
            return Some(format!("forbidden sysctl: {name:?} not allowed with host net enabled"));
        }
        let allowed = SAFE.contains(&name.as_str())
            || (ipc || net) && node.allowed_unsafe_sysctls.iter().any(|pattern| matches(pattern, &name));
        (!allowed).then(|| format!("forbidden sysctl: {name:?} not allowlisted"))
    })
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// In the spelling with slashes, dots belong to a name: `net/ipv4/conf/eth0.1/x`.
fn dotted(name: &str) -> String {
    let first = name.find(['.', '/']).map(|at| name.as_bytes()[at]);
    if first != Some(b'/') {
        return name.to_owned();
    }
    name.chars()
        .map(|c| match c {
            '/' => '.',
            '.' => '/',
            other => other,
        })
        .collect()
}
