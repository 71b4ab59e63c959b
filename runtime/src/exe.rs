//! Keeps the host's binary out of a container's reach (CVE-2019-5736).
//!
//! A container's init is a clone of this program until it executes the container's. During that time, and for
//! the built-in pause for ever, `/proc/PID/exe` leads to the file we run from. So we run from a view of it that
//! has no writable side: an overlay of lower layers only, or a sealed copy in memory where overlays cannot be had.

use std::ffi::{CString, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use sys::{During, Result};

/// Set for the program that was executed from a protected file. It is trusted: whoever sets our environment is root.
const MARK: &str = "_ORLOP_RUNTIME_PROTECTED";
/// `OVERLAYFS_SUPER_MAGIC`.
const OVERLAY: i64 = 0x794c_7630;

/// Executes this program again from a file that cannot be written, unless it runs from one already.
pub(crate) fn protect() -> Result<()> {
    if std::env::var_os(MARK).is_some() && is_protected()? {
        return Ok(());
    }
    let program = overlay().or_else(|_| sealed_copy())?;
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
    // attached nowhere, and so its files are at its root.
    let detached = || std::fs::read_link(path).is_ok_and(|exe| exe.parent() == Some(Path::new("/")));
    Ok(rustix::fs::fcntl_get_seals(&exe).is_ok_and(|have| have.contains(seals))
        || sys::fs::magic(&exe)? == OVERLAY && detached())
}

fn overlay() -> Result<OwnedFd> {
    let exe = std::fs::read_link("/proc/self/exe").during("readlink", "/proc/self/exe")?;
    let (Some(folder), Some(name)) = (exe.parent(), exe.file_name()) else {
        return Err(rustix::io::Errno::NOENT).during("find", exe.display());
    };
    // An overlay without an upper layer needs two lower ones; the second only has to exist.
    let second = if folder == Path::new("/proc") { "/" } else { "/proc" };
    let mount = sys::mount::read_only_overlay(folder, Path::new(second))
        .or_else(|_| sys::mount::read_only_overlay(folder, Path::new("/dev")))?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let name = CString::new(name.as_bytes()).unwrap_or_default();
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
