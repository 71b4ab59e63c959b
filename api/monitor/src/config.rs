//! What a monitor is told when it starts: one JSON document on its standard input.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The whole configuration of one pod's monitor.
///
/// The monitor makes what is marked new, pins it, binds [`socket`](Self::socket) and then writes one line to its
/// standard output: a JSON [`PodStatus`](crate::PodStatus), or a [`ReplyError`](crate::ReplyError) before it
/// ends with a code other than 0. After that line it never writes to its standard streams again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodConfig {
    /// [`crate::VERSION`] of the writer.
    pub version: u32,
    /// The sandbox's id (64 hexadecimal digits when the CRI daemon writes it).
    pub id: String,
    /// Where to listen. At most 107 bytes, since the kernel's `sun_path` ends there.
    pub socket: PathBuf,
    /// A folder on a tmpfs that the monitor owns: `pid`, `pause.pid`, and one file per exit, so that exits outlive it.
    pub state_dir: PathBuf,
    /// The OCI runtime for [`CreateRequest::runtime`](crate::CreateRequest::runtime) when it is `None`.
    pub runtime: PathBuf,
    /// `--root` of that runtime.
    pub runtime_root: PathBuf,
    /// Which namespaces the pod has of its own.
    pub namespaces: PodNamespaces,
    /// The pod's host name, set in a new uts namespace.
    pub hostname: Option<String>,
    /// `net.*` and `kernel.*` parameters, by their dotted name, written inside the new namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// The pod's `/dev/shm`, mounted when the ipc namespace is new.
    pub shared_memory: Option<SharedMemory>,
    /// cgroup directories (one per hierarchy) that the monitor itself moves to; outside of the pod's.
    pub monitor_cgroups: Vec<PathBuf>,
    /// cgroup directories (one per hierarchy) of the pause process.
    pub pause_cgroups: Vec<PathBuf>,
}

/// The namespaces of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodNamespaces {
    /// The network. A new one is bind-mounted on its pin, where CNI plugins find it.
    pub net: NamespaceSource,
    /// System V IPC, POSIX queues and `/dev/shm`.
    pub ipc: NamespaceSource,
    /// The host name.
    pub uts: NamespaceSource,
    /// `New` when the pod's containers share one PID namespace: its first process is the built-in pause.
    pub pid: NamespaceSource,
    /// The user namespace that owns the others: its mappings of users and of groups, when it is new.
    pub user: Option<(Vec<IdMapping>, Vec<IdMapping>)>,
}

/// Where one of a pod's namespaces comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceSource {
    /// The monitor stays in the host's.
    Host,
    /// The monitor makes one, and bind-mounts it at the path when one is given.
    New {
        /// An absolute path; the file is made by the monitor and removed by whoever removes the pod.
        pin: Option<PathBuf>,
    },
}

/// A tmpfs for the pod's `/dev/shm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedMemory {
    /// Where it is mounted; the folder exists.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A range of ids, as in user_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapping {
    /// The first id inside.
    pub container_id: u32,
    /// The first id outside.
    pub host_id: u32,
    /// How many.
    pub size: u32,
}
