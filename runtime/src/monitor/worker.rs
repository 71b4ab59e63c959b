//! A worker: one invocation of the OCI runtime's command line, and what came of it.
//!
//! ```text
//!            spawned               reaped with 0, and what it made is this process's child
//!   asked ────────────▶ running ─────────────────────────────────────────────────────────▶ done: pid, terminal
//!     │                    │ reaped otherwise, or what it made is nobody's
//!     └─ cannot be run ────┴─────────────▶ failed: the last error of its log, or how it ended
//! ```
//! The monitor never waits for one. Its result lies in files of a folder of its own, so that neither a full pipe
//! nor a runtime that hangs half-way through a message can hold the monitor up.

use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use api_monitor::PodConfig;
use serde::Deserialize;
use sys::pidfd::{Ended, PidFd};
use sys::seqpacket::Connection;

use super::effect::{Job, Started};

/// The most of a runtime's log that is looked at, in bytes.
const LOG_LIMIT: u64 = 256 << 10;

/// A running worker.
pub(super) struct Worker {
    /// Of the OCI runtime.
    pub(super) pid: i32,
    /// The kills counted in the container's cgroup before.
    oom_kills: u64,
    folder: PathBuf,
    /// Where the runtime sends the terminal's master.
    console: Option<UnixListener>,
    makes_process: bool,
    /// The container that it creates.
    pub(super) creates: Option<String>,
}

impl Worker {
    /// Starts it. The standard streams are those of the process that it makes.
    pub(super) fn start(
        config: &PodConfig,
        number: u64,
        job: &Job,
        runtime: Option<&[String]>,
        streams: [Stdio; 3],
        oom_kills: u64,
    ) -> io::Result<Self> {
        let folder = config.state_dir.join(format!("w{number}"));
        fs::create_dir(&folder)?;
        Self::start_in(&folder, config, job, runtime, streams, oom_kills).inspect_err(|_| {
            // The error of the start is the one to report.
            let _ = fs::remove_dir_all(&folder);
        })
    }

    fn start_in(
        folder: &Path,
        config: &PodConfig,
        job: &Job,
        runtime: Option<&[String]>,
        [stdin, stdout, stderr]: [Stdio; 3],
        oom_kills: u64,
    ) -> io::Result<Self> {
        let (program, arguments) = match runtime.and_then(<[String]>::split_first) {
            Some((program, arguments)) => (Path::new(program), arguments),
            None => (config.runtime.as_path(), &[][..]),
        };
        let mut command = Command::new(program);
        command.arg("--root").arg(&config.runtime_root).arg("--log").arg(folder.join("log"));
        command.args(["--log-format", "json"]).args(arguments);
        let terminal = match job {
            Job::Create { bundle, terminal, .. } => {
                command.arg("create").arg("--bundle").arg(bundle).arg("--pid-file").arg(folder.join("pid"));
                *terminal
            }
            Job::Start { .. } => {
                command.arg("start");
                false
            }
            Job::Exec { process, terminal, .. } => {
                command.arg("exec").arg("--process").arg(process);
                command.arg("--pid-file").arg(folder.join("pid")).arg("--detach");
                *terminal
            }
            Job::Delete { .. } => {
                command.args(["delete", "--force"]);
                false
            }
        };
        let console = if terminal {
            let path = folder.join("c");
            command.arg("--console-socket").arg(&path);
            let listener = UnixListener::bind(path)?;
            listener.set_nonblocking(true)?;
            Some(listener)
        } else {
            None
        };
        command.arg(job.container()).stdin(stdin).stdout(stdout).stderr(stderr);
        let child = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("execute {}: {error}", program.display()))
        })?;
        // The child is reaped by its number, as all of the monitor's are.
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let makes_process = matches!(job, Job::Create { .. } | Job::Exec { .. });
        let creates = match job {
            Job::Create { container, .. } => Some(container.clone()),
            _ => None,
        };
        Ok(Self { pid, oom_kills, folder: folder.to_owned(), console, makes_process, creates })
    }

    /// What came of a worker that has ended, and the terminal that it sent.
    pub(super) fn finish(self, ended: Ended) -> (Result<Started, String>, Option<OwnedFd>) {
        let outcome = self.outcome(ended);
        // What is left there is on a tmpfs, below the pod's folder, and goes with it.
        let _ = fs::remove_dir_all(&self.folder);
        outcome.map_or_else(|error| (Err(error), None), |(started, terminal)| (Ok(started), terminal))
    }

    fn outcome(&self, ended: Ended) -> Result<(Started, Option<OwnedFd>), String> {
        match ended {
            Ended::Exited(0) => {}
            Ended::Exited(code) => {
                return Err(self
                    .logged()
                    .unwrap_or_else(|| format!("the OCI runtime exited with code {code}")));
            }
            Ended::Signaled(signal) => return Err(format!("the OCI runtime was killed by signal {signal}")),
        }
        if !self.makes_process {
            return Ok((Started::default(), None));
        }
        let text = fs::read_to_string(self.folder.join("pid"))
            .map_err(|error| format!("read the OCI runtime's pid file: {error}"))?;
        let pid: i32 =
            text.trim().parse().map_err(|_| format!("the OCI runtime's pid file says {text:?}"))?;
        // Signal 0 to what could be anybody's process tells nothing; that it is a child of ours, does.
        if !is_child(pid) {
            return Err(format!("the OCI runtime did not leave process {pid} to the monitor"));
        }
        let terminal = self.console.as_ref().map(receive_terminal).transpose();
        let terminal = terminal.map_err(|error| format!("receive the terminal: {error}"))?;
        Ok((Started { pid, oom_kills: self.oom_kills }, terminal))
    }

    /// The last error in the runtime's log.
    fn logged(&self) -> Option<String> {
        let mut bytes = Vec::new();
        fs::File::open(self.folder.join("log")).ok()?.take(LOG_LIMIT).read_to_end(&mut bytes).ok()?;
        last_error(&bytes)
    }
}

/// The message of the last line at level `error`; lines that are not JSON are skipped.
fn last_error(log: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        level: String,
        msg: String,
    }
    log.split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Line>(line).ok())
        .rfind(|line| matches!(line.level.as_str(), "error" | "fatal"))
        .map(|line| line.msg)
}

/// Whether it is a child of this process that was not reaped yet.
fn is_child(pid: i32) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    PidFd::open(pid)
        .is_ok_and(|pidfd| waitid(WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd)), options).is_ok())
}

/// The runtime has ended: what it sent is in the socket's queue, or was never sent.
fn receive_terminal(listener: &UnixListener) -> io::Result<OwnedFd> {
    let (stream, _) = listener.accept()?;
    stream.set_nonblocking(true)?;
    let connection = Connection::from(OwnedFd::from(stream));
    let mut received = connection.recv(&mut [0; 4096])?;
    received.fds.pop().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_a_log_counts() {
        for (log, message) in [
            (&b""[..], None),
            (b"not json\n", None),
            (b"{\"level\":\"warning\",\"msg\":\"w\",\"time\":\"t\"}\n", None),
            (b"{\"level\":\"error\",\"msg\":\"first\"}\n{\"level\":\"error\",\"msg\":\"last\"}\n{\"level\"", Some("last")),
            (b"{\"level\":\"error\",\"msg\":\"e\"}\n{\"level\":\"debug\",\"msg\":\"d\"}", Some("e")),
        ] {
            assert_eq!(last_error(log).as_deref(), message, "{}", String::from_utf8_lossy(log));
        }
    }

    #[test]
    fn init_is_no_child() {
        assert!(!is_child(1));
        assert!(!is_child(0));
    }
}
