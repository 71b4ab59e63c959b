//! Runs hooks: the container's state on standard input, a deadline, an error that names the hook.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use oci_spec::runtime::Hook;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::error::{Error, Result};

/// Runs hooks one after the other and stops at the first that fails.
pub(crate) fn run(kind: &str, hooks: &[Hook], state: &str) -> Result<()> {
    run_with(kind, hooks, state, &[])
}

/// Like [`run`]; hooks that name no environment get this one.
pub(crate) fn run_with(kind: &str, hooks: &[Hook], state: &str, environment: &[String]) -> Result<()> {
    for (number, hook) in hooks.iter().enumerate() {
        run_one(hook, state, environment)
            .map_err(|reason| Error::said(format!("error running {kind} hook #{number}: {reason}")))?;
    }
    Ok(())
}

fn run_one(hook: &Hook, state: &str, environment: &[String]) -> Result<(), String> {
    let mut command = Command::new(hook.path());
    if let Some((name, args)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(args);
    }
    command.env_clear();
    for variable in hook.env().as_deref().unwrap_or(environment) {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        command.env(name, value);
    }
    let (stdin, stdout) = (Stdio::piped(), Stdio::piped());
    let mut child = command.stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn().map_err(|error| {
        format!("fork/exec {}: {}", hook.path().display(), sys::error::text(sys::error::errno_of(&error)))
    })?;
    // One that does not read its input gives EPIPE, which is its own business.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(state.as_bytes());
    }
    if let Some(seconds) = hook.timeout().filter(|&seconds| seconds > 0) {
        let pid = i32::try_from(child.id()).unwrap_or(0);
        let pidfd = sys::process::pidfd(pid).map_err(|error| error.to_string())?;
        let timeout = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let ended = rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout));
        if ended == Ok(0) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("hook ran past specified timeout of {seconds}s"));
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let mut output = String::new();
    for pipe in [child.stdout.take().map(read_pipe), child.stderr.take().map(read_pipe)].into_iter().flatten()
    {
        output.push_str(&pipe);
    }
    Err(format!("{status}, stdout/stderr: {}", output.trim()))
}

/// What a finished hook left in its pipe. A child that it left behind may hold the pipe open: take what is there.
fn read_pipe(mut pipe: impl Read + std::os::fd::AsFd) -> String {
    let mut bytes = vec![0; 4096];
    let ready = rustix::event::poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&Timespec::default()));
    let length = if ready == Ok(1) { pipe.read(&mut bytes).unwrap_or(0) } else { 0 };
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}
