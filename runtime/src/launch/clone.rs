//! Clones the init into its namespaces.
//!
//! ```text
//! runtime ── clone ──▶ init                          nothing is joined that only children enter, or that belongs elsewhere
//! runtime ── clone ──▶ between ── clone ──▶ init     a user namespace is joined, or namespaces that it does not own
//!                         └─ ends at once            (the init is the runtime's child: CLONE_PARENT)
//! ```

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use sys::During;
use sys::namespace::Kind;
use sys::process::{Child, Clone};

use super::open_namespace;
use crate::channel::{Channel, Message};
use crate::error::{Error, Result};
use crate::fork;
use crate::init::{self, Setup};
use crate::plan::Plan;
use crate::store::{Container, State};

/// Clones the init. The cgroup namespace comes later, when it is in its cgroup.
pub(super) fn init(mut setup: Setup<'_>, container: &Container) -> Result<Child> {
    let plan = setup.plan;
    let folder = setup.entrance.as_ref().and_then(sys::cgroup::Entrance::folder);
    let folder = folder
        .map(|folder| rustix::io::fcntl_dupfd_cloexec(folder, 3))
        .transpose()
        .during("duplicate", "cgroup")?;
    // clone3(2) would put the init into a time namespace whose offsets can no longer be set.
    let later = [Kind::Cgroup, Kind::Time];
    let flags = plan.new.iter().filter(|kind| !later.contains(kind)).map(|kind| kind.flag()).sum();
    let clone = Clone { flags, cgroup: folder.as_ref().map(AsFd::as_fd) };
    if plan.has_user_namespace() && !setup.joins.is_empty() {
        return from_between(setup, clone, container);
    }
    let pid = take(&mut setup, Kind::Pid);
    // Both are entered by children only: enter, clone, and come back for the hooks.
    let mut back = Vec::new();
    if let Some(pid) = pid {
        back.push((Kind::Pid, open_namespace(Path::new("/proc/self/ns/pid"))?));
        sys::namespace::join(&pid, Kind::Pid.flag()).during("join", "pid namespace")?;
    }
    if plan.new.contains(&Kind::Time) {
        back.push((Kind::Time, open_namespace(Path::new("/proc/self/ns/time"))?));
        new_time(plan)?;
    }
    let child = fork::spawn(&clone, || run(setup, container));
    for (kind, own) in back {
        sys::namespace::join(&own, kind.flag()).during("rejoin", kind.file())?;
    }
    child
}

fn take(setup: &mut Setup<'_>, wanted: Kind) -> Option<OwnedFd> {
    let at = setup.joins.iter().position(|(kind, _)| *kind == wanted)?;
    Some(setup.joins.remove(at).1)
}

fn run(mut setup: Setup<'_>, container: &Container) {
    setup.state = creating(container);
    init::run(setup)
}

/// A time namespace for the children, with its offsets: they can be set as long as nobody is in it.
fn new_time(plan: &Plan) -> Result<()> {
    sys::namespace::unshare(Kind::Time.flag()).during("unshare", "time namespace")?;
    let path = Path::new("/proc/self/timens_offsets");
    Ok(plan.time_offsets.iter().try_for_each(|line| sys::fs::write(path, line))?)
}

/// The new namespaces must belong to the container's user namespace, and what is joined may belong to another one,
/// which gives no right to it: a process in between joins what it may as the host's root, then the user namespace,
/// then the rest, and clones the init as our child. It has a channel of its own: over the other one the init may
/// have spoken first.
fn from_between(mut setup: Setup<'_>, clone: Clone<'_>, container: &Container) -> Result<Child> {
    let (ours, theirs) = Channel::pair()?;
    let between = fork::spawn(&Clone::default(), || {
        let clone = Clone { flags: clone.flags | libc::CLONE_PARENT as u64, cgroup: clone.cgroup };
        let result = join(&mut setup).and_then(|()| fork::spawn(&clone, || run(setup, container)));
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

/// Leaves the cgroup namespace to the init, which enters its cgroup from ours.
fn join(setup: &mut Setup<'_>) -> Result<()> {
    let user = take(setup, Kind::User);
    let named = |kind: Kind| format!("{} namespace", kind.file());
    let mut after = Vec::new();
    for (kind, fd) in std::mem::take(&mut setup.joins) {
        let joined =
            if kind == Kind::Cgroup { Err(Errno::PERM) } else { sys::namespace::join(&fd, kind.flag()) };
        match joined {
            Err(Errno::PERM) => after.push((kind, fd)),
            joined => joined.during("join", named(kind))?,
        }
    }
    if let Some(user) = user {
        sys::namespace::join(&user, Kind::User.flag()).during("join", named(Kind::User))?;
    }
    let pid = after.iter().position(|(kind, _)| *kind == Kind::Pid).map(|at| after.remove(at).1);
    if let Some(pid) = pid {
        sys::namespace::join(&pid, Kind::Pid.flag()).during("join", named(Kind::Pid))?;
    }
    setup.joins = after;
    if setup.plan.new.contains(&Kind::Time) {
        new_time(setup.plan)?;
    }
    Ok(())
}

/// The state for hooks that the init runs: it knows its pid as it sees itself.
fn creating(container: &Container) -> String {
    let pid = std::process::id().cast_signed();
    let container = Container { state: State { pid, ..container.state.clone() }, ..container.clone() };
    serde_json::to_string(&container.oci_state("creating")).unwrap_or_default()
}
