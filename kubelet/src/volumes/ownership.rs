//! `fsGroup`: a volume's files belong to a group of the pod's.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags};
use sys::During;

const READ_WRITE: u32 = 0o660;
const READ_ONLY: u32 = 0o440;
/// New files inherit the folder's group.
const SET_GID: u32 = 0o2000;
const SEARCH: u32 = 0o110;

/// Gives the volume and all in it to the group. With `on_mismatch`, one whose root is already right stays.
pub(super) fn give(volume: &Path, group: i64, read_only: bool, on_mismatch: bool) -> sys::Result<()> {
    let Ok(group) = u32::try_from(group) else { return Ok(()) };
    let mask = if read_only { READ_ONLY } else { READ_WRITE };
    if on_mismatch {
        let root = open(volume)?;
        let stat = sys::fs::stat(root.as_fd())?;
        let wanted = mask | SET_GID | SEARCH;
        if stat.st_gid == group && stat.st_mode & wanted == wanted {
            return Ok(());
        }
    }
    walk(volume, group, mask)
}

/// Files before the folder they are in, so that a root that matches means that all below does.
fn walk(path: &Path, group: u32, mask: u32) -> sys::Result<()> {
    let file = open(path)?;
    let stat = sys::fs::stat(file.as_fd())?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::Directory {
        for entry in fs::read_dir(path).during("read", path.display())? {
            let entry = entry.during("read", path.display())?;
            walk(&entry.path(), group, mask)?;
        }
    }
    let empty = AtFlags::EMPTY_PATH;
    rustix::fs::chownat(&file, c"", None, Some(Gid::from_raw(group)), empty)
        .during("chown", path.display())?;
    if kind == FileType::Symlink {
        return Ok(());
    }
    let more = if kind == FileType::Directory { mask | SET_GID | SEARCH } else { mask };
    let mode = Mode::from_raw_mode((stat.st_mode & 0o7777) | more);
    // By descriptor: the name may have become a link meanwhile.
    rustix::fs::chmodat(CWD, sys::fs::fd_path(file.as_fd()), mode, AtFlags::empty())
        .during("chmod", path.display())
}

fn open(path: &Path) -> sys::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).during("open", path.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn world() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/f"), "").unwrap();
        fs::set_permissions(dir.path().join("d/f"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("/etc/passwd", dir.path().join("d/l")).unwrap();
        dir
    }

    fn owner(path: &Path) -> (u32, u32) {
        let meta = fs::symlink_metadata(path).unwrap();
        (meta.gid(), meta.mode() & 0o7777)
    }

    #[test]
    fn files_folders_and_links_belong_to_the_group() {
        let dir = world();
        let before = owner(Path::new("/etc/passwd"));
        give(dir.path(), 3000, false, false).unwrap();
        assert_eq!(owner(&dir.path().join("d/f")), (3000, 0o660));
        assert_eq!(owner(&dir.path().join("d")).0, 3000);
        assert_eq!(owner(&dir.path().join("d")).1 & 0o2770, 0o2770);
        assert_eq!(owner(&dir.path().join("d/l")).0, 3000);
        assert_eq!(owner(Path::new("/etc/passwd")), before, "links are not followed");
    }

    #[test]
    fn a_root_that_matches_is_left_alone() {
        let dir = world();
        give(dir.path(), 3000, false, true).unwrap();
        fs::set_permissions(dir.path().join("d/f"), fs::Permissions::from_mode(0o600)).unwrap();
        give(dir.path(), 3000, false, true).unwrap();
        assert_eq!(owner(&dir.path().join("d/f")), (3000, 0o600));
        give(dir.path(), 3001, false, true).unwrap();
        assert_eq!(owner(&dir.path().join("d/f")), (3001, 0o660));
    }
}
