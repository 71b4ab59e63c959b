//! Makes what a pod has of its own: namespaces and their pins, host name, parameters, `/dev/shm`, the pause process.
//!
//! The monitor enters the net, ipc and uts namespaces itself, so that its pid can be told to whoever asks for the
//! sandbox's process; it stays in the host's mount namespace, where the pins are seen, and in its user namespace.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use api_monitor::{NamespaceSource, PodConfig, PodNamespaces, SPOKEN, SharedMemory, user_pin};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use sys::During;
use sys::namespace::{Kind, join, unshare};

use super::user::UserNamespace;

/// Why a pod cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    /// The configuration contradicts itself.
    #[error("{0}")]
    Invalid(String),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] sys::Error),
}

/// What was made.
#[derive(Default)]
pub(super) struct Made {
    /// The pause process.
    pub(super) pause: Option<i32>,
    /// The pause process ends when this is closed.
    pub(super) leash: Option<OwnedFd>,
    mounts: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

impl Made {
    /// Undoes it, as far as it can be; the pause process ends with its leash.
    pub(super) fn undo(self) {
        for path in self.mounts.iter().rev() {
            // The cause that is reported is the failure before.
            let _ = umount2(path, MntFlags::MNT_DETACH);
        }
        for path in &self.files {
            let _ = fs::remove_file(path);
        }
    }

    fn pin(&mut self, kind: Kind, process: &str, path: &Path) -> Result<(), SetupError> {
        fs::OpenOptions::new().write(true).create_new(true).open(path).during("create", path.display())?;
        self.files.push(path.to_owned());
        let source = format!("/proc/{process}/ns/{}", kind.file());
        mount(Some(source.as_str()), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(io::Error::from)
            .during("pin a namespace at", path.display())?;
        self.mounts.push(path.to_owned());
        Ok(())
    }
}

/// Checks what can be checked without the kernel.
pub(super) fn validate(config: &PodConfig) -> Result<(), SetupError> {
    let invalid = |text: String| Err(SetupError::Invalid(text));
    if !SPOKEN.contains(&config.version) {
        return invalid(format!("version {} is none of {SPOKEN:?}", config.version));
    }
    if config.socket.as_os_str().len() > 107 {
        return invalid(format!("socket {} is longer than 107 bytes", config.socket.display()));
    }
    if config.state_dir.as_os_str().len() > 80 {
        return invalid(format!("state_dir {} is longer than 80 bytes", config.state_dir.display()));
    }
    if config.hostname.is_some() && config.namespaces.uts == NamespaceSource::Host {
        return invalid("hostname needs a uts namespace of the pod's own".into());
    }
    if config.monitor_cgroups.is_empty() && !config.pause_cgroups.is_empty() {
        return invalid("pause_cgroups need monitor_cgroups: the monitor passes through them".into());
    }
    if config.namespaces.user.as_ref().is_some_and(|(users, groups)| users.is_empty() || groups.is_empty()) {
        return invalid("namespaces.user has an empty mapping".into());
    }
    config.sysctls.keys().try_for_each(|name| parameter(name, &config.namespaces).map(|_| ()))
}

/// Makes everything; on failure what was made is undone.
pub(super) fn make(config: &PodConfig) -> Result<Made, SetupError> {
    let mut made = Made::default();
    match make_all(config, &mut made) {
        Ok(()) => Ok(made),
        Err(error) => {
            made.undo();
            Err(error)
        }
    }
}

fn make_all(config: &PodConfig, made: &mut Made) -> Result<(), SetupError> {
    let namespaces = &config.namespaces;
    let own = [
        (Kind::Network, &namespaces.net),
        (Kind::Ipc, &namespaces.ipc),
        (Kind::Uts, &namespaces.uts),
        (Kind::Pid, &namespaces.pid),
    ];
    let new: Vec<Kind> =
        own.iter().filter(|(_, source)| **source != NamespaceSource::Host).map(|(kind, _)| *kind).collect();
    let entered: Vec<Kind> = new.iter().copied().filter(|kind| *kind != Kind::Pid).collect();
    let flags = entered.iter().fold(0, |flags, kind| flags | kind.flag());
    // The pause process is born where it belongs, for that is cheaper than to move it.
    if new.contains(&Kind::Pid) {
        enter_cgroups(&config.pause_cgroups)?;
    }
    if let Some((users, groups)) = &namespaces.user {
        let user = UserNamespace::make(users, groups, &new)?;
        made.pin(Kind::User, &user.pid.to_string(), &user_pin(&config.state_dir))?;
        for kind in entered {
            join(user.open(kind)?, kind.flag()).during("enter the namespace", kind.file())?;
        }
        (made.pause, made.leash) = user.finish()?;
    } else {
        unshare(flags).during("unshare", format!("{entered:?}"))?;
    }
    for (kind, source) in own {
        if let (NamespaceSource::New { pin: Some(path) }, true) = (source, kind != Kind::Pid) {
            made.pin(kind, "self", path)?;
        }
    }
    if let Some(hostname) = &config.hostname {
        nix::unistd::sethostname(hostname)
            .map_err(io::Error::from)
            .during("set the host name to", hostname)?;
    }
    set_parameters(&config.sysctls, namespaces)?;
    if let (Some(memory), NamespaceSource::New { .. }) = (&config.shared_memory, &namespaces.ipc) {
        mount_shared_memory(memory)?;
        made.mounts.push(memory.path.clone());
    }
    if let NamespaceSource::New { pin } = &namespaces.pid {
        if made.pause.is_none() {
            let (pid, leash) = start_pause()?;
            (made.pause, made.leash) = (Some(pid), Some(leash));
        }
        let pid = made.pause.unwrap_or_default().to_string();
        enter_cgroups(&config.monitor_cgroups)?;
        fs::write(config.state_dir.join("pause.pid"), &pid).during("write", "pause.pid")?;
        if let Some(path) = pin {
            made.pin(Kind::Pid, &pid, path)?;
        }
    }
    Ok(())
}

/// Moves this process, which has one thread, and what it starts from now on into a cgroup.
///
/// On version 1 a thread that moves itself by `tasks` needs no lock; `cgroup.procs` takes the one of all the machine's
/// forks and exits, and waits for an RCU grace period before it has it: 12 ms instead of 0.02.
pub(super) fn enter_cgroups(folders: &[PathBuf]) -> Result<(), sys::Error> {
    for folder in folders {
        let tasks = folder.join("tasks");
        let file = if tasks.exists() { tasks } else { folder.join("cgroup.procs") };
        fs::write(&file, "0").during("write", file.display())?;
    }
    Ok(())
}

/// The path below `/proc/sys` of a parameter that belongs to a namespace of the pod's own.
///
/// As sysctl(8) has it, the first separator decides: after a slash, dots belong to a name.
fn parameter(name: &str, namespaces: &PodNamespaces) -> Result<String, SetupError> {
    let invalid = |why: &str| Err(SetupError::Invalid(format!("sysctl {name} {why}")));
    let dotted = name.find(['.', '/']).is_some_and(|at| name.as_bytes()[at] == b'.');
    let path: String = name
        .chars()
        .map(|letter| match letter {
            '.' if dotted => '/',
            '/' if dotted => '.',
            other => other,
        })
        .collect();
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return invalid("is malformed");
    }
    let ipc = ["kernel/shm", "kernel/msg", "fs/mqueue/"].iter().any(|prefix| path.starts_with(prefix))
        || path == "kernel/sem";
    let owner = if path.starts_with("net/") {
        &namespaces.net
    } else if ipc {
        &namespaces.ipc
    } else if path == "kernel/domainname" {
        &namespaces.uts
    } else {
        return invalid("belongs to no namespace");
    };
    if *owner == NamespaceSource::Host {
        return invalid("needs a namespace of the pod's own");
    }
    Ok(path)
}

fn set_parameters(values: &BTreeMap<String, String>, namespaces: &PodNamespaces) -> Result<(), SetupError> {
    for (name, value) in values {
        let path = parameter(name, namespaces)?;
        sys::sysctl::set(&path, value).during("set the sysctl", format!("{name} to {value:?}"))?;
    }
    Ok(())
}

fn mount_shared_memory(memory: &SharedMemory) -> Result<(), SetupError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = format!("mode=1777,size={}", memory.bytes);
    mount(Some("shm"), &memory.path, Some("tmpfs"), flags, Some(options.as_str()))
        .map_err(io::Error::from)
        .during("mount a tmpfs on", memory.path.display())?;
    Ok(())
}

