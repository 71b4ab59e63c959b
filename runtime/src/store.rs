//! What is known of containers between two runs of the runtime: one folder each below `--root`.
//!
//! ```text
//!            create                    start (the pipe `start` is removed)      kernel
//! (absent) ─────────▶ created ───────────────────────────────────▶ running ───────────▶ stopped
//!                        │  └──────────── kernel (killed) ──────────────────────────────▶ │
//!                     paused ◀── pause / resume ──▶ running                               │ delete
//!                                                                                     (absent)
//! ```
//! Nothing of it is trusted to be current: whether the process lives is asked of the kernel each time.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Hook, LinuxIdMapping};
use serde::{Deserialize, Serialize};
use sys::cgroup::Cgroup;
use sys::namespace::Kind;
use sys::process::MemoryPolicy;

use crate::error::{Error, Result, Stage};

/// The pipe on which a created container waits to be started.
pub(crate) const START: &str = "start";
/// The pipe on which a starting container says why it could not.
pub(crate) const STARTED: &str = "started";
const STATE: &str = "state.json";

/// The folder of all containers.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    root: PathBuf,
}

/// One container.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// What was written down.
    pub(crate) state: State,
}

/// What is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    /// Of config.json.
    pub(crate) oci_version: String,
    /// The container's id.
    pub(crate) id: String,
    /// Of the init, in the host's PID namespace.
    pub(crate) pid: i32,
    /// Tells the init from a later process of the same pid.
    pub(crate) start_time: u64,
    /// Absolute.
    pub(crate) bundle: PathBuf,
    /// Absolute.
    pub(crate) rootfs: PathBuf,
    /// RFC 3339.
    pub(crate) created: String,
    /// Of config.json.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Where its limits are.
    pub(crate) cgroup: Option<Cgroup>,
    /// What `exec` joins.
    pub(crate) namespaces: Vec<Kind>,
    /// Whether its processes run in a user namespace that is not ours.
    pub(crate) user_namespace: bool,
    /// Ids of the user namespace, when the container made one.
    pub(crate) mappings: Option<(Vec<LinuxIdMapping>, Vec<LinuxIdMapping>)>,
    /// The execution domain (personality(2)).
    #[serde(default)]
    pub(crate) personality: Option<u32>,
    /// Where its processes' memory lies.
    #[serde(default)]
    pub(crate) memory_policy: Option<MemoryPolicy>,
    /// Who answers for system calls, and what it is told.
    #[serde(default)]
    pub(crate) listener: Option<(PathBuf, String)>,
    /// Whether the PID namespace dies with the init.
    pub(crate) own_pid_namespace: bool,
    /// Run by `start`.
    pub(crate) poststart: Vec<Hook>,
    /// Run by `delete`.
    pub(crate) poststop: Vec<Hook>,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Its init waits for `start`.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its init ended.
    Stopped,
}

impl Status {
    /// As the specification spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl Store {
    /// The store in a folder, which need not exist.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes the folder of a new container.
    pub(crate) fn create(&self, id: &str) -> Result<PathBuf> {
        check_id(id)?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(|error| sys::Error::new("mkdir", self.root.display(), sys::error::errno_of(&error)))?;
        let folder = self.root.join(id);
        match std::fs::DirBuilder::new().mode(0o711).create(&folder) {
            Ok(()) => Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Error::said("container with given ID already exists"))
            }
            Err(error) => {
                Err(sys::Error::new("mkdir", folder.display(), sys::error::errno_of(&error)).into())
            }
        }
    }

    /// Finds a container.
    pub(crate) fn load(&self, id: &str) -> Result<Container> {
        check_id(id)?;
        let folder = self.root.join(id);
        let path = folder.join(STATE);
        let text = match sys::fs::read(&path) {
            Err(error) if error.errno == rustix::io::Errno::NOENT => {
                return Err(Error::said("container does not exist"));
            }
            text => text?,
        };
        let state = serde_json::from_str(&text).map_err(|source| Error::Json { path, source })?;
        Ok(Container { folder, state })
    }

    /// The folder of a container that was not completely made, or whose state cannot be read.
    pub(crate) fn leftover(&self, id: &str) -> Option<PathBuf> {
        check_id(id).ok()?;
        let folder = self.root.join(id);
        folder.is_dir().then_some(folder)
    }

    /// Whether anything was ever created here.
    pub(crate) fn exists(&self) -> bool {
        self.root.is_dir()
    }

    /// Every container that can be read, by id.
    pub(crate) fn list(&self) -> Result<Vec<Container>> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(sys::Error::new("read", self.root.display(), sys::error::errno_of(&error)).into());
            }
            Ok(entries) => entries,
        };
        let mut ids: Vec<_> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort();
        // One that is being made or removed at this moment is none.
        Ok(ids.iter().filter_map(|id| self.load(id).ok()).collect())
    }
}

