//! Where a pod's volumes lie on the host, and what a container has mounted.

use std::path::PathBuf;

use api_cri::v1::{Mount, MountPropagation};
use api_k8s::v1::{Container, Pod, VolumeMount};

use super::{Node, TranslateError, pod_uid, spec};

/// The kinds of volumes that a pod without an API can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    /// Starts empty and goes with the pod.
    EmptyDir,
    /// A path of the host.
    HostPath,
    /// Facts of the pod as files.
    DownwardApi,
    /// The same, from several sources.
    Projected,
}

/// A volume on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostVolume {
    /// What it is.
    pub kind: VolumeKind,
    /// Where it is.
    pub path: PathBuf,
}

impl HostVolume {
    /// Whether containers can only read it.
    pub fn read_only(&self) -> bool {
        matches!(self.kind, VolumeKind::DownwardApi | VolumeKind::Projected)
    }
}

/// Where the volume of this name lies; `None` if the pod has no such volume or one that is not implemented.
pub fn host_volume(pod: &Pod, node: &Node, name: &str) -> Option<HostVolume> {
    let volume = spec(pod).volumes.iter().flatten().find(|volume| volume.name == name)?;
    let inside = |plugin: &str| node.volume_dir(pod_uid(pod), plugin, name);
    let (kind, path) = if let Some(host) = &volume.host_path {
        (VolumeKind::HostPath, PathBuf::from(&host.path))
    } else if volume.empty_dir.is_some() {
        (VolumeKind::EmptyDir, inside("kubernetes.io~empty-dir"))
    } else if volume.downward_api.is_some() {
        (VolumeKind::DownwardApi, inside("kubernetes.io~downward-api"))
    } else if volume.projected.is_some() {
        (VolumeKind::Projected, inside("kubernetes.io~projected"))
    } else {
        return None;
    };
    Some(HostVolume { kind, path })
}

const ETC_HOSTS: &str = "/etc/hosts";

/// The mounts of a container: its volumes in order, then `/etc/hosts` unless it brings its own, then the
/// termination message's file.
pub(crate) fn of_container(
    pod: &Pod,
    container: &Container,
    node: &Node,
    attempt: u32,
) -> Result<Vec<Mount>, TranslateError> {
    let mut mounts = Vec::new();
    let mut own_hosts = false;
    for (index, wanted) in container.volume_mounts.iter().flatten().enumerate() {
        own_hosts |= wanted.mount_path == ETC_HOSTS;
        mounts.push(volume(pod, container, node, index, wanted)?);
    }
    if !own_hosts {
        mounts.push(bind(ETC_HOSTS.to_owned(), node.etc_hosts(pod_uid(pod))));
    }
    if let Some(path) = container.termination_message_path.as_deref().filter(|path| !path.is_empty()) {
        let log = node.termination_log(pod_uid(pod), &container.name, attempt);
        mounts.push(bind(path.to_owned(), log));
    }
    Ok(mounts)
}

fn volume(
    pod: &Pod,
    container: &Container,
    node: &Node,
    index: usize,
    wanted: &VolumeMount,
) -> Result<Mount, TranslateError> {
    let name = &wanted.name;
    let Some(volume) = host_volume(pod, node, name) else {
        return Err(TranslateError(format!("volume {name:?} is not implemented")));
    };
    let has_subpath = [&wanted.sub_path, &wanted.sub_path_expr]
        .into_iter()
        .any(|path| path.as_deref().is_some_and(|path| !path.is_empty()));
    let host_path = match has_subpath {
        true => node.subpath(pod_uid(pod), name, &container.name, index),
        false => volume.path.clone(),
    };
    let readonly = wanted.read_only == Some(true) || volume.read_only();
    let propagation = match wanted.mount_propagation.as_deref() {
        Some("HostToContainer") => MountPropagation::PropagationHostToContainer,
        Some("Bidirectional") => MountPropagation::PropagationBidirectional,
        _ => MountPropagation::PropagationPrivate,
    };
    let mut mount = bind(absolute(&wanted.mount_path), host_path);
    mount.readonly = readonly;
    mount.propagation = propagation.into();
    mount.recursive_read_only = recursive(wanted, node)?;
    Ok(mount)
}

fn recursive(wanted: &VolumeMount, node: &Node) -> Result<bool, TranslateError> {
    match wanted.recursive_read_only.as_deref() {
        Some("IfPossible") => Ok(node.recursive_read_only),
        Some("Enabled") if node.recursive_read_only => Ok(true),
        Some("Enabled") => Err(TranslateError(format!(
            "failed to resolve recursive read-only mode: volume {:?} requested recursive read-only mode, but it is \
             not supported by the runtime",
            wanted.name
        ))),
        _ => Ok(false),
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn bind(container_path: String, host_path: PathBuf) -> Mount {
    Mount { container_path, host_path: host_path.display().to_string(), ..Mount::default() }
}
