//! From archive entries to files, with overlay's whiteouts.
//!
//! Every path is resolved inside the root by descriptor (openat2 with `RESOLVE_IN_ROOT`), and every last component
//! is made by an `*at` call that follows no link. Entries later in the archive replace earlier ones.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;
use sys::fs::Root;
use tar::{Entry, EntryType};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const MADE_PARENT: u32 = 0o755;

pub(super) struct Extractor {
    root: Root,
    entries: u64,
    most_entries: u64,
    bytes: u64,
    /// Their times are set last: making a file in a folder changes the folder's.
    folder_times: Vec<(PathBuf, Timespec)>,
}

/// Where an entry goes: the folder it lies in, and its name there. `None` is the root itself.
type Place = Option<(PathBuf, Vec<u8>)>;

impl Extractor {
    pub(super) fn new(root: &Path, most_entries: u64) -> Result<Self, sys::Error> {
        Ok(Self { root: Root::open(root)?, entries: 0, most_entries, bytes: 0, folder_times: Vec::new() })
    }

    pub(super) fn entry<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), String> {
        self.entries += 1;
        if self.entries > self.most_entries {
            return Err(format!("more than {} entries", self.most_entries));
        }
        let name = entry.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&name).into_owned();
        self.make(&name, &mut entry).map_err(|error| format!("{shown}: {error}"))
    }

    /// Sets what had to wait; returns bytes and entries.
    pub(super) fn finish(self) -> Result<(u64, u64), String> {
        for (path, modified) in self.folder_times.iter().rev() {
            // A later entry may have put something else there.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let Ok(folder) = self.root.open_at(path, flags, Mode::empty()) else { continue };
            rustix::fs::futimens(&folder, &times(*modified))
                .map_err(|e| format!("{}: {e}", path.display()))?;
        }
        Ok((self.bytes, self.entries))
    }

    fn make<R: Read>(&mut self, name: &[u8], entry: &mut Entry<'_, R>) -> Result<(), Refused> {
        // Such an entry's data begins with a map, under another name than the file's. The older form is read.
        if extension(entry, |key| key.starts_with(b"GNU.sparse."))?.is_some() {
            return Err(Refused::Text("a sparse file in the PAX format"));
        }
        let Some((parent, name)) = place(name)? else {
            let folder =
                self.root.open_at(Path::new("."), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            return attributes(&folder, entry);
        };
        let folder = self.root.make_dir_all(&parent, Mode::from_raw_mode(MADE_PARENT))?;
        if name == OPAQUE {
            let folder = self.root.open_at(&parent, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            rustix::fs::fsetxattr(&folder, "trusted.overlay.opaque", b"y", XattrFlags::empty())?;
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            // Other names of this form are notes that aufs left for itself.
            if !hidden.is_empty() && !hidden.starts_with(WHITEOUT) && !matches!(hidden, b"." | b"..") {
                self.clear(&folder, &parent, hidden, false)?;
                rustix::fs::mknodat(&folder, hidden, FileType::CharacterDevice, Mode::empty(), 0)?;
            }
            return Ok(());
        }
        self.make_at(&folder, &parent, &name, entry)
    }

    fn make_at<R: Read>(
        &mut self,
        folder: &OwnedFd,
        parent: &Path,
        name: &[u8],
        entry: &mut Entry<'_, R>,
    ) -> Result<(), Refused> {
        let kind = entry.header().entry_type();
        self.clear(folder, parent, name, kind.is_dir())?;
        match kind {
            EntryType::Directory => {
                match rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o700)) {
                    Err(errno) if errno != Errno::EXIST => return Err(errno.into()),
                    _ => {}
                }
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let made = rustix::fs::openat(folder, name, flags, Mode::empty())?;
                attributes(&made, entry)?;
                self.folder_times.push((parent.join(OsStr::from_bytes(name)), modified(entry)?));
                Ok(())
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let made = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600))?;
                let mut file = std::fs::File::from(made);
                self.bytes += io::copy(entry, &mut file)?;
                let made = OwnedFd::from(file);
                attributes(&made, entry)?;
                rustix::fs::futimens(&made, &times(modified(entry)?))?;
                Ok(())
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().ok_or(Refused::Text("a hard link without a target"))?;
                let (from, target) = place(&target)?.ok_or(Refused::Text("a hard link to the root"))?;
                let from = self.root.open_at(&from, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
                Ok(rustix::fs::linkat(&from, target.as_slice(), folder, name, AtFlags::empty())?)
            }
            EntryType::Symlink => {
                let target =
                    entry.link_name_bytes().ok_or(Refused::Text("a symbolic link without a target"))?;
                rustix::fs::symlinkat(&*target, folder, name)?;
                owner_at(folder, name, entry)?;
                let nofollow = AtFlags::SYMLINK_NOFOLLOW;
                Ok(rustix::fs::utimensat(folder, name, &times(modified(entry)?), nofollow)?)
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let number = |part: io::Result<Option<u32>>| part.map(Option::unwrap_or_default);
                let major = number(entry.header().device_major())?;
                let minor = number(entry.header().device_minor())?;
                let kind = match kind {
                    EntryType::Char => FileType::CharacterDevice,
                    EntryType::Block => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                let device = rustix::fs::makedev(major, minor);
                rustix::fs::mknodat(folder, name, kind, Mode::from_raw_mode(0o600), device)?;
                owner_at(folder, name, entry)?;
                rustix::fs::chmodat(folder, name, mode(entry)?, AtFlags::empty())?;
                let nofollow = AtFlags::SYMLINK_NOFOLLOW;
                Ok(rustix::fs::utimensat(folder, name, &times(modified(entry)?), nofollow)?)
            }
            // Comments of the archiver for everything that follows.
            EntryType::XGlobalHeader => Ok(()),
            other => Err(Refused::Kind(other.as_byte())),
        }
    }

    /// Removes what an earlier entry put there; a folder stays for a folder.
    fn clear(&self, folder: &OwnedFd, parent: &Path, name: &[u8], for_folder: bool) -> Result<(), Refused> {
        let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            result => result?,
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?);
        }
        if for_folder {
            return Ok(());
        }
        // By a path below the descriptor's own, so that nothing but this layer is reached.
        let path = PathBuf::from(sys::fs::fd_path(folder)).join(OsStr::from_bytes(name));
        match std::fs::remove_dir_all(&path) {
            // Without /proc, which a confined child lacks, this process's root is the layer's.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(std::fs::remove_dir_all(Path::new("/").join(parent).join(OsStr::from_bytes(name)))?)
            }
            result => Ok(result?),
        }
    }
}

