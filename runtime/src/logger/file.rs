//! One container's log file. A disk that is full or broken costs lines, never the container's progress.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::line::{Tag, format};

/// The file, and what could not be written to it.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: Option<PathBuf>,
    file: Option<File>,
    lost: Lost,
}

#[derive(Debug, Default)]
struct Lost {
    entries: u64,
    cause: String,
}

impl LogFile {
    /// Opens the file for appending, or nothing at all when the output is not wanted.
    pub(crate) fn open(path: Option<PathBuf>) -> io::Result<Self> {
        let file = path.as_ref().map(open).transpose()?;
        Ok(Self { path, file, lost: Lost::default() })
    }

    /// A log that could not be opened: its entries are lost, and counted, until [`reopen`](Self::reopen) succeeds.
    pub(crate) fn closed(path: Option<PathBuf>) -> Self {
        Self { path, file: None, lost: Lost::default() }
    }

    /// Opens the path anew, after the file was renamed. The old one stays in use when that fails.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        self.file = self.path.as_ref().map(open).transpose()?;
        Ok(())
    }

    /// Appends whole entries. When that fails they are dropped and counted; the next write that succeeds begins
    /// with a note that says how many.
    pub(crate) fn append(&mut self, entries: &[u8], count: u64, time: &str) {
        let Some(file) = &mut self.file else {
            self.lost.entries += count;
            return;
        };
        if self.lost.entries > 0 {
            let note = format!("[orlop: {} entries were lost: {}]", self.lost.entries, self.lost.cause);
            let mut line = Vec::new();
            format(&mut line, time, "stderr", Tag::Full, note.as_bytes());
            if write_whole(file, &line).is_err() {
                self.lost.entries += count;
                return;
            }
            self.lost = Lost::default();
        }
        if let Err(error) = write_whole(file, entries) {
            self.lost = Lost { entries: count, cause: error.to_string() };
        }
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// Writes all or, when the disk fills up half-way, nothing: half an entry would spoil the next one.
fn write_whole(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return undo(file, written, io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return undo(file, written, error),
        }
    }
    Ok(())
}

fn undo(file: &File, written: usize, error: io::Error) -> io::Result<()> {
    if written > 0 {
        let length = file.metadata()?.len();
        file.set_len(length.saturating_sub(written as u64))?;
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "T";

    #[test]
    fn a_renamed_file_is_left_at_the_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let mut log = LogFile::open(Some(path.clone())).unwrap();
        log.append(b"one\n", 1, TIME);
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        log.append(b"two\n", 1, TIME);
        log.reopen().unwrap();
        log.append(b"three\n", 1, TIME);
        assert_eq!(std::fs::read(folder.path().join("old")).unwrap(), b"one\ntwo\n");
        assert_eq!(std::fs::read(path).unwrap(), b"three\n");
    }

    #[test]
    fn a_full_disk_costs_counted_entries() {
        let mut log = LogFile::open(Some("/dev/full".into())).unwrap();
        log.append(b"one\n", 1, TIME);
        log.append(b"two\nthree\n", 2, TIME);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        log.path = Some(path.clone());
        log.reopen().unwrap();
        log.append(b"four\n", 1, TIME);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("T stderr F [orlop: 3 entries were lost: No space left"), "{text}");
        assert!(text.ends_with("]\nfour\n"), "{text}");
    }

    #[test]
    fn a_failed_reopening_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/0.log");
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        let mut log = LogFile::open(Some(path)).unwrap();
        std::fs::rename(folder.path().join("logs"), folder.path().join("moved")).unwrap();
        assert!(log.reopen().is_err());
        log.append(b"kept\n", 1, TIME);
        assert_eq!(std::fs::read(folder.path().join("moved/0.log")).unwrap(), b"kept\n");
    }
}
