//! `start`: lets a created container execute its program.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sys::During;

use super::{Context, Verb};
use crate::cli::Args;
use crate::error::{Error, Result};
use crate::hooks;
use crate::store::{Container, START, STARTED, Status};

pub(super) const VERB: Verb = Verb {
    name: "start",
    usage: "<container-id>",
    about: "execute the program of a created container",
    flags: &[],
    stop: false,
    failure: 1,
    prefix: "",
    run,
};

fn run(context: &Context, args: &Args) -> Result<u8> {
    let container = context.store.load(args.id("start")?)?;
    start(&container)?;
    Ok(0)
}

/// Starts a container, and runs its poststart hooks.
pub(super) fn start(container: &Container) -> Result<()> {
    match container.status()? {
        Status::Created => {}
        Status::Stopped => return Err(Error::said("cannot start a container that has stopped")),
        Status::Running | Status::Paused => {
            return Err(Error::said("cannot start an already running container"));
        }
    }
    let open = |name: &str, flags: OFlags| {
        let path = container.folder.join(name);
        rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty()).during("open", path.display())
    };
    let answer = open(STARTED, OFlags::RDONLY | OFlags::NONBLOCK)?;
    let start = match open(START, OFlags::WRONLY | OFlags::NONBLOCK) {
        // Nobody waits: it ended since we looked, or another start was faster.
        Err(error) if error.errno == Errno::NXIO => {
            return Err(Error::said("cannot start a container that has stopped"));
        }
        Err(error) if error.errno == Errno::NOENT => {
            return Err(Error::said("cannot start an already running container"));
        }
        start => start?,
    };
    let path = container.folder.join(START);
    // Whoever removes it is the one who starts.
    match rustix::fs::unlink(&path) {
        Err(Errno::NOENT) => return Err(Error::said("cannot start an already running container")),
        result => result.during("unlink", path.display())?,
    }
    rustix::io::write(&start, b"0").during("start", &container.state.id)?;
    wait_executed(&answer)?;
    let state = serde_json::to_string(&container.oci_state("running")).unwrap_or_default();
    if let Err(error) = hooks::run("poststart", &container.state.poststart, &state) {
        if let Some(pidfd) = container.pidfd()? {
            let _ = sys::process::send_signal(&pidfd, libc::SIGKILL);
        }
        return Err(error);
    }
    Ok(())
}

/// The init's end of the pipe closes when it executes its program; before that it may say why it cannot.
fn wait_executed(answer: &OwnedFd) -> Result<()> {
    // Blocking from here on: the init has its end open since before it was created.
    rustix::fs::fcntl_setfl(answer, OFlags::empty()).during("fcntl", STARTED)?;
    let mut text = vec![0; 4096];
    let length = loop {
        match rustix::io::read(answer, text.as_mut_slice()) {
            Err(Errno::INTR) => {}
            result => break result.during("read", STARTED)?,
        }
    };
    match length {
        0 => Ok(()),
        length => Err(Error::said(format!(
            "unable to start container process: {}",
            String::from_utf8_lossy(&text[..length])
        ))),
    }
}
