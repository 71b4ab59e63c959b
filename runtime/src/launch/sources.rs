//! What the container's root is made of, opened before there is a container.
//!
//! Opened here and not by the init: a user namespace's root may not pass the folders above a source. Only a source
//! that an earlier mount brings into the root is there no sooner than the init has made that mount.

use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::FileType;
use sys::namespace::Kind;
use sys::{During, mount};

use super::open_namespace;
use crate::error::{Error, Result, Stage};
use crate::fork;
use crate::init::rootfs::{Source, apply_attributes};
use crate::plan::{Mapping, MountKind, MountPlan, Plan};

/// A detached copy of the root file system.
pub(super) fn open_rootfs(plan: &Plan) -> Result<OwnedFd> {
    let tree = mount::copy_tree(&plan.rootfs, true)?;
    // What is mounted inside must not come out, and what is mounted on the host need not come in unless asked.
    let slave = plan.root_propagation.is_none_or(|flags| flags & libc::MS_PRIVATE == 0);
    let kind = if slave { libc::MS_SLAVE } else { libc::MS_PRIVATE };
    let attributes = mount::Attributes { propagation: kind, ..mount::Attributes::default() };
    mount::set_attributes(&tree, true, attributes, None)
        .during("change propagation of", plan.rootfs.display())?;
    Ok(tree)
}

/// The source of each mount that is a bind.
pub(super) fn open(plan: &Plan) -> Result<Vec<Option<Source>>> {
    let open = |(at, entry): (usize, &MountPlan)| {
        let MountKind::Bind { recursive } = entry.kind else { return Ok(None) };
        let stage = || format!("error mounting {:?} to rootfs at {:?}", entry.source, entry.destination);
        let user = entry.mapping.as_ref().map(|mapping| owners(mapping, plan)).transpose().stage(stage())?;
        let source = match brought_inside(&plan.rootfs, &plan.mounts[..at], &entry.source) {
            Some(path) => Source::Inside { path, user },
            None => {
                let tree = mount::copy_tree(&entry.source, recursive).stage(stage())?;
                prepare(&tree, entry, user.as_ref(), plan.root_propagation).stage(stage())?;
                let is_folder = sys::fs::file_type(&tree)? == FileType::Directory;
                Source::Opened { tree, is_folder }
            }
        };
        Ok(Some(source))
    };
    plan.mounts.iter().enumerate().map(open).collect()
}

/// Where in the root a source is that lies on or below the destination of an earlier mount.
fn brought_inside(rootfs: &Path, earlier: &[MountPlan], source: &Path) -> Option<PathBuf> {
    let path = Path::new("/").join(source.strip_prefix(rootfs).ok()?);
    let plain = path.components().all(|part| part != Component::ParentDir);
    let covered = earlier
        .iter()
        .any(|mount| mount.destination != Path::new("/") && path.starts_with(&mount.destination));
    (plain && covered).then_some(path)
}

/// What changes on a copy before it is attached.
pub(crate) fn prepare(
    tree: &OwnedFd,
    entry: &MountPlan,
    user: Option<&OwnedFd>,
    root_propagation: Option<u64>,
) -> Result<()> {
    let default = match root_propagation {
        Some(flags) if flags & libc::MS_SHARED != 0 => Vec::new(),
        Some(flags) if flags & libc::MS_PRIVATE != 0 => vec![libc::MS_PRIVATE | libc::MS_REC],
        _ => vec![libc::MS_SLAVE | libc::MS_REC],
    };
    let propagation = if entry.propagation.is_empty() { &default } else { &entry.propagation };
    if let (Some(mapping), Some(user)) = (&entry.mapping, user) {
        let attributes = mount::Attributes::default();
        mount::set_attributes(tree, mapping.recursive, attributes, Some(user)).during("idmap", "mount")?;
    }
    Ok(apply_attributes(tree, &entry.attributes, &entry.recursive, propagation)?)
}

/// The user namespace whose mappings an idmapped mount shows.
fn owners(mapping: &Mapping, plan: &Plan) -> Result<OwnedFd> {
    match (&mapping.ids, &plan.mappings) {
        (Some((uids, gids)), _) | (None, Some((uids, gids))) => fork::user_namespace(uids, gids),
        (None, None) => {
            let path = plan.join.iter().find(|(kind, _)| *kind == Kind::User).map(|(_, path)| path);
            open_namespace(path.ok_or_else(|| Error::said("idmap needs a user namespace or mappings"))?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_waits_for_the_mount_that_brings_it() {
        let mount = serde_json::json!({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs"});
        let earlier = [MountPlan::new(&serde_json::from_value(mount).unwrap(), Path::new("/b")).unwrap()];
        let inside = |source: &str| brought_inside(Path::new("/b/rootfs"), &earlier, Path::new(source));
        assert_eq!(inside("/b/rootfs/mnt/x"), Some("/mnt/x".into()));
        for source in ["/b/rootfs/other", "/b/rootfs/mnt/../x", "/mnt/x", "/b/rootfs2/mnt/x"] {
            assert_eq!(inside(source), None, "{source}");
        }
    }
}
