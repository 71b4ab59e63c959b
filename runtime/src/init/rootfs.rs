//! The container's root: mounts, hiding, and entering it.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use sys::fs::Root;
use sys::mount::{self, Attributes};
use sys::{During, Error as SysError};

use super::{Setup, cgroups, devices};
use crate::error::{Error, Result, Stage};
use crate::launch;
use crate::plan::{MountKind, MountPlan};

/// What a bind shows.
#[derive(Debug)]
pub(crate) enum Source {
    /// A detached mount with its attributes.
    Opened {
        /// Its root.
        tree: OwnedFd,
        /// Whether a folder is needed to attach it to.
        is_folder: bool,
    },
    /// What an earlier mount brought into the container.
    Inside {
        /// Absolute in the container.
        path: PathBuf,
        /// Whose mappings its owners are shown with.
        user: Option<OwnedFd>,
    },
}

const FOLDER: Mode = Mode::from_raw_mode(0o755);
const FILE: Mode = Mode::from_raw_mode(0o644);

/// Attaches the root file system and mounts everything in it. Ends with an open root.
pub(crate) fn make(setup: &mut Setup<'_>) -> Result<Root> {
    let plan = setup.plan;
    // Nothing that happens here may reach the host, whatever is shared there.
    mount::set_propagation(Path::new("/"), libc::MS_SLAVE | libc::MS_REC)?;
    // On top of our `/`: no path to the bundle has to be passable for a user namespace's root, and lookups from
    // `/` do not see it, since they start at the mount below.
    let host_root = Root::open(Path::new("/"))?;
    mount::attach(&setup.rootfs, &host_root).during("attach", plan.rootfs.display())?;
    let root =
        Root::from_fd(rustix::io::fcntl_dupfd_cloexec(&setup.rootfs, 3).during("duplicate", "rootfs")?);
    let sources = std::mem::take(&mut setup.sources);
    for (entry, source) in plan.mounts.iter().zip(sources) {
        mount_one(&root, entry, source, setup)
            .stage(format!("error mounting {:?} to rootfs at {:?}", entry.source, entry.destination))?;
    }
    let bound_dev = plan
        .mounts
        .iter()
        .any(|mount| mount.destination == Path::new("/dev") && matches!(mount.kind, MountKind::Bind { .. }));
    if !bound_dev {
        devices::make(&root, &plan.devices, &mut setup.nodes, plan.process.terminal.is_some())?;
    }
    make_cwd(&root, &plan.process.cwd)?;
    Ok(root)
}

fn mount_one(root: &Root, entry: &MountPlan, source: Option<Source>, setup: &Setup<'_>) -> Result<()> {
    match (&entry.kind, source) {
        (&MountKind::Bind { recursive }, Some(source)) => {
            let (tree, is_folder) = match source {
                Source::Opened { tree, is_folder } => (tree, is_folder),
                Source::Inside { path, user } => {
                    let found = root.resolve(&path)?;
                    let is_folder = sys::fs::file_type(&found)? == FileType::Directory;
                    let tree = mount::copy_tree_of(&found, recursive)?;
                    launch::prepare(&tree, entry, user.as_ref(), setup.plan.root_propagation)?;
                    (tree, is_folder)
                }
            };
            let target = target(root, &entry.destination, is_folder)?;
            outside_proc(&target, &entry.destination)?;
            Ok(mount::attach(&tree, &target).during("attach", entry.destination.display())?)
        }
        (MountKind::Bind { .. }, None) => Err(Error::said("the source was not opened")),
        (MountKind::Cgroup, _) => cgroups::mount_view(root, entry, setup),
        (MountKind::New(kind), _) => {
            let existed = root.resolve(&entry.destination).is_ok();
            let target = if matches!(kind.as_str(), "proc" | "sysfs") {
                ordinary(root, &entry.destination)?
            } else {
                target(root, &entry.destination, true)?
            };
            outside_proc(&target, &entry.destination)?;
            let inherited = if existed { inherited_mode(entry, kind, &target)? } else { String::new() };
            let saved =
                if entry.copy_up { Some(super::rootfs::Kept::open(root, &entry.destination)?) } else { None };
            // A read-only /dev is made so when its nodes are there.
            let later = entry.destination == Path::new("/dev") || entry.copy_up;
            let flags = if later { entry.flags & !libc::MS_RDONLY } else { entry.flags };
            mount_new(entry, kind, flags, &inherited, &target)?;
            if let Some(saved) = saved {
                saved.copy_into(&root.open_at(
                    &entry.destination,
                    OFlags::RDONLY | OFlags::DIRECTORY,
                    Mode::empty(),
                )?)?;
                if entry.flags & libc::MS_RDONLY != 0 {
                    read_only(root, &entry.destination)?;
                }
            }
            adjust(root, entry)
        }
    }
}

/// A tmpfs looks like the folder that it covers, unless its options say otherwise.
fn inherited_mode(entry: &MountPlan, kind: &str, target: &OwnedFd) -> Result<String> {
    if kind != "tmpfs" || entry.data.split(',').any(|option| option.starts_with("mode=")) {
        return Ok(String::new());
    }
    let mode = sys::fs::stat(target)?.st_mode & 0o7777;
    Ok(format!("{}mode={mode:o}", if entry.data.is_empty() { "" } else { "," }))
}