/// Starts the pause process as the first of a new PID namespace; it ends when the descriptor is closed.
fn start_pause() -> Result<(i32, OwnedFd), SetupError> {
    let here = fs::File::open("/proc/self/ns/pid").during("open", "/proc/self/ns/pid")?;
    let (stdin, leash) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).during("pipe", "pause")?;
    unshare(Kind::Pid.flag()).during("unshare", "pid")?;
    let pid = spawn_pause(Stdio::from(stdin)).during("start", "the pause process");
    // The workers' children belong to the host's again, whatever became of the pause process.
    join(here.as_fd(), Kind::Pid.flag()).during("enter the namespace", "pid")?;
    Ok((pid?, leash))
}

/// Starts the pause process in the namespaces that this process has for its children, and waits until it listens:
/// the kernel drops a signal for the first process of a PID namespace that has not yet said that it wants it.
pub(super) fn spawn_pause(stdin: Stdio) -> io::Result<i32> {
    let mut child = Command::new("/proc/self/exe")
        .arg0(crate::pause::NAME)
        .env_clear()
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut listens) = child.stdout.take() {
        listens.read_exact(&mut [0])?;
    }
    i32::try_from(child.id()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(net: bool, ipc: bool) -> PodNamespaces {
        let source = |new| if new { NamespaceSource::New { pin: None } } else { NamespaceSource::Host };
        PodNamespaces {
            net: source(net),
            ipc: source(ipc),
            uts: NamespaceSource::Host,
            pid: NamespaceSource::Host,
            user: None,
        }
    }

    #[test]
    fn a_parameter_is_of_a_namespace_of_the_pod() {
        for (name, net, ipc, path) in [
            ("net.ipv4.ip_unprivileged_port_start", true, false, Some("net/ipv4/ip_unprivileged_port_start")),
            ("net/ipv4/conf/eth0.7/rp_filter", true, false, Some("net/ipv4/conf/eth0.7/rp_filter")),
            ("net.ipv4.conf.eth0/7.rp_filter", true, false, Some("net/ipv4/conf/eth0.7/rp_filter")),
            ("net.ipv4.ip_forward", false, true, None),
            ("kernel.shmmax", false, true, Some("kernel/shmmax")),
            ("kernel.sem", false, true, Some("kernel/sem")),
            ("fs.mqueue.msg_max", false, true, Some("fs/mqueue/msg_max")),
            ("kernel.shmmax", true, false, None),
            ("kernel.panic", true, true, None),
            ("vm.swappiness", true, true, None),
            ("net/../kernel/panic", true, true, None),
            ("net..x", true, true, None),
            ("", true, true, None),
        ] {
            assert_eq!(parameter(name, &namespaces(net, ipc)).ok().as_deref(), path, "{name}");
        }
    }
}
