//! Terminals: handing a master to whoever asked for it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use sys::{During, Result};

use crate::plan::Terminal;

/// Connects to a `--console-socket`.
pub(crate) fn connect(path: &Path) -> Result<OwnedFd> {
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .during("socket", path.display())?;
    let address = SocketAddrUnix::new(path).during("connect", path.display())?;
    rustix::net::connect(&socket, &address).during("connect", path.display())?;
    Ok(socket)
}

/// Who gets a process's terminal.
#[derive(Debug)]
pub(crate) struct Console {
    socket: OwnedFd,
    /// We relay it ourselves.
    relayed: bool,
}

impl Console {
    /// The caller's `--console-socket`, or else our own relay's, if there is one.
    pub(crate) fn new(path: Option<&Path>, relay: Option<OwnedFd>) -> Result<Option<Self>> {
        Ok(match path {
            Some(path) => Some(Self { socket: connect(path)?, relayed: false }),
            None => relay.map(|socket| Self { socket, relayed: true }),
        })
    }

    /// Sets the size, when one is given, and sends the master; the text beside it is a name for people.
    pub(crate) fn hand_over(self, master: &OwnedFd, size: Terminal) -> Result<()> {
        if size != Terminal::default() {
            sys::process::set_terminal_size(master, size.width, size.height)?;
        }
        // Our own terminal, where there is one, adds the carriage returns, and a pipe wants none.
        if self.relayed
            && let Ok(mut settings) = tcgetattr(master)
        {
            settings.output_flags.remove(OutputFlags::ONLCR);
            let _ = tcsetattr(master, SetArg::TCSANOW, &settings);
        }
        crate::channel::send(&self.socket, b"/dev/ptmx", Some(master))
    }
}

/// Takes the master that the process sent; `None` when it has no terminal and closed the socket.
pub(crate) fn receive(socket: &OwnedFd) -> crate::error::Result<Option<OwnedFd>> {
    Ok(sys::process::receive_terminal(socket)?)
}

/// Our own terminal in raw mode, as long as this lives: the container's does the editing.
pub(crate) struct Raw(Option<Termios>);

impl Raw {
    /// Nothing happens when standard input is no terminal.
    pub(crate) fn new() -> Self {
        let stdin = std::io::stdin();
        let Ok(old) = tcgetattr(&stdin) else { return Self(None) };
        let mut raw = old.clone();
        cfmakeraw(&mut raw);
        raw.output_flags.insert(OutputFlags::OPOST);
        let _ = tcsetattr(&stdin, SetArg::TCSANOW, &raw);
        Self(Some(old))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(old) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, old);
        }
    }
}

/// Gives a terminal the size of ours.
pub(crate) fn copy_size(master: &OwnedFd) {
    if let Some((width, height)) = sys::process::terminal_size(std::io::stdin().as_fd()) {
        let _ = sys::process::set_terminal_size(master, width, height);
    }
}
