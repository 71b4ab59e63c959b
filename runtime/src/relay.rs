//! A process in the foreground: signals go to it, and a terminal's bytes go both ways.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use sys::process::Child;
use sys::{During, Error as SysError};

use crate::error::Result;
use crate::fork;

/// Holds our signals back from the start, so that none is lost before there is a process to give it to.
pub(crate) struct Relay {
    signals: SignalFd,
    old: SigSet,
    socket: Option<OwnedFd>,
}

impl Relay {
    /// Blocks all signals; the process that is cloned unblocks them by [`unblock`].
    pub(crate) fn new() -> Result<Self> {
        let mut all = SigSet::all();
        // These are about ourselves.
        for signal in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT] {
            all.remove(signal);
        }
        let errno =
            |errno: nix::Error| SysError::new("block", "signals", Errno::from_raw_os_error(errno as i32));
        let old = all.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK).map_err(errno)?;
        let signals =
            SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(errno)?;
        Ok(Self { signals, old, socket: None })
    }

    /// The socket over which the process sends its terminal, if it has one.
    pub(crate) fn terminal_socket(&mut self) -> Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .during("socketpair", "terminal")?;
        self.socket = Some(ours);
        Ok(theirs)
    }

    /// Relays until the process ends; its exit code, or 128 + N for signal N.
    pub(crate) fn follow(&self, child: &Child) -> Result<u8> {
        let terminal = self.socket.as_ref().map(crate::console::receive).transpose()?.flatten();
        let raw = terminal.as_ref().map(|_| crate::console::Raw::new());
        let mut input_open = terminal.is_some();
        loop {
            let stdin = std::io::stdin();
            let mut polls = vec![
                PollFd::new(&child.pidfd, PollFlags::IN),
                PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            ];
            if let Some(master) = &terminal {
                polls.push(PollFd::new(master, PollFlags::IN));
                if input_open {
                    polls.push(PollFd::new(&stdin, PollFlags::IN));
                }
            }
            match rustix::event::poll(&mut polls, None) {
                Err(Errno::INTR) => continue,
                result => result.during("poll", "container")?,
            };
            let ready: Vec<bool> = polls.iter().map(|poll| !poll.revents().is_empty()).collect();
            drop(polls);
            if ready[1] {
                self.forward(child, terminal.as_ref());
            }
            if let Some(master) = &terminal {
                if ready[2] {
                    copy(master.as_fd(), std::io::stdout().as_fd());
                }
                if ready.get(3) == Some(&true) && !copy(stdin.as_fd(), master.as_fd()) {
                    input_open = false;
                }
            }
            if ready[0] {
                if let Some(master) = &terminal {
                    // What it wrote last is still in the terminal; EIO says that all of it was read.
                    while copy(master.as_fd(), std::io::stdout().as_fd()) {}
                }
                drop(raw);
                return fork::wait(&child.pidfd);
            }
        }
    }

    fn forward(&self, child: &Child, terminal: Option<&OwnedFd>) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let signal = info.ssi_signo.cast_signed();
            match (signal, terminal) {
                (libc::SIGCHLD, _) => {}
                (libc::SIGWINCH, Some(master)) => crate::console::copy_size(master),
                _ => {
                    let _ = sys::process::send_signal(&child.pidfd, signal);
                }
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.old.thread_set_mask();
    }
}

/// Undoes what [`Relay::new`] did, in the process that becomes the container's.
pub(crate) fn unblock() -> sys::Result<()> {
    sys::process::reset_signal(libc::SIGPIPE);
    SigSet::empty()
        .thread_set_mask()
        .map_err(|errno| SysError::new("unblock", "signals", Errno::from_raw_os_error(errno as i32)))
}

/// Moves what is there; whether there may be more.
fn copy(from: impl AsFd, to: impl AsFd) -> bool {
    let mut bytes = [0; 4096];
    match rustix::io::read(from, &mut bytes) {
        Ok(0) => false,
        Ok(length) => {
            let mut rest = &bytes[..length];
            while !rest.is_empty() {
                match rustix::io::write(&to, rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(Errno::INTR) => {}
                    Err(_) => return false,
                }
            }
            true
        }
        Err(Errno::INTR) => true,
        Err(_) => false,
    }
}
