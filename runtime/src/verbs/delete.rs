//! `delete`: removes what is left of a container.

use rustix::event::{PollFd, PollFlags, Timespec};

use super::{Context, Verb, kill};
use crate::cli::{Args, switch};
use crate::error::{Error, Result};
use crate::hooks;
use crate::store::{self, Container, Status};

pub(super) const VERB: Verb = Verb {
    name: "delete",
    usage: "[command options] <container-id>",
    about: "delete what a container holds",
    flags: &[switch("force").or("f")],
    stop: false,
    failure: 1,
    prefix: "",
    run,
};

fn run(context: &Context, args: &Args) -> Result<u8> {
    let id = args.id("delete")?;
    let force = args.has("force");
    let container = match context.store.load(id) {
        Ok(container) => container,
        // Half made, or made by a version whose state we cannot read: nothing more can be known of it.
        Err(error) => match context.store.leftover(id) {
            Some(folder) => {
                store::remove_folder(&folder)?;
                return Ok(0);
            }
            None if force => return Ok(0),
            None => return Err(error),
        },
    };
    match container.status()? {
        Status::Stopped => {}
        Status::Created => end(&container)?,
        _ if force => end(&container)?,
        status => {
            let text = format!("cannot delete container {id} that is not stopped: {}", status.name());
            return Err(Error::said(text));
        }
    }
    remove(&container, &context.log)?;
    Ok(0)
}

fn end(container: &Container) -> Result<()> {
    let Some(pidfd) = container.pidfd()? else { return Ok(()) };
    match kill::signal_init(container, libc::SIGKILL) {
        Err(Error::Said(text)) if text == "container not running" => return Ok(()),
        result => result?,
    }
    let timeout = Timespec { tv_sec: 10, tv_nsec: 0 };
    match rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
        Ok(0) => Err(Error::said(format!("container init {} still running", container.state.pid))),
        _ => Ok(()),
    }
}

/// Removes what is left of a stopped container. Goes on after an error and reports the first.
pub(super) fn remove(container: &Container, log: &crate::log::Log) -> Result<()> {
    let mut first = Ok(());
    if let Some(cgroup) = &container.state.cgroup {
        // Without a PID namespace of its own, others may have outlived the init.
        let removed = if container.state.own_pid_namespace { Ok(()) } else { cgroup.signal(libc::SIGKILL) };
        first = removed.and_then(|()| cgroup.remove()).map_err(Error::from);
    }
    first = first.and(container.remove());
    let state = serde_json::to_string(&container.oci_state("stopped")).unwrap_or_default();
    for hook in &container.state.poststop {
        // The specification wants a warning, and the rest to go on.
        if let Err(error) = hooks::run("poststop", std::slice::from_ref(hook), &state) {
            log.warn(error.to_string());
        }
    }
    first
}