fn mount_new(entry: &MountPlan, kind: &str, flags: u64, more: &str, target: &OwnedFd) -> Result<()> {
    let string = |bytes: &[u8]| CString::new(bytes).during_nul(entry);
    let (source, fstype) = (string(entry.source.as_os_str().as_bytes())?, string(kind.as_bytes())?);
    let data = string(format!("{}{more}", entry.data).as_bytes())?;
    Ok(mount::mount_on(&source, target, &fstype, flags, &data).during("mount", kind)?)
}

trait DuringNul {
    fn during_nul(self, entry: &MountPlan) -> Result<CString>;
}

impl DuringNul for std::result::Result<CString, std::ffi::NulError> {
    fn during_nul(self, entry: &MountPlan) -> Result<CString> {
        self.map_err(|_| {
            Error::refused(format!("mounts[{}]", entry.destination.display()), "must not contain NUL")
        })
    }
}

/// Propagation and recursive attributes of a mount that is in its place.
pub(super) fn adjust(root: &Root, entry: &MountPlan) -> Result<()> {
    if entry.propagation.is_empty() && entry.recursive == Attributes::default() {
        return Ok(());
    }
    let mounted = root.resolve(&entry.destination)?;
    Ok(apply_attributes(&mounted, &Attributes::default(), &entry.recursive, &entry.propagation)?)
}

/// Changes a mount as a plan's words say.
pub(crate) fn apply_attributes(
    mounted: &OwnedFd,
    own: &Attributes,
    recursive: &Attributes,
    propagation: &[u64],
) -> sys::Result<()> {
    let change = |recursive: bool, attributes: Attributes| {
        mount::set_attributes(mounted, recursive, attributes, None).during("change", "mount attributes")
    };
    for &flags in propagation {
        let attributes = Attributes { propagation: flags & !libc::MS_REC, ..Attributes::default() };
        change(flags & libc::MS_REC != 0, attributes)?;
    }
    if *own != Attributes::default() {
        change(false, *own)?;
    }
    if *recursive != Attributes::default() {
        change(true, *recursive)?;
    }
    Ok(())
}

/// What a mount is attached to; made when it is missing.
pub(super) fn target(root: &Root, destination: &Path, folder: bool) -> sys::Result<OwnedFd> {
    if folder { root.make_dir_all(destination, FOLDER) } else { root.make_file(destination, FILE) }
}

/// PROC_SUPER_MAGIC, and the inode of procfs's root (PROC_ROOT_INO).
const PROCFS: i64 = 0x9fa0;
const PROC_ROOT: u64 = 1;
/// What lxcfs shows instead of the kernel's own.
const COVERABLE: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
];

/// Nothing is mounted inside procfs but what lxcfs mounts there: who reads or writes such a file must find the
/// kernel's (CVE-2019-16884, CVE-2025-52881). The mount point is judged by where it lies, not by its name.
fn outside_proc(target: &OwnedFd, destination: &Path) -> Result<()> {
    // procfs itself may be covered.
    if sys::fs::magic(target)? != PROCFS || sys::fs::stat(target)?.st_ino == PROC_ROOT {
        return Ok(());
    }
    if COVERABLE.iter().any(|path| destination == Path::new(path)) {
        return Ok(());
    }
    Err(Error::said(format!("{destination:?} cannot be mounted because it is inside /proc")))
}

/// `/proc` and `/sys` must be where they are expected: whoever reads or writes there believes what it finds.
fn ordinary(root: &Root, destination: &Path) -> Result<OwnedFd> {
    let refused = || Error::said(format!("filesystem {destination:?} must be mounted on ordinary directory"));
    let found = match root.resolve_plain(destination) {
        Err(error) if error.errno == Errno::NOENT => {
            root.make_dir_all(destination, FOLDER)?;
            root.resolve_plain(destination)
        }
        found => found,
    };
    let found = found.map_err(|error| if error.errno == Errno::LOOP { refused() } else { error.into() })?;
    if sys::fs::file_type(&found)? == FileType::Directory { Ok(found) } else { Err(refused()) }
}

/// Puts a terminal's slave at `/dev/console`.
pub(crate) fn mount_console(root: &Root, slave: &OwnedFd) -> Result<()> {
    let target = root.make_file(Path::new("/dev/console"), Mode::from_raw_mode(0o600))?;
    let tree = mount::copy_tree_of(slave, false)?;
    Ok(mount::attach(&tree, &target).during("attach", "/dev/console")?)
}

