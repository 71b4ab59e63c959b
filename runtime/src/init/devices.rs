//! `/dev`: nodes and symlinks.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use sys::fs::Root;
use sys::{During, mount};

use crate::error::{Error, Result};
use crate::plan::{DeviceKind, DevicePlan};

/// Detached copies of host nodes.
#[derive(Debug)]
pub(crate) struct Nodes {
    null: OwnedFd,
    /// In the order of the plan's devices; empty when nodes are made.
    copies: Vec<Option<OwnedFd>>,
}

impl Nodes {
    /// Opens `/dev/null`, and with `bind` the host's node of every device.
    pub(crate) fn open(devices: &[DevicePlan], bind: bool) -> Result<Self> {
        let null = mount::copy_tree(Path::new("/dev/null"), false)?;
        let stat = sys::fs::stat(&null)?;
        let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == rustix::fs::makedev(1, 3);
        if !is_null {
            return Err(Error::said("/dev/null of the host is not the null device"));
        }
        let copies = if bind {
            devices
                .iter()
                .map(|device| Some(mount::copy_tree(&device.path, false)).transpose())
                .collect::<sys::Result<_>>()?
        } else {
            Vec::new()
        };
        Ok(Self { null, copies })
    }

    /// The host's `/dev/null`.
    pub(crate) fn null(&self) -> &OwnedFd {
        &self.null
    }
}

/// Symlinks that programs expect; what an image or a mount put there stays.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Makes the nodes and links.
pub(crate) fn make(root: &Root, devices: &[DevicePlan], nodes: &mut Nodes, _terminal: bool) -> Result<()> {
    // An image whose /dev is a symlink would have its nodes made elsewhere.
    let dev = match root.resolve_plain(Path::new("/dev")) {
        Err(error) if error.errno == Errno::NOENT => {
            root.make_dir_all(Path::new("/dev"), Mode::from_raw_mode(0o755))?
        }
        Err(error) if matches!(error.errno, Errno::LOOP) => {
            return Err(Error::said("/dev of the root file system must be an ordinary directory"));
        }
        found => found?,
    };
    let copies = std::mem::take(&mut nodes.copies);
    if copies.is_empty() {
        for device in devices {
            make_node(root, &dev, device)?;
        }
    }
    for (device, copy) in devices.iter().zip(copies) {
        let Some(copy) = copy else { continue };
        let target = root.make_file(&device.path, Mode::from_raw_mode(0o666))?;
        mount::attach(&copy, &target).during("attach", device.path.display())?;
    }
    for (name, target) in LINKS {
        match rustix::fs::symlinkat(target, &dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(sys::Error::new("symlink", format!("/dev/{name}"), errno).into()),
        }
    }
    Ok(())
}

fn make_node(root: &Root, dev: &OwnedFd, device: &DevicePlan) -> Result<()> {
    let shown = device.path.display();
    let (Some(parent), Some(name)) = (device.path.parent(), device.path.file_name()) else {
        return Err(Error::refused(format!("linux.devices[{shown}]"), "the path is not that of a file"));
    };
    let folder;
    let folder = if parent == Path::new("/dev") {
        dev
    } else {
        folder = root.make_dir_all(parent, Mode::from_raw_mode(0o755))?;
        &folder
    };
    let kind = match device.kind {
        DeviceKind::Character => FileType::CharacterDevice,
        DeviceKind::Block => FileType::BlockDevice,
        DeviceKind::Fifo => FileType::Fifo,
    };
    let number = rustix::fs::makedev(device.major, device.minor);
    let mode = Mode::from_raw_mode(device.mode);
    match rustix::fs::mknodat(folder, name, kind, mode, number) {
        Ok(()) => {
            if (device.uid, device.gid) != (0, 0) {
                let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
                rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                    .during("chown", &shown)?;
            }
            Ok(())
        }
        // The image brought one: it will do if it is the same.
        Err(Errno::EXIST) => {
            let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let found =
                rustix::fs::openat2(folder, name, flags, Mode::empty(), resolve).during("open", &shown)?;
            let stat = sys::fs::stat(&found)?;
            if FileType::from_raw_mode(stat.st_mode) == kind && stat.st_rdev == number {
                Ok(())
            } else {
                Err(sys::Error::new("mknod", &shown, Errno::EXIST).into())
            }
        }
        Err(errno) => Err(sys::Error::new("mknod", &shown, errno).into()),
    }
}
