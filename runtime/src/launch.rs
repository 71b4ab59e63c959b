//! Makes a container: the runtime's side of `create` and `run`.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use sys::cgroup::{Cgroup, Hierarchies, Version};
use sys::namespace::Kind;
use sys::process::{Child, Clone};
use sys::{During, mount};

use crate::channel::{Channel, Message};
use crate::console::Console;
use crate::error::{Error, Result, Stage};
use crate::init::devices::Nodes;
use crate::init::rootfs::{Source, apply_attributes};
use crate::init::{self, Setup};
use crate::log::Log;
use crate::plan::{Mapping, MountKind, MountPlan, Plan};
use crate::store::{Container, START, STARTED, State, Store};
use crate::{config, console, fork, hooks};

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
        rootfs: open_rootfs(plan)?,
        sources: plan.mounts.iter().map(|entry| open_source(entry, plan)).collect::<Result<_>>()?,
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
    let child = clone_init(setup, &container)?;
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
    if cgroup.version == Version::V1 && plan.resources.unified().as_ref().is_some_and(|map| !map.is_empty()) {
        return Err(Error::refused("linux.resources.unified", "is for cgroup version 2, this machine has 1"));
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

fn open_rootfs(plan: &Plan) -> Result<OwnedFd> {
    let tree = mount::copy_tree(&plan.rootfs, true)?;
    // What is mounted inside must not come out, and what is mounted on the host need not come in unless asked.
    let slave = plan.root_propagation.is_none_or(|flags| flags & libc::MS_PRIVATE == 0);
    let kind = if slave { libc::MS_SLAVE } else { libc::MS_PRIVATE };
    let attributes = mount::Attributes { propagation: kind, ..mount::Attributes::default() };
    mount::set_attributes(&tree, true, attributes, None)
        .during("change propagation of", plan.rootfs.display())?;
    Ok(tree)
}

/// Opened here and not by the init: a user namespace's root may not pass the folders above the source.
fn open_source(entry: &MountPlan, plan: &Plan) -> Result<Option<Source>> {
    let MountKind::Bind { recursive } = entry.kind else { return Ok(None) };
    let stage = || format!("error mounting {:?} to rootfs at {:?}", entry.source, entry.destination);
    let tree = mount::copy_tree(&entry.source, recursive).stage(stage())?;
    let is_folder = sys::fs::file_type(&tree)? == FileType::Directory;
    let default = match plan.root_propagation {
        Some(flags) if flags & libc::MS_SHARED != 0 => Vec::new(),
        Some(flags) if flags & libc::MS_PRIVATE != 0 => vec![libc::MS_PRIVATE | libc::MS_REC],
        _ => vec![libc::MS_SLAVE | libc::MS_REC],
    };
    let propagation = if entry.propagation.is_empty() { &default } else { &entry.propagation };
    if let Some(mapping) = &entry.mapping {
        map_owners(&tree, mapping, plan).stage(stage())?;
    }
    apply_attributes(&tree, &entry.attributes, &entry.recursive, propagation).stage(stage())?;
    Ok(Some(Source { tree, is_folder }))
}

fn map_owners(tree: &OwnedFd, mapping: &Mapping, plan: &Plan) -> Result<()> {
    let user = match (&mapping.ids, &plan.mappings) {
        (Some((uids, gids)), _) | (None, Some((uids, gids))) => fork::user_namespace(uids, gids)?,
        (None, None) => {
            let path = plan.join.iter().find(|(kind, _)| *kind == Kind::User).map(|(_, path)| path);
            open_namespace(path.ok_or_else(|| Error::said("idmap needs a user namespace or mappings"))?)?
        }
    };
    let attributes = mount::Attributes::default();
    Ok(mount::set_attributes(tree, mapping.recursive, attributes, Some(&user)).during("idmap", "mount")?)
}

fn open_namespace(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty()).during("open", path.display())?)
}

fn open_joins(plan: &Plan) -> Result<Vec<(Kind, OwnedFd)>> {
    plan.join.iter().map(|(kind, path)| Ok((*kind, open_namespace(path)?))).collect()
}

