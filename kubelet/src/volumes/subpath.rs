//! Paths inside volumes.
//!
//! Containers write into volumes, and so may turn any part of such a path into a link to elsewhere. The kernel
//! resolves it beneath the volume's root to a descriptor (openat2(2) with `RESOLVE_BENEATH`: a way out is
//! refused), and that descriptor is bound to a place of the kubelet's own, which the runtime then mounts.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use api_k8s::v1::{Container, Pod, VolumeMount};
use api_objects::expand::{expand, references};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sys::During;

use super::{VolumeError, make_dir, make_file};
use crate::translate::{Node, host_volume, lookup, pod_uid};

/// Binds the path of a volume mount, if it has one.
pub(super) fn prepare(
    pod: &Pod,
    container: &Container,
    node: &Node,
    index: usize,
    mount: &VolumeMount,
    environment: &[(String, String)],
) -> Result<(), VolumeError> {
    let Some(path) = wanted(mount, environment) else { return Ok(()) };
    let refused = |path: &str, why: String| VolumeError::SubPath {
        volume: mount.name.clone(),
        container: container.name.clone(),
        path: path.to_owned(),
        why,
    };
    let path = path.map_err(|name| {
        refused(mount.sub_path_expr.as_deref().unwrap_or_default(), format!("missing value for {name:?}"))
    })?;
    let relative = Path::new(&path);
    if relative.is_absolute() || relative.components().any(|part| part == Component::ParentDir) {
        return Err(refused(&path, "must be a relative path without '..'".to_owned()));
    }
    let Some(volume) = host_volume(pod, node, &mount.name) else { return Ok(()) };
    let target = node.subpath(pod_uid(pod), &mount.name, &container.name, index);
    let source = open_beneath(&volume.path, relative).map_err(|error| match error.errno {
        Errno::XDEV => refused(&path, "it leads out of the volume".to_owned()),
        _ => refused(&path, error.to_string()),
    })?;
    bind(source, &target).map_err(|error| refused(&path, error.to_string()))
}

/// The path of a mount with its variables replaced, or the name of one that has no value.
fn wanted<'m>(mount: &'m VolumeMount, environment: &[(String, String)]) -> Option<Result<String, &'m str>> {
    if let Some(path) = mount.sub_path.as_deref().filter(|path| !path.is_empty()) {
        return Some(Ok(path.to_owned()));
    }
    let text = mount.sub_path_expr.as_deref().filter(|path| !path.is_empty())?;
    if let Some(missing) = references(text).into_iter().find(|name| lookup(environment, name).is_none()) {
        return Some(Err(missing));
    }
    Some(Ok(expand(text, |name| lookup(environment, name))))
}

/// What lies at a path of a volume; missing folders are made, with the modes of the volume's root.
fn open_beneath(volume: &Path, path: &Path) -> sys::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = rustix::fs::open(volume, flags, Mode::empty()).during("open", volume.display())?;
    let mode = Mode::from_raw_mode(sys::fs::stat(root.as_fd())?.st_mode & 0o777);
    let mut prefix = PathBuf::new();
    let mut here = beneath(&root, Path::new("."))?;
    for part in path.components() {
        let Component::Normal(name) = part else { continue };
        prefix.push(name);
        here = match beneath(&root, &prefix) {
            Err(error) if error.errno == Errno::NOENT => {
                match rustix::fs::mkdirat(&here, name, mode) {
                    // Somebody else was faster, or a dangling link is there, which the next call says.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(sys::Error::new("mkdir", prefix.display(), errno)),
                }
                let made = beneath(&root, &prefix)?;
                // Whatever the umask.
                rustix::fs::chmodat(
                    rustix::fs::CWD,
                    sys::fs::fd_path(made.as_fd()),
                    mode,
                    rustix::fs::AtFlags::empty(),
                )
                .during("chmod", prefix.display())?;
                made
            }
            found => found?,
        };
    }
    Ok(here)
}

fn beneath(root: &OwnedFd, path: &Path) -> sys::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // Something was renamed meanwhile.
            Err(Errno::AGAIN) => {}
            found => return found.during("open", path.display()),
        }
    }
}

/// Mounts the open file or folder on the target, unless it is already there.
fn bind(source: OwnedFd, target: &Path) -> sys::Result<()> {
    let stat = sys::fs::stat(source.as_fd())?;
    if fs::symlink_metadata(target).is_ok_and(|have| (have.dev(), have.ino()) == (stat.st_dev, stat.st_ino)) {
        return Ok(());
    }
    make_dir(target.parent().unwrap_or(Path::new("/")), 0o750)?;
    match sys::fs::file_type(source.as_fd())? {
        rustix::fs::FileType::Directory => make_dir(target, 0o750)?,
        _ => make_file(target, 0o640)?,
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = rustix::fs::open(target, flags, Mode::empty()).during("open", target.display())?;
    let tree = sys::mount::copy_tree_of(source.as_fd(), false)?;
    sys::mount::attach(tree, place).during("move_mount", target.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_path_is_made_inside_the_volume() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        open_beneath(dir.path(), Path::new("x/y")).unwrap();
        let made = fs::metadata(dir.path().join("x/y")).unwrap();
        assert!(made.is_dir());
        assert_eq!(made.mode() & 0o777, 0o777);
    }

    #[test]
    fn links_inside_are_followed_and_links_out_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        symlink("../a", dir.path().join("a/back")).unwrap();
        symlink("/etc", dir.path().join("out")).unwrap();
        symlink("../../..", dir.path().join("a/up")).unwrap();
        symlink("nowhere", dir.path().join("dangling")).unwrap();
        open_beneath(dir.path(), Path::new("a/back/b")).unwrap();
        for path in ["out", "out/passwd", "a/up", "a/up/etc"] {
            assert_eq!(open_beneath(dir.path(), Path::new(path)).unwrap_err().errno, Errno::XDEV, "{path}");
        }
        assert_eq!(open_beneath(dir.path(), Path::new("dangling")).unwrap_err().errno, Errno::NOENT);
    }

    #[test]
    fn expressions_need_all_their_variables() {
        let mount = VolumeMount { sub_path_expr: Some("a/$(X)".into()), ..VolumeMount::default() };
        let environment = [("X".to_owned(), "b".to_owned())];
        assert_eq!(wanted(&mount, &environment), Some(Ok("a/b".to_owned())));
        assert_eq!(wanted(&mount, &[]), Some(Err("X")));
        assert_eq!(wanted(&VolumeMount::default(), &environment), None);
    }
}
