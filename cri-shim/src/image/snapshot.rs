//! The root filesystems of containers: overlay mounts of an image's layers under a writable one.

use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

use super::ImageError;
use super::layers::remove_all;
use super::store::{Image, ImageStore};

/// The writable layers of containers.
///
/// A container's folder holds `upper`, `work` and `layers`, the list of what it stands on: that list is what keeps
/// the layers of an image that was removed while the container lives.
#[derive(Clone)]
pub(crate) struct Snapshots {
    store: ImageStore,
}

impl Snapshots {
    pub(crate) fn new(store: ImageStore) -> Self {
        Self { store }
    }

    /// Mounts a writable view of the image at `target`, which is made.
    pub(crate) fn mount(&self, container: &str, image: &Image, target: &Path) -> Result<(), ImageError> {
        let folder = self.folder(container);
        let [upper, work] = ["upper", "work"].map(|name| folder.join(name));
        for made in [&upper, &work, &target.to_path_buf()] {
            std::fs::create_dir_all(made).map_err(ImageError::io("making", made))?;
        }
        let layers = self.store.layers();
        // Wanted until the list is written, needed by the list from then on.
        let wanted = layers.want(image.diff_ids());
        let list = folder.join("layers");
        std::fs::write(&list, image.diff_ids().join("\n")).map_err(ImageError::io("writing", &list))?;
        drop(wanted);
        if !layers.have_all(image.diff_ids()) {
            return Err(ImageError::NotFound { reference: image.id().into() });
        }
        let mut lower: Vec<PathBuf> = stack(image.diff_ids()).map(|id| layers.folder(id)).collect();
        if lower.is_empty() {
            // overlay wants at least one; an image from scratch has none.
            let empty = folder.join("empty");
            std::fs::create_dir_all(&empty).map_err(ImageError::io("making", &empty))?;
            lower.push(empty);
        }
        overlay(&lower, &upper, &work, target).map_err(ImageError::io("mounting overlay on", target))
    }

    /// Unmounts and forgets what the container wrote. Nothing there is success.
    pub(crate) fn remove(&self, container: &str, target: &Path) -> Result<(), ImageError> {
        match umount2(target, MntFlags::MNT_DETACH) {
            // Not mounted, or not even there.
            Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
            Err(errno) => return Err(ImageError::io("unmounting", target)(errno.into())),
        }
        match std::fs::remove_dir(target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ImageError::io("removing", target)(error));
            }
            _ => {}
        }
        remove_all(&self.folder(container))
    }

    /// Forgets what all other containers wrote: after a crash or a reboot nothing else knows of them.
    pub(crate) fn retain(&self, containers: &[String]) -> Result<(), ImageError> {
        let folder = self.store.layers().containers();
        for entry in std::fs::read_dir(folder).map_err(ImageError::io("reading", folder))? {
            let entry = entry.map_err(ImageError::io("reading", folder))?;
            if !containers.iter().any(|container| entry.file_name() == container.as_str()) {
                remove_all(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Bytes and inodes that the container itself has written; `None` when it is not there.
    pub(crate) fn usage(&self, container: &str) -> Option<(u64, u64)> {
        let upper = self.folder(container).join("upper");
        upper.is_dir().then(|| usage(&upper))
    }

    fn folder(&self, container: &str) -> PathBuf {
        self.store.layers().containers().join(container)
    }
}

/// The layers as overlay wants them, the uppermost first. Images often hold one layer several times (an empty one
/// above all), and overlay refuses that with ELOOP; whatever a lower copy holds, the upper one holds as well.
fn stack(diff_ids: &[String]) -> impl Iterator<Item = &String> {
    diff_ids.iter().enumerate().rev().filter(|(at, id)| !diff_ids[at + 1..].contains(id)).map(|(_, id)| id)
}

/// Mounts without a limit on the number of layers where the kernel can (6.5), and within a page of options else.
fn overlay(lower: &[PathBuf], upper: &Path, work: &Path, target: &Path) -> io::Result<()> {
    match overlay_by_layer(lower, upper, work, target) {
        // The parameter `lowerdir+` is unknown.
        Err(error) if error.raw_os_error() == Some(libc_einval()) => {}
        result => return result,
    }
    let mut options = String::from("lowerdir=");
    for (index, layer) in lower.iter().enumerate() {
        options += if index == 0 { "" } else { ":" };
        options += text(layer)?;
    }
    options += &format!(",upperdir={},workdir={},volatile", text(upper)?, text(work)?);
    mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
    Ok(())
}

fn overlay_by_layer(lower: &[PathBuf], upper: &Path, work: &Path, target: &Path) -> io::Result<()> {
    let filesystem = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in lower {
        fsconfig_set_string(&filesystem, "lowerdir+", text(layer)?)?;
    }
    fsconfig_set_string(&filesystem, "upperdir", text(upper)?)?;
    fsconfig_set_string(&filesystem, "workdir", text(work)?)?;
    // A container's changes end with it, so none of them needs to be synced, and unmounting takes no time.
    fsconfig_set_flag(&filesystem, "volatile")?;
    fsconfig_create(&filesystem)?;
    let mounted = fsmount(&filesystem, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    move_mount(&mounted, "", rustix::fs::CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

fn libc_einval() -> i32 {
    nix::errno::Errno::EINVAL as i32
}

/// overlay's options are text, in which a comma or a colon would end a path.
fn text(path: &Path) -> io::Result<&str> {
    let wrong =
        || io::Error::new(io::ErrorKind::InvalidInput, format!("{}: not usable by overlay", path.display()));
    path.to_str().filter(|text| !text.contains([',', ':', '\\'])).ok_or_else(wrong)
}

/// What a tree takes on the disk, not following links or crossing into what cannot be read.
fn usage(folder: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    let mut total = (0, 1);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            let (bytes, inodes) = usage(&entry.path());
            total = (total.0 + bytes, total.1 + inodes);
        } else {
            // A file of several links is counted once per link's share.
            total = (total.0 + metadata.blocks() * 512 / metadata.nlink().max(1), total.1 + 1);
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_comes_twice_is_mounted_once_where_it_is_uppermost() {
        for (layers, mounted) in [("a b c", "c b a"), ("a b a", "a b"), ("e a e b e", "e b a"), ("", "")] {
            let ids: Vec<String> = layers.split_whitespace().map(str::to_owned).collect();
            let stacked: Vec<&str> = stack(&ids).map(String::as_str).collect();
            assert_eq!(stacked, mounted.split_whitespace().collect::<Vec<_>>(), "{layers}");
        }
    }
}
