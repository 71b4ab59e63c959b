//! `orlop unpack DIR`: the confined child that turns one layer's archive into a folder.
//!
//! Foreign archives are never parsed in the daemon. The child reads the compressed archive on its standard input,
//! and before it looks at the first byte it has no network, sees nothing but `DIR`, and holds no capability but
//! those that making files of other owners, devices and overlay's attributes needs. On success it writes one JSON
//! [`Report`] to its standard output; otherwise one line to its standard error, and ends with 1.

mod confine;
mod extract;
mod stream;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use extract::Extractor;
use stream::Limited;

/// What was unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The digest of the uncompressed archive.
    pub(crate) diff_id: String,
    /// What the files hold, in bytes.
    pub(crate) bytes: u64,
    /// How many entries there were.
    pub(crate) entries: u64,
}

/// A layer may not unpack to more: the archive of a bomb is small.
const LARGEST_LAYER: u64 = 256 << 30;
const MOST_ENTRIES: u64 = 4 << 20;

/// The child's whole life. The process must have one thread.
pub fn main(folder: &Path) -> ExitCode {
    match confine::to(folder)
        .map_err(|error| error.to_string())
        .and_then(|()| unpack(Path::new("/"), io::stdin()))
    {
        Ok(report) => {
            let written = serde_json::to_vec(&report).map(|line| io::stdout().write_all(&line));
            if matches!(written, Ok(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn unpack(root: &Path, archive: impl io::Read) -> Result<Report, String> {
    let input = stream::decompress(archive).map_err(|error| format!("reading the archive: {error}"))?;
    let mut input = Limited::new(input, LARGEST_LAYER);
    let mut extractor = Extractor::new(root, MOST_ENTRIES).map_err(|error| error.to_string())?;
    let mut archive = tar::Archive::new(&mut input);
    for entry in archive.entries().map_err(|error| error.to_string())? {
        extractor.entry(entry.map_err(|error| format!("reading the archive: {error}"))?)?;
    }
    let (bytes, entries) = extractor.finish()?;
    // What follows the archive's end mark belongs to the digest as well.
    let diff_id = input.finish().map_err(|error| format!("reading the archive: {error}"))?;
    Ok(Report { diff_id, bytes, entries })
}

#[cfg(test)]
mod tests;
