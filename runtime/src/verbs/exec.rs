//! `exec`: a further process in a running container.

use std::os::fd::OwnedFd;
use std::path::Path;

use oci_spec::runtime::{Capability, Process};
use rustix::fs::{Mode, OFlags};
use sys::During;
use sys::cgroup::Entrance;
use sys::namespace::Kind;
use sys::process::{Child, Clone};

use super::{Context, Verb, create};
use crate::channel::{Channel, Message};
use crate::cli::{Args, switch, value};
use crate::console::Console;
use crate::error::{Error, Result, Stage};
use crate::init::process::{self, Labels};
use crate::launch::{self, Options};
use crate::plan::ProcessPlan;
use crate::relay::Relay;
use crate::seccomp::Filter;
use crate::store::{Container, Status};
use crate::{config, console, fork, init};

pub(super) const VERB: Verb = Verb {
    name: "exec",
    usage: "[command options] <container-id> <command> [command options]",
    about: "execute a new process inside the container",
    flags: &[
        value("console-socket"),
        value("pidfd-socket"),
        value("cwd"),
        value("env").or("e"),
        switch("tty").or("t"),
        value("user").or("u"),
        value("additional-gids").or("g"),
        value("process").or("p"),
        switch("detach").or("d"),
        value("pid-file"),
        value("process-label"),
        value("apparmor"),
        switch("no-new-privs"),
        value("cap").or("c"),
        value("preserve-fds"),
        value("cgroup"),
        switch("ignore-paused"),
    ],
    stop: true,
    // Callers tell a failed exec from a program that exits with 1.
    failure: 255,
    prefix: "exec failed: ",
    run,
};

fn run(context: &Context, args: &Args) -> Result<u8> {
    let Some((id, command)) = args.operands.split_first() else {
        return Err(Error::Usage("\"exec\" requires at least 1 argument".to_owned()));
    };
    if args.text("cgroup").is_some_and(|cgroup| !cgroup.trim_matches('/').is_empty()) {
        return Err(Error::Usage("--cgroup is not implemented".to_owned()));
    }
    let detached = args.has("detach");
    // Before the descriptors are closed, since the file may be one of them (`/dev/fd/N`); but not before we are
    // executed again, since it may be a pipe.
    crate::exe::protect()?;
    let given = args.text("process").map(|path| config::read_process(Path::new(path))).transpose()?;
    let options = create::options(args, detached)?;
    let container = context.store.load(id)?;
    match container.status()? {
        Status::Stopped => return Err(Error::said("cannot exec in a stopped container")),
        Status::Paused if !args.has("ignore-paused") => {
            return Err(Error::said("cannot exec in a paused container (use --ignore-paused to override)"));
        }
        _ => {}
    }
    let process = match given {
        Some(read) => {
            read.warnings.iter().for_each(|warning| context.log.warn(warning));
            read.value
        }
        None => from_flags(&container, command, args)?,
    };
    let mut plan = ProcessPlan::new(&process)?;
    if let Some(text) = args.text("user").filter(|_| args.text("process").is_none()) {
        (plan.uid, plan.gid) = parse_user(text, plan.gid)?;
    }
    if plan.terminal.is_some() && detached && options.console_socket.is_none() {
        return Err(Error::said("cannot allocate tty if runc will detach without setting console socket"));
    }
    let mut relay = if detached { None } else { Some(Relay::new()?) };
    let terminal = relay.as_mut().map(Relay::terminal_socket).transpose()?;
    let child = spawn(&container, plan, &options, terminal, context)?;
    match relay {
        Some(relay) => relay.follow(&child),
        None => Ok(0),
    }
}

/// The process of the container's own document, with what the flags change.
fn from_flags(container: &Container, command: &[String], args: &Args) -> Result<Process> {
    if command.is_empty() {
        return Err(Error::Usage("process args cannot be empty".to_owned()));
    }
    let spec = config::read_spec(&container.state.bundle)?.value;
    let mut process = spec.process().clone().ok_or_else(|| Error::refused("process", "is missing"))?;
    process.set_args(Some(command.to_vec()));
    process.set_terminal(Some(args.has("tty")));
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(args.all("env").map(str::to_owned));
    process.set_env(Some(env));
    if let Some(cwd) = args.text("cwd") {
        process.set_cwd(cwd.into());
    }
    if let Some(label) = args.text("process-label") {
        process.set_selinux_label(Some(label.to_owned()));
    }
    if let Some(profile) = args.text("apparmor") {
        process.set_apparmor_profile(Some(profile.to_owned()));
    }
    if args.has("no-new-privs") {
        process.set_no_new_privileges(Some(true));
    }
    let groups: Option<Vec<u32>> = args.all("additional-gids").map(parse_id).collect();
    let groups = groups.ok_or_else(|| Error::Usage("invalid value for flag -additional-gids".to_owned()))?;
    let mut all = process.user().additional_gids().clone().unwrap_or_default();
    all.extend(groups);
    process.user_mut().set_additional_gids(Some(all));
    add_capabilities(&mut process, args)?;
    Ok(process)
}

