//! Rotating a log that has grown too large: `0.log` becomes `0.log.YYYYMMDD-HHMMSS`, older ones are compressed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;

/// When a log is rotated, and how much of it stays (`containerLogMaxSize`, `containerLogMaxFiles`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// In bytes; a smaller file is left alone.
    pub(crate) max_size: u64,
    /// The file being written included; at least 2.
    pub(crate) max_files: usize,
}

const COMPRESSED: &str = ".gz";
const UNFINISHED: &str = ".tmp";

/// Rotates `log` when it is over its size. `reopen` makes the runtime write to a new file of the old name; when it
/// fails, the rename is undone, so that the file keeps its name and the next attempt finds it.
///
/// Returns whether it was rotated.
pub(crate) fn rotate<E: From<io::Error>>(
    log: &Path,
    policy: Rotation,
    now: Timestamp,
    reopen: impl FnOnce() -> Result<(), E>,
) -> Result<bool, E> {
    if fs::metadata(log)?.len() <= policy.max_size {
        return Ok(false);
    }
    let plan = plan(&rotated_files(log)?, policy.max_files);
    for file in &plan.remove {
        remove(file)?;
    }
    for file in &plan.compress {
        compress(file)?;
    }
    let stamp = now.strftime("%Y%m%d-%H%M%S");
    let mut renamed = log.as_os_str().to_owned();
    renamed.push(format!(".{stamp}"));
    fs::rename(log, &renamed)?;
    reopen().inspect_err(|_| {
        // The runtime still writes to it. An error here changes nothing: the next attempt rotates a new file.
        let _ = fs::rename(&renamed, log);
    })?;
    Ok(true)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    remove: Vec<PathBuf>,
    compress: Vec<PathBuf>,
}

/// What becomes of the rotated files when one more is about to join them. Their names sort by age.
fn plan(rotated: &[PathBuf], max_files: usize) -> Plan {
    let ends_with =
        |file: &Path, ending: &str| file.as_os_str().as_encoded_bytes().ends_with(ending.as_bytes());
    // What a kill left of an unfinished compression; the original is still there.
    let (mut remove, mut kept): (Vec<_>, Vec<_>) =
        rotated.iter().cloned().partition(|file| ends_with(file, UNFINISHED));
    kept.sort();
    // The file being written and the one it is about to become.
    let excess = kept.len().saturating_sub(max_files.max(2) - 2);
    remove.extend(kept.drain(..excess));
    let compress = kept.into_iter().filter(|file| !ends_with(file, COMPRESSED)).collect();
    Plan { remove, compress }
}

/// The earlier parts of a log, in no order.
fn rotated_files(log: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = log.parent().unwrap_or(log);
    let mut prefix = log.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    prefix.push(b'.');
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(&prefix) {
            files.push(entry.path());
        }
    }
    Ok(files)
}

fn compress(file: &Path) -> io::Result<()> {
    let name = |ending: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let [unfinished, finished] = [name(UNFINISHED), name(COMPRESSED)];
    let mut encoder = GzEncoder::new(File::create(&unfinished)?, Compression::fast());
    io::copy(&mut File::open(file)?, &mut encoder)?;
    encoder.finish()?;
    fs::rename(&unfinished, &finished)?;
    remove(file)
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    const POLICY: Rotation = Rotation { max_size: 10, max_files: 3 };

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_small_log_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("0.log");
        fs::write(&log, "0123456789").unwrap();
        let rotated = rotate::<io::Error>(&log, POLICY, now(), || panic!("not asked to reopen")).unwrap();
        assert!(!rotated);
    }

    #[test]
    fn a_large_log_moves_aside_and_older_ones_are_compressed_or_go() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("0.log");
        fs::write(&log, "more than ten bytes").unwrap();
        for old in ["0.log.20250101-000000.gz", "0.log.20250102-000000", "1.log"] {
            fs::write(folder.path().join(old), old).unwrap();
        }
        let reopened = || fs::write(&log, "");
        assert!(rotate(&log, POLICY, now(), reopened).unwrap());
        assert_eq!(
            names(folder.path()),
            ["0.log", "0.log.20250102-000000.gz", "0.log.20260102-030405", "1.log"]
        );
    }

    #[test]
    fn a_runtime_that_cannot_reopen_keeps_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("0.log");
        fs::write(&log, "more than ten bytes").unwrap();
        rotate(&log, POLICY, now(), || Err(io::Error::other("no"))).unwrap_err();
        assert_eq!(names(folder.path()), ["0.log"]);
    }

    #[test]
    fn what_a_kill_left_of_a_compression_goes() {
        let files = ["0.log.1", "0.log.1.tmp"].map(PathBuf::from);
        let expected = Plan { remove: vec!["0.log.1.tmp".into()], compress: vec!["0.log.1".into()] };
        assert_eq!(plan(&files, 5), expected);
    }
}