/// The program's folder is made when the image lacks it.
fn make_cwd(root: &Root, cwd: &Path) -> Result<()> {
    match root.make_dir_all(cwd, FOLDER) {
        // It may be a magic link or be unreachable: changing to it says so.
        Ok(_) => Ok(()),
        Err(error)
            if matches!(
                error.errno,
                Errno::LOOP | Errno::NOTDIR | Errno::ACCESS | Errno::PERM | Errno::ROFS
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Hides what is masked, and makes read-only what shall be.
pub(crate) fn hide(root: &Root, setup: &Setup<'_>) -> Result<()> {
    let plan = setup.plan;
    let read_only_dev = plan.mounts.iter().any(|mount| {
        mount.destination == Path::new("/dev")
            && matches!(mount.kind, MountKind::New(_))
            && mount.flags & libc::MS_RDONLY != 0
    });
    if read_only_dev {
        read_only(root, Path::new("/dev"))?;
    }
    for path in &plan.read_only {
        let Some(found) = find(root, path)? else { continue };
        let tree = mount::copy_tree_of(&found, true)?;
        let attributes = Attributes { set: libc::MOUNT_ATTR_RDONLY, ..Attributes::default() };
        mount::set_attributes(&tree, true, attributes, None).during("make read-only", path.display())?;
        mount::attach(&tree, &found).during("attach", path.display())?;
    }
    mask(root, setup)?;
    if plan.read_only_root {
        read_only(root, Path::new("/"))?;
    }
    Ok(())
}

/// A file is covered by the host's `/dev/null`, opened by us and known to be it: what the image has under that
/// name does not matter. Folders are covered by one empty file system.
fn mask(root: &Root, setup: &Setup<'_>) -> Result<()> {
    let (mut null, mut empty) = (None, None);
    for path in &setup.plan.masked {
        let Some(found) = find(root, path)? else { continue };
        let cover = if sys::fs::file_type(&found)? == FileType::Directory {
            match &empty {
                Some(empty) => &mount::copy_tree_of(empty, false)?,
                None => &*empty.insert(mount::empty_folder()?),
            }
        } else {
            // The kernel copies what is attached in our namespace: the first one is the original.
            match null {
                Some(null) => &mount::copy_tree_of(null, false)?,
                None => &**null.insert(setup.nodes.null()),
            }
        };
        mount::attach(cover, &found).during("mask", path.display())?;
    }
    Ok(())
}

fn find(root: &Root, path: &Path) -> Result<Option<OwnedFd>> {
    match root.resolve(path) {
        Ok(found) => Ok(Some(found)),
        Err(SysError { errno: Errno::NOENT | Errno::NOTDIR | Errno::ACCESS, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read_only(root: &Root, path: &Path) -> Result<()> {
    let mounted = root.resolve(path)?;
    let attributes = Attributes { set: libc::MOUNT_ATTR_RDONLY, ..Attributes::default() };
    Ok(mount::set_attributes(&mounted, false, attributes, None).during("make read-only", path.display())?)
}

/// Makes the root the only one there is.
pub(crate) fn enter(root: Root, setup: &Setup<'_>) -> Result<()> {
    mount::pivot_root(&root)?;
    if let Some(flags) = setup.plan.root_propagation {
        mount::set_propagation(Path::new("/"), flags)?;
    }
    Ok(())
}

/// What a tmpfs with `tmpcopyup` starts with.
pub(super) struct Kept(OwnedFd);

impl Kept {
    fn open(root: &Root, path: &Path) -> Result<Self> {
        Ok(Self(root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?))
    }

    /// By descriptors only; each folder is read through the one that was open before the tmpfs covered it.
    fn copy_into(&self, target: &OwnedFd) -> Result<()> {
        Ok(copy_folder(&self.0, target)?)
    }
}

fn copy_folder(from: &OwnedFd, to: &OwnedFd) -> sys::Result<()> {
    use rustix::fs::AtFlags;
    let names: Vec<_> = rustix::fs::Dir::read_from(from)
        .during("read", "folder")?
        .filter_map(std::result::Result::ok)
        .map(|entry| entry.file_name().to_owned())
        .filter(|name| !matches!(name.to_bytes(), b"." | b".."))
        .collect();
    for name in names {
        let shown = name.to_string_lossy().into_owned();
        let stat = rustix::fs::statat(from, &name, AtFlags::SYMLINK_NOFOLLOW).during("stat", &shown)?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        let open = |at: &OwnedFd, flags| {
            rustix::fs::openat(at, &name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(to, &name, mode).during("mkdir", &shown)?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                copy_folder(
                    &open(from, flags).during("open", &shown)?,
                    &open(to, flags).during("open", &shown)?,
                )?;
            }
            FileType::RegularFile => {
                let source = open(from, OFlags::RDONLY).during("open", &shown)?;
                let copy =
                    open(to, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL).during("create", &shown)?;
                while rustix::fs::sendfile(&copy, &source, None, 1 << 20).during("copy", &shown)? > 0 {}
            }
            FileType::Symlink => {
                let link = rustix::fs::readlinkat(from, &name, Vec::new()).during("readlink", &shown)?;
                rustix::fs::symlinkat(&link, to, &name).during("symlink", &shown)?;
            }
            kind => rustix::fs::mknodat(to, &name, kind, mode, stat.st_rdev).during("mknod", &shown)?,
        }
        let (uid, gid) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
        rustix::fs::chownat(to, &name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .during("chown", &shown)?;
    }
    Ok(())
}
