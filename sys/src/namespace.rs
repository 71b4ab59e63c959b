//! Namespaces: their kinds, joining one, and bringing a new network's loopback up.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use crate::{During, Result};

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// User and group ids, and the capabilities over the others.
    User,
    /// The visible root of the cgroup tree.
    Cgroup,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host and domain name.
    Uts,
    /// Network devices, addresses, ports.
    Network,
    /// Offsets of the monotonic and the boot-time clock.
    Time,
    /// Process ids.
    Pid,
    /// The mount tree.
    Mount,
}

impl Kind {
    /// All of them, in the order in which they can be joined one by one: the user namespace first, since it
    /// gives the right to join the others, the mount namespace last, since it takes the paths away.
    pub const ALL: [Self; 8] =
        [Self::User, Self::Cgroup, Self::Ipc, Self::Uts, Self::Network, Self::Time, Self::Pid, Self::Mount];

    /// Its `CLONE_NEW*` flag.
    pub const fn flag(self) -> u64 {
        (match self {
            Self::User => libc::CLONE_NEWUSER,
            Self::Cgroup => libc::CLONE_NEWCGROUP,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Network => libc::CLONE_NEWNET,
            Self::Time => libc::CLONE_NEWTIME,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Mount => libc::CLONE_NEWNS,
        }) as u64
    }

    /// Its file under `/proc/PID/ns/`.
    pub const fn file(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Network => "net",
            Self::Time => "time",
            Self::Pid => "pid",
            Self::Mount => "mnt",
        }
    }
}

/// Moves this thread into a namespace, or into several of a process when `fd` is a pidfd (setns(2)).
/// A PID namespace takes effect for children only. The process must have one thread for user and mount.
pub fn join(fd: impl AsFd, flags: u64) -> Result<(), Errno> {
    #[allow(clippy::cast_possible_truncation)] // The flags of namespaces lie within 32 bits.
    // SAFETY: setns takes no pointers; the descriptor is borrowed for the call.
    let result = unsafe { libc::setns(fd.as_fd().as_raw_fd(), flags as i32) };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Gives this thread new namespaces (unshare(2)).
pub fn unshare(flags: u64) -> Result<(), Errno> {
    #[allow(clippy::cast_possible_truncation)] // As above.
    // SAFETY: unshare takes no pointers. Descriptors stay shared: callers pass `CLONE_NEW*` flags only.
    let result = unsafe { libc::unshare(flags as i32) };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Sets `lo` up in this thread's network namespace.
pub fn loopback_up() -> Result<()> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .during("socket", "lo")?;
    // SAFETY: all-zero is a valid `ifreq`: it is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l'.cast_signed();
    request.ifr_name[1] = b'o'.cast_signed();
    #[allow(clippy::cast_possible_truncation)] // IFF_UP | IFF_RUNNING is 0x41.
    {
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    }
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if result == 0 { Ok(()) } else { Err(last()).during("set up", "lo") }
}

fn last() -> Errno {
    crate::error::errno_of(&std::io::Error::last_os_error())
}
