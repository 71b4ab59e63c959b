//! The process that becomes the container's, from its clone to its execve(2), in the order of execution.
//!
//! It is a clone of the runtime: it has its memory and its descriptors, and must not return. Nothing here trusts
//! a path inside the container.

pub(crate) mod cgroups;
pub(crate) mod devices;
pub(crate) mod process;
pub(crate) mod rootfs;

use std::os::fd::OwnedFd;

use oci_spec::runtime::Hook;
use rustix::fs::OFlags;
use sys::cgroup::{Cgroup, Entrance};
use sys::namespace::{self, Kind};
use sys::{During, process as kernel};

use crate::channel::{Channel, Message};
use crate::console::Console;
use crate::error::{Error, Result, Stage};
use crate::hooks;
use crate::plan::Plan;

/// Everything that the init needs and that only the runtime could open.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    /// What to do.
    pub(crate) plan: &'a Plan,
    /// To the runtime.
    pub(crate) channel: Channel,
    /// A detached copy of the root file system.
    pub(crate) rootfs: OwnedFd,
    /// For each mount that is a bind: its source.
    pub(crate) sources: Vec<Option<rootfs::Source>>,
    /// Detached copies of the host's nodes, where mknod(2) is not allowed.
    pub(crate) nodes: devices::Nodes,
    /// Into the cgroup.
    pub(crate) entrance: Option<Entrance>,
    /// The cgroup, for its view in the container.
    pub(crate) cgroup: Option<&'a Cgroup>,
    /// Namespaces to join.
    pub(crate) joins: Vec<(Kind, OwnedFd)>,
    /// Who gets the terminal's master.
    pub(crate) console: Option<Console>,
    /// On which `start` says go.
    pub(crate) start: OwnedFd,
    /// On which we say why the program could not be executed.
    pub(crate) started: OwnedFd,
    /// The state, for hooks.
    pub(crate) state: String,
    /// The name of a new session keyring.
    pub(crate) keyring: Option<String>,
    /// How many descriptors from 3 on the program gets.
    pub(crate) preserve: u32,
    /// How many of them come from socket activation.
    pub(crate) listen: u32,
}

/// What the init does; ends the process.
pub(crate) fn run(setup: Setup<'_>) -> ! {
    let channel = setup.channel.duplicate();
    if let Err(error) = steps(setup)
        && let Ok(channel) = channel
    {
        let _ = channel.send(&Message::Failed(error.to_string()));
    }
    kernel::exit_now(1)
}

fn steps(mut setup: Setup<'_>) -> Result<()> {
    crate::relay::unblock()?;
    let plan = setup.plan;
    let has = |kind| plan.new.contains(&kind);
    if has(Kind::User) {
        wait_for_go(&setup.channel)?;
    }
    write_score(plan.process.oom_score_adj, &setup.channel)?;
    if let Some(entrance) = setup.entrance.take() {
        entrance.enter()?;
    }
    kernel::reset_cpu_affinity();
    let new: u64 = plan.new.iter().filter(|kind| **kind == Kind::Cgroup).map(|kind| kind.flag()).sum();
    if new != 0 {
        // Not before the cgroup was entered: the namespace's root is where its maker is.
        namespace::unshare(new).during("unshare", "cgroup namespace")?;
    }
    for (kind, fd) in std::mem::take(&mut setup.joins) {
        namespace::join(&fd, kind.flag()).during("join", format_args!("{} namespace", kind.file()))?;
    }
    if plan.has_user_namespace() {
        kernel::become_user(0, 0, None).stage("becoming root of the user namespace")?;
    }
    kernel::set_not_dumpable()?;
    rustix::process::setsid().during("setsid", "init")?;
    if has(Kind::Network) {
        namespace::loopback_up()?;
    }
    if let Some(name) = &plan.hostname {
        rustix::system::sethostname(name.as_bytes()).during("sethostname", name)?;
    }
    if let Some(name) = &plan.domainname {
        rustix::system::setdomainname(name.as_bytes()).during("setdomainname", name)?;
    }
    for (path, value) in &plan.sysctls {
        // The host's procfs, which no image can fake, shows each process its own namespaces' parameters.
        sys::fs::write(&std::path::Path::new("/proc/sys").join(path), value).stage("setting sysctl")?;
    }
    let labels = process::Labels::open(&plan.process)?;
    if let Some(name) = &setup.keyring {
        process::join_keyring(name)?;
    }

    rustix::process::umask(rustix::fs::Mode::empty());
    let root = rootfs::make(&mut setup)?;
    let terminal = match &plan.process.terminal {
        Some(size) => {
            let (master, slave) = sys::process::open_terminal(&root)?;
            rootfs::mount_console(&root, &slave)?;
            let console =
                setup.console.take().ok_or_else(|| Error::said("a terminal needs a console socket"))?;
            console.hand_over(&master, *size)?;
            Some(slave)
        }
        None => None,
    };
    if plan.hooks.create_runtime.iter().any(|(_, hooks)| !hooks.is_empty()) {
        setup.channel.send(&Message::Hooks)?;
        wait_for_go(&setup.channel)?;
    }
    hooks::run("createContainer", &plan.hooks.create_container, &setup.state)?;
    rootfs::hide(&root, &setup)?;
    rootfs::enter(root, &setup)?;
    if let Some(slave) = terminal {
        process::take_terminal(slave, plan.process.uid)?;
    } else {
        process::own_streams(plan.process.uid);
    }
    if let Some(domain) = plan.personality {
        kernel::set_personality(domain).during("personality", domain)?;
    }
    process::place(&plan.process, plan.memory_policy.as_ref())?;
    limits(plan, &setup.channel)?;
    let program = process::become_it(&plan.process, plan.seccomp.as_ref(), labels, &setup.channel)?
        .with_sockets(setup.listen);
    setup.channel.send(&Message::Ready)?;

    let Setup { channel, start, started, state, preserve, nodes, rootfs, .. } = setup;
    // What waits for the start holds no more of the host than its own two pipes.
    drop((channel, nodes, rootfs));
    let filter =
        plan.seccomp.as_ref().filter(|filter| plan.process.no_new_privileges && filter.listener.is_none());
    let hooks = Last { hooks: &plan.hooks.start_container, state: &state };
    if let Err(error) = wait_and_execute(&start, &program, filter, &hooks, preserve) {
        let _ = rustix::io::write(&started, error.to_string().as_bytes());
    }
    kernel::exit_now(1)
}

