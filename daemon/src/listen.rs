//! Unix sockets that only their owner may use.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use tokio::net::UnixListener;

use crate::paths::fits_socket;

/// Binds a unix socket of mode 0600 in place of what an earlier process left there; one that is still served is
/// refused with `AddrInUse`.
///
/// `bind` makes the file with the process's umask, so between it and the change of mode the folder's own mode must
/// keep others out: daemons make theirs 0700.
pub fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    fits_socket(path).map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves this socket"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

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