/// Clones the init into its new namespaces. The cgroup namespace comes later, when it is in its cgroup.
fn clone_init(mut setup: Setup<'_>, container: &Container) -> Result<Child> {
    let plan = setup.plan;
    let flags = plan.new.iter().filter(|kind| **kind != Kind::Cgroup).map(|kind| kind.flag()).sum();
    let folder = setup.entrance.as_ref().and_then(sys::cgroup::Entrance::folder);
    let folder = folder
        .map(|folder| rustix::io::fcntl_dupfd_cloexec(folder, 3))
        .transpose()
        .during("duplicate", "cgroup")?;
    let take = |setup: &mut Setup<'_>, wanted: Kind| {
        let at = setup.joins.iter().position(|(kind, _)| *kind == wanted)?;
        Some(setup.joins.remove(at).1)
    };
    let user = take(&mut setup, Kind::User);
    let pid = take(&mut setup, Kind::Pid);
    let clone = Clone { flags, cgroup: folder.as_ref().map(std::os::fd::AsFd::as_fd) };
    let body = |mut setup: Setup<'_>| {
        setup.state = creating(container);
        init::run(setup)
    };
    let Some(user) = user else {
        // A PID namespace is joined by children only: join, clone, and come back for the hooks.
        let Some(pid) = pid else { return fork::spawn(&clone, || body(setup)) };
        let own = open_namespace(Path::new("/proc/self/ns/pid"))?;
        sys::namespace::join(&pid, Kind::Pid.flag()).during("join", "pid namespace")?;
        let child = fork::spawn(&clone, || body(setup));
        sys::namespace::join(&own, Kind::Pid.flag()).during("rejoin", "pid namespace")?;
        return child;
    };
    // The new namespaces must belong to the joined user namespace, which we cannot leave again: a process in
    // between joins it, and clones the init as our child. It has a channel of its own: over the other the init may
    // have spoken first.
    let (ours, theirs) = Channel::pair()?;
    let between = fork::spawn(&Clone::default(), || {
        let clone = Clone { flags: clone.flags | libc::CLONE_PARENT as u64, cgroup: clone.cgroup };
        let result = sys::namespace::join(&user, Kind::User.flag())
            .during("join", "user namespace")
            .map_err(Error::from)
            .and_then(|()| match &pid {
                Some(pid) => Ok(sys::namespace::join(pid, Kind::Pid.flag()).during("join", "pid namespace")?),
                None => Ok(()),
            })
            .and_then(|()| fork::spawn(&clone, || body(setup)));
        let message =
            result.map_or_else(|error| Message::Failed(error.to_string()), |child| Message::Pid(child.pid));
        let _ = theirs.send(&message);
        sys::process::exit_now(0)
    })?;
    drop(theirs);
    let message = ours.receive();
    fork::wait(&between.pidfd)?;
    match message? {
        Some((Message::Pid(pid), _)) => Ok(Child { pid, pidfd: sys::process::pidfd(pid)? }),
        Some((Message::Failed(text), _)) => Err(Error::said(text)),
        _ => Err(Error::said("the process that joins the user namespace ended early")),
    }
}

/// The state for hooks that the init runs: it knows its pid as it sees itself.
fn creating(container: &Container) -> String {
    let pid = std::process::id().cast_signed();
    let container = Container { state: State { pid, ..container.state.clone() }, ..container.clone() };
    serde_json::to_string(&container.oci_state("creating")).unwrap_or_default()
}

/// Does the runtime's part until the init is ready.
fn follow(container: &Container, plan: &Plan, channel: &Channel, log: &Log) -> Result<()> {
    if let Some((uids, gids)) = &plan.mappings {
        fork::map_ids(container.state.pid, uids, gids)?;
    }
    if plan.has_user_namespace() {
        for &(resource, soft, hard) in &plan.process.limits {
            sys::process::set_limit(container.state.pid, resource, soft, hard)
                .during("set limit", format_args!("{resource:?} to {soft}:{hard}"))?;
        }
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
            Some((Message::Listener, Some(fd))) => tell_agent(container, plan, &fd)?,
            Some((Message::Pid(_) | Message::Go | Message::Listener, _)) => {}
            None => return Err(Error::said("container init exited early (possibly OOM-killed)")),
        }
    }
}

/// Hands the seccomp listener to its agent, with the state of the specification beside it.
fn tell_agent(container: &Container, plan: &Plan, fd: &OwnedFd) -> Result<()> {
    let Some((path, metadata)) = plan.seccomp.as_ref().and_then(|filter| filter.listener.as_ref()) else {
        return Ok(());
    };
    let state = serde_json::json!({
        "ociVersion": container.state.oci_version,
        "fds": ["seccompFd"],
        "pid": container.state.pid,
        "metadata": metadata,
        "state": container.oci_state("creating"),
    });
    let socket = console::connect(path).stage("unable to reach the seccomp agent")?;
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
