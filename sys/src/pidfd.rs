//! A process held by descriptor: it cannot be mistaken for another one that later gets the same number.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitIdStatus, WaitOptions, WaitStatus, wait, waitid, waitpid,
};

use crate::{During, Result, process};

/// A pidfd. It becomes readable when the process ends, and stays so.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl Ended {
    /// The code as shells and Kubernetes give it: 128 + N for signal N.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
        }
    }

    /// The signal, when it was one.
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Exited(_) => None,
            Self::Signaled(signal) => Some(signal),
        }
    }

    fn of(status: &WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(signal)) => Self::Signaled(signal),
            // WEXITED reports nothing else.
            (None, None) => Self::Exited(255),
        }
    }

    fn of_wait(status: WaitStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(signal)) => Self::Signaled(signal),
            (None, None) => Self::Exited(255),
        }
    }
}

impl PidFd {
    /// Opens a process by its number; a child that has ended but was not reaped can be opened too.
    pub fn open(pid: i32) -> Result<Self> {
        process::pidfd(pid).map(Self)
    }

    /// Sends a signal by number; 0 asks whether it can be reached. `ESRCH` when it has ended and was reaped.
    pub fn signal(&self, signal: i32) -> Result<(), Errno> {
        process::send_signal(&self.0, signal)
    }

    /// Waits for the end, at most that long; whether it has ended.
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_| Errno::INVAL).during("poll", "pidfd")?;
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&left)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).during("poll", "pidfd"),
            }
        }
    }

    /// Reaps a child of this process if it has ended. `ECHILD` when it is no child, or was reaped already.
    pub fn reap(&self) -> Result<Option<Ended>, Errno> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        Ok(waitid(WaitId::PidFd(self.0.as_fd()), options)?.as_ref().map(Ended::of))
    }
}

/// Reaps one child by number if it has ended; the number cannot have been reused, since it was not reaped before.
/// `ECHILD` when it is no child of this process.
pub fn reap_child(pid: i32) -> Result<Option<Ended>, Errno> {
    let pid = Pid::from_raw(pid).ok_or(Errno::CHILD)?;
    Ok(waitpid(Some(pid), WaitOptions::NOHANG)?.map(|(_, status)| Ended::of_wait(status)))
}

/// Reaps any child that has ended. Only for a process whose children nobody else waits for.
pub fn reap_any() -> Option<(i32, Ended)> {
    let (pid, status) = wait(WaitOptions::NOHANG).ok()??;
    Some((pid.as_raw_nonzero().get(), Ended::of_wait(status)))
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for PidFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<OwnedFd> for PidFd {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<PidFd> for OwnedFd {
    fn from(pidfd: PidFd) -> Self {
        pidfd.0
    }
}

#[cfg(test)]
#[expect(clippy::zombie_processes, reason = "reaping without std's wait is what is tested")]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn an_end_is_seen_and_reaped_once() {
        for (script, ended) in
            [("exit 7", Ended::Exited(7)), ("kill -9 $$", Ended::Signaled(9)), ("exit 0", Ended::Exited(0))]
        {
            let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
            let pidfd = PidFd::open(i32::try_from(child.id()).unwrap()).unwrap();
            assert!(pidfd.wait(Duration::from_secs(20)).unwrap());
            assert_eq!(pidfd.reap(), Ok(Some(ended)));
            assert_eq!(pidfd.reap(), Err(Errno::CHILD));
            assert_eq!(pidfd.signal(0), Err(Errno::SRCH));
        }
    }

    #[test]
    fn a_child_is_reaped_by_number() {
        let child = Command::new("sh").args(["-c", "kill -34 $$"]).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(PidFd::open(pid).unwrap().wait(Duration::from_secs(20)).unwrap());
        assert_eq!(reap_child(pid), Ok(Some(Ended::Signaled(34))));
        assert_eq!(reap_child(pid), Err(Errno::CHILD));
    }

    #[test]
    fn a_running_child_is_not_ended() {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let pidfd = PidFd::open(i32::try_from(child.id()).unwrap()).unwrap();
        assert_eq!(pidfd.reap(), Ok(None));
        assert!(!pidfd.wait(Duration::ZERO).unwrap());
        pidfd.signal(15).unwrap();
        assert!(pidfd.wait(Duration::from_secs(20)).unwrap());
        assert_eq!(pidfd.reap().unwrap().map(Ended::code), Some(143));
    }
}
