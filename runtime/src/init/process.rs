//! The last steps of a container's process, its first or a later one: who it is and what it executes.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, Uid};
use rustix::io::Errno;
use sys::process::{self as kernel, MemoryPolicy};
use sys::{During, Error as SysError};

use crate::channel::{Channel, Message};
use crate::error::{Error, Result};
use crate::plan::ProcessPlan;
use crate::seccomp::Filter;

/// A program that was found and may be executed.
#[derive(Debug)]
pub(crate) struct Program {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    /// Tells the program of sockets that it was given (sd_listen_fds(3)); it will be process 1.
    pub(crate) fn with_sockets(mut self, count: u32) -> Self {
        if count > 0 {
            self.env.push(string(format!("LISTEN_FDS={count}")));
            self.env.push(string("LISTEN_PID=1".to_owned()));
        }
        self
    }

    /// `NAME=value` of what it will run with.
    pub(crate) fn environment(&self) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
        self.env.iter().map(|entry| entry.to_string_lossy())
    }

    /// Executes it; returns only with the reason why not.
    pub(crate) fn execute(&self, preserve: u32) -> Result<()> {
        for fd in 3..3 + preserve.cast_signed() {
            kernel::keep_on_exec(fd).during("preserve", fd)?;
        }
        let errno = kernel::execute(&self.path, &self.args, &self.env);
        Err(Error::said(format!("exec {}: {}", self.path.to_string_lossy(), sys::error::text(errno))))
    }
}

/// Security labels are written through the host's procfs, opened before its paths go away.
#[derive(Debug, Default)]
pub(crate) struct Labels(Vec<(OwnedFd, String)>);

impl Labels {
    /// Opens what the plan needs.
    pub(crate) fn open(plan: &ProcessPlan) -> Result<Self> {
        let mut labels = Vec::new();
        let mut add = |path: &str, label: String| -> Result<()> {
            let fd = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                .during("open", path)?;
            labels.push((fd, label));
            Ok(())
        };
        if let Some(profile) = plan.apparmor.as_deref().filter(|profile| *profile != "unconfined") {
            if !sys::fs::exists(Path::new("/sys/kernel/security/apparmor")) {
                return Err(Error::refused("process.apparmorProfile", "apparmor is not enabled on the host"));
            }
            let path = "/proc/thread-self/attr/apparmor/exec";
            let path = if sys::fs::exists(Path::new(path)) { path } else { "/proc/thread-self/attr/exec" };
            add(path, format!("exec {profile}"))?;
        }
        if let Some(label) = &plan.selinux {
            if !sys::fs::exists(Path::new("/sys/fs/selinux/enforce")) {
                return Err(Error::refused("process.selinuxLabel", "selinux is not enabled on the host"));
            }
            add("/proc/thread-self/attr/exec", label.clone())?;
        }
        Ok(Self(labels))
    }

    fn write(self) -> Result<()> {
        for (fd, label) in self.0 {
            rustix::io::write(&fd, label.as_bytes()).during("write label", label)?;
        }
        Ok(())
    }
}

/// A session keyring of its own; without keyring support in the kernel there is nothing to keep apart.
pub(crate) fn join_keyring(name: &str) -> Result<()> {
    match kernel::join_new_keyring(&string(name.to_owned())) {
        Ok(()) | Err(Errno::NOSYS) => Ok(()),
        Err(errno) => Err(SysError::new("join keyring", name, errno).into()),
    }
}

/// Makes the terminal the session's, and the standard streams.
pub(crate) fn take_terminal(slave: OwnedFd, uid: u32) -> Result<()> {
    rustix::fs::fchown(&slave, Some(Uid::from_raw(uid)), None).during("chown", "terminal")?;
    kernel::set_controlling_terminal(&slave)?;
    for fd in 0..=2 {
        kernel::duplicate_to(slave.as_fd(), fd).during("duplicate", "terminal")?;
    }
    Ok(())
}

/// Lets the program open its own standard streams again by name. Not those that are shared with others: devices,
/// and what cannot be given.
pub(crate) fn own_streams(uid: u32) {
    if uid == 0 {
        return;
    }
    for stream in [std::io::stdin().as_fd(), std::io::stdout().as_fd(), std::io::stderr().as_fd()] {
        let Ok(stat) = rustix::fs::fstat(stream) else { continue };
        if stat.st_uid != uid && FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice {
            let _ = rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None);
        }
    }
}

/// Where and when it runs.
pub(crate) fn place(plan: &ProcessPlan, memory: Option<&MemoryPolicy>) -> Result<()> {
    if let Some(value) = plan.io_priority {
        kernel::set_io_priority(value).during("ioprio_set", value)?;
    }
    if let Some(policy) = memory {
        kernel::set_memory_policy(policy).during("set_mempolicy", format_args!("{policy:?}"))?;
    }
    let Some(scheduler) = &plan.scheduler else { return Ok(()) };
    match kernel::set_scheduler(scheduler) {
        // sched_setattr(2): EPERM where the thread may not run on every CPU.
        Err(Errno::PERM) if scheduler.policy == libc::SCHED_DEADLINE as u32 => Err(Error::said(
            "process scheduler can't be used together with AllowedCPUs, or the privilege for SCHED_DEADLINE is missing",
        )),
        result => Ok(result.during("sched_setattr", format_args!("{scheduler:?}"))?),
    }
}

