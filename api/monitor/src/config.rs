//! What a monitor is told when it starts: one JSON document on its standard input.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

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
    /// A folder on a tmpfs that the monitor owns and that exists: `pid` ([`pid_file`]), `pause.pid`, one file per exit
    /// ([`exit_record`]), so that exits outlive it, and the pin of a new user namespace ([`user_pin`]). At most 80
    /// bytes, since sockets are made in it.
    pub state_dir: PathBuf,
    /// The OCI runtime for [`CreateRequest::runtime`](crate::CreateRequest::runtime) when it is `None`.
    pub runtime: PathBuf,
    /// `--root` of that runtime.
    pub runtime_root: PathBuf,
    /// Which namespaces the pod has of its own.
    pub namespaces: PodNamespaces,
    /// The pod's host name, set in a new uts namespace; `None` with the host's.
    pub hostname: Option<String>,
    /// `net.*`, `kernel.*` and `fs.mqueue.*` parameters, by their dotted or slashed name, written inside the new
    /// namespaces. One whose namespace is the host's is refused.
    pub sysctls: BTreeMap<String, String>,
    /// The pod's `/dev/shm`, mounted when the ipc namespace is new.
    pub shared_memory: Option<SharedMemory>,
    /// cgroup directories (one per hierarchy) that the monitor itself moves to; outside of the pod's. They exist.
    pub monitor_cgroups: Vec<PathBuf>,
    /// cgroup directories (one per hierarchy) of the pause process. They exist.
    pub pause_cgroups: Vec<PathBuf>,
}

/// Where a monitor with this state directory records a container's exit: a JSON [`Exit`](crate::Exit), from the
/// moment it is known (before [`Event::Exited`](crate::Event::Exited)) until the container's deletion.
pub fn exit_record(state_dir: &Path, container: &str) -> PathBuf {
    state_dir.join(format!("{container}.exit"))
}

/// Where a monitor with this state directory writes its [`Identity`], before it makes anything.
pub fn pid_file(state_dir: &Path) -> PathBuf {
    state_dir.join("pid")
}

/// Which process a monitor is, written as `PID START_TIME`: how it is found when it does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// In the host's namespace.
    pub pid: i32,
    /// When it started, in clock ticks since boot (field 22 of proc(5)): tells it from a later process with its pid.
    /// Not written before version 2.
    pub start_time: Option<u64>,
}

impl Identity {
    /// Reads what a monitor wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let pid = words.next()?.parse().ok().filter(|pid| *pid > 0)?;
        let start_time = words.next().map(str::parse).transpose().ok()?;
        Some(Self { pid, start_time })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.pid)?;
        self.start_time.map_or(Ok(()), |start_time| write!(out, " {start_time}"))
    }
}

/// Where a monitor with this state directory pins a new user namespace.
pub fn user_pin(state_dir: &Path) -> PathBuf {
    state_dir.join("user")
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
    /// The user namespace that owns the others: its mappings of users and of groups, when it is new. It is
    /// bind-mounted at [`user_pin`], where bundles name it; the monitor itself stays in the host's.
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
    /// Where it is mounted; the folder exists. It is unmounted by whoever removes the pod, as the pins are.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_as_it_was_written_and_version_1_had_no_start() {
        for (text, identity) in [
            ("17 4711", Some(Identity { pid: 17, start_time: Some(4711) })),
            ("17", Some(Identity { pid: 17, start_time: None })),
            ("17 x", None),
            ("0 4711", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(Identity::parse(text), identity, "{text}");
            if let Some(identity) = identity {
                assert_eq!(identity.to_string(), text);
            }
        }
    }
}
