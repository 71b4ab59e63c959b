//! Throw-away worlds: a private mount namespace and a private network with loopback up.

use std::io;
use std::path::PathBuf;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Moves this process, which must have one thread, into mount and network namespaces of its own.
///
/// Mounts made here never reach the host; `/run` and `/etc/cni` are empty, and so no two tests meet.
pub fn enter() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))?;
    let status = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("ip link set lo up: {status}"))) }
}

/// A binary that `hack/build` made. `ORLOP_BIN` names another folder.
pub fn bin(name: &str) -> PathBuf {
    let folder = std::env::var_os("ORLOP_BIN").map_or_else(|| repository().join("bin"), PathBuf::from);
    folder.join(name)
}

/// The checkout's root.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