/// What is added becomes effective; ambient only where it is inheritable already.
fn add_capabilities(process: &mut Process, args: &Args) -> Result<()> {
    let mut sets = process.capabilities().clone().unwrap_or_default();
    for name in args.all("cap") {
        let quoted = serde_json::Value::from(name);
        let capability: Capability = serde_json::from_value(quoted)
            .map_err(|_| Error::Usage(format!("unknown capability {name:?}")))?;
        let add = |set: &Option<std::collections::HashSet<Capability>>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(capability);
            Some(set)
        };
        let (bounding, effective, permitted) =
            (add(sets.bounding()), add(sets.effective()), add(sets.permitted()));
        sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
        if sets.inheritable().as_ref().is_some_and(|set| set.contains(&capability)) {
            let ambient = add(sets.ambient());
            sets.set_ambient(ambient);
        }
    }
    if args.text("cap").is_some() {
        process.set_capabilities(Some(sets));
    }
    Ok(())
}

/// `UID[:GID]`, numbers only: an ambiguous user must never become root.
fn parse_user(text: &str, gid: u32) -> Result<(u32, u32)> {
    let parsed = match text.split_once(':') {
        None => parse_id(text).map(|uid| (uid, gid)),
        Some((uid, gid)) => parse_id(uid).zip(parse_id(gid)),
    };
    parsed.ok_or_else(|| Error::Usage(format!("invalid user {text:?}: must be UID[:GID]")))
}

/// The largest number means "unchanged" to the kernel and is nobody's id.
fn parse_id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

/// What the new process needs and only we could open.
struct Entry<'a> {
    container: &'a Container,
    plan: ProcessPlan,
    channel: Channel,
    init: OwnedFd,
    entrance: Option<Entrance>,
    console: Option<Console>,
    filter: Option<Filter>,
    preserve: u32,
}