impl Container {
    /// Writes the state down, so that a reader sees the old or the new.
    pub(crate) fn save(&self) -> Result<()> {
        let path = self.folder.join(STATE);
        let temporary = self.folder.join(".state.json.new");
        let text = serde_json::to_string(&self.state)
            .map_err(|source| Error::Json { path: path.clone(), source })?;
        let written = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, &path));
        written.map_err(|error| sys::Error::new("write", path.display(), sys::error::errno_of(&error)))?;
        Ok(())
    }

    /// Whether the init lives.
    pub(crate) fn is_alive(&self) -> Result<bool> {
        if self.state.pid <= 0 {
            return Ok(false);
        }
        let stat = sys::proc::stat(self.state.pid)?;
        Ok(stat.is_some_and(|stat| !stat.is_dead() && stat.start_time == self.state.start_time))
    }

    /// Where it is in its life.
    pub(crate) fn status(&self) -> Result<Status> {
        if !self.is_alive()? {
            return Ok(Status::Stopped);
        }
        if let Some(cgroup) = &self.state.cgroup
            && cgroup.is_frozen()?
        {
            return Ok(Status::Paused);
        }
        let created = sys::fs::exists(&self.folder.join(START));
        Ok(if created { Status::Created } else { Status::Running })
    }

    /// The init's pidfd; `None` when it has ended.
    pub(crate) fn pidfd(&self) -> Result<Option<std::os::fd::OwnedFd>> {
        match sys::process::pidfd(self.state.pid) {
            Ok(pidfd) => Ok(self.is_alive()?.then_some(pidfd)),
            Err(error) if error.errno == rustix::io::Errno::SRCH => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets it.
    pub(crate) fn remove(&self) -> Result<()> {
        remove_folder(&self.folder)
    }

    /// The state as the specification gives it to hooks and to `state`.
    pub(crate) fn oci_state(&self, status: &str) -> OciState<'_> {
        OciState {
            oci_version: &self.state.oci_version,
            id: &self.state.id,
            pid: if status == "stopped" { 0 } else { self.state.pid },
            status: status.to_owned(),
            bundle: &self.state.bundle,
            rootfs: &self.state.rootfs,
            created: &self.state.created,
            annotations: &self.state.annotations,
            owner: String::new(),
        }
    }
}

/// The state document of the specification, with the additions that callers of runc read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OciState<'a> {
    oci_version: &'a str,
    id: &'a str,
    pid: i32,
    status: String,
    bundle: &'a Path,
    rootfs: &'a Path,
    created: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    /// Only `list` knows.
    pub(crate) owner: String,
}

/// Removes a container's folder; one that is gone is fine.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(sys::Error::new("remove", folder.display(), sys::error::errno_of(&error)))
                .stage("unable to remove container state dir")
        }
        _ => Ok(()),
    }
}

/// Letters, digits and `_+-.`, since it becomes a file name.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    if id.is_empty() || id == "." || id == ".." || !id.chars().all(fine) {
        return Err(Error::said("invalid container ID format"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_file_names() {
        for id in ["a", "A-1_b.c+d", "..."] {
            assert!(check_id(id).is_ok(), "{id}");
        }
        for id in ["", ".", "..", "a/b", "a b", "ä", "a\0"] {
            assert!(check_id(id).is_err(), "{id}");
        }
    }

    #[test]
    fn an_id_is_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("root"));
        store.create("a").unwrap();
        assert_eq!(store.create("a").unwrap_err().to_string(), "container with given ID already exists");
        assert_eq!(store.load("a").unwrap_err().to_string(), "container does not exist");
        assert!(store.leftover("a").is_some());
    }
}
