//! A synchronous client of a pod's monitor, with a deadline on everything.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use api_monitor::{
    ClientMessage, Event, MAX_MESSAGE, PodStatus, Reply, ReplyError, Request, ServerMessage, VERSION,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::seqpacket::Connection;

/// How long anything may take; the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
pub struct Client {
    connection: Connection,
    next: u64,
    events: VecDeque<Event>,
    replies: Vec<(u64, Result<Reply, ReplyError>, Vec<OwnedFd>)>,
}

impl Client {
    /// Connects without a word.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let connection = Connection::connect(socket)?;
        Ok(Self { connection, next: 1, events: VecDeque::new(), replies: Vec::new() })
    }

    /// Connects, and subscribes to events.
    pub fn hello(socket: &Path) -> io::Result<(Self, PodStatus)> {
        let mut client = Self::connect(socket)?;
        match client.call(Request::Hello { version: VERSION }, &[])? {
            (Ok(Reply::Hello { pod, .. }), _) => Ok((client, pod)),
            other => Err(io::Error::other(format!("answer to hello: {other:?}"))),
        }
    }

    /// Sends any bytes.
    pub fn send_raw(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.connection.send(bytes, fds)
    }

    /// Sends a request; its id.
    pub fn send(&mut self, request: Request, fds: &[BorrowedFd<'_>]) -> io::Result<u64> {
        let id = self.next;
        self.next += 1;
        let bytes = ClientMessage { id, request }.encode().map_err(io::Error::other)?;
        self.connection.send(&bytes, fds)?;
        Ok(id)
    }

    /// The answer to a request.
    pub fn answer(&mut self, id: u64) -> io::Result<(Result<Reply, ReplyError>, Vec<OwnedFd>)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.replies.iter().position(|(other, ..)| *other == id) {
                let (_, result, fds) = self.replies.remove(at);
                return Ok((result, fds));
            }
            self.receive(deadline)?;
        }
    }

    /// Sends a request and waits for its answer.
    pub fn call(
        &mut self,
        request: Request,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<(Result<Reply, ReplyError>, Vec<OwnedFd>)> {
        let id = self.send(request, fds)?;
        self.answer(id)
    }

    /// As [`call`](Self::call), for a request that must succeed.
    pub fn ask(&mut self, request: Request, fds: &[BorrowedFd<'_>]) -> io::Result<(Reply, Vec<OwnedFd>)> {
        let text = format!("{request:?}");
        let (result, fds) = self.call(request, fds)?;
        result.map(|reply| (reply, fds)).map_err(|error| io::Error::other(format!("{text}: {error:?}")))
    }

    /// The first event that `pick` wants; others wait for their turn.
    pub fn event<T>(&mut self, pick: impl Fn(&Event) -> Option<T>) -> io::Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.events.iter().position(|event| pick(event).is_some())
                && let Some(found) = self.events.remove(at).as_ref().and_then(&pick)
            {
                return Ok(found);
            }
            self.receive(deadline)?;
        }
    }

    /// Events that came and were not asked for.
    pub fn pending(&self) -> usize {
        self.events.len()
    }

    fn receive(&mut self, deadline: Instant) -> io::Result<()> {
        wait_readable(self.connection.as_fd(), deadline)?;
        let mut buffer = vec![0; MAX_MESSAGE];
        let received = self.connection.recv(&mut buffer)?;
        if received.len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match ServerMessage::decode(&buffer[..received.len]).map_err(io::Error::other)? {
            ServerMessage::Reply { id, result } => self.replies.push((id, result, received.fds)),
            ServerMessage::Event(event) => self.events.push_back(event),
        }
        Ok(())
    }
}

/// Waits until there is something to read, or the end.
pub fn wait_readable(fd: BorrowedFd<'_>, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing to read in time")),
            Ok(_) => return Ok(()),
            Err(nix::Error::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
