//! The state files: small JSON documents on a tmpfs, replaced by rename. No fsync, for a reboot ends what they tell of.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Serialize, de::DeserializeOwned};

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{op} {path}: {source}", path = path.display())]
pub(crate) struct Error {
    op: &'static str,
    path: PathBuf,
    source: io::Error,
}

pub(crate) fn during(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error { op, path, source }
}

/// Replaces a file in one step: a reader, and a daemon that starts after a crash, sees the old or the new one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    std::fs::write(&new, bytes).map_err(during("writing", &new))?;
    std::fs::rename(&new, path).map_err(during("renaming to", path))
}

/// Writes a document.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::from).map_err(during("encoding", path))?;
    write(path, &bytes)
}

/// Reads a document.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = std::fs::read(path).map_err(during("reading", path))?;
    serde_json::from_slice(&bytes).map_err(io::Error::from).map_err(during("decoding", path))
}

/// Makes a folder and those above it.
pub(crate) fn make_dirs(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(during("making", path))
}

/// Removes a folder and what is in it. Nothing there is success.
pub(crate) fn remove_dirs(path: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(during("removing", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a file. Nothing there is success.
pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(during("removing", path)(error)),
        _ => Ok(()),
    }
}

/// Unmounts everything that is mounted at a path, and nothing mounted there is success. Lazily, since a process of
/// the pod that is still dying may have a file open.
pub(crate) fn unmount(path: &Path) -> Result<(), Error> {
    use rustix::io::Errno;
    loop {
        match rustix::mount::unmount(
            path,
            rustix::mount::UnmountFlags::DETACH | rustix::mount::UnmountFlags::NOFOLLOW,
        ) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(during("unmounting", path)(errno.into())),
        }
    }
}

/// The names in a folder; none when it is missing.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, Error> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(during("reading", path))?,
    };
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}
