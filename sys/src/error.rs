//! What a failed system call says: the operation, its target, and the errno.

use std::fmt::Display;

use rustix::io::Errno;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed system call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op} {target}: {}", text(*errno))]
pub struct Error {
    /// What was tried, as a verb: `mount`, `open`.
    pub op: &'static str,
    /// What it was tried on.
    pub target: String,
    /// Why the kernel refused.
    pub errno: Errno,
}

impl Error {
    /// A failure of `op` on `target`.
    pub fn new(op: &'static str, target: impl Display, errno: Errno) -> Self {
        Self { op, target: target.to_string(), errno }
    }
}

/// The kernel's description, in lower case and without the number, as the Go tools of this field print it and
/// as their callers look for it.
pub fn text(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let end = text.rfind(" (os error").unwrap_or(text.len());
    let mut chars = text[..end].chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Names the operation and the target of a failure.
pub trait During<T> {
    /// Turns the bare errno into an [`Error`]. The target is only formatted when there is one to report.
    fn during(self, op: &'static str, target: impl Display) -> Result<T>;
}

impl<T> During<T> for Result<T, Errno> {
    fn during(self, op: &'static str, target: impl Display) -> Result<T> {
        self.map_err(|errno| Error::new(op, target, errno))
    }
}

impl<T> During<T> for std::io::Result<T> {
    fn during(self, op: &'static str, target: impl Display) -> Result<T> {
        self.map_err(|error| Error::new(op, target, errno_of(&error)))
    }
}

/// The errno inside an I/O error; EIO for one that the standard library made up.
pub fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_lower_case_and_without_number() {
        let error = Error::new("open", "/x", Errno::NOENT);
        assert_eq!(error.to_string(), "open /x: no such file or directory");
    }
}
