//! Mounts by descriptor: open_tree(2), mount_setattr(2), move_mount(2), and mount(2) onto an open folder.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use crate::fs::fd_path;
use crate::{During, Result};

/// What mount_setattr(2) changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`, or 0 to leave it.
    pub propagation: u64,
}

/// A detached copy of the mount at a host path, with what is mounted below it if `recursive`.
pub fn copy_tree(path: &Path, recursive: bool) -> Result<OwnedFd> {
    rustix::mount::open_tree(CWD, path, copy_flags(recursive)).during("open_tree", path.display())
}

/// A detached copy of the mount that an open file lies on, rooted at that file.
pub fn copy_tree_of(fd: impl AsFd, recursive: bool) -> Result<OwnedFd> {
    let fd = fd.as_fd();
    let flags = copy_flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(fd, c"", flags).during("open_tree", fd.as_raw_fd())
}

fn copy_flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags }
}

/// Attaches a detached mount on top of an open file or folder.
pub fn attach(tree: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, c"", target, c"", flags)
}

/// Changes a mount's attributes; `user_namespace` maps its owners (`MOUNT_ATTR_IDMAP`).
pub fn set_attributes(
    mount: impl AsFd,
    recursive: bool,
    attributes: Attributes,
    user_namespace: Option<&OwnedFd>,
) -> Result<(), Errno> {
    let attr = libc::mount_attr {
        attr_set: attributes.set | user_namespace.map_or(0, |_| libc::MOUNT_ATTR_IDMAP),
        attr_clr: attributes.clear,
        propagation: attributes.propagation,
        userns_fd: user_namespace.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string and `attr` is the kernel's struct, of the size we pass; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Mounts a file system onto an open folder.
pub fn mount_on(source: &CStr, target: impl AsFd, kind: &CStr, flags: u64, data: &CStr) -> Result<(), Errno> {
    // The magic link names the open folder itself, whatever happened to its path since.
    let target = fd_path(target);
    #[allow(clippy::cast_possible_truncation)] // mount(2) has 32 flags.
    let flags = MountFlags::from_bits_retain(flags as u32);
    let data = if data.is_empty() { None } else { Some(data) };
    rustix::mount::mount(source, target.as_str(), kind, flags, data)
}

/// A new, detached, read-only tmpfs: what is shown in place of a masked folder.
pub fn empty_folder() -> Result<OwnedFd> {
    let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).during("fsopen", "tmpfs")?;
    rustix::mount::fsconfig_set_string(&fs, "nr_blocks", "1").during("fsconfig", "tmpfs")?;
    rustix::mount::fsconfig_set_string(&fs, "nr_inodes", "1").during("fsconfig", "tmpfs")?;
    rustix::mount::fsconfig_create(&fs).during("fsconfig", "tmpfs")?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes).during("fsmount", "tmpfs")
}

/// A detached overlay of lower layers only. It has no writable layer, so nobody can make it writable.
pub fn read_only_overlay(lower: &Path, second: &Path) -> Result<OwnedFd> {
    let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).during("fsopen", "overlay")?;
    let escaped = |path: &Path| path.display().to_string().replace('\\', "\\\\").replace(':', "\\:");
    let layers = format!("{}:{}", escaped(lower), escaped(second));
    rustix::mount::fsconfig_set_string(&fs, "lowerdir", layers.as_str()).during("fsconfig", "overlay")?;
    rustix::mount::fsconfig_create(&fs).during("fsconfig", "overlay")?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes).during("fsmount", "overlay")
}

/// Detaches the mount at a path; who uses it keeps it.
pub fn detach(path: &Path) -> Result<()> {
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    rustix::mount::unmount(path, flags).during("umount", path.display())
}

/// Changes the propagation of the mount at a path (`MS_SHARED` and so on, with `MS_REC`).
pub fn set_propagation(path: &Path, flags: u64) -> Result<()> {
    #[allow(clippy::cast_possible_truncation)] // mount(2) has 32 flags.
    let flags = MountPropagationFlags::from_bits_retain(flags as u32);
    rustix::mount::mount_change(path, flags).during("mount --make", path.display())
}

/// Makes the folder that an open descriptor names the root of this mount namespace and drops the old root.
pub fn pivot_root(root: impl AsFd) -> Result<()> {
    rustix::process::fchdir(root).during("fchdir", "rootfs")?;
    // With both arguments the same, the old root is stacked on top of the new one, where it needs no folder.
    rustix::process::pivot_root(c".", c".").during("pivot_root", "rootfs")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH).during("umount", "old root")?;
    rustix::process::chdir(c"/").during("chdir", "/")
}

fn last() -> Errno {
    crate::error::errno_of(&std::io::Error::last_os_error())
}
