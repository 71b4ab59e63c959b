//! Volumes that start empty.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use api_k8s::v1::{EmptyDirVolumeSource, Pod};
use api_objects::Quantity;
use nix::mount::{MsFlags, mount};
use sys::During;

use super::{make_dir, make_file};
use crate::translate::{Node, pod_limits, pod_uid};

const PLUGIN: &str = "kubernetes.io~empty-dir";

/// Makes the folder, in memory when the medium says so. Returns whether it is new, and so wants its group.
pub(super) fn set_up(
    pod: &Pod,
    node: &Node,
    name: &str,
    source: &EmptyDirVolumeSource,
    path: &Path,
) -> sys::Result<bool> {
    let in_memory = source.medium.as_deref() == Some("Memory");
    let ready = marker(pod, node, name).exists();
    if ready && path.is_dir() && (!in_memory || is_mount_point(path)) {
        return Ok(false);
    }
    make_dir(path, 0o777)?;
    if in_memory && !is_mount_point(path) {
        let limit = source.size_limit.as_ref().and_then(|limit| limit.0.parse().ok());
        let data = format!("mode=0777,size={}", size(pod, node, limit));
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(data.as_str()))
            .map_err(std::io::Error::from)
            .during("mount tmpfs", path.display())?;
    }
    Ok(true)
}

/// Remembers that the folder is as it should be, so that a restarted kubelet leaves its files' owners alone.
pub(super) fn mark_ready(pod: &Pod, node: &Node, name: &str) -> sys::Result<()> {
    let marker = marker(pod, node, name);
    make_dir(marker.parent().unwrap_or(Path::new("/")), 0o750)?;
    make_file(&marker, 0o644)
}

fn marker(pod: &Pod, node: &Node, name: &str) -> PathBuf {
    node.pod_dir(pod_uid(pod)).join("plugins").join(PLUGIN).join(name).join("ready")
}

/// Bytes: the least of the volume's limit, the pod's memory limit, and what the node gives.
fn size(pod: &Pod, node: &Node, limit: Option<Quantity>) -> i64 {
    let of_pod = pod_limits(pod).memory.units();
    [limit.map_or(0, Quantity::units), of_pod, node.allocatable_memory_bytes]
        .into_iter()
        .filter(|bytes| *bytes > 0)
        .min()
        .unwrap_or(0)
}

/// Whether another file system begins at this folder.
fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).ok().map(|meta| meta.dev());
    match (device(path), path.parent().and_then(device)) {
        (Some(own), Some(above)) => own != above,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::translate::tests::{node, pod};

    #[test]
    fn memory_is_bounded_by_the_size_limit() {
        let open = pod(json!({"containers": [{"name": "c", "image": "i"}]}));
        let limited = pod(json!({
            "containers": [{"name": "c", "image": "i", "resources": {"limits": {"memory": "1Mi"}}}],
        }));
        let node = node();
        let two = Some(Quantity::from_bytes(2 << 20));
        assert_eq!(size(&open, &node, two), 2 << 20);
        assert_eq!(size(&limited, &node, two), 1 << 20);
        assert_eq!(size(&limited, &node, None), 1 << 20);
        assert_eq!(size(&open, &node, None), node.allocatable_memory_bytes);
    }
}
