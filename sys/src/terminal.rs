//! The size of a terminal (ioctl_tty(2)).
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd as _};

use rustix::io::Errno;

use crate::error::errno_of;

/// Columns and rows of a terminal, by either of its ends.
pub fn size(terminal: impl AsFd) -> Result<(u16, u16), Errno> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize` to the pointer, which is valid during the call.
    let result = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    if result == 0 { Ok((size.ws_col, size.ws_row)) } else { Err(last()) }
}

/// Sets columns and rows. The foreground processes get SIGWINCH when that changes anything.
pub fn set_size(terminal: impl AsFd, columns: u16, rows: u16) -> Result<(), Errno> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one `winsize` from the pointer, which is valid during the call.
    let result = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if result == 0 { Ok(()) } else { Err(last()) }
}

fn last() -> Errno {
    errno_of(&std::io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use rustix::pty::{OpenptFlags, openpt};

    use super::*;

    #[test]
    fn a_size_that_was_set_is_read_back() {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        set_size(&master, 101, 37).unwrap();
        assert_eq!(size(&master), Ok((101, 37)));
    }

    #[test]
    fn what_is_no_terminal_has_no_size() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert_eq!(size(&file), Err(Errno::NOTTY));
    }
}
