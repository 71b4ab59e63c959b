//! The files of libcni's cache: folder 0700, files 0600, one per attachment.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use api_cni::{CacheEntry, cache_file_name};

use super::Error;

fn results(cache_dir: &Path) -> PathBuf {
    cache_dir.join("results")
}

fn path_of(cache_dir: &Path, entry: &CacheEntry) -> PathBuf {
    results(cache_dir).join(cache_file_name(&entry.network_name, &entry.container_id, &entry.if_name))
}

/// Keeps an attachment. The file appears whole or not at all.
pub(super) fn write(cache_dir: &Path, entry: &CacheEntry) -> Result<(), Error> {
    let path = path_of(cache_dir, entry);
    let partial = path.with_file_name(format!(".{}", path.file_name().unwrap_or_default().to_string_lossy()));
    let attempt = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(results(cache_dir))?;
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(&entry.to_bytes())?;
        fs::rename(&partial, &path)
    };
    attempt().map_err(|source| Error::File { op: "writing", path: path.clone(), source })
}

/// Forgets an attachment.
pub(super) fn remove(cache_dir: &Path, entry: &CacheEntry) -> Result<(), Error> {
    let path = path_of(cache_dir, entry);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::File { op: "removing", path, source })
        }
        _ => Ok(()),
    }
}

/// Every attachment that can be read; broken files are passed over, as DEL must work without them.
pub(super) fn read_all(cache_dir: &Path) -> Result<Vec<CacheEntry>, Error> {
    read_matching(cache_dir, |_| true)
}

/// The attachments of a container's interface: one, or more when the network's name changed between two ADDs.
pub(super) fn read_of(cache_dir: &Path, container_id: &str, ifname: &str) -> Result<Vec<CacheEntry>, Error> {
    let suffix = cache_file_name("", container_id, ifname);
    let mut found = read_matching(cache_dir, |name| name.ends_with(&suffix))?;
    found.retain(|entry| entry.container_id == container_id && entry.if_name == ifname);
    Ok(found)
}

fn read_matching(cache_dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<CacheEntry>, Error> {
    let dir = results(cache_dir);
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::File { op: "listing", path: dir, source }),
    };
    Ok(entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| !name.starts_with('.') && wanted(name)))
        .filter_map(|entry| CacheEntry::parse(&fs::read(entry.path()).ok()?))
        .collect())
}
