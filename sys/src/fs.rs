//! Paths inside a root that somebody else filled.
//!
//! Every path below a container's root file system may be a symlink, or be turned into one while we look. So it
//! is resolved by the kernel, inside the root, to a descriptor (openat2(2) with `RESOLVE_IN_ROOT`), and what
//! follows acts on the descriptor and never on the path again.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::{During, Error, Result};

/// How many dangling symlinks are followed while folders are made.
const MAX_LINKS: usize = 40;

/// A folder that is the root of everything resolved through it.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

impl Root {
    /// Opens a trusted path as root.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).during("open", path.display())?;
        Ok(Self { fd })
    }

    /// Takes a folder's descriptor as root.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// What the path leads to, as an `O_PATH` descriptor. Symlinks are followed inside the root.
    pub fn resolve(&self, path: &Path) -> Result<OwnedFd> {
        self.open_at(path, OFlags::PATH, Mode::empty())
    }

    /// Like [`resolve`](Self::resolve), but no component may be a symlink.
    pub fn resolve_plain(&self, path: &Path) -> Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        // Not O_NOFOLLOW: with it, a symlink at the end would be opened itself instead of being refused.
        self.openat2(path, OFlags::PATH, Mode::empty(), resolve)
    }

    /// Opens a file inside the root.
    pub fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        self.openat2(path, flags, mode, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
    }

    fn openat2(&self, path: &Path, flags: OFlags, mode: Mode, resolve: ResolveFlags) -> Result<OwnedFd> {
        // The parent of a single name is the empty path, which the kernel does not take.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        loop {
            match rustix::fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, mode, resolve) {
                // The kernel could not prove that `..` stayed inside because something was renamed meanwhile.
                Err(Errno::AGAIN) => {}
                result => return result.during("open", path.display()),
            }
        }
    }

    /// Makes a folder and those above it, as far as they are missing, and returns it.
    pub fn make_dir_all(&self, path: &Path, mode: Mode) -> Result<OwnedFd> {
        self.make_dir_all_counted(path, mode, &mut 0)
    }

    fn make_dir_all_counted(&self, path: &Path, mode: Mode, links: &mut usize) -> Result<OwnedFd> {
        match self.open_at(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
            Err(error) if error.errno == Errno::NOENT => {}
            result => return result,
        }
        let Some((parent, name)) = split(path) else {
            return Err(Error::new("mkdir", path.display(), Errno::INVAL));
        };
        let folder = self.make_dir_all_counted(parent, mode, links)?;
        match rustix::fs::mkdirat(&folder, name, mode) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                // Either somebody else made it, or it is a symlink to something that does not exist yet.
                if let Ok(link) = rustix::fs::readlinkat(&folder, name, Vec::new()) {
                    *links += 1;
                    if *links > MAX_LINKS {
                        return Err(Error::new("mkdir", path.display(), Errno::LOOP));
                    }
                    let target = parent.join(OsStr::from_bytes(link.as_bytes()));
                    return self.make_dir_all_counted(&target, mode, links);
                }
            }
            Err(errno) => return Err(Error::new("mkdir", path.display(), errno)),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&folder, name, flags, Mode::empty()).during("open", path.display())
    }

    /// Makes an empty file, and the folders above it, unless something is there; returns what is there.
    ///
    /// A symlink to what does not exist is followed, inside the root: images have `/etc/resolv.conf` as one into
    /// `/run`.
    pub fn make_file(&self, path: &Path, mode: Mode) -> Result<OwnedFd> {
        self.make_file_counted(path, mode, &mut 0)
    }

    fn make_file_counted(&self, path: &Path, mode: Mode, links: &mut usize) -> Result<OwnedFd> {
        match self.resolve(path) {
            Err(error) if error.errno == Errno::NOENT => {}
            result => return result,
        }
        let Some((parent, name)) = split(path) else {
            return Err(Error::new("create", path.display(), Errno::INVAL));
        };
        let folder = self.make_dir_all_counted(parent, Mode::from_raw_mode(0o755), links)?;
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&folder, name, flags, mode) {
            Ok(_) => {}
            // Its target must not be left to the kernel, which would look for it outside of the root.
            Err(Errno::LOOP) => {
                *links += 1;
                if *links > MAX_LINKS {
                    return Err(Error::new("create", path.display(), Errno::LOOP));
                }
                let link =
                    rustix::fs::readlinkat(&folder, name, Vec::new()).during("readlink", path.display())?;
                return self.make_file_counted(&parent.join(OsStr::from_bytes(link.as_bytes())), mode, links);
            }
            Err(errno) => return Err(Error::new("create", path.display(), errno)),
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&folder, name, flags, Mode::empty()).during("open", path.display())
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The folder and the name of a path; `None` for a root or a path that ends in `..`.
fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    match path.components().next_back()? {
        Component::Normal(name) => Some((path.parent()?, name)),
        _ => None,
    }
}