struct Last<'a> {
    hooks: &'a [Hook],
    state: &'a str,
}

/// From here on, only calls that any sensible seccomp filter allows: read, write, close, execve.
fn wait_and_execute(
    start: &OwnedFd,
    program: &process::Program,
    filter: Option<&crate::seccomp::Filter>,
    last: &Last<'_>,
    preserve: u32,
) -> Result<()> {
    let mut byte = [0];
    while rustix::io::read(start, &mut byte).during("wait for", "start")? == 0 {}
    // The hooks are the container's, and get no further than its program.
    if let Some(filter) = filter {
        kernel::load_seccomp(&filter.program, filter.flags)?;
    }
    if !last.hooks.is_empty() {
        // The specification is silent; programs rely on what runc does: these see the program's environment.
        let environment: Vec<String> = program.environment().map(std::borrow::Cow::into_owned).collect();
        hooks::run_with("startContainer", last.hooks, last.state, &environment)?;
    }
    program.execute(preserve)
}

fn wait_for_go(channel: &Channel) -> Result<()> {
    match channel.receive()? {
        Some((Message::Go, _)) => Ok(()),
        // The runtime failed and says so itself.
        _ => kernel::exit_now(1),
    }
}

/// Lowering it needs a privilege that not every host's root has: carry on, and say so.
pub(crate) fn write_score(score: Option<i32>, channel: &Channel) -> Result<()> {
    let Some(score) = score else { return Ok(()) };
    match sys::fs::write(std::path::Path::new("/proc/self/oom_score_adj"), &score.to_string()) {
        Err(error) if matches!(error.errno, rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => {
            channel.send(&Message::Warning(format!("oom_score_adj {score} not set: {error}")))?;
            Ok(())
        }
        result => Ok(result?),
    }
}

/// As late as can be, since they are the program's: with them set, setting up the root may want more descriptors than
/// they leave. A user namespace's root may not raise them, and the runtime does it.
fn limits(plan: &Plan, channel: &Channel) -> Result<()> {
    if plan.has_user_namespace() && !plan.process.limits.is_empty() {
        channel.send(&Message::Limits)?;
        return wait_for_go(channel);
    }
    for &(resource, soft, hard) in &plan.process.limits {
        kernel::set_limit(0, resource, soft, hard)
            .during("set limit", format_args!("{resource:?} to {soft}:{hard}"))?;
    }
    Ok(())
}

/// Opens one of the container's pipes so that neither reading nor writing waits for the other side to open it.
pub(crate) fn open_pipe(path: &std::path::Path) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, rustix::fs::Mode::empty()).during("open", path.display())?)
}
