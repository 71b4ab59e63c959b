//! Network namespaces: opening, comparing and entering them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace that is held open.
#[derive(Debug)]
pub struct NetNs(OwnedFd);

impl NetNs {
    /// Opens the namespace at a path, such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    ///
    /// A path that is no file of nsfs is `EINVAL`: a bind mount that went away leaves an empty regular file behind.
    pub fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        const NSFS_MAGIC: i64 = 0x6e73_6673;
        if rustix::fs::fstatfs(&fd)?.f_type != NSFS_MAGIC {
            return Err(rustix::io::Errno::INVAL.into());
        }
        Ok(Self(fd))
    }

    /// The calling thread's own.
    pub fn current() -> io::Result<Self> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Whether both are the same namespace.
    pub fn is_same(&self, other: &Self) -> io::Result<bool> {
        let (a, b) = (rustix::fs::fstat(&self.0)?, rustix::fs::fstat(&other.0)?);
        Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }

    /// Takes the lock of this namespace, which is held until `self` is dropped, and returns whether it had to be waited for.
    ///
    /// It is a flock on the namespace itself, so that it needs no file that all its users would have to agree on.
    pub fn lock(&self) -> io::Result<bool> {
        match flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                flock(&self.0, FlockOperation::LockExclusive)?;
                Ok(true)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Runs a function inside the namespace, on a thread that ends with it, so that no other work ever runs in there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("netns".into()).spawn_scoped(scope, || {
                move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?;
                work()
            })?;
            thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread in the network namespace panicked")))
        })
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
