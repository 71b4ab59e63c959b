//! Control groups, version 1 (one tree per controller) and version 2 (one tree).
//!
//! A [`Cgroup`] is one name in every tree of the machine. It is made before the process that shall live in it;
//! on version 2 the process is born there (`CLONE_INTO_CGROUP`), on version 1 it moves itself by writing `0` to
//! `tasks`, the one way that does not take the kernel's global lock of all forks.

mod devices;
mod hierarchy;
mod lacks;
mod program;
mod v1;
mod v2;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::{During, Error, Result, fs, process};

pub use devices::{DeviceRule, DeviceRules};
pub use hierarchy::{Hierarchies, Hierarchy};

/// Which version's files a cgroup has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// One tree per controller. A hybrid host counts as this.
    V1,
    /// One tree.
    V2,
}

/// One name in every tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Which files it has.
    pub version: Version,
    /// One folder per tree, with the controllers of that tree.
    pub folders: Vec<Folder>,
}

/// A cgroup's folder in one tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// `memory`, `cpu,cpuacct`, `name=systemd`; empty on version 2.
    pub controllers: String,
    /// The mount point of the tree.
    pub mount: PathBuf,
    /// The folder.
    pub path: PathBuf,
}

impl Folder {
    fn has(&self, controller: &str) -> bool {
        self.controllers.split(',').any(|name| name == controller)
    }
}

/// Moves the process that calls [`enter`](Self::enter) into a version 1 cgroup. Made beforehand, so that the
/// process needs no path.
#[derive(Debug)]
pub struct Entrance {
    tasks: Vec<OwnedFd>,
    folder: Option<OwnedFd>,
}

impl Entrance {
    /// The version 2 folder for [`crate::process::Clone::cgroup`].
    pub fn folder(&self) -> Option<&OwnedFd> {
        self.folder.as_ref()
    }

    /// Moves the calling thread, which must be its process's only one. Nothing to do on version 2.
    pub fn enter(&self) -> Result<()> {
        for tasks in &self.tasks {
            rustix::io::write(tasks, b"0").during("enter", "cgroup")?;
        }
        Ok(())
    }
}

impl Cgroup {
    /// The cgroup of a path: absolute from the root of each tree, relative from this process's own cgroup.
    pub fn new(hierarchies: &Hierarchies, path: &Path) -> Self {
        let folders = hierarchies.trees.iter().map(|tree| {
            let base = if path.is_absolute() { tree.mount.clone() } else { tree.own.clone() };
            Folder {
                controllers: tree.controllers.clone(),
                mount: tree.mount.clone(),
                path: hierarchy::below(&base, path),
            }
        });
        Self { version: hierarchies.version, folders: folders.collect() }
    }

    /// Makes the folders and those above them. Refuses one that holds processes or is frozen.
    pub fn create(&self) -> Result<()> {
        for folder in &self.folders {
            match self.version {
                Version::V1 => v1::make(folder)?,
                Version::V2 => v2::make(folder)?,
            }
        }
        Ok(())
    }

    /// The processes found in it before it is used, if any.
    pub fn occupants(&self) -> Result<usize> {
        Ok(self.folders.first().map_or(Ok(Vec::new()), |folder| read_pids(&folder.path))?.len())
    }

    /// Opens what a process needs to move in. On version 1 call it before the clone, and
    /// [`Entrance::enter`] in the child.
    pub fn open(&self) -> Result<Entrance> {
        let mut entrance = Entrance { tasks: Vec::new(), folder: None };
        for folder in &self.folders {
            if self.version == Version::V2 {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let fd = rustix::fs::open(&folder.path, flags, Mode::empty())
                    .during("open", folder.path.display())?;
                entrance.folder = Some(fd);
            } else {
                let path = folder.path.join("tasks");
                let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                entrance
                    .tasks
                    .push(rustix::fs::open(&path, flags, Mode::empty()).during("open", path.display())?);
            }
        }
        Ok(entrance)
    }

