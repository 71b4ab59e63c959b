//! `kill`: sends a signal to a container's init, or to all of its processes.

use rustix::io::Errno;

use super::{Context, Verb};
use crate::cli::{Args, switch};
use crate::error::{Error, Result};
use crate::store::Container;

pub(super) const VERB: Verb = Verb {
    name: "kill",
    usage: "<container-id> [signal]",
    about: "send a signal (default SIGTERM) to the container's init process",
    flags: &[switch("all").or("a")],
    stop: false,
    failure: 1,
    prefix: "",
    run,
};

fn run(context: &Context, args: &Args) -> Result<u8> {
    let (id, signal) = match args.operands.as_slice() {
        [id] => (id, libc::SIGTERM),
        [id, signal] => {
            (id, parse_signal(signal).ok_or_else(|| Error::said(format!("unknown signal {signal:?}")))?)
        }
        _ => return Err(Error::Usage("\"kill\" requires 1 or 2 arguments".to_owned())),
    };
    let container = context.store.load(id)?;
    if args.has("all") {
        if let Some(cgroup) = &container.state.cgroup {
            cgroup.signal(signal)?;
        }
        return Ok(0);
    }
    signal_init(&container, signal)?;
    Ok(0)
}

/// Signals the init; with SIGKILL and a shared PID namespace all the others too, since they would outlive it.
pub(super) fn signal_init(container: &Container, signal: i32) -> Result<()> {
    let sent = match container.pidfd()? {
        Some(pidfd) => sys::process::send_signal(&pidfd, signal),
        None => Err(Errno::SRCH),
    };
    match sent {
        Ok(()) => {}
        Err(Errno::SRCH) if signal == libc::SIGKILL && outlived(container)? => {}
        Err(Errno::SRCH) => return Err(Error::said("container not running")),
        Err(errno) => return Err(sys::Error::new("kill", container.state.pid, errno).into()),
    }
    if signal == libc::SIGKILL
        && let Some(cgroup) = &container.state.cgroup
    {
        if !container.state.own_pid_namespace {
            cgroup.signal(signal)?;
        }
        // On version 1 a frozen process does not die.
        if cgroup.is_frozen()? {
            cgroup.set_frozen(false)?;
        }
    }
    Ok(())
}

/// Whether processes are left although the init is gone, as can be without a PID namespace of their own.
fn outlived(container: &Container) -> Result<bool> {
    Ok(match &container.state.cgroup {
        Some(cgroup) if !container.state.own_pid_namespace => !cgroup.processes()?.is_empty(),
        _ => false,
    })
}

/// A number or a name, with or without `SIG`, in any case.
fn parse_signal(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse() {
        return (0..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN+") {
        return offset.parse().ok().map(|offset: i32| 34 + offset).filter(|number| *number <= 64);
    }
    if let Some(offset) = name.strip_prefix("RTMAX-") {
        return offset.parse().ok().map(|offset: i32| 64 - offset).filter(|number| *number >= 34);
    }
    if name == "RTMIN" || name == "RTMAX" {
        return Some(if name == "RTMIN" { 34 } else { 64 });
    }
    if name == "POLL" || name == "CLD" {
        return Some(if name == "POLL" { libc::SIGIO } else { libc::SIGCHLD });
    }
    nix::sys::signal::Signal::iterator()
        .find(|signal| signal.as_str() == format!("SIG{name}"))
        .map(|signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_numbers_and_names() {
        for text in ["9", "KILL", "SIGKILL", "sigkill", "Kill"] {
            assert_eq!(parse_signal(text), Some(9), "{text}");
        }
        assert_eq!(parse_signal("SIGRTMIN+3"), Some(37));
        assert_eq!(parse_signal("RTMAX-1"), Some(63));
        for text in ["", "SIG", "65", "-1", "MOON", "RTMIN+40"] {
            assert_eq!(parse_signal(text), None, "{text}");
        }
    }
}
