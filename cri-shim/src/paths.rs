//! Where the daemon's files are.
//!
//! ```text
//! STATE/boot-id                    the boot that the rest belongs to
//! STATE/m/ID/                      the monitor's own, its socket `s` among it (short paths: sun_path has 108 bytes)
//! STATE/sandboxes/ID/sandbox.json  resolv.conf, hostname, shm/, monitor.log
//! STATE/containers/ID/container.json  config.json and rootfs/ (the OCI bundle), exec/
//! STATE/runtime/                   the OCI runtime's own
//! ```

use std::path::{Path, PathBuf};

use crate::core::spec::PodFiles;

/// The name of a monitor's socket in its folder.
pub(crate) const SOCKET: &str = "s";

/// The layout of a state folder.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    state: PathBuf,
}

impl Paths {
    /// The layout below a folder.
    pub(crate) fn new(state: &Path) -> Self {
        Self { state: state.into() }
    }

    /// The folder itself.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// The boot that the state belongs to.
    pub(crate) fn boot_id(&self) -> PathBuf {
        self.state.join("boot-id")
    }

    /// All monitors' folders.
    pub(crate) fn monitors(&self) -> PathBuf {
        self.state.join("m")
    }

    /// A monitor's socket.
    pub(crate) fn socket(&self, sandbox: &str) -> PathBuf {
        self.monitor(sandbox).join(SOCKET)
    }

    /// All sandboxes.
    pub(crate) fn sandboxes(&self) -> PathBuf {
        self.state.join("sandboxes")
    }

    /// A sandbox.
    pub(crate) fn sandbox(&self, id: &str) -> PathBuf {
        self.sandboxes().join(id)
    }

    /// A sandbox's record.
    pub(crate) fn sandbox_file(&self, id: &str) -> PathBuf {
        self.sandbox(id).join("sandbox.json")
    }

    /// The folder that a monitor owns. Half an id is unique enough and keeps the path short.
    pub(crate) fn monitor(&self, sandbox: &str) -> PathBuf {
        self.monitors().join(sandbox.get(..32).unwrap_or(sandbox))
    }

    /// What a monitor said before it was ready.
    pub(crate) fn monitor_log(&self, sandbox: &str) -> PathBuf {
        self.sandbox(sandbox).join("monitor.log")
    }

    /// What a sandbox lends to its containers.
    pub(crate) fn pod_files(&self, sandbox: &str) -> PodFiles {
        let folder = self.sandbox(sandbox);
        PodFiles {
            hostname: folder.join("hostname"),
            resolv_conf: folder.join("resolv.conf"),
            shm: folder.join("shm"),
        }
    }

    /// All containers.
    pub(crate) fn containers(&self) -> PathBuf {
        self.state.join("containers")
    }

    /// A container, which is also its OCI bundle.
    pub(crate) fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }

    /// A container's record.
    pub(crate) fn container_file(&self, id: &str) -> PathBuf {
        self.container(id).join("container.json")
    }

    /// A container's OCI configuration.
    pub(crate) fn spec(&self, container: &str) -> PathBuf {
        self.container(container).join("config.json")
    }

    /// Where a container's root filesystem is mounted.
    pub(crate) fn rootfs(&self, container: &str) -> PathBuf {
        self.container(container).join("rootfs")
    }

    /// The `process` object of one exec.
    pub(crate) fn exec(&self, container: &str, exec: &str) -> PathBuf {
        self.container(container).join(format!("exec-{exec}.json"))
    }

    /// The OCI runtime's `--root`.
    pub(crate) fn runtime(&self) -> PathBuf {
        self.state.join("runtime")
    }
}
