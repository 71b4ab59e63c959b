//! Unix sockets that keep messages apart (`SOCK_SEQPACKET`) and carry descriptors beside them.
//!
//! Everything is synchronous and knows no event loop: a non-blocking [`Connection`] fits into an epoll instance as
//! well as into tokio's `AsyncFd`, which asks for [`AsRawFd`] only.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recv, recvmsg, sendmsg, socket_with, socketpair,
};

/// The most descriptors that one message carries; what is above it is refused by [`Connection::send`] and closed by
/// [`Connection::recv`].
pub const MAX_FDS: usize = 8;

const SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_FDS));

/// A listening socket. Non-blocking.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Binds the path, which must not exist and has at most 107 bytes (`sun_path`), and listens.
    ///
    /// The socket file gets mode 0600, whatever the umask, before anybody can connect: connecting needs listen(2).
    pub fn bind(path: &Path) -> io::Result<Self> {
        let fd = new_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        bind(&fd, &SocketAddrUnix::new(path)?)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        listen(&fd, 16)?;
        Ok(Self(fd))
    }

    /// The next connection (non-blocking), or `None` when nobody waits.
    pub fn accept(&self) -> io::Result<Option<Connection>> {
        loop {
            match accept_with(&self.0, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(fd) => return Ok(Some(Connection(fd))),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Connection(OwnedFd);

/// What [`Connection::recv`] found.
#[derive(Debug)]
pub struct Received {
    /// How many bytes of the buffer were written. 0 means that the peer has closed (or sent an empty message, which
    /// no protocol of ours has).
    pub len: usize,
    /// The descriptors, close-on-exec, in the order in which they were sent.
    pub fds: Vec<OwnedFd>,
    /// Whether the message was longer than the buffer or carried more than [`MAX_FDS`] descriptors: the rest is
    /// lost.
    pub truncated: bool,
}

impl Connection {
    /// Connects, blocking while the listener's queue is full; the connection blocks too.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let fd = new_socket(SocketFlags::CLOEXEC)?;
        connect(&fd, &SocketAddrUnix::new(path)?)?;
        Ok(Self(fd))
    }

    /// Two connected ends. They block.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(one), Self(other)))
    }

    /// Whether calls return [`io::ErrorKind::WouldBlock`] instead of waiting.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&self.0, on)?;
        Ok(())
    }

    /// Sends one message and duplicates of the descriptors: all of it or nothing.
    ///
    /// # Errors
    /// `WouldBlock` when the peer does not keep up, `EPIPE` when it has closed (no signal is raised), `EMSGSIZE`
    /// when the message is larger than the send buffer.
    pub fn send(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && (fds.len() > MAX_FDS || !control.push(SendAncillaryMessage::ScmRights(fds))) {
            return Err(Errno::INVAL.into());
        }
        loop {
            match sendmsg(&self.0, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// The length of the next message, which stays; it waits as [`recv`](Self::recv) does, and gives 0 as it does.
    pub fn next_len(&self) -> io::Result<usize> {
        loop {
            match recv(&self.0, &mut [0_u8; 0], RecvFlags::PEEK | RecvFlags::TRUNC) {
                Ok((_, length)) => return Ok(length),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Receives one message.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            let mut space = [MaybeUninit::uninit(); SPACE];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let message =
                match recvmsg(&self.0, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)
                {
                    Ok(message) => message,
                    Err(Errno::INTR) => continue,
                    Err(errno) => return Err(errno.into()),
                };
            let fds = control
                .drain()
                .filter_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                    _ => None,
                })
                .flatten()
                .collect();
            let truncated = message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
            return Ok(Received { len: message.bytes.min(buffer.len()), fds, truncated });
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<OwnedFd> for Connection {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<Connection> for OwnedFd {
    fn from(connection: Connection) -> Self {
        connection.0
    }
}

fn new_socket(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn messages_stay_apart_and_carry_descriptors() {
        let (one, other) = Connection::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        file.rewind().unwrap();
        one.send(b"first", &[file.as_fd()]).unwrap();
        one.send(b"second", &[]).unwrap();
        let mut buffer = [0; 64];
        let mut first = other.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..first.len], b"first");
        let mut text = String::new();
        File::from(first.fds.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        let second = other.recv(&mut buffer).unwrap();
        assert_eq!((&buffer[..second.len], second.fds.len(), second.truncated), (&b"second"[..], 0, false));
    }

    #[test]
    fn what_does_not_fit_is_reported() {
        let (one, other) = Connection::pair().unwrap();
        one.send(&[1; 10], &[]).unwrap();
        assert_eq!(other.next_len().unwrap(), 10);
        let received = other.recv(&mut [0; 4]).unwrap();
        assert!(received.truncated);
        assert_eq!(received.len, 4);
    }

    #[test]
    fn a_listener_is_private_and_does_not_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = Listener::bind(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(listener.accept().unwrap().is_none());
        let client = Connection::connect(&path).unwrap();
        let server = listener.accept().unwrap().unwrap();
        let waits = server.recv(&mut [0; 4]).unwrap_err();
        assert_eq!(waits.kind(), io::ErrorKind::WouldBlock);
        client.send(b"x", &[]).unwrap();
        assert_eq!(server.recv(&mut [0; 4]).unwrap().len, 1);
        drop(client);
        assert_eq!(server.recv(&mut [0; 4]).unwrap().len, 0);
        assert_eq!(server.send(b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
