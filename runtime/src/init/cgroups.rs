//! `/sys/fs/cgroup` as a container sees it.

use std::ffi::CString;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sys::During;
use sys::cgroup::{Cgroup, Folder, Version};
use sys::fs::Root;
use sys::mount::{self, Attributes};

use super::{Setup, rootfs};
use crate::error::{Error, Result};
use crate::plan::MountPlan;

/// Mounts the container's view: from its own cgroup down.
pub(crate) fn mount_view(root: &Root, entry: &MountPlan, setup: &Setup<'_>) -> Result<()> {
    let Some(cgroup) = setup.cgroup else {
        return Err(Error::said("a cgroup mount needs a cgroup"));
    };
    match cgroup.version {
        Version::V1 => mount_v1(root, entry, cgroup, setup)?,
        Version::V2 => mount_v2(root, entry, cgroup, setup)?,
    }
    rootfs::adjust(root, entry)
}

fn attributes(entry: &MountPlan) -> Attributes {
    Attributes { set: entry.attributes.set, ..Attributes::default() }
}

fn mount_v2(root: &Root, entry: &MountPlan, cgroup: &Cgroup, setup: &Setup<'_>) -> Result<()> {
    let target = rootfs::target(root, &entry.destination, true)?;
    let namespaced = setup.plan.has_cgroup_namespace();
    if namespaced {
        match mount::mount_on(c"cgroup", &target, c"cgroup2", entry.flags, c"") {
            Ok(()) => return Ok(()),
            // A user namespace that does not own its cgroup namespace.
            Err(Errno::PERM | Errno::BUSY) => {}
            Err(errno) => return Err(sys::Error::new("mount", "cgroup2", errno).into()),
        }
    }
    // Without a namespace the whole tree would be shown: show the container's part.
    let Some(folder) = cgroup.folders.first() else { return Ok(()) };
    let tree = mount::copy_tree(&folder.path, false)?;
    change(&tree, entry, &folder.path)?;
    Ok(mount::attach(&tree, &target).during("attach", entry.destination.display())?)
}

fn mount_v1(root: &Root, entry: &MountPlan, cgroup: &Cgroup, setup: &Setup<'_>) -> Result<()> {
    let target = rootfs::target(root, &entry.destination, true)?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    mount::mount_on(c"tmpfs", &target, c"tmpfs", flags, c"mode=755").during("mount", "tmpfs for cgroups")?;
    let base = root.open_at(&entry.destination, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    let base = Root::from_fd(base);
    for folder in &cgroup.folders {
        mount_controller(&base, folder, entry, setup)?;
    }
    let read_only = entry.flags & libc::MS_RDONLY != 0;
    if read_only {
        let attributes = Attributes { set: libc::MOUNT_ATTR_RDONLY, ..Attributes::default() };
        mount::set_attributes(&base, false, attributes, None).during("make read-only", "cgroups")?;
    }
    Ok(())
}

fn mount_controller(base: &Root, folder: &Folder, entry: &MountPlan, setup: &Setup<'_>) -> Result<()> {
    let name = folder.controllers.strip_prefix("name=").unwrap_or(&folder.controllers);
    rustix::fs::mkdirat(base, name, Mode::from_raw_mode(0o755)).during("mkdir", name)?;
    let target = base.resolve_plain(Path::new(name))?;
    let namespaced = setup.plan.has_cgroup_namespace();
    if namespaced {
        let named = folder.controllers.starts_with("name=");
        let data = if named { format!("none,{}", folder.controllers) } else { folder.controllers.clone() };
        let data = CString::new(data).unwrap_or_default();
        mount::mount_on(c"cgroup", &target, c"cgroup", entry.flags, &data).during("mount cgroup", name)?;
    } else {
        let tree = mount::copy_tree(&folder.path, false)?;
        change(&tree, entry, &folder.path)?;
        mount::attach(&tree, &target).during("attach", name)?;
    }
    // Controllers that share a tree are also found by each name.
    for part in name.split(',').filter(|part| *part != name) {
        rustix::fs::symlinkat(name, base, part).during("symlink", part)?;
    }
    Ok(())
}

fn change(tree: &std::os::fd::OwnedFd, entry: &MountPlan, path: &Path) -> Result<()> {
    let attributes = Attributes { propagation: libc::MS_SLAVE, ..attributes(entry) };
    Ok(mount::set_attributes(tree, false, attributes, None).during("change", path.display())?)
}
