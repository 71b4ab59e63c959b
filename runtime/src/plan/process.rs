//! The program to run: who it is, what it may, and where it starts.

use std::collections::HashSet;
use std::path::PathBuf;

use oci_spec::runtime::{Capability, IOPriorityClass, LinuxIOPriority, PosixRlimitType, Process};
use rustix::process::Resource;
use sys::process::{Capabilities, Scheduler};

use super::placement::{self, Affinity};
use crate::error::{Error, Result};

/// A process of a container, its first or a later one.
#[derive(Clone, Debug)]
pub(crate) struct ProcessPlan {
    /// At least one.
    pub(crate) args: Vec<String>,
    /// `NAME=value`.
    pub(crate) env: Vec<String>,
    /// Absolute in the container.
    pub(crate) cwd: PathBuf,
    /// In the container's user namespace.
    pub(crate) uid: u32,
    /// In the container's user namespace.
    pub(crate) gid: u32,
    /// All others.
    pub(crate) groups: Vec<u32>,
    /// Set for the program.
    pub(crate) umask: u32,
    /// All five sets.
    pub(crate) capabilities: Capabilities,
    /// Whether execve(2) can never give more.
    pub(crate) no_new_privileges: bool,
    /// Resource, soft, hard.
    pub(crate) limits: Vec<(Resource, u64, u64)>,
    /// `/proc/self/oom_score_adj`.
    pub(crate) oom_score_adj: Option<i32>,
    /// The terminal, when it has one.
    pub(crate) terminal: Option<Terminal>,
    /// The profile for `/proc/self/attr/apparmor/exec`.
    pub(crate) apparmor: Option<String>,
    /// The label for `/proc/self/attr/exec`.
    pub(crate) selinux: Option<String>,
    /// For ioprio_set(2).
    pub(crate) io_priority: Option<i32>,
    /// For sched_setattr(2).
    pub(crate) scheduler: Option<Scheduler>,
    /// Of a process that joins the container.
    pub(crate) affinity: Option<Affinity>,
}

/// A terminal's size; zero leaves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Characters.
    pub(crate) width: u16,
    /// Lines.
    pub(crate) height: u16,
}

impl ProcessPlan {
    /// Plans a process of a specification.
    pub(crate) fn new(process: &Process) -> Result<Self> {
        let args = process.args().clone().unwrap_or_default();
        if args.is_empty() || args[0].is_empty() {
            return Err(Error::refused("process.args", "must not be empty"));
        }
        let env = last_of_each(process.env().clone().unwrap_or_default());
        if args.iter().chain(&env).any(|text| text.contains('\0')) {
            return Err(Error::refused("process", "args and env must not contain NUL"));
        }
        if !process.cwd().is_absolute() {
            return Err(Error::refused("process.cwd", "must be an absolute path"));
        }
        let size = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
        let terminal = process.terminal().unwrap_or(false).then(|| {
            process.console_size().map_or(Terminal::default(), |have| Terminal {
                width: size(have.width()),
                height: size(have.height()),
            })
        });
        let score = process.oom_score_adj();
        if score.is_some_and(|score| !(-1000..=1000).contains(&score)) {
            return Err(Error::refused("process.oomScoreAdj", "must lie between -1000 and 1000"));
        }
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Ok(Self {
            args,
            env,
            cwd: process.cwd().clone(),
            uid: process.user().uid(),
            gid: process.user().gid(),
            groups: process.user().additional_gids().clone().unwrap_or_default(),
            umask: process.user().umask().unwrap_or(0o022),
            capabilities: capabilities(process),
            no_new_privileges: process.no_new_privileges().unwrap_or(false),
            limits: limits(process)?,
            oom_score_adj: score,
            terminal,
            apparmor: text(process.apparmor_profile()),
            selinux: text(process.selinux_label()),
            io_priority: process.io_priority().as_ref().map(io_priority).transpose()?,
            scheduler: process.scheduler().as_ref().map(placement::scheduler).transpose()?,
            affinity: process.exec_cpu_affinity().as_ref().map(placement::affinity).transpose()?,
        })
    }

    /// A variable of its environment.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    }
}

fn io_priority(given: &LinuxIOPriority) -> Result<i32> {
    let class = match given.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    match i32::try_from(given.priority()) {
        Ok(priority @ 0..=7) => Ok(class << 13 | priority),
        _ => Err(Error::refused("process.ioPriority.priority", "must lie between 0 and 7")),
    }
}

/// Each variable once, with the value that was given last: programs disagree on which of two they see.
fn last_of_each(env: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    let name = |entry: &String| entry.split('=').next().unwrap_or_default().to_owned();
    let mut kept: Vec<String> = env.into_iter().rev().filter(|entry| seen.insert(name(entry))).collect();
    kept.reverse();
    kept
}

fn capabilities(process: &Process) -> Capabilities {
    let Some(sets) = process.capabilities() else { return Capabilities::default() };
    let bits = |set: &Option<HashSet<Capability>>| set.iter().flatten().map(|&one| 1 << number(one)).sum();
    Capabilities {
        bounding: bits(sets.bounding()),
        effective: bits(sets.effective()),
        permitted: bits(sets.permitted()),
        inheritable: bits(sets.inheritable()),
        ambient: bits(sets.ambient()),
    }
}

