//! The monitor's side of its logger.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command as Program, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::pidfd::PidFd;
use sys::seqpacket::Connection;

use crate::logger::MAX_MESSAGE;
use crate::logger::protocol::{Command, Report};

/// The argument that makes a monitor's program its logger.
pub(super) const LOGGER: &str = "--logger";

/// How long a logger may take to end, in milliseconds.
const PATIENCE: u16 = 500;

/// A running logger.
pub(super) struct Link {
    /// Its process.
    pub(super) pid: i32,
    connection: Connection,
}

impl Link {
    /// Starts one.
    pub(super) fn start() -> io::Result<Self> {
        let (connection, other) = Connection::pair()?;
        connection.set_nonblocking(true)?;
        // Through the link, since the path of the program may have been given to a newer one.
        let child = Program::new("/proc/self/exe")
            .args(["monitor", LOGGER])
            .stdin(Stdio::from(OwnedFd::from(other)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { pid: i32::try_from(child.id()).map_err(io::Error::other)?, connection })
    }

    /// Lets the logger end, and waits for that, so that it does not outlive its pod. One that a slow disk holds
    /// up ends later, by itself.
    pub(super) fn end(self) {
        let process = PidFd::open(self.pid);
        drop(self.connection);
        if let Ok(process) = process {
            let _ = poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], PollTimeout::from(PATIENCE));
        }
    }

    /// Sends a command. A logger that has so much to do that its queue is full refuses it.
    pub(super) fn send(&self, command: &Command, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(command)?;
        if bytes.len() > MAX_MESSAGE {
            return Err(io::Error::from(rustix::io::Errno::MSGSIZE));
        }
        self.connection.send(&bytes, fds)
    }

    /// The next report, or `None` when there is none for now.
    pub(super) fn receive(&self) -> io::Result<Option<Report>> {
        let mut buffer = [0; MAX_MESSAGE];
        match self.connection.recv(&mut buffer) {
            Ok(received) if received.len == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(received) => Ok(Some(serde_json::from_slice(&buffer[..received.len])?)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}
