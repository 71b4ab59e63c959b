//! Makes a container: the runtime's side of `create` and `run`.

mod clone;
mod sources;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use sys::During;
use sys::cgroup::{Cgroup, Hierarchies};
use sys::namespace::Kind;
use sys::process::Child;

use crate::channel::{Channel, Message};
use crate::console::Console;
use crate::error::{Error, Result, Stage};
use crate::init::devices::Nodes;
use crate::init::{self, Setup};
use crate::log::Log;
use crate::plan::Plan;
use crate::store::{Container, START, STARTED, State, Store};
use crate::{config, console, fork, hooks};

pub(crate) use sources::prepare;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Absolute.
    pub(crate) bundle: PathBuf,
    /// Who gets the terminal.
    pub(crate) console_socket: Option<PathBuf>,
    /// Who gets the init's pidfd.
    pub(crate) pidfd_socket: Option<PathBuf>,
    /// Where the pid is written.
    pub(crate) pid_file: Option<PathBuf>,
    /// `--no-new-keyring`.
    pub(crate) no_new_keyring: bool,
    /// Descriptors for the program, beside those of socket activation.
    pub(crate) preserve: u32,
    /// Descriptors of socket activation.
    pub(crate) listen: u32,
    /// Whether the runtime ends before the container.
    pub(crate) detached: bool,
}

/// What exists so far, to be undone in reverse when something fails.
#[derive(Default)]
struct Undo {
    folder: Option<PathBuf>,
    cgroup: Option<Cgroup>,
    child: Option<Child>,
}

impl Undo {
    fn undo(self) {
        if let Some(child) = &self.child {
            fork::kill(child);
        }
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.signal(libc::SIGKILL);
            let _ = cgroup.remove();
        }
        if let Some(folder) = &self.folder {
            let _ = crate::store::remove_folder(folder);
        }
    }
}

/// Makes a container, whose init then waits for `start`. `terminal` is the other end of a terminal that the
/// caller relays itself.
pub(crate) fn create(
    store: &Store,
    id: &str,
    options: &Options,
    terminal: Option<OwnedFd>,
    log: &Log,
) -> Result<(Container, Child)> {
    crate::store::check_id(id)?;
    let read = config::read_spec(&options.bundle)?;
    read.warnings.iter().for_each(|warning| log.warn(warning));
    let plan = Plan::new(id, &options.bundle, &read.value)?;
    check_terminal(&plan, options)?;
    if !plan.rootfs.is_dir() {
        let reason = format!("invalid rootfs: stat {}: no such file or directory", plan.rootfs.display());
        return Err(Error::said(reason));
    }
    let mut undo = Undo { folder: Some(store.create(id)?), ..Undo::default() };
    match make(id, options, &plan, terminal, log, &mut undo) {
        Ok(container) => match undo.child.take() {
            Some(child) => Ok((container, child)),
            None => Err(Error::said("no process was made")),
        },
        Err(error) => {
            undo.undo();
            Err(error)
        }
    }
}

fn check_terminal(plan: &Plan, options: &Options) -> Result<()> {
    let terminal = plan.process.terminal.is_some();
    if terminal && options.detached && options.console_socket.is_none() {
        return Err(Error::said("cannot allocate tty if runc will detach without setting console socket"));
    }
    if options.console_socket.is_some() && !(terminal && options.detached) {
        return Err(Error::said("cannot use console socket if runc will not detach or allocate tty"));
    }
    Ok(())
}

fn make(
    id: &str,
    options: &Options,
    plan: &Plan,
    terminal: Option<OwnedFd>,
    log: &Log,
    undo: &mut Undo,
) -> Result<Container> {
    let folder = undo.folder.clone().unwrap_or_default();
    let cgroup = make_cgroup(plan, undo).stage("unable to apply cgroup configuration")?;
    let (ours, theirs) = Channel::pair()?;
    let state = State {
        oci_version: plan.oci_version.clone(),
        id: id.to_owned(),
        pid: 0,
        start_time: 0,
        bundle: options.bundle.clone(),
        rootfs: plan.rootfs.clone(),
        created: jiff::Timestamp::now().to_string(),
        annotations: plan.annotations.clone(),
        cgroup: Some(cgroup.clone()),
        namespaces: plan.new.iter().copied().chain(plan.join.iter().map(|(kind, _)| *kind)).collect(),
        user_namespace: plan.has_user_namespace(),
        mappings: plan.mappings.clone(),
        personality: plan.personality,
        memory_policy: plan.memory_policy.clone(),
        listener: plan.seccomp.as_ref().and_then(|filter| filter.listener.clone()),
        own_pid_namespace: plan.new.contains(&Kind::Pid),
        poststart: plan.hooks.poststart.clone(),
        poststop: plan.hooks.poststop.clone(),
    };
    let mut container = Container { folder: folder.clone(), state };
    let [start, started] = [START, STARTED].map(|name| make_pipe(&folder.join(name)));
    if let Some(filter) = &plan.seccomp {
        filter.save(&folder)?;
    }
    let console = Console::new(options.console_socket.as_deref(), terminal)?;
    let setup = Setup {
        plan,
        channel: theirs,
        rootfs: sources::open_rootfs(plan)?,
        sources: sources::open(plan)?,
        nodes: Nodes::open(&plan.devices, plan.has_user_namespace())?,
        entrance: Some(cgroup.open().stage("unable to apply cgroup configuration")?),
        cgroup: Some(&cgroup),
        joins: open_joins(plan)?,
        console,
        start: start?,
        started: started?,
        state: String::new(),
        keyring: (!options.no_new_keyring).then(|| format!("_ses.{id}")),
        preserve: options.preserve + options.listen,
        listen: options.listen,
    };
    let child = clone::init(setup, &container)?;
    container.state.pid = child.pid;
    undo.child = Some(child);
    container.state.start_time = match sys::proc::stat(container.state.pid)? {
        Some(stat) => stat.start_time,
        None => 0,
    };
    follow(&container, plan, &ours, log)
        .map_err(|error| Error::said(format!("unable to start container process: {error}")))?;
    container.save()?;
    if let Some(path) = &options.pidfd_socket
        && let Some(child) = &undo.child
    {
        crate::channel::send(&console::connect(path)?, b"pidfd", Some(&child.pidfd))?;
    }
    if let Some(path) = &options.pid_file {
        write_pid(path, container.state.pid)?;
    }
    Ok(container)
}

