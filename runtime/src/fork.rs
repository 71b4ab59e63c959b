//! The clone path: the one place outside of `sys` with `unsafe`.
#![allow(unsafe_code)]

use std::os::fd::OwnedFd;

use oci_spec::runtime::LinuxIdMapping;
use sys::During;
use sys::namespace::Kind;
use sys::process::{Child, Clone, Fork};

use crate::error::{Error, Result, Stage};

/// Clones this process; the child runs `body` and ends.
///
/// The child is an ordinary child, not a sibling by `CLONE_PARENT`: when this program ends, it goes to the
/// nearest subreaper (the monitor, a shim, conmon), and a caller that is none is not left with a zombie that it
/// does not know of.
pub(crate) fn spawn(clone: &Clone<'_>, body: impl FnOnce()) -> Result<Child> {
    // SAFETY: this program never starts a thread, and `body` ends in _exit or execve.
    match unsafe { sys::process::clone(clone) }? {
        Fork::Parent(child) => Ok(child),
        Fork::Child => {
            body();
            sys::process::exit_now(1)
        }
    }
}

/// Forgets every descriptor that the caller leaked to us, but those that the container shall get. Comes before
/// anything was opened.
pub(crate) fn close_inherited(preserve: u32) -> Result<()> {
    for fd in 3..3 + preserve.cast_signed() {
        if !sys::process::is_open(fd) {
            return Err(Error::said(format!("descriptor {fd} to preserve is not open")));
        }
    }
    // SAFETY: called first thing by the verbs; the standard library keeps no descriptor of its own open.
    Ok(unsafe { sys::process::close_from(3 + preserve) }.during("close", "inherited descriptors")?)
}

/// Makes a user namespace with mappings, for idmapped mounts; nothing lives in it.
pub(crate) fn user_namespace(uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> Result<OwnedFd> {
    let clone = Clone { flags: Kind::User.flag(), cgroup: None };
    let child = spawn(&clone, || {
        loop {
            std::thread::park();
        }
    })?;
    let made = map_ids(child.pid, uids, gids).and_then(|()| {
        let path = format!("/proc/{}/ns/user", child.pid);
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
        Ok(rustix::fs::open(path.as_str(), flags, rustix::fs::Mode::empty()).during("open", path)?)
    });
    kill(&child);
    made
}

/// Writes the mappings of a process's new user namespace.
pub(crate) fn map_ids(pid: i32, uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> Result<()> {
    let lines = |ids: &[LinuxIdMapping]| {
        ids.iter()
            .map(|ids| format!("{} {} {}\n", ids.container_id(), ids.host_id(), ids.size()))
            .collect::<String>()
    };
    let file = |name: &str| std::path::PathBuf::from(format!("/proc/{pid}/{name}"));
    if !rustix::process::geteuid().is_root() {
        // An ordinary user may map one group only after giving up setgroups(2) (user_namespaces(7)).
        sys::fs::write(&file("setgroups"), "deny")?;
    }
    sys::fs::write(&file("gid_map"), &lines(gids)).stage("mapping groups")?;
    sys::fs::write(&file("uid_map"), &lines(uids)).stage("mapping users")
}

/// Kills a child and waits for its end.
pub(crate) fn kill(child: &Child) {
    let _ = sys::process::send_signal(&child.pidfd, libc::SIGKILL);
    let _ = wait(&child.pidfd);
}

/// Waits for a child's end: its exit code, or 128 + N for signal N.
pub(crate) fn wait(pidfd: &OwnedFd) -> Result<u8> {
    use rustix::process::{WaitId, WaitIdOptions};
    use std::os::fd::AsFd;
    let status = loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(rustix::io::Errno::INTR) => {}
            result => break result.during("wait for", "container")?,
        }
    };
    let code = status.and_then(|status| {
        status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))
    });
    Ok(u8::try_from(code.unwrap_or(1)).unwrap_or(u8::MAX))
}
