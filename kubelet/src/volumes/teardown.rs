//! Takes a pod's files away again.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

use crate::translate::Node;

/// What of a pod could not be taken away. It is tried again.
#[derive(Debug, thiserror::Error)]
#[error("pod {uid}: {}", errors.join("; "))]
pub struct TeardownError {
    /// The pod's UID.
    pub uid: String,
    /// Each thing that failed.
    pub errors: Vec<String>,
}

/// Unmounts all below a pod's folder and removes it. Comes after its containers are gone; a pod that has no
/// folder is done.
///
/// As long as anything is mounted there nothing is removed: behind it may lie a folder of the host.
pub fn teardown(node: &Node, uid: &str) -> Result<(), TeardownError> {
    let failed = |errors| Err(TeardownError { uid: uid.to_owned(), errors });
    // A UID is a folder's name here; anything else would lead elsewhere.
    if uid.is_empty() || uid.contains('/') || uid == "." || uid == ".." {
        return failed(vec![format!("{uid:?} is no UID")]);
    }
    let dir = match fs::canonicalize(node.pod_dir(uid)) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return failed(vec![error.to_string()]),
    };
    let mut errors = Vec::new();
    match mounts_below(&dir) {
        Ok(mounts) => {
            for mount in mounts {
                // Detached, so that a process that still stands in it holds nobody up.
                if let Err(errno) = umount2(&mount, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
                    errors.push(format!("unmount {}: {errno}", mount.display()));
                }
            }
        }
        Err(error) => errors.push(format!("reading mountinfo: {error}")),
    }
    match mounts_below(&dir) {
        Ok(left) if left.is_empty() => {
            if let Err(error) = fs::remove_dir_all(&dir)
                && error.kind() != io::ErrorKind::NotFound
            {
                errors.push(format!("remove {}: {error}", dir.display()));
            } else {
                return Ok(());
            }
        }
        Ok(left) => errors.extend(left.iter().map(|mount| format!("{} is still mounted", mount.display()))),
        Err(error) => errors.push(format!("reading mountinfo: {error}")),
    }
    failed(errors)
}

/// The UIDs of all pods that have a folder.
pub fn pod_uids(node: &Node) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(node.root_dir.join("pods")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut uids = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            uids.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    uids.sort_unstable();
    Ok(uids)
}

/// What is mounted below a folder, the last mounted first.
fn mounts_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = parse(&fs::read("/proc/self/mountinfo")?, dir);
    found.reverse();
    Ok(found)
}

/// The mount points of mountinfo (proc(5)) below a folder, in the order they were mounted.
fn parse(mountinfo: &[u8], dir: &Path) -> Vec<PathBuf> {
    let points =
        mountinfo.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points.map(unescape).filter(|point| point.starts_with(dir)).collect()
}

/// Spaces and the like are written as three octal digits: `\040`.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let digits = if *first == b'\\' { tail.get(..3) } else { None };
        let code = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_is_found() {
        let text = b"1 0 8:1 / /a rw - ext4 /dev/x rw\n2 1 0:5 / /a/b\\040c rw - tmpfs t rw\n3 1 0:6 / /ab rw - t t rw\n";
        assert_eq!(parse(text, Path::new("/a")), [PathBuf::from("/a"), PathBuf::from("/a/b c")]);
        assert!(parse(b"", Path::new("/a")).is_empty());
        assert_eq!(unescape(b"x\\04"), PathBuf::from("x\\04"));
    }

    #[test]
    fn a_uid_that_leads_elsewhere_is_refused() {
        let node = crate::translate::tests::node();
        for uid in ["", ".", "..", "a/../b"] {
            assert!(teardown(&node, uid).is_err(), "{uid}");
        }
        teardown(&node, "never-was").unwrap();
    }
}
