//! Pseudo-terminals of a devpts instance that was made for a container.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::pty::OpenptFlags;

use crate::fs::Root;
use crate::{During, Error, Result, fs};

/// `DEVPTS_SUPER_MAGIC`.
const DEVPTS: i64 = 0x1cd1;

/// Opens a new terminal of the devpts mounted at `/dev/pts` inside the root: its master and its slave.
///
/// Both are checked to lie on a devpts: an image that puts a symlink there gets an error and not a host file.
pub fn open_terminal(root: &Root) -> Result<(OwnedFd, OwnedFd)> {
    let path = Path::new("/dev/pts/ptmx");
    let master = root.open_at(path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
    if fs::magic(&master)? != DEVPTS || fs::file_type(&master)? != FileType::CharacterDevice {
        return Err(Error::new("open terminal", path.display(), Errno::NODEV));
    }
    rustix::pty::unlockpt(&master).during("unlockpt", path.display())?;
    // The slave is opened through its master, and so no path inside the container is involved.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).during("open slave", path.display())?;
    if fs::magic(&slave)? != DEVPTS {
        return Err(Error::new("open slave", path.display(), Errno::NODEV));
    }
    Ok((master, slave))
}

/// Starts a session whose controlling terminal is the slave.
pub fn set_controlling_terminal(slave: &OwnedFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(slave).during("set controlling terminal", "console")
}

/// Sets how many characters a terminal shows.
pub fn set_terminal_size(master: &OwnedFd, width: u16, height: u16) -> Result<()> {
    let size = libc::winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one `winsize`, which outlives the call.
    let result = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if result == 0 { Ok(()) } else { Err(super::last()).during("set size of", "terminal") }
}

/// How many characters a terminal shows (width, height); `None` when it is none.
pub fn terminal_size(terminal: BorrowedFd<'_>) -> Option<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize`, which outlives the call.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (result == 0).then_some((size.ws_col, size.ws_row))
}

/// Receives a terminal's master over a stream socket (`--console-socket`); `None` when the other end closed it without sending one.
pub fn receive_terminal(socket: impl AsFd) -> Result<Option<OwnedFd>> {
    let mut bytes = [0; 256];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    rustix::net::recvmsg(socket, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)
        .during("receive from", "socket")?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok(fd)
}
