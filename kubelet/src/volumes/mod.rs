//! The files of a pod on the host: volumes, `/etc/hosts`, termination messages.
//!
//! ```text
//! ROOT/pods/UID/etc-hosts
//!               containers/NAME/ATTEMPT                    a termination message each
//!               volumes/kubernetes.io~empty-dir/VOLUME     and kubernetes.io~downward-api, ~projected
//!               volume-subpaths/VOLUME/CONTAINER/INDEX     bind mounts of paths inside volumes
//!               plugins/kubernetes.io~empty-dir/VOLUME/ready
//! ```
//! This is the stock kubelet's layout, so either finds the other's pods. Everything here may block and is called
//! from a blocking thread. Each call can be repeated: what is already as it should be stays.

mod downward;
mod empty_dir;
mod host_path;
mod hosts;
mod ownership;
mod subpath;
mod teardown;

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use api_k8s::v1::{Container, Pod, Volume};
use sys::During;

use crate::translate::{Node, Start, TranslateError, environment, host_volume, pod_uid, spec};

pub use hosts::etc_hosts;
pub use teardown::{TeardownError, pod_uids, teardown};

/// A volume that cannot be set up; the pod waits and is tried again.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The kernel refused.
    #[error("volume {volume:?}: {source}")]
    Kernel {
        /// The volume's name, or that of the file.
        volume: String,
        /// What was tried, and why it failed.
        source: sys::Error,
    },
    /// A hostPath is not of its type.
    #[error("volume {volume:?}: hostPath type check failed: {why}")]
    HostPathType {
        /// The volume's name.
        volume: String,
        /// What it is not.
        why: String,
    },
    /// A path inside a volume that leads out of it, or is none.
    #[error("failed to prepare subPath {path:?} of volume {volume:?} for container {container:?}: {why}")]
    SubPath {
        /// The volume's name.
        volume: String,
        /// The container's name.
        container: String,
        /// The path, expanded.
        path: String,
        /// Why it is refused.
        why: String,
    },
    /// A value of the downward API that cannot be had.
    #[error(transparent)]
    Translate(#[from] TranslateError),
}

impl VolumeError {
    fn kernel(volume: &str, source: sys::Error) -> Self {
        Self::Kernel { volume: volume.to_owned(), source }
    }
}

/// Makes a pod's folders and volumes. Comes before its sandbox.
pub fn setup(pod: &Pod, node: &Node) -> Result<(), VolumeError> {
    let dir = node.pod_dir(pod_uid(pod));
    for folder in [dir.clone(), dir.join("volumes"), dir.join("plugins"), dir.join("containers")] {
        make_dir(&folder, 0o750).map_err(|error| VolumeError::kernel("", error))?;
    }
    for volume in spec(pod).volumes.iter().flatten() {
        set_up_one(pod, volume, node)?;
    }
    Ok(())
}

fn set_up_one(pod: &Pod, volume: &Volume, node: &Node) -> Result<(), VolumeError> {
    let name = &volume.name;
    let Some(place) = host_volume(pod, node, name) else {
        return Err(TranslateError(format!("volume {name:?} is not implemented")).into());
    };
    let fs_group = spec(pod).security_context.as_ref();
    let path = &place.path;
    if let Some(host) = &volume.host_path {
        return host_path::check(name, path, host.type_.as_deref().unwrap_or_default());
    }
    let fresh = if let Some(empty) = &volume.empty_dir {
        empty_dir::set_up(pod, node, name, empty, path)
    } else if let Some(source) = &volume.downward_api {
        let files = downward::files(pod, node, source.items.iter().flatten(), source.default_mode)?;
        downward::write(path, &files)
    } else if let Some(source) = &volume.projected {
        let items = source.sources.iter().flatten().filter_map(|source| source.downward_api.as_ref());
        let items = items.flat_map(|downward| downward.items.iter().flatten());
        downward::write(path, &downward::files(pod, node, items, source.default_mode)?)
    } else {
        Ok(false)
    };
    let kernel = |error| VolumeError::kernel(name, error);
    if fresh.map_err(kernel)?
        && let Some(context) = fs_group
        && let Some(group) = context.fs_group
    {
        let on_mismatch = context.fs_group_change_policy.as_deref() == Some("OnRootMismatch");
        ownership::give(path, group, place.read_only(), on_mismatch).map_err(kernel)?;
    }
    if volume.empty_dir.is_some() {
        empty_dir::mark_ready(pod, node, name).map_err(kernel)?;
    }
    Ok(())
}

/// Writes the file that the pod sees as `/etc/hosts`. Comes once its addresses are known, and again when they
/// change; the file keeps its inode, since containers have it mounted.
pub fn write_hosts(pod: &Pod, node: &Node, pod_ips: &[IpAddr]) -> Result<(), VolumeError> {
    let path = node.etc_hosts(pod_uid(pod));
    let host_file = match spec(pod).host_network {
        Some(true) => Some(fs::read_to_string("/etc/hosts").unwrap_or_default()),
        _ => None,
    };
    let text = etc_hosts(pod, node, pod_ips, host_file.as_deref());
    if fs::read_to_string(&path).is_ok_and(|have| have == text) {
        return Ok(());
    }
    fs::write(&path, text)
        .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o644)))
        .during("write", path.display())
        .map_err(|error| VolumeError::kernel("etc-hosts", error))
}

/// Makes what one run of a container has mounted beside the volumes themselves: its paths inside volumes and its
/// termination message's file. Comes before it is created.
pub fn prepare(pod: &Pod, container: &Container, node: &Node, start: &Start) -> Result<(), VolumeError> {
    let environment = environment(pod, container, node, start.pod_ips)?;
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        subpath::prepare(pod, container, node, index, mount, &environment)?;
    }
    let log = node.termination_log(pod_uid(pod), &container.name, start.attempt);
    let folder = log.parent().unwrap_or(Path::new("/"));
    make_dir(folder, 0o750)
        .and_then(|()| make_file(&log, 0o666))
        .map_err(|error| VolumeError::kernel("termination message", error))
}

/// Makes a folder and those above it with this mode, whatever the umask, unless it is there.
fn make_dir(path: &Path, mode: u32) -> sys::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .during("mkdir", path.display())
}

/// Makes an empty file with this mode, whatever the umask, unless it is there.
fn make_file(path: &Path, mode: u32) -> sys::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(mode)).during("chmod", path.display()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error).during("create", path.display()),
    }
}
