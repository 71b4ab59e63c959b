//! Reading and writing pipes and terminals without blocking a thread.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// A pipe's end or a terminal's master.
pub(super) struct Descriptor(AsyncFd<OwnedFd>);

impl Descriptor {
    /// Makes it non-blocking. What it shares its open file description with (the monitor's copy of a terminal's
    /// master) becomes so too.
    #[allow(
        deprecated,
        reason = "its replacement is unsafe for types whose descriptor may change; an OwnedFd's does not"
    )]
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
        Ok(Self(AsyncFd::new(fd)?))
    }

    /// Reads what is there; 0 at the end. A master whose slaves are all closed says EIO, which is its end.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut *buffer)?)) {
                Ok(Err(error)) if Errno::from_io_error(&error) == Some(Errno::IO) => return Ok(0),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }

    /// Writes all of it.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            match ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(written) => bytes = &bytes[written?..],
                Err(_would_block) => {}
            }
        }
        Ok(())
    }

    /// Sets the size of the terminal that it is.
    pub(super) fn resize(&self, size: api_stream::Resize) -> Result<(), Errno> {
        sys::terminal::set_size(self.0.get_ref(), size.width, size.height)
    }
}