/// The kernel's number of a capability (linux/capability.h).
pub(crate) fn number(capability: Capability) -> u32 {
    CAPABILITIES.iter().position(|(_, have)| *have == capability).map_or(0, |at| at as u32)
}

/// By number, with the kernel's names.
pub(crate) const CAPABILITIES: [(&str, Capability); 41] = [
    ("CAP_CHOWN", Capability::Chown),
    ("CAP_DAC_OVERRIDE", Capability::DacOverride),
    ("CAP_DAC_READ_SEARCH", Capability::DacReadSearch),
    ("CAP_FOWNER", Capability::Fowner),
    ("CAP_FSETID", Capability::Fsetid),
    ("CAP_KILL", Capability::Kill),
    ("CAP_SETGID", Capability::Setgid),
    ("CAP_SETUID", Capability::Setuid),
    ("CAP_SETPCAP", Capability::Setpcap),
    ("CAP_LINUX_IMMUTABLE", Capability::LinuxImmutable),
    ("CAP_NET_BIND_SERVICE", Capability::NetBindService),
    ("CAP_NET_BROADCAST", Capability::NetBroadcast),
    ("CAP_NET_ADMIN", Capability::NetAdmin),
    ("CAP_NET_RAW", Capability::NetRaw),
    ("CAP_IPC_LOCK", Capability::IpcLock),
    ("CAP_IPC_OWNER", Capability::IpcOwner),
    ("CAP_SYS_MODULE", Capability::SysModule),
    ("CAP_SYS_RAWIO", Capability::SysRawio),
    ("CAP_SYS_CHROOT", Capability::SysChroot),
    ("CAP_SYS_PTRACE", Capability::SysPtrace),
    ("CAP_SYS_PACCT", Capability::SysPacct),
    ("CAP_SYS_ADMIN", Capability::SysAdmin),
    ("CAP_SYS_BOOT", Capability::SysBoot),
    ("CAP_SYS_NICE", Capability::SysNice),
    ("CAP_SYS_RESOURCE", Capability::SysResource),
    ("CAP_SYS_TIME", Capability::SysTime),
    ("CAP_SYS_TTY_CONFIG", Capability::SysTtyConfig),
    ("CAP_MKNOD", Capability::Mknod),
    ("CAP_LEASE", Capability::Lease),
    ("CAP_AUDIT_WRITE", Capability::AuditWrite),
    ("CAP_AUDIT_CONTROL", Capability::AuditControl),
    ("CAP_SETFCAP", Capability::Setfcap),
    ("CAP_MAC_OVERRIDE", Capability::MacOverride),
    ("CAP_MAC_ADMIN", Capability::MacAdmin),
    ("CAP_SYSLOG", Capability::Syslog),
    ("CAP_WAKE_ALARM", Capability::WakeAlarm),
    ("CAP_BLOCK_SUSPEND", Capability::BlockSuspend),
    ("CAP_AUDIT_READ", Capability::AuditRead),
    ("CAP_PERFMON", Capability::Perfmon),
    ("CAP_BPF", Capability::Bpf),
    ("CAP_CHECKPOINT_RESTORE", Capability::CheckpointRestore),
];

fn limits(process: &Process) -> Result<Vec<(Resource, u64, u64)>> {
    let mut limits: Vec<(Resource, u64, u64)> = Vec::new();
    for limit in process.rlimits().iter().flatten() {
        let resource = match limit.typ() {
            PosixRlimitType::RlimitCpu => Resource::Cpu,
            PosixRlimitType::RlimitFsize => Resource::Fsize,
            PosixRlimitType::RlimitData => Resource::Data,
            PosixRlimitType::RlimitStack => Resource::Stack,
            PosixRlimitType::RlimitCore => Resource::Core,
            PosixRlimitType::RlimitRss => Resource::Rss,
            PosixRlimitType::RlimitNproc => Resource::Nproc,
            PosixRlimitType::RlimitNofile => Resource::Nofile,
            PosixRlimitType::RlimitMemlock => Resource::Memlock,
            PosixRlimitType::RlimitAs => Resource::As,
            PosixRlimitType::RlimitLocks => Resource::Locks,
            PosixRlimitType::RlimitSigpending => Resource::Sigpending,
            PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
            PosixRlimitType::RlimitNice => Resource::Nice,
            PosixRlimitType::RlimitRtprio => Resource::Rtprio,
            PosixRlimitType::RlimitRttime => Resource::Rttime,
        };
        if limits.iter().any(|(have, ..)| *have == resource) {
            return Err(Error::refused("process.rlimits", format!("{} is given twice", limit.typ())));
        }
        limits.push((resource, limit.soft(), limit.hard()));
    }
    Ok(limits)
}

/// The kernel's name of a capability.
pub(crate) fn capability_name(number: u32) -> &'static str {
    CAPABILITIES.get(number as usize).map_or("CAP_UNKNOWN", |(name, _)| name)
}
