//! Making and changing processes: clone3(2), credentials, limits, seccomp, execve(2).
#![allow(unsafe_code)]

mod credentials;
mod scheduling;
mod terminal;

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::{During, Error, Result};

pub use credentials::{
    Capabilities, become_user, keep_capabilities, limit_bounding, set_capabilities, set_limit,
    set_not_dumpable,
};
pub use scheduling::{
    MemoryPolicy, Scheduler, reset_cpu_affinity, set_cpu_affinity, set_io_priority, set_memory_policy,
    set_scheduler,
};
pub use terminal::{
    open_terminal, receive_terminal, set_controlling_terminal, set_terminal_size, terminal_size,
};

/// Which side of a clone3(2) this is.
#[derive(Debug)]
pub enum Fork {
    /// The new process.
    Child,
    /// The old one, holding the new.
    Parent(Child),
}

/// A child process: its pid as this process sees it, and its pidfd.
#[derive(Debug)]
pub struct Child {
    /// In this process's PID namespace.
    pub pid: i32,
    /// Becomes readable when it ends.
    pub pidfd: OwnedFd,
}

/// The C library's constant does not fit its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Where and how to clone.
#[derive(Debug, Default)]
pub struct Clone<'a> {
    /// `CLONE_NEW*` and `CLONE_PARENT`.
    pub flags: u64,
    /// A cgroup v2 folder in which the child is born.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// Clones this process.
///
/// # Safety
/// The process must have one thread: in the child every lock that another thread held would stay locked. The
/// child must not return from the caller's frame as if nothing happened; it ends by execve(2) or [`exit_now`].
pub unsafe fn clone(clone: &Clone<'_>) -> Result<Fork> {
    let mut pidfd: RawFd = -1;
    // SAFETY: all-zero is a valid `clone_args`: it is plain data.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = clone.flags | libc::CLONE_PIDFD as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    // With CLONE_PARENT the exit signal is inherited and must be given as 0.
    args.exit_signal = if clone.flags & libc::CLONE_PARENT as u64 == 0 { libc::SIGCHLD as u64 } else { 0 };
    if let Some(cgroup) = clone.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` is the kernel's struct of the size we pass, and its pointer stays valid during the call.
    // Without CLONE_VM the child gets a copy of this address space; the caller vouches for a single thread.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match result {
        0 => Ok(Fork::Child),
        pid if pid > 0 => {
            // SAFETY: the kernel stored a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Fork::Parent(Child { pid: i32::try_from(pid).unwrap_or(i32::MAX), pidfd }))
        }
        _ => Err(Error::new("clone3", format!("{:#x}", args.flags), last())),
    }
}

/// Ends a cloned child at once: no destructors, no handlers of the process it was cloned from.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes no pointers and does not return.
    unsafe { libc::_exit(code) }
}

/// A descriptor for a running process.
pub fn pidfd(pid: i32) -> Result<OwnedFd> {
    let target = Pid::from_raw(pid).ok_or(Error::new("pidfd_open", pid, Errno::SRCH))?;
    rustix::process::pidfd_open(target, PidfdFlags::empty()).during("pidfd_open", pid)
}

/// Sends a signal by number, so that real-time signals work as well.
pub fn send_signal(pidfd: &OwnedFd, signal: i32) -> Result<(), Errno> {
    // SAFETY: no siginfo is passed; the descriptor is borrowed for the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Closes every descriptor from `first` on, whoever owns it.
///
/// # Safety
/// Nothing may own or use such a descriptor. For the start of a program, before it opened anything.
pub unsafe fn close_from(first: u32) -> Result<(), Errno> {
    close_range(first, u32::MAX, 0)
}

fn close_range(first: u32, last_fd: u32, flags: u32) -> Result<(), Errno> {
    // SAFETY: close_range takes no pointers. Closing descriptors that Rust owns is the business of the callers.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last_fd, flags) };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Makes `fd` the descriptor `target` (without close-on-exec), for standard streams.
pub fn duplicate_to(fd: BorrowedFd<'_>, target: RawFd) -> Result<(), Errno> {
    if fd.as_raw_fd() == target {
        // SAFETY: F_SETFD takes no pointers.
        let result = unsafe { libc::fcntl(target, libc::F_SETFD, 0) };
        return if result == 0 { Ok(()) } else { Err(last()) };
    }
    // SAFETY: dup2 takes no pointers; the standard streams are owned by nobody.
    let result = unsafe { libc::dup2(fd.as_raw_fd(), target) };
    if result >= 0 { Ok(()) } else { Err(last()) }
}

/// Whether a descriptor number is open.
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD takes no pointers.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}

/// Lets a descriptor number survive execve(2).
pub fn keep_on_exec(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: F_SETFD takes no pointers.
    let result = unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Replaces this process. Returns only when it failed.
pub fn execute(path: &CString, args: &[CString], env: &[CString]) -> Errno {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: all are C strings, the arrays end with a null pointer, and everything outlives the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    last()
}

/// Replaces this process with an open program (execveat(2)). Returns only when it failed.
pub fn execute_fd(program: &OwnedFd, args: &[CString], env: &[CString]) -> Errno {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: as for `execute`; the empty path names the open file.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    last()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Gives a signal its default effect again (the standard library ignores SIGPIPE; a caller may ignore SIGCHLD).
pub fn reset_signal(signal: i32) {
    // SAFETY: SIG_DFL installs no handler.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// One instruction of classic BPF.
pub use libc::sock_filter as BpfInstruction;

/// Loads a seccomp filter for this thread; the listener's descriptor with `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
pub fn load_seccomp(filter: &[BpfInstruction], flags: u64) -> Result<Option<OwnedFd>> {
    let length = u16::try_from(filter.len()).map_err(|_| Error::new("seccomp", "filter", Errno::INVAL))?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program, which has the length given, during the call.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    if result < 0 {
        return Err(Error::new("seccomp", "filter", last()));
    }
    if flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    let fd = RawFd::try_from(result).map_err(|_| Error::new("seccomp", "filter", Errno::BADF))?;
    // SAFETY: the kernel returned a new descriptor that nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Joins a new, named session keyring, so that the caller's keys cannot be reached (keyctl(2)).
pub fn join_new_keyring(name: &CString) -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: the name is a C string that outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    if result >= 0 { Ok(()) } else { Err(last()) }
}

/// Sets the execution domain (personality(2)).
pub fn set_personality(domain: u32) -> Result<(), Errno> {
    // SAFETY: personality takes no pointers.
    let result = unsafe { libc::personality(domain.into()) };
    if result >= 0 { Ok(()) } else { Err(last()) }
}

fn last() -> Errno {
    crate::error::errno_of(&std::io::Error::last_os_error())
}
