//! Where an instance keeps what: all paths and names follow from `--data-dir`, and each can be set alone.
//!
//! Without a data folder the conventional paths of a Kubernetes node hold. With one, everything durable lies below
//! it; sockets and state lie under `/run/orlop/HASH`, since a socket's path may have 107 bytes only and state
//! belongs on a tmpfs; and the names that the kernel knows (bridge, nft table, cgroup parent) carry the hash too,
//! so that instances never meet.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// The paths and names of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Sockets; a tmpfs, mode 0700.
    pub(crate) run: PathBuf,
    /// State of pods and containers; a tmpfs.
    pub(crate) state: PathBuf,
    /// Images, and the writable layers of containers.
    pub(crate) root: PathBuf,
    /// `hosts.toml` folders, one per registry.
    pub(crate) registry_config: PathBuf,
    /// Where network namespaces are pinned.
    pub(crate) netns: PathBuf,
    /// CNI configuration.
    pub(crate) cni_conf: PathBuf,
    /// CNI plugins.
    pub(crate) cni_bin: PathBuf,
    /// libcni's cache of results.
    pub(crate) cni_cache: PathBuf,
    /// host-local's leases.
    pub(crate) cni_leases: PathBuf,
    /// The kubelet's own files and the pods' volumes.
    pub(crate) kubelet_root: PathBuf,
    /// Static pod manifests.
    pub(crate) manifests: PathBuf,
    /// CRI logs.
    pub(crate) pod_logs: PathBuf,
    /// Links to the containers' logs.
    pub(crate) container_logs: PathBuf,
    /// The cgroup below which all pods live.
    pub(crate) cgroup_parent: String,
    /// The pods' bridge.
    pub(crate) bridge: String,
    /// The pods' addresses, as `ADDRESS/BITS`.
    pub(crate) pod_cidr: String,
    /// The nft table of masquerading and host ports.
    pub(crate) nft_table: String,
    /// The CNI network's name.
    pub(crate) network: String,
}

impl Layout {
    /// The layout below a data folder, whose path is made absolute by the caller; the conventional one without.
    pub(crate) fn new(data_dir: Option<&Path>) -> Self {
        data_dir.map_or_else(Self::conventional, Self::below)
    }

    /// With sockets and state in another folder, which should be on a tmpfs.
    pub(crate) fn with_run(mut self, run: PathBuf) -> Self {
        self.state = run.join("state");
        // Pins that no pod of the daemon's own state names are swept at its start.
        self.netns = run.join("netns");
        self.run = run;
        self
    }

    fn conventional() -> Self {
        Self {
            run: "/run/orlop".into(),
            state: "/run/orlop/state".into(),
            root: "/var/lib/orlop".into(),
            registry_config: "/etc/orlop/registries".into(),
            netns: "/run/netns".into(),
            cni_conf: "/etc/cni/net.d".into(),
            cni_bin: "/opt/cni/bin".into(),
            cni_cache: "/var/lib/cni".into(),
            cni_leases: "/var/lib/cni/networks".into(),
            kubelet_root: "/var/lib/kubelet".into(),
            manifests: "/etc/kubernetes/manifests".into(),
            pod_logs: "/var/log/pods".into(),
            container_logs: "/var/log/containers".into(),
            cgroup_parent: "/".into(),
            // Neither is another program's default: podman has 10.88.0.0/16, flannel cni0 and 10.244.0.0/16.
            bridge: "orlop0".into(),
            pod_cidr: "10.192.0.0/16".into(),
            nft_table: "orlop-cni".into(),
            network: "orlop".into(),
        }
    }

    fn below(data_dir: &Path) -> Self {
        let hash = fnv1a(data_dir.as_os_str().as_encoded_bytes());
        let name = format!("{:08x}", hash >> 32);
        let run = Path::new("/run/orlop").join(&name);
        // A /20 out of 10.160.0.0/11: 4,094 pods, and a one in 512 chance that two instances need --pod-cidr.
        let [high, low] = [(hash >> 8 & 0x1f) as u8, (hash & 0xf) as u8];
        Self {
            state: run.join("state"),
            netns: run.join("netns"),
            run,
            root: data_dir.join("lib"),
            registry_config: data_dir.join("registries"),
            cni_conf: data_dir.join("cni/net.d"),
            cni_bin: data_dir.join("cni/bin"),
            cni_cache: data_dir.join("cni/cache"),
            cni_leases: data_dir.join("cni/networks"),
            kubelet_root: data_dir.join("kubelet"),
            manifests: data_dir.join("manifests"),
            pod_logs: data_dir.join("logs/pods"),
            container_logs: data_dir.join("logs/containers"),
            cgroup_parent: format!("/orlop-{name}"),
            bridge: format!("ol-{name}"),
            pod_cidr: format!("{}/20", Ipv4Addr::new(10, 160 + high, low << 4, 0)),
            nft_table: format!("orlop-cni-{name}"),
            network: format!("orlop-{name}"),
        }
    }

    /// The CRI daemon's socket.
    pub(crate) fn cri_socket(&self) -> PathBuf {
        self.run.join("cri.sock")
    }

    /// The admin endpoint of `up`.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.run.join("admin.sock")
    }

    /// The CRI daemon's admin endpoint.
    pub(crate) fn cri_admin_socket(&self) -> PathBuf {
        self.run.join("cri-admin.sock")
    }

    /// The socket at which root is the API's superuser.
    pub(crate) fn api_socket(&self) -> PathBuf {
        self.run.join("api.sock")
    }

    /// The control plane's admin endpoint.
    pub(crate) fn control_plane_admin_socket(&self) -> PathBuf {
        self.run.join("control-plane-admin.sock")
    }

    /// The kubelet's socket.
    pub(crate) fn kubelet_socket(&self) -> PathBuf {
        self.run.join("kubelet.sock")
    }

    /// The kubelet's admin endpoint.
    pub(crate) fn kubelet_admin_socket(&self) -> PathBuf {
        self.run.join("kubelet-admin.sock")
    }
}

/// FNV-1a: stable across builds and machines, which std's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_data_folders_share_nothing() {
        let [a, b] = [Layout::new(Some(Path::new("/srv/a"))), Layout::new(Some(Path::new("/srv/b")))];
        for (one, other) in [
            (a.run.as_path(), b.run.as_path()),
            (&a.root, &b.root),
            (Path::new(&a.bridge), Path::new(&b.bridge)),
            (Path::new(&a.nft_table), Path::new(&b.nft_table)),
            (Path::new(&a.cgroup_parent), Path::new(&b.cgroup_parent)),
            (Path::new(&a.pod_cidr), Path::new(&b.pod_cidr)),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn sockets_fit_the_kernel_however_deep_the_data_lies() {
        let deep = PathBuf::from(format!("/{}", "deep/".repeat(40)));
        let layout = Layout::new(Some(&deep));
        assert!(layout.kubelet_admin_socket().as_os_str().len() < 60);
        assert!(layout.bridge.len() <= 15, "IFNAMSIZ");
    }

    #[test]
    fn the_subnet_starts_on_its_boundary() {
        for folder in ["/a", "/b", "/srv/orlop", "/tmp/x/y"] {
            let cidr = Layout::new(Some(Path::new(folder))).pod_cidr;
            let (address, bits) = cidr.split_once('/').unwrap();
            let address = u32::from(address.parse::<Ipv4Addr>().unwrap());
            assert_eq!((address & 0xfff, bits), (0, "20"), "{cidr}");
        }
    }
}