fn make_cgroup(plan: &Plan, undo: &mut Undo) -> Result<Cgroup> {
    let cgroup = Cgroup::new(&Hierarchies::discover()?, &plan.cgroup);
    if let Some(field) = cgroup.lacks(&plan.resources) {
        return Err(Error::refused(field, "invalid configuration: the machine's cgroups have no such limit"));
    }
    let occupants = cgroup.occupants()?;
    if occupants > 0 {
        return Err(Error::said(format!("container's cgroup is not empty: {occupants} process(es) found")));
    }
    if cgroup.is_frozen()? {
        return Err(Error::said("container's cgroup unexpectedly frozen"));
    }
    undo.cgroup = Some(cgroup.clone());
    cgroup.create()?;
    cgroup.apply(&plan.resources)?;
    // Rules about devices need a privilege over the machine, which a user namespace's root lacks.
    cgroup.apply_devices(&plan.device_rules)?;
    Ok(cgroup)
}

fn make_pipe(path: &Path) -> Result<OwnedFd> {
    rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .during("mkfifo", path.display())?;
    init::open_pipe(path)
}

pub(crate) fn open_namespace(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty()).during("open", path.display())?)
}

fn open_joins(plan: &Plan) -> Result<Vec<(Kind, OwnedFd)>> {
    plan.join.iter().map(|(kind, path)| Ok((*kind, open_namespace(path)?))).collect()
}

/// Does the runtime's part until the init is ready.
fn follow(container: &Container, plan: &Plan, channel: &Channel, log: &Log) -> Result<()> {
    if let Some((uids, gids)) = &plan.mappings {
        fork::map_ids(container.state.pid, uids, gids)?;
    }
    if plan.mappings.is_some() {
        channel.send(&Message::Go)?;
    }
    loop {
        match channel.receive()? {
            Some((Message::Ready, _)) => return Ok(()),
            Some((Message::Warning(text), _)) => log.warn(text),
            Some((Message::Failed(text), _)) => {
                return Err(Error::said(format!("error during container init: {text}")));
            }
            Some((Message::Hooks, _)) => {
                // Hooks and whoever they call may ask for the state.
                container.save()?;
                let state = serde_json::to_string(&container.oci_state("creating")).unwrap_or_default();
                for (kind, hooks) in &plan.hooks.create_runtime {
                    hooks::run(kind, hooks, &state)?;
                }
                channel.send(&Message::Go)?;
            }
            Some((Message::Listener, Some(fd))) => {
                tell_agent(container, container.state.pid, "creating", &fd)?;
            }
            Some((Message::Limits, _)) => {
                for &(resource, soft, hard) in &plan.process.limits {
                    sys::process::set_limit(container.state.pid, resource, soft, hard)
                        .during("set limit", format_args!("{resource:?} to {soft}:{hard}"))?;
                }
                channel.send(&Message::Go)?;
            }
            Some((Message::Pid(_) | Message::Go | Message::Listener, _)) => {}
            None => return Err(Error::said("container init exited early (possibly OOM-killed)")),
        }
    }
}

/// Hands the seccomp listener of a process to its agent, with the state of the specification beside it.
pub(crate) fn tell_agent(container: &Container, pid: i32, status: &str, fd: &OwnedFd) -> Result<()> {
    let Some((path, metadata)) = &container.state.listener else { return Ok(()) };
    let state = serde_json::json!({
        "ociVersion": container.state.oci_version,
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": metadata,
        "state": container.oci_state(status),
    });
    let socket = console::connect(path).stage("failed to connect with seccomp agent")?;
    Ok(crate::channel::send(&socket, state.to_string().as_bytes(), Some(fd))?)
}

/// Without a newline, and so that a reader sees the old or the new.
pub(crate) fn write_pid(path: &Path, pid: i32) -> Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let temporary = path.with_file_name(name);
    let written =
        std::fs::write(&temporary, pid.to_string()).and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| sys::Error::new("write", path.display(), sys::error::errno_of(&error)).into())
}