fn spawn(
    container: &Container,
    plan: ProcessPlan,
    options: &Options,
    terminal: Option<OwnedFd>,
    context: &Context,
) -> Result<Child> {
    let init = container.pidfd()?.ok_or_else(|| Error::said("cannot exec in a stopped container"))?;
    let (ours, theirs) = Channel::pair()?;
    let entrance = container.state.cgroup.as_ref().map(sys::cgroup::Cgroup::open).transpose()?;
    let folder = entrance
        .as_ref()
        .and_then(Entrance::folder)
        .map(|folder| rustix::io::fcntl_dupfd_cloexec(folder, 3))
        .transpose();
    let folder = folder.during("duplicate", "cgroup")?;
    let console = Console::new(options.console_socket.as_deref(), terminal)?;
    let has_pid = container.state.namespaces.contains(&Kind::Pid);
    let own = rustix::fs::open("/proc/self/ns/pid", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let own = own.during("open", "pid namespace")?;
    if has_pid {
        // Takes effect for the child that is cloned next.
        sys::namespace::join(&init, Kind::Pid.flag()).during("join", "pid namespace")?;
    }
    let mut filter = Filter::load(&container.folder)?;
    if let (Some(filter), Some(listener)) = (&mut filter, &container.state.listener) {
        filter.listener = Some(listener.clone());
        filter.flags |= libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    }
    let entry = Entry {
        container,
        plan,
        channel: theirs,
        init,
        entrance,
        console,
        filter,
        preserve: options.preserve,
    };
    let clone = Clone { flags: 0, cgroup: folder.as_ref().map(std::os::fd::AsFd::as_fd) };
    let child = fork::spawn(&clone, || {
        let channel = entry.channel.duplicate();
        if let (Err(error), Ok(channel)) = (enter(entry), channel) {
            let _ = channel.send(&Message::Failed(error.to_string()));
        }
        sys::process::exit_now(255)
    })?;
    if has_pid {
        sys::namespace::join(&own, Kind::Pid.flag()).during("rejoin", "pid namespace")?;
    }
    match finish(container, &child, &ours, options, context) {
        Ok(()) => Ok(child),
        Err(error) => {
            fork::kill(&child);
            Err(error)
        }
    }
}

/// Waits until the program is executed: the channel then closes.
fn finish(
    container: &Container,
    child: &Child,
    channel: &Channel,
    options: &Options,
    context: &Context,
) -> Result<()> {
    let mut ready = false;
    loop {
        match channel.receive()? {
            Some((Message::Failed(text), _)) => {
                return Err(Error::said(format!("unable to start container process: {text}")));
            }
            Some((Message::Warning(text), _)) => context.log.warn(text),
            Some((Message::Ready, _)) => ready = true,
            Some((Message::Listener, Some(fd))) => launch::tell_agent(container, child.pid, "running", &fd)?,
            Some(_) => {}
            None if ready => break,
            None => return Err(Error::said("the process ended before its program was executed")),
        }
    }
    if let Some(path) = &options.pidfd_socket {
        crate::channel::send(&console::connect(path)?, b"pidfd", Some(&child.pidfd))?;
    }
    match &options.pid_file {
        Some(path) => launch::write_pid(path, child.pid),
        None => Ok(()),
    }
}

/// In the child: into the container, and the same last steps as its first process.
fn enter(mut entry: Entry<'_>) -> Result<()> {
    crate::relay::unblock()?;
    let plan = &entry.plan;
    init::write_score(plan.oom_score_adj, &entry.channel)?;
    let cpus = |list: Option<&Vec<u32>>| match list {
        Some(cpus) => {
            sys::process::set_cpu_affinity(cpus).during("sched_setaffinity", format_args!("{cpus:?}"))
        }
        None => Ok(()),
    };
    cpus(plan.affinity.as_ref().and_then(|affinity| affinity.initial.as_ref()))?;
    if let Some(entrance) = entry.entrance.take() {
        entrance.enter()?;
    }
    match &plan.affinity {
        Some(affinity) => cpus(affinity.last.as_ref())?,
        None => sys::process::reset_cpu_affinity(),
    }
    for &(resource, soft, hard) in &plan.limits {
        sys::process::set_limit(0, resource, soft, hard)
            .during("set limit", format_args!("{resource:?} to {soft}:{hard}"))?;
    }
    // Before anyone inside can see us: our memory and descriptors are the host's (CVE-2016-9962).
    sys::process::set_not_dumpable()?;
    let labels = Labels::open(plan)?;
    let state = &entry.container.state;
    let flags = state.namespaces.iter().filter(|kind| **kind != Kind::Pid).map(|kind| kind.flag()).sum();
    sys::namespace::join(&entry.init, flags).during("join", "the container's namespaces")?;
    if state.user_namespace {
        sys::process::become_user(0, 0, None).stage("becoming root of the user namespace")?;
    }
    rustix::process::setsid().during("setsid", "exec")?;
    if let Some(domain) = state.personality {
        sys::process::set_personality(domain).during("personality", domain)?;
    }
    match &plan.terminal {
        Some(size) => {
            let root = sys::fs::Root::open(Path::new("/"))?;
            let (master, slave) = sys::process::open_terminal(&root)?;
            let console =
                entry.console.take().ok_or_else(|| Error::said("a terminal needs a console socket"))?;
            console.hand_over(&master, *size)?;
            process::take_terminal(slave, plan.uid)?;
        }
        None => process::own_streams(plan.uid),
    }
    process::place(plan, state.memory_policy.as_ref())?;
    let filter = entry.filter.as_ref();
    let program = process::become_it(plan, filter, labels, &entry.channel)?;
    entry.channel.send(&Message::Ready)?;
    if let Some(filter) = filter.filter(|filter| plan.no_new_privileges && filter.listener.is_none()) {
        sys::process::load_seccomp(&filter.program, filter.flags)?;
    }
    program.execute(entry.preserve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_number_and_nothing_else() {
        assert_eq!(parse_user("1000", 7).unwrap(), (1000, 7));
        assert_eq!(parse_user("1:2", 7).unwrap(), (1, 2));
        for text in
            ["", ":", ":5", "1000x", "-1", "+1", " 1", "4294967295", "4294967296", "1:", "1:2:3", "root"]
        {
            assert!(parse_user(text, 7).is_err(), "{text}");
        }
    }
}
