//! Unix sockets that only their owner may use.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tokio::net::UnixListener;

use crate::paths::fits_socket;

/// Binds a unix socket of mode 0600 in place of what an earlier process left there; one that is still served is
/// refused with `AddrInUse`.
///
/// `bind` makes the file with the process's umask, so between it and the change of mode the folder's own mode must
/// keep others out: daemons make theirs 0700.
pub fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    fits_socket(path).map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
    match connects(path) {
        // Its queue is full: somebody listens, though nobody accepts.
        Ok(()) | Err(Errno::AGAIN) => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves this socket"));
        }
        Err(_) => {}
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Whether a unix socket takes connections. Does not wait for a process that listens and accepts nothing: once its
/// queue is full that is `WouldBlock` (connect(2)).
pub fn takes_connections(path: &Path) -> io::Result<()> {
    connects(path).map_err(io::Error::from)
}

fn connects(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(socket, &SocketAddrUnix::new(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_that_hangs_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let hung = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&hung, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&hung, 0).unwrap();
        let _queued = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert_eq!(takes_connections(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(listen_unix(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn the_socket_is_private_and_replaces_a_stale_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(listen_unix(&path).unwrap());
        let _listener = listen_unix(&path).unwrap();
        assert_eq!(listen_unix(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_path_over_the_kernel_limit_is_named_as_such() {
        let error = listen_unix(Path::new(&format!("/tmp/{}", "x".repeat(120)))).unwrap_err();
        assert!(error.to_string().contains("107 bytes"), "{error}");
    }
}
