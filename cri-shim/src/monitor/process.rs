//! A monitor's process, found and ended without its help.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use api_monitor::{Identity, pid_file};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, Signal};
use tokio::io::unix::AsyncFd;

use super::{Error, open, watched};

/// How long the kernel may take with a killed process.
const KILLED: Duration = Duration::from_secs(5);

/// The process, by pidfd.
pub(crate) struct Process(AsyncFd<OwnedFd>);

impl Process {
    /// The living monitor that owns a state folder and listens on a socket: by what it wrote into the one, or by who
    /// is behind the other. `None` when it has ended.
    pub(crate) fn find(folder: &Path, socket: &Path) -> Option<Self> {
        Self::written(folder).or_else(|| Self::behind(&open(socket).ok()?).ok()).filter(Self::lives)
    }

    /// Who is behind a connection: the listener, which is alive, for otherwise the kernel would have refused it.
    pub(super) fn behind(socket: &OwnedFd) -> Result<Self, Error> {
        let during = |op| move |errno| Error::Socket { op, errno };
        let pid = rustix::net::sockopt::socket_peercred(socket).map_err(during("asking the peer"))?.pid;
        let pidfd =
            rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(during("holding the peer"))?;
        Ok(Self(watched(pidfd)?))
    }

    fn written(folder: &Path) -> Option<Self> {
        let identity = Identity::parse(&std::fs::read_to_string(pid_file(folder)).ok()?)?;
        let pidfd = sys::process::pidfd(identity.pid).ok()?;
        // Compared while the descriptor is held: the number cannot change hands any more. A monitor of version 1 wrote
        // no start, and its number alone proves nothing.
        let start_time = sys::proc::stat(identity.pid).ok()??.start_time;
        (identity.start_time == Some(start_time)).then(|| watched(pidfd).ok())?.map(Self)
    }

    /// Whether it has not ended.
    pub(crate) fn lives(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        !poll(&mut [PollFd::new(self.0.get_ref(), PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) {
        // An error is the executor's end, and then nobody waits.
        let _ = self.0.readable().await;
    }

    /// Waits for its end, at most that long; whether it has ended.
    pub(crate) async fn ends_within(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.ended()).await.is_ok()
    }

    /// Kills it and waits for its end, which even a stopped process comes to.
    pub(crate) async fn kill(&self) {
        match rustix::process::pidfd_send_signal(self.0.get_ref(), Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => tracing::warn!(%errno, "killing a monitor"),
        }
        if !self.ends_within(KILLED).await {
            tracing::warn!("a killed monitor does not end");
        }
    }
}
