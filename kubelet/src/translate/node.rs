//! What the translation has to know of the node; gathered once by the shell, so that translating stays pure.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::dns::ResolvConf;
use crate::cgroups::CgroupDriver;

/// The facts of this node that shape a pod's configuration.
#[derive(Clone, Debug)]
pub struct Node {
    /// The node's name, in lower case.
    pub name: String,
    /// The addresses a pod sees as `status.hostIP` and a pod on the host's network as its own, primary first.
    pub ips: Vec<IpAddr>,
    /// The cluster's DNS servers; empty on a standalone host.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's DNS domain, `cluster.local` by default.
    pub cluster_domain: String,
    /// What the node's own resolver configuration says.
    pub resolv_conf: ResolvConf,
    /// Where the kubelet keeps its data, `/var/lib/kubelet` by default.
    pub root_dir: PathBuf,
    /// Where pod logs go, `/var/log/pods` by default.
    pub pod_logs_dir: PathBuf,
    /// Where links to the containers' logs go, `/var/log/containers` by default.
    pub container_logs_dir: PathBuf,
    /// The cgroup under which `kubepods` lies: `/` by default.
    pub cgroup_root: String,
    /// How cgroup parents are spelled for the runtime.
    pub cgroup_driver: CgroupDriver,
    /// CPU in thousandths of a core.
    pub cpu_millis: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// What is left for pods: the values of an unset limit in the downward API. CPU in thousandths of a core.
    pub allocatable_cpu_millis: i64,
    /// See [`Node::allocatable_cpu_millis`]; bytes.
    pub allocatable_memory_bytes: i64,
    /// The machine's huge page sizes as the CRI spells them, `2MB` and `1GB`.
    pub hugepage_sizes: Vec<String>,
    /// Whether the memory controller counts swap, so that a memory limit can also be one of memory and swap.
    pub swap_accounting: bool,
    /// Limits lie in the unified hierarchy.
    pub cgroup_v2: bool,
    /// Containers without a seccomp profile get the runtime's default one instead of none.
    pub seccomp_default: bool,
    /// The runtime can make a mount read-only with everything below it.
    pub recursive_read_only: bool,
    /// Patterns of sysctls that are allowed beyond the safe ones; `*` at the end matches the rest.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// `pids.max` of each pod; `None` leaves it alone.
    pub pod_pids_limit: Option<i64>,
}

impl Node {
    /// A pod's folder.
    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root_dir.join("pods").join(uid)
    }

    /// The file that pods see as `/etc/hosts`.
    pub fn etc_hosts(&self, uid: &str) -> PathBuf {
        self.pod_dir(uid).join("etc-hosts")
    }

    /// The folder of one volume; `plugin` is spelled `kubernetes.io~empty-dir`.
    pub fn volume_dir(&self, uid: &str, plugin: &str, volume: &str) -> PathBuf {
        self.pod_dir(uid).join("volumes").join(plugin).join(volume)
    }

    /// Where a container's mount of a path inside a volume is bound; `index` counts its volume mounts.
    pub fn subpath(&self, uid: &str, volume: &str, container: &str, index: usize) -> PathBuf {
        self.pod_dir(uid).join("volume-subpaths").join(volume).join(container).join(index.to_string())
    }

    /// The termination message's file of one run of a container.
    pub fn termination_log(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.pod_dir(uid).join("containers").join(container).join(format!("{attempt:08x}"))
    }

    /// The folder of a pod's logs: `NAMESPACE_NAME_UID`.
    pub fn log_dir(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.pod_logs_dir.join(format!("{namespace}_{name}_{uid}"))
    }

    /// The link to one container's log: `POD_NAMESPACE_CONTAINER-ID.log`, by which shippers of logs know whose it is.
    pub fn log_link(&self, namespace: &str, pod: &str, container: &str, id: &str) -> PathBuf {
        // A file's name has 255 bytes (ext4); all of these are ASCII.
        let longest = 255 - ".log".len();
        let name: String = format!("{pod}_{namespace}_{container}-{id}").chars().take(longest).collect();
        self.container_logs_dir.join(name + ".log")
    }

    /// Where `Localhost` seccomp profiles are looked up.
    pub fn seccomp_root(&self) -> PathBuf {
        Path::new(&self.root_dir).join("seccomp")
    }
}