/// Why one entry cannot be made.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Text(&'static str),
    #[error("an entry of type {:?} belongs into no layer", char::from(*.0))]
    Kind(u8),
    #[error(transparent)]
    Errno(#[from] Errno),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Sys(#[from] sys::Error),
}

/// Splits a name; absolute ones are meant from the root, and none may climb.
fn place(name: &[u8]) -> Result<Place, Refused> {
    let mut parent = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(part) => parent.push(part),
            Component::ParentDir | Component::Prefix(_) => return Err(Refused::Text("a name with .. in it")),
        }
    }
    let last = parent.file_name().map(|name| name.as_bytes().to_vec());
    Ok(last.map(|last| {
        parent.pop();
        (parent, last)
    }))
}

fn mode<R: Read>(entry: &Entry<'_, R>) -> Result<Mode, Refused> {
    Ok(Mode::from_raw_mode(entry.header().mode()? & 0o7777))
}

fn owner<R: Read>(entry: &Entry<'_, R>) -> Result<(Option<Uid>, Option<Gid>), Refused> {
    let id = |id: u64| {
        u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or(Refused::Text("an owner out of range"))
    };
    let (uid, gid) = (id(entry.header().uid()?)?, id(entry.header().gid()?)?);
    Ok((Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))))
}

fn owner_at<R: Read>(folder: &OwnedFd, name: &[u8], entry: &Entry<'_, R>) -> Result<(), Refused> {
    let (uid, gid) = owner(entry)?;
    Ok(rustix::fs::chownat(folder, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Owner, mode and extended attributes of a file or folder.
fn attributes<R: Read>(made: impl AsFd, entry: &mut Entry<'_, R>) -> Result<(), Refused> {
    let made = made.as_fd();
    let (uid, gid) = owner(entry)?;
    rustix::fs::fchown(made, uid, gid)?;
    // After the owner: chown(2) clears the set-user-id bit and file capabilities.
    rustix::fs::fchmod(made, mode(entry)?)?;
    let Some(extensions) = entry.pax_extensions()? else { return Ok(()) };
    for extension in extensions {
        let extension = extension?;
        let Some(name) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") else { continue };
        // What overlay reads of a lower layer is ours to write.
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        match rustix::fs::fsetxattr(made, name, extension.value_bytes(), XattrFlags::empty()) {
            // A filesystem without them, or a label of a security module that is not here.
            Err(Errno::OPNOTSUPP) => {}
            result => result?,
        }
    }
    Ok(())
}

/// The value of the first extended header whose key fits.
fn extension<R: Read>(
    entry: &mut Entry<'_, R>,
    fits: impl Fn(&[u8]) -> bool,
) -> Result<Option<Vec<u8>>, Refused> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(None) };
    for extension in extensions {
        let extension = extension?;
        if fits(extension.key_bytes()) {
            return Ok(Some(extension.value_bytes().to_vec()));
        }
    }
    Ok(None)
}

/// When the file was last modified: with fractions of a second in an extended header, else in whole ones.
fn modified<R: Read>(entry: &mut Entry<'_, R>) -> Result<Timespec, Refused> {
    let exact = extension(entry, |key| key == b"mtime")?;
    if let Some(time) = exact.as_deref().and_then(|value| str::from_utf8(value).ok()).and_then(decimal_time) {
        return Ok(time);
    }
    let seconds = entry.header().mtime().ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0);
    Ok(Timespec { tv_sec: seconds, tv_nsec: 0 })
}

/// `1600000000.25`, as PAX writes times.
fn decimal_time(text: &str) -> Option<Timespec> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let whole: i64 = seconds.parse().ok()?;
    Some(match seconds.starts_with('-') && nanoseconds > 0 {
        // The kernel counts fractions forward.
        true => Timespec { tv_sec: whole.checked_sub(1)?, tv_nsec: (1_000_000_000 - nanoseconds) as _ },
        false => Timespec { tv_sec: whole, tv_nsec: nanoseconds as _ },
    })
}

fn times(modified: Timespec) -> Timestamps {
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ }, last_modification: modified }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_times_have_fractions_also_before_1970() {
        for (text, expected) in [
            ("1600000000.25", Some((1_600_000_000, 250_000_000))),
            ("7", Some((7, 0))),
            ("1.123456789123", Some((1, 123_456_789))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-3", Some((-3, 0))),
            ("1.-5", None),
            ("x", None),
            ("", None),
        ] {
            let found = decimal_time(text).map(|time| (time.tv_sec, time.tv_nsec));
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
