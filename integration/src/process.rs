//! Daemons under test: started with their output in a file, ended when the test is over.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::runner::TestError;

/// A running daemon. Dropping it kills it and, when the test failed, its log is shown by [`Daemon::log`].
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts the command in a session of its own, with its output appended to `log`.
    pub fn spawn(mut command: Command, log: &Path) -> io::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        Ok(Self { child: command.spawn()?, log: log.into() })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL, as a crash would be, and waits for its end.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// SIGTERM, and waits until it has drained; an error after the deadline.
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus, TestError> {
        kill(Pid::from_raw(self.pid()), Signal::SIGTERM)?;
        let pid = self.pid();
        wait_for(deadline, &format!("the end of process {pid} after SIGTERM"), || {
            Ok(self.child.try_wait()?)
        })
    }

    /// Waits until it accepts connections on a unix socket; fails with its log when it ends before.
    pub fn wait_for_socket(&mut self, socket: &Path) -> Result<(), TestError> {
        let name = socket.display().to_string();
        wait_for(Duration::from_secs(20), &name, || {
            if let Some(status) = self.child.try_wait()? {
                return Err(TestError::Failed(format!("ended with {status} before {name}:\n{}", self.log())));
            }
            Ok(std::os::unix::net::UnixStream::connect(socket).ok().map(drop))
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.kill();
        }
    }
}

/// By how much a machine is slower than one that people use: 1, unless `ORLOP_PATIENCE` says otherwise.
pub(crate) fn patience() -> u32 {
    let asked = std::env::var("ORLOP_PATIENCE").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Tries until there is something, or fails naming what was waited for.
pub fn wait_for<T>(
    deadline: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<Option<T>, TestError>,
) -> Result<T, TestError> {
    let deadline = deadline * patience();
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = attempt()? {
            return Ok(found);
        }
        if Instant::now() >= end {
            return Err(TestError::Failed(format!("after {deadline:?} still waiting for {what}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