/// The path by which system calls without a descriptor argument reach an open file.
pub fn fd_path(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// What an open descriptor is.
pub fn stat(fd: impl AsFd) -> Result<Stat> {
    let fd = fd.as_fd();
    rustix::fs::fstat(fd).during("stat", fd.as_raw_fd())
}

/// The file type of an open descriptor.
pub fn file_type(fd: impl AsFd) -> Result<FileType> {
    Ok(FileType::from_raw_mode(stat(fd)?.st_mode))
}

/// The kind of file system (`*_MAGIC`) that an open descriptor lies on.
pub fn magic(fd: impl AsFd) -> Result<i64> {
    let fd = fd.as_fd();
    #[allow(clippy::useless_conversion)] // The width of `f_type` differs between architectures.
    Ok(i64::from(rustix::fs::fstatfs(fd).during("statfs", fd.as_raw_fd())?.f_type))
}

/// Whether an absolute host path exists; other errors count as yes.
pub fn exists(path: &Path) -> bool {
    !matches!(rustix::fs::statat(CWD, path, AtFlags::empty()), Err(Errno::NOENT | Errno::NOTDIR))
}

/// Writes a small file in one call, as the kernel's own files (cgroupfs, procfs) want it.
pub fn write(path: &Path, data: &str) -> Result<()> {
    let fd = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .during("open", path.display())?;
    rustix::io::write(&fd, data.as_bytes()).during("write", path.display())?;
    Ok(())
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).during("read", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        (folder, root)
    }

    #[test]
    fn an_absolute_symlink_stays_inside() {
        let (folder, root) = root();
        symlink("/etc", folder.path().join("link")).unwrap();
        let made = root.make_dir_all(Path::new("/link/deep"), Mode::from_raw_mode(0o755)).unwrap();
        assert_eq!(file_type(&made).unwrap(), FileType::Directory);
        assert!(folder.path().join("etc/deep").is_dir());
        assert!(!Path::new("/etc/deep").exists());
    }

    #[test]
    fn dots_do_not_leave_the_root() {
        let (folder, root) = root();
        root.make_dir_all(Path::new("/a"), Mode::from_raw_mode(0o755)).unwrap();
        root.make_file(Path::new("/a/../../../f"), Mode::from_raw_mode(0o644)).unwrap();
        assert!(folder.path().join("f").is_file());
    }

    #[test]
    fn a_file_is_created_through_a_dangling_symlink_inside() {
        let (folder, root) = root();
        let target = folder.path().join("run/deep/file");
        for (name, link) in [("absolute", "/run/deep/file"), ("up", "../../../run/deep/file")] {
            symlink(link, folder.path().join(name)).unwrap();
            root.make_file(&Path::new("/").join(name), Mode::from_raw_mode(0o644)).unwrap();
            assert!(target.is_file(), "{name}");
            std::fs::remove_file(&target).unwrap();
        }
        assert!(!Path::new("/run/deep").exists());
        symlink("circle", folder.path().join("circle")).unwrap();
        assert!(root.make_file(Path::new("/circle"), Mode::from_raw_mode(0o644)).is_err());
    }

    #[test]
    fn symlinks_in_a_circle_end() {
        let (folder, root) = root();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        assert!(root.make_dir_all(Path::new("/a/x"), Mode::from_raw_mode(0o755)).is_err());
    }

    #[test]
    fn plain_resolution_refuses_symlinks() {
        let (folder, root) = root();
        std::fs::create_dir(folder.path().join("real")).unwrap();
        symlink("real", folder.path().join("proc")).unwrap();
        assert_eq!(root.resolve_plain(Path::new("/proc")).unwrap_err().errno, Errno::LOOP);
    }
}
