//! What the machine is: gathered once at the start, so that translating pods stays pure.

use std::fs;

use api_cri::v1::{CgroupDriver as CriDriver, RuntimeConfigRequest, StatusRequest};

use crate::cgroups::CgroupDriver;
use crate::config::Config;
use crate::cri::Client;
use crate::translate::{Node, ResolvConf};

/// The facts of this node; asks the runtime for its cgroup driver and its features.
pub(crate) async fn gather(config: &Config, client: &Client) -> Node {
    let memory = meminfo("MemTotal:");
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cpu_millis = i64::try_from(cpus).unwrap_or(1) * 1000;
    let resolv_conf = fs::read_to_string(&config.resolv_conf).unwrap_or_else(|error| {
        tracing::warn!(path = %config.resolv_conf.display(), %error, "pods get no DNS servers of the node");
        String::new()
    });
    let ips = if config.node_ips.is_empty() { daemon::own_addresses() } else { config.node_ips.clone() };
    Node {
        name: config.node_name.to_lowercase(),
        ips,
        cluster_dns: config.cluster_dns.clone(),
        cluster_domain: config.cluster_domain.clone(),
        resolv_conf: ResolvConf::parse(&resolv_conf),
        root_dir: config.root_dir.clone(),
        pod_logs_dir: config.pod_logs_dir.clone(),
        container_logs_dir: config.container_logs_dir.clone(),
        cgroup_root: config.cgroup_root.clone(),
        cgroup_driver: cgroup_driver(client).await,
        cgroup_v2: std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
        cpu_millis,
        memory_bytes: memory,
        allocatable_cpu_millis: cpu_millis,
        allocatable_memory_bytes: memory,
        hugepage_sizes: hugepage_sizes(),
        swap_accounting: swap_accounting(),
        seccomp_default: config.seccomp_default,
        recursive_read_only: recursive_read_only(client).await,
        allowed_unsafe_sysctls: config.allowed_unsafe_sysctls.clone(),
        pod_pids_limit: config.pod_pids_limit,
    }
}

/// What the runtime says. One that cannot be asked (before CRI 1.28) gets what most are configured for.
async fn cgroup_driver(client: &Client) -> CgroupDriver {
    let answer = client.runtime.clone().runtime_config(RuntimeConfigRequest {}).await;
    match answer.ok().and_then(|answer| answer.into_inner().linux) {
        Some(linux) if linux.cgroup_driver() == CriDriver::Systemd => CgroupDriver::Systemd,
        _ => CgroupDriver::Cgroupfs,
    }
}

async fn recursive_read_only(client: &Client) -> bool {
    let answer = client.runtime.clone().status(StatusRequest { verbose: false }).await;
    let handlers = answer.map(|answer| answer.into_inner().runtime_handlers).unwrap_or_default();
    let default = handlers.into_iter().find(|handler| handler.name.is_empty());
    default.and_then(|handler| handler.features).is_some_and(|features| features.recursive_read_only_mounts)
}

/// A line of /proc/meminfo, in bytes (proc_meminfo(5)).
fn meminfo(key: &str) -> i64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kib: i64 =
        line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or_default();
    kib * 1024
}

/// The sizes of /sys/kernel/mm/hugepages as the CRI spells them.
fn hugepage_sizes() -> Vec<String> {
    let entries = fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let mut sizes: Vec<u64> = entries
        .filter_map(|entry| {
            entry.file_name().to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()
        })
        .collect();
    sizes.sort_unstable();
    sizes.into_iter().map(|kib| size(kib << 10)).collect()
}

fn size(bytes: u64) -> String {
    let units = [(30, "GB"), (20, "MB"), (10, "KB")];
    let unit = units.iter().find(|(shift, _)| bytes >> shift > 0 && bytes.is_multiple_of(1 << shift));
    unit.map_or(format!("{bytes}B"), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// On cgroup v1 the file is missing when the kernel does not account swap; v2 always has its own file.
fn swap_accounting() -> bool {
    let v1 = std::path::Path::new("/sys/fs/cgroup/memory");
    !v1.exists() || v1.join("memory.memsw.limit_in_bytes").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_spelled_as_the_cri_does() {
        assert_eq!(size(2 << 20), "2MB");
        assert_eq!(size(1 << 30), "1GB");
        assert_eq!(size(64 << 10), "64KB");
    }
}