    /// The first field of `resources` that asks for something and that no cgroup of this machine can hold.
    pub fn lacks(&self, resources: &LinuxResources) -> Option<&'static str> {
        match self.version {
            Version::V1 => lacks::version_1(resources, |controller| {
                self.folders.iter().any(|folder| folder.has(controller))
            }),
            Version::V2 => lacks::version_2(resources),
        }
    }

    /// Applies limits. What `resources` does not name stays as it is.
    pub fn apply(&self, resources: &LinuxResources) -> Result<()> {
        for folder in &self.folders {
            match self.version {
                Version::V1 => v1::apply(folder, resources)?,
                Version::V2 => v2::apply(folder, resources)?,
            }
        }
        Ok(())
    }

    /// Applies device rules: everything is denied but what they allow.
    pub fn apply_devices(&self, rules: &DeviceRules) -> Result<()> {
        for folder in &self.folders {
            match self.version {
                Version::V1 if folder.has("devices") => v1::apply_devices(folder, rules)?,
                Version::V1 => {}
                Version::V2 => program::attach(&folder.path, rules)?,
            }
        }
        Ok(())
    }

    /// Every process in it and in the cgroups below it.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let Some(folder) = self.tree_for_processes() else { return Ok(Vec::new()) };
        let mut pids = Vec::new();
        collect(&folder.path, &mut pids)?;
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// The tree to look for processes in: one with a real controller, since others may be shared with managers.
    fn tree_for_processes(&self) -> Option<&Folder> {
        ["freezer", "devices", "pids"]
            .iter()
            .find_map(|name| self.folders.iter().find(|folder| folder.has(name)))
            .or(self.folders.first())
    }

    /// Sends a signal to every process in it; SIGKILL in one step where the kernel can.
    pub fn signal(&self, signal: i32) -> Result<()> {
        if signal == libc::SIGKILL && self.version == Version::V2 {
            let Some(folder) = self.folders.first() else { return Ok(()) };
            match fs::write(&folder.path.join("cgroup.kill"), "1") {
                Ok(()) => return Ok(()),
                Err(error) if gone(error.errno) => {}
                Err(error) => return Err(error),
            }
        }
        for pid in self.processes()? {
            // A pidfd, so that a signal never meets a later process of the same pid; gone is as good as signalled.
            if let Ok(pidfd) = process::pidfd(pid) {
                match process::send_signal(&pidfd, signal) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => return Err(Error::new("kill", pid, errno)),
                }
            }
        }
        Ok(())
    }

    /// Stops or continues every process in it, and waits until the kernel has done so.
    pub fn set_frozen(&self, frozen: bool) -> Result<()> {
        match self.version {
            Version::V1 => match self.folders.iter().find(|folder| folder.has("freezer")) {
                Some(folder) => v1::set_frozen(folder, frozen),
                None => Err(Error::new("freeze", "cgroup", Errno::OPNOTSUPP)),
            },
            Version::V2 => match self.folders.first() {
                Some(folder) => v2::set_frozen(folder, frozen),
                None => Err(Error::new("freeze", "cgroup", Errno::OPNOTSUPP)),
            },
        }
    }

    /// Whether it was frozen. A cgroup that is gone is not.
    pub fn is_frozen(&self) -> Result<bool> {
        let frozen = match self.version {
            Version::V1 => self.folders.iter().find(|folder| folder.has("freezer")).map(v1::is_frozen),
            Version::V2 => self.folders.first().map(v2::is_frozen),
        };
        frozen.unwrap_or(Ok(false))
    }

    /// Removes its folders and those below them. Goes on after an error and reports the first.
    pub fn remove(&self) -> Result<()> {
        let mut first = Ok(());
        for folder in &self.folders {
            let result = remove_tree(&folder.path);
            first = first.and(result);
        }
        first
    }
}

fn gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NODEV)
}

fn read_pids(folder: &Path) -> Result<Vec<i32>> {
    match fs::read(&folder.join("cgroup.procs")) {
        Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
        // EOPNOTSUPP: a threaded cgroup.
        Err(error) if gone(error.errno) || error.errno == Errno::OPNOTSUPP => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn subfolders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.during("read", folder.display())?,
    };
    Ok(entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect())
}

fn collect(folder: &Path, pids: &mut Vec<i32>) -> Result<()> {
    pids.extend(read_pids(folder)?);
    for child in subfolders(folder)? {
        collect(&child, pids)?;
    }
    Ok(())
}

/// How long a killed process may take to leave its cgroup.
const REMOVE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

fn remove_tree(folder: &Path) -> Result<()> {
    match rustix::fs::rmdir(folder) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::BUSY) => {}
        Err(errno) => return Err(Error::new("rmdir", folder.display(), errno)),
    }
    for child in subfolders(folder)? {
        remove_tree(&child)?;
    }
    // A process that was waited for may still be on its way out of its cgroup (its other threads, or children
    // of a PID namespace); version 1 has no event for that.
    let deadline = std::time::Instant::now() + REMOVE_PATIENCE;
    let mut pause = std::time::Duration::from_millis(1);
    loop {
        match rustix::fs::rmdir(folder) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY) if std::time::Instant::now() < deadline => {
                // A living process that is not being killed will not leave.
                if !read_pids(folder)?.is_empty() && pause > std::time::Duration::from_millis(500) {
                    return Err(Error::new("rmdir", folder.display(), Errno::BUSY));
                }
                std::thread::sleep(pause);
                pause *= 2;
            }
            Err(errno) => return Err(Error::new("rmdir", folder.display(), errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_climb_out_of_its_tree() {
        let tree =
            Hierarchy { controllers: "pids".into(), mount: "/cg/pids".into(), own: "/cg/pids/me".into() };
        let hierarchies = Hierarchies { version: Version::V1, trees: vec![tree] };
        let path = |text: &str| Cgroup::new(&hierarchies, Path::new(text)).folders[0].path.clone();
        assert_eq!(path("/a/b"), Path::new("/cg/pids/a/b"));
        assert_eq!(path("a"), Path::new("/cg/pids/me/a"));
        assert_eq!(path("/a/../../../etc"), Path::new("/cg/pids/etc"));
    }
}
