//! The rules of the two levels, each from the minor version that brought it.

mod baseline;
mod restricted;

use serde_json::Value;

use super::{Level, NEWEST, Standard};
use baseline::{
    apparmor, capabilities, host_namespaces, host_paths, host_ports, host_process, privileged, probe_hosts,
    proc_mount, seccomp, selinux, sysctls,
};
use restricted::{
    capabilities_restricted, privilege_escalation, proc_mount_restricted, run_as_non_root, run_as_user,
    seccomp_restricted, volume_types,
};

/// What a rule found.
pub(super) struct Violation {
    /// In short.
    pub(super) reason: String,
    /// Where and what.
    pub(super) detail: String,
}

type Found = Option<Violation>;

struct Check {
    level: Level,
    /// The minor version that brought it.
    since: u32,
    /// Holds where the stricter rule of `restricted`, from its minor version on, does not.
    until_restricted: Option<u32>,
    run: fn(&Pod<'_>, u32) -> Found,
}

const fn baseline(run: fn(&Pod<'_>, u32) -> Found) -> Check {
    Check { level: Level::Baseline, since: 0, until_restricted: None, run }
}

const fn restricted(since: u32, run: fn(&Pod<'_>, u32) -> Found) -> Check {
    Check { level: Level::Restricted, since, until_restricted: None, run }
}

/// In the order in which they are told.
const CHECKS: [Check; 19] = [
    baseline(apparmor),
    Check { until_restricted: Some(22), ..baseline(capabilities) },
    baseline(host_namespaces),
    Check { until_restricted: Some(0), ..baseline(host_paths) },
    baseline(host_ports),
    Check { since: 34, ..baseline(probe_hosts) },
    baseline(privileged),
    Check { until_restricted: Some(35), ..baseline(proc_mount) },
    baseline(selinux),
    Check { until_restricted: Some(19), ..baseline(seccomp) },
    baseline(sysctls),
    baseline(host_process),
    restricted(8, privilege_escalation),
    restricted(22, capabilities_restricted),
    restricted(35, proc_mount_restricted),
    restricted(0, volume_types),
    restricted(0, run_as_non_root),
    restricted(23, run_as_user),
    restricted(19, seccomp_restricted),
];

/// What of a standard a pod breaks.
pub(super) fn run(standard: Standard, metadata: &Value, spec: &Value) -> Vec<Violation> {
    let minor = standard.minor.unwrap_or(NEWEST).min(NEWEST);
    let holds = |check: &&Check| {
        let replaced =
            standard.level == Level::Restricted && check.until_restricted.is_some_and(|from| minor >= from);
        check.level <= standard.level && check.since <= minor && !replaced
    };
    let pod = Pod { annotations: &metadata["annotations"], spec };
    CHECKS.iter().filter(holds).filter_map(|check| (check.run)(&pod, minor)).collect()
}

struct Pod<'a> {
    annotations: &'a Value,
    spec: &'a Value,
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl<'a> Pod<'a> {
    /// The name and the whole of each container of any kind.
    fn containers(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let spec = self.spec;
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        lists.into_iter().flat_map(|list| items(&spec[list])).map(|one| (text(&one["name"]), one))
    }

    /// The name and security context of each container.
    fn contexts(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.containers().map(|(name, container)| (name, &container["securityContext"]))
    }

    fn context(&self) -> &'a Value {
        &self.spec["securityContext"]
    }

    fn containers_where(&self, bad: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.contexts().filter(|(_, context)| bad(context)).map(|(name, _)| name).collect()
    }

    fn is_windows(&self) -> bool {
        self.spec["os"]["name"] == "windows"
    }

    /// Root in a user namespace of its own is nobody outside.
    fn has_own_users(&self, minor: u32) -> bool {
        minor >= 35 && self.spec["hostUsers"] == false
    }
}

fn violation(reason: &str, detail: String) -> Found {
    Some(Violation { reason: reason.to_owned(), detail })
}

fn quoted<S: AsRef<str>>(list: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<_> = list.into_iter().map(|one| format!("\"{}\"", one.as_ref())).collect();
    quoted.join(", ")
}

fn plural<'a>(one: &'a str, more: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { more }
}

/// `container "a"`, `containers "a", "b"`.
fn named(containers: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", containers.len()), quoted(containers))
}

/// `pod and container "a"`: who set something; `None` when nobody did.
fn setters(pod: bool, containers: &[&str]) -> Option<String> {
    match (pod, containers.is_empty()) {
        (false, true) => None,
        (true, true) => Some("pod".to_owned()),
        (false, false) => Some(named(containers)),
        (true, false) => Some(format!("pod and {}", named(containers))),
    }
}
