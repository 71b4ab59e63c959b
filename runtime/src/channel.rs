//! What the runtime and the process that becomes the container's say to each other while it is made.
//!
//! ```text
//! init ── Pid ──▶ runtime        only when a user namespace is joined: the one between has cloned the init
//! init ◀── Go ─── runtime        only with a new user namespace: its ids are mapped
//! init ── Hooks ─▶ runtime       the mounts are made; hooks of the runtime's namespaces run
//! init ◀── Go ─── runtime
//! init ── Limits ▶ runtime       only with a user namespace: its resource limits are set
//! init ◀── Go ─── runtime
//! init ── Listener ▶ runtime     with the descriptor on which seccomp asks
//! init ── Ready ─▶ runtime       what is left is to wait for `start`
//! init ── Failed ▶ runtime       instead of any of these
//! ```

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use sys::{During, Result};

/// One end.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

/// What is said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The init's pid in the runtime's PID namespace.
    Pid(i32),
    /// Go on.
    Go,
    /// Run the hooks of the runtime's namespaces.
    Hooks,
    /// Set the resource limits.
    Limits,
    /// A descriptor for the seccomp agent comes with it.
    Listener,
    /// The container is created.
    Ready,
    /// Something worth a line in the log.
    Warning(String),
    /// Why there will be no container.
    Failed(String),
}

/// Longer texts are cut.
const LONGEST: usize = 16 << 10;

impl Channel {
    /// Both ends.
    pub(crate) fn pair() -> Result<(Self, Self)> {
        let (one, other) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .during("socketpair", "init")?;
        Ok((Self(one), Self(other)))
    }

    /// The same end once more.
    pub(crate) fn duplicate(&self) -> Result<Self> {
        Ok(Self(rustix::io::fcntl_dupfd_cloexec(&self.0, 3).during("duplicate", "channel")?))
    }

    /// Says something.
    pub(crate) fn send(&self, message: &Message) -> Result<()> {
        self.send_with(message, None)
    }

    /// Says something, and hands over a descriptor.
    pub(crate) fn send_with(&self, message: &Message, fd: Option<&OwnedFd>) -> Result<()> {
        send(&self.0, &encode(message), fd)
    }

    /// Listens; `None` when the other end is gone.
    pub(crate) fn receive(&self) -> Result<Option<(Message, Option<OwnedFd>)>> {
        let mut bytes = vec![0; LONGEST + 1];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut buffers = [IoSliceMut::new(&mut bytes)];
            match rustix::net::recvmsg(&self.0, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                // The other end died with something of ours unread.
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                result => break result.during("receive from", "init")?,
            }
        };
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        Ok(decode(&bytes[..received.bytes]).map(|message| (message, fd)))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends bytes and perhaps a descriptor over a unix socket.
pub(crate) fn send(socket: &OwnedFd, bytes: &[u8], fd: Option<&OwnedFd>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.map(|fd| [fd.as_fd()]);
    if let Some(fds) = &fds {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
        .during("send to", "socket")?;
    Ok(())
}

fn encode(message: &Message) -> Vec<u8> {
    let with = |tag: u8, text: &[u8]| [&[tag], &text[..text.len().min(LONGEST)]].concat();
    match message {
        Message::Pid(pid) => with(b'P', pid.to_string().as_bytes()),
        Message::Go => vec![b'G'],
        Message::Hooks => vec![b'H'],
        Message::Limits => vec![b'S'],
        Message::Listener => vec![b'L'],
        Message::Ready => vec![b'R'],
        Message::Warning(text) => with(b'W', text.as_bytes()),
        Message::Failed(text) => with(b'F', text.as_bytes()),
    }
}

fn decode(bytes: &[u8]) -> Option<Message> {
    let (tag, text) = bytes.split_first()?;
    let text = || String::from_utf8_lossy(text).into_owned();
    Some(match tag {
        b'P' => Message::Pid(text().parse().ok()?),
        b'G' => Message::Go,
        b'H' => Message::Hooks,
        b'S' => Message::Limits,
        b'L' => Message::Listener,
        b'R' => Message::Ready,
        b'W' => Message::Warning(text()),
        b'F' => Message::Failed(text()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_hears_what_is_said() {
        let (one, other) = Channel::pair().unwrap();
        for message in [Message::Pid(7), Message::Limits, Message::Ready, Message::Failed("no".into())] {
            one.send(&message).unwrap();
            assert_eq!(other.receive().unwrap().unwrap().0, message);
        }
        let (file, _) = Channel::pair().unwrap();
        one.send_with(&Message::Listener, Some(&file.0)).unwrap();
        assert!(other.receive().unwrap().unwrap().1.is_some());
        drop(one);
        assert!(other.receive().unwrap().is_none());
    }
}