/// Takes on user, groups, capabilities, labels and, unless it can wait until execve(2), the seccomp filter; and
/// finds the program.
pub(crate) fn become_it(
    plan: &ProcessPlan,
    filter: Option<&Filter>,
    labels: Labels,
    channel: &Channel,
) -> Result<Program> {
    labels.write()?;
    // As root, who may pass where the user may not; again as the user, who may pass where root may not (NFS).
    let early = rustix::process::chdir(&plan.cwd);
    if plan.no_new_privileges {
        rustix::thread::set_no_new_privs(true).during("prctl", "PR_SET_NO_NEW_PRIVS")?;
    }
    // Without no_new_privs, loading needs a capability that is about to go.
    if let Some(filter) = filter.filter(|filter| !plan.no_new_privileges || filter.listener.is_some()) {
        let listener = kernel::load_seccomp(&filter.program, filter.flags)?;
        if let Some(listener) = listener {
            channel.send_with(&Message::Listener, Some(&listener))?;
        }
    }
    kernel::limit_bounding(plan.capabilities.bounding)?;
    kernel::keep_capabilities()?;
    become_user(plan)?;
    let refused = kernel::set_capabilities(&plan.capabilities)?;
    for number in refused {
        let name = crate::plan::capability_name(number);
        channel.send(&Message::Warning(format!(
            "can't raise ambient capability {name}: operation not permitted"
        )))?;
    }
    if early.is_err() {
        rustix::process::chdir(&plan.cwd)
            .during("chdir to cwd", format_args!("{:?} set in config.json failed", plan.cwd))?;
    }
    check_inside()?;
    rustix::process::umask(Mode::from_raw_mode(plan.umask));
    let path = find(plan)?;
    let mut env = plan.env.clone();
    if plan.variable("HOME").is_none_or(str::is_empty) {
        env.retain(|entry| entry != "HOME=");
        env.push(format!("HOME={}", home(plan.uid)));
    }
    Ok(Program {
        path: string(path),
        args: plan.args.iter().cloned().map(string).collect(),
        env: env.into_iter().map(string).collect(),
    })
}

fn become_user(plan: &ProcessPlan) -> Result<()> {
    match kernel::become_user(plan.uid, plan.gid, Some(&plan.groups)) {
        // A user namespace made by an ordinary user may not set groups; when none are asked for none is missed.
        Err(error) if error.op == "setgroups" && error.errno == Errno::PERM && plan.groups.is_empty() => {
            Ok(kernel::become_user(plan.uid, plan.gid, None)?)
        }
        result => Ok(result?),
    }
}

/// A folder outside of the root has no path in it (CVE-2024-21626: a working directory of `/proc/self/fd/N`).
fn check_inside() -> Result<()> {
    let outside = || {
        Error::said(
            "current working directory is outside of container mount namespace root -- possible container breakout detected",
        )
    };
    match rustix::process::getcwd(Vec::new()) {
        Ok(path) if path.as_bytes().first() == Some(&b'/') => Ok(()),
        Ok(_) | Err(Errno::NOENT) => Err(outside()),
        Err(errno) => Err(SysError::new("getcwd", "container", errno).into()),
    }
}

/// Finds the program as a shell would, in the words of Go's `exec`, which callers look for.
fn find(plan: &ProcessPlan) -> Result<String> {
    let name = &plan.args[0];
    if name.contains('/') {
        return match look(Path::new(name)) {
            Ok(()) => Ok(name.clone()),
            Err(Errno::NOENT) => {
                Err(Error::said(format!("exec: {name:?}: stat {name}: no such file or directory")))
            }
            Err(Errno::NOTDIR) => Err(Error::said(format!("exec: {name:?}: stat {name}: not a directory"))),
            Err(errno) => Err(Error::said(format!("exec: {name:?}: {}", sys::error::text(errno)))),
        };
    }
    let mut denied = false;
    for folder in plan.variable("PATH").unwrap_or("").split(':') {
        let path =
            if folder.is_empty() { PathBuf::from(".").join(name) } else { Path::new(folder).join(name) };
        match look(&path) {
            Ok(()) => return Ok(path.to_string_lossy().into_owned()),
            Err(Errno::ACCESS) => denied = true,
            Err(_) => {}
        }
    }
    if denied {
        return Err(Error::said(format!("exec: {name:?}: permission denied")));
    }
    Err(Error::said(format!("exec: {name:?}: executable file not found in $PATH")))
}

fn look(path: &Path) -> Result<(), Errno> {
    let stat = rustix::fs::statat(CWD, path, AtFlags::empty())?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

/// The user's folder by the container's own list; `/` when it is not there.
fn home(uid: u32) -> String {
    let list = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entry = list.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        (fields.len() > 5 && fields[2].parse() == Ok(uid)).then(|| fields[5].to_owned())
    });
    entry.filter(|home| !home.is_empty()).unwrap_or_else(|| "/".to_owned())
}

/// Plans have no NUL in their texts.
fn string(text: String) -> CString {
    CString::new(text).unwrap_or_default()
}
