//! One process per folder of state.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// A folder that is this process's alone for as long as this value lives, however the process ends (flock(2)).
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes `lock` in a folder, which is made when it is not there. While another process has it, the error is
    /// `AddrInUse` and names that process.
    pub fn take(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join("lock");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The holder writes its pid after it has the lock: for a moment there may be none, or an old one.
                file.read_to_string(&mut holder)?;
                let text = format!("in use by process {}", holder.trim());
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_who_is_named() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("state");
        let held = FolderLock::take(&folder).unwrap();
        let refused = FolderLock::take(&folder).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(refused.to_string(), format!("in use by process {}", std::process::id()));
        drop(held);
        FolderLock::take(&folder).unwrap();
    }
}
