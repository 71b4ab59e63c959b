//! Keeps the host's binary out of a container's reach (CVE-2019-5736).
//!
//! A container's init is a clone of this program until it executes the container's. During that time, and for
//! the built-in pause for ever, `/proc/PID/exe` leads to the file we run from. So we run from a view of it that
//! has no writable side: an overlay of lower layers only, mounted once per boot below [`FOLDER`], or one of our own
//! where nothing can be mounted there, or a sealed copy in memory where overlays cannot be had.
//!
//! The name of the mount says which file it shows, so that a new version gets a new mount: an overlay may go on
//! showing what it showed first. The mount of the old version goes then; who runs from it keeps it.

use std::ffi::{CString, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};
use sys::{During, Result};

/// Where the overlays are mounted, one per version of this program.
const FOLDER: &str = "/run/orlop/exe";
/// Set for the program that was executed from a protected file. It is trusted: whoever sets our environment is root.
const MARK: &str = "_ORLOP_RUNTIME_PROTECTED";
/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAY: i64 = 0x794c_7630;

/// Executes this program again from a file that cannot be written, unless it runs from one already.
pub(crate) fn protect() -> Result<()> {
    if std::env::var_os(MARK).is_some() && is_protected()? {
        return Ok(());
    }
    let program = shared().or_else(|_| overlay()).or_else(|_| sealed_copy())?;
    let string = |text: OsString| CString::new(text.into_vec()).unwrap_or_default();
    let args: Vec<_> = std::env::args_os().map(string).collect();
    let mark = CString::new(format!("{MARK}=1")).unwrap_or_default();
    let env = std::env::vars_os().filter(|(name, _)| name != MARK).map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        string(name)
    });
    let env: Vec<_> = env.chain([mark]).collect();
    Err(sys::process::execute_fd(&program, &args, &env)).during("execute", "protected copy of this program")
}

/// The mark alone proves nothing to us: look at what we run from.
fn is_protected() -> Result<bool> {
    let path = Path::new("/proc/self/exe");
    let exe = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .during("open", path.display())?;
    let seals = SealFlags::WRITE | SealFlags::SEAL;
    // The mark is inherited by other programs of ours, and the machine's own root may be an overlay: ours is
    // attached nowhere, and so its files are at its root, or below our folder.
    let place = || {
        std::fs::read_link(path)
            .is_ok_and(|exe| exe.parent() == Some(Path::new("/")) || exe.starts_with(FOLDER))
    };
    Ok(rustix::fs::fcntl_get_seals(&exe).is_ok_and(|have| have.contains(seals))
        || is_read_only_overlay(&exe)? && place())
}

fn is_read_only_overlay(file: &OwnedFd) -> Result<bool> {
    // Without an upper layer the file system itself is read-only, and no remount changes that.
    let flags = rustix::fs::fstatvfs(file).during("fstatvfs", "overlay")?.f_flag;
    Ok(sys::fs::magic(file)? == OVERLAY && flags.contains(StatVfsMountFlags::RDONLY))
}

/// This program in the overlay of this boot; mounts it when it is not there yet.
fn shared() -> Result<OwnedFd> {
    let exe = std::fs::read_link("/proc/self/exe").during("readlink", "/proc/self/exe")?;
    let (folder, name) = split(&exe)?;
    let stat = rustix::fs::stat(&exe).during("stat", exe.display())?;
    // Two installations have two places; the rest tells versions in one place apart.
    let mut place = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(&exe, &mut place);
    let place = format!("{:016x}", std::hash::Hasher::finish(&place));
    let version =
        format!("{:x}-{:x}-{:x}-{:x}", stat.st_ino, stat.st_size, stat.st_ctime, stat.st_ctime_nsec);
    let target = Path::new(FOLDER).join(format!("{place}-{version}"));
    if let Ok(program) = open_in(&target, name) {
        return Ok(program);
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&target);
    made.during("mkdir", target.display())?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let all = rustix::fs::open(FOLDER, flags, Mode::empty()).during("open", FOLDER)?;
    rustix::fs::flock(&all, FlockOperation::LockExclusive).during("lock", FOLDER)?;
    if let Ok(program) = open_in(&target, name) {
        return Ok(program);
    }
    // The folder that will be covered is empty, which is what the second layer has to be.
    let mount = sys::mount::read_only_overlay(folder, &target)?;
    let private = sys::mount::Attributes { propagation: libc::MS_PRIVATE, ..Default::default() };
    let at = rustix::fs::open(&target, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    sys::mount::attach(&mount, at.during("open", target.display())?).during("attach", target.display())?;
    sys::mount::set_attributes(&mount, false, private, None).during("make private", target.display())?;
    remove_older(&place, &target);
    open_in(&target, name)
}

fn open_in(folder: &Path, name: &Path) -> Result<OwnedFd> {
    let path = folder.join(name);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let program = rustix::fs::open(&path, flags, Mode::empty()).during("open", path.display())?;
    if is_read_only_overlay(&program)? {
        return Ok(program);
    }
    Err(rustix::io::Errno::NOENT).during("find mount at", path.display())
}

/// Best effort: what stays is gone at the next boot.
fn remove_older(place: &str, current: &Path) {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|entry| entry.path());
    let ours = |path: &PathBuf| {
        path != current && path.file_name().is_some_and(|name| name.as_bytes().starts_with(place.as_bytes()))
    };
    for path in entries.filter(ours) {
        let _ = sys::mount::detach(&path);
        let _ = std::fs::remove_dir(&path);
    }
}

fn split(exe: &Path) -> Result<(&Path, &Path)> {
    match (exe.parent(), exe.file_name()) {
        (Some(folder), Some(name)) => Ok((folder, Path::new(name))),
        _ => Err(rustix::io::Errno::NOENT).during("find", exe.display()),
    }
}

/// An overlay of our own, attached nowhere. Without an upper layer it needs two lower ones; the second only has to be one
/// that overlays take.
fn overlay() -> Result<OwnedFd> {
    let exe = std::fs::read_link("/proc/self/exe").during("readlink", "/proc/self/exe")?;
    let (folder, name) = split(&exe)?;
    let second = if folder.starts_with("/dev") { "/" } else { "/dev" };
    let mount = sys::mount::read_only_overlay(folder, Path::new(second))
        .or_else(|_| sys::mount::read_only_overlay(folder, Path::new("/proc")))?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&mount, name, flags, Mode::empty()).during("open", exe.display())
}

fn sealed_copy() -> Result<OwnedFd> {
    let path = Path::new("/proc/self/exe");
    let exe = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .during("open", path.display())?;
    let size = usize::try_from(sys::fs::stat(&exe)?.st_size).unwrap_or(0);
    let copy = rustix::fs::memfd_create("orlop-runtime", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .during("memfd_create", "orlop-runtime")?;
    let mut left = size;
    while left > 0 {
        let copied = rustix::fs::sendfile(&copy, &exe, None, left).during("copy", path.display())?;
        if copied == 0 {
            break;
        }
        left -= copied;
    }
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals).during("seal", "orlop-runtime")?;
    Ok(copy)
}
