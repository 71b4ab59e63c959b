//! Sockets and cgroups as people write them, checked before anything is touched.

use std::path::{Component, Path, PathBuf};

/// The longest path that fits into `sun_path` with its terminating zero (unix(7)).
const LONGEST_SOCKET: usize = 107;

/// The path in `unix:///PATH`; an absolute path stands for itself.
pub fn socket_path(endpoint: &str) -> Result<PathBuf, String> {
    let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
    if !path.starts_with('/') {
        return Err(format!("{endpoint:?} is no unix:///PATH"));
    }
    fits_socket(Path::new(path))?;
    Ok(path.into())
}

/// Refuses a path that the kernel would cut off.
pub(crate) fn fits_socket(path: &Path) -> Result<(), String> {
    let bytes = path.as_os_str().len();
    if bytes > LONGEST_SOCKET {
        let shown = path.display();
        return Err(format!("a socket's path may have {LONGEST_SOCKET} bytes, {shown} has {bytes}"));
    }
    Ok(())
}

/// A cgroup's path below the hierarchies' roots: absolute, without `.` and `..`.
pub fn cgroup_path(path: &str) -> Result<(), String> {
    let normal =
        Path::new(path).components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if path.starts_with('/') && normal && !path.contains("/./") {
        Ok(())
    } else {
        Err(format!("{path:?} is no absolute path without . and .."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_an_absolute_path_with_or_without_the_scheme() {
        assert_eq!(socket_path("unix:///run/x.sock").unwrap(), Path::new("/run/x.sock"));
        assert_eq!(socket_path("/run/x.sock").unwrap(), Path::new("/run/x.sock"));
        for wrong in ["", "x.sock", "unix://x.sock", "tcp://127.0.0.1:1"] {
            assert!(socket_path(wrong).unwrap_err().contains("no unix:///PATH"), "{wrong}");
        }
        assert!(socket_path(&format!("/{}", "x".repeat(107))).unwrap_err().contains("107 bytes"));
    }

    #[test]
    fn a_cgroup_stays_below_its_root() {
        for right in ["/", "/orlop", "/a.slice/b"] {
            cgroup_path(right).unwrap();
        }
        for wrong in ["", "rel", "/a/../b", "../x", "/a/./b"] {
            assert!(cgroup_path(wrong).is_err(), "{wrong}");
        }
    }
}
