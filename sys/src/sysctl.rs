//! Sysctls below `/proc/sys`. Those below `net` are the calling thread's network namespace's.

use std::io;

use rustix::fs::{Mode, OFlags};

const PROC_MAGIC: i64 = 0x9fa0;

fn open(key: &str, flags: OFlags) -> io::Result<std::fs::File> {
    if key.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(rustix::io::Errno::INVAL.into());
    }
    let fd = rustix::fs::open(format!("/proc/sys/{key}"), flags | OFlags::CLOEXEC, Mode::empty())?;
    // Something else mounted over /proc/sys would take the write and change nothing.
    if rustix::fs::fstatfs(&fd)?.f_type != PROC_MAGIC {
        return Err(rustix::io::Errno::INVAL.into());
    }
    Ok(fd.into())
}

/// Reads a sysctl, e.g. `net/ipv4/ip_forward`; slashes separate, since interface names may have dots.
pub fn get(key: &str) -> io::Result<String> {
    let text = io::read_to_string(open(key, OFlags::RDONLY)?)?;
    Ok(text.trim_end().to_owned())
}

/// Writes a sysctl unless it has the value already; a read-only `/proc/sys` is then no error.
pub fn set(key: &str, value: &str) -> io::Result<()> {
    if get(key)? == value {
        return Ok(());
    }
    io::Write::write_all(&mut open(key, OFlags::WRONLY)?, value.as_bytes())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_key_cannot_leave_its_folder() {
        for key in ["", "net//x", "../cmdline", "net/./x", "/etc/passwd"] {
            assert!(super::get(key).is_err(), "{key}");
        }
        assert!(super::get("kernel/ostype").is_ok_and(|text| text == "Linux"));
    }
}
