//! What a folder of manifests holds, and what a change of its files means for the pods.
//!
//! ```text
//!                      read, good                    read, good, other UID: Gone, then Set
//!   absent ───────────────────────▶ held (one pod) ◀─────────────────────────────────────────────┐
//!     ▲                               │   │                                                       │
//!     └── no file any more: Gone ─────┘   └── read, bad, or unreadable: Bad; the pod stays held ──┘
//! ```
//! Unreadable is what the kernel does not tell of, as when a server of files does not answer: nothing is concluded from
//! it, and it is looked at again at each scan. As long as there is such a file at the start, not everything has been told.
//! A file whose pod has the name or UID of another file's is bad until that one goes. Which of both is first is a
//! matter of time: while the kubelet runs, the one that appeared first. When it starts, all appear at once, and the
//! pod that an earlier kubelet had begun is first, so that a restart replaces no pod.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use api_k8s::v1::Pod;
use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::manifest::{self, MAX_BYTES, Manifest};
use super::{ManifestError, SourceEvent};

/// The state of the folder as it was last read.
pub(super) struct Folder {
    path: PathBuf,
    node: String,
    files: BTreeMap<PathBuf, Entry>,
    /// UIDs of the pods that an earlier kubelet had begun: first in the first scan.
    begun: BTreeSet<String>,
}

/// What is known of a file.
#[derive(Default)]
struct Entry {
    /// The pod that it gave, though it may have become bad since.
    pod: Option<Held>,
    /// Which content was last read.
    signature: Option<Signature>,
    /// What was last read there is no pod that can be run, or could not be read.
    bad: bool,
    /// It could not be read.
    unreadable: bool,
    /// It waits for another file's pod to go.
    conflicts: bool,
}

/// What must be unique among the pods.
#[derive(PartialEq, Eq)]
struct Held {
    uid: String,
    name: String,
}

/// Changes with the content: inode, size, and time of the last change.
type Signature = (u64, u64, i64, i64);

impl Folder {
    pub(super) fn new(path: PathBuf, node: String, begun: BTreeSet<String>) -> Self {
        Self { path, node, files: BTreeMap::new(), begun }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that is there was read.
    pub(super) fn is_known(&self) -> bool {
        !self.files.values().any(|entry| entry.unreadable)
    }

    /// Looks at every file that is there and every one that was. A missing folder is an empty one.
    pub(super) fn scan(&mut self, now: Timestamp) -> io::Result<Vec<SourceEvent>> {
        let mut files: BTreeSet<PathBuf> = self.files.keys().cloned().collect();
        match fs::read_dir(&self.path) {
            Ok(entries) => {
                for entry in entries {
                    files.insert(entry?.path());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let events = self.look_at(files, now);
        self.begun.clear();
        Ok(events)
    }

    /// Looks at these files: first at those of pods that were begun, then in the order of their names. What is gone
    /// comes before all, so that a pod whose file was renamed does not conflict with itself.
    pub(super) fn look_at(&mut self, files: BTreeSet<PathBuf>, now: Timestamp) -> Vec<SourceEvent> {
        let mut events = Vec::new();
        let mut there = Vec::new();
        for file in files.into_iter().filter(|file| is_manifest(file)) {
            match look(&file) {
                Found::File(meta) => there.push((file, meta)),
                Found::Nothing => self.gone(&file, &mut events),
                Found::NoFile(meta, kind) => self.no_file(file, &meta, kind, &mut events),
                Found::Unreadable(error) => self.unreadable(file, error, &mut events),
            }
        }
        let mut read = Vec::new();
        for (file, meta) in there {
            let signature = signature(&meta);
            if self.files.get(&file).and_then(|entry| entry.signature) != Some(signature) {
                match self.read(&file, now) {
                    Ok(manifest) => read.push((file, signature, manifest)),
                    Err(error) => self.unreadable(file, error, &mut events),
                }
            }
        }
        // Stable: the names' order stays among equals.
        read.sort_by_key(|(_, _, manifest)| !self.is_begun(manifest));
        for (file, signature, manifest) in read {
            self.take(file, Some(signature), manifest, &mut events);
        }
        if events.iter().any(|event| matches!(event, SourceEvent::Gone { .. })) {
            self.retry_conflicts(now, &mut events);
        }
        events
    }

    fn gone(&mut self, file: &Path, events: &mut Vec<SourceEvent>) {
        let Some(entry) = self.files.remove(file) else { return };
        if entry.bad {
            events.push(SourceEvent::Dropped { file: file.to_owned() });
        }
        events.extend(entry.pod.map(|held| SourceEvent::Gone { uid: held.uid }));
    }

    /// What was there before is gone; what is there now is said, once.
    fn no_file(&mut self, file: PathBuf, meta: &Metadata, kind: &'static str, events: &mut Vec<SourceEvent>) {
        let signature = Some(signature(meta));
        let entry = self.files.entry(file.clone()).or_default();
        if entry.signature == signature {
            return;
        }
        events.extend(entry.pod.take().map(|held| SourceEvent::Gone { uid: held.uid }));
        *entry = Entry { signature, bad: true, ..Entry::default() };
        events.push(SourceEvent::Bad { file, name: None, error: ManifestError::NoFile(kind) });
    }

    /// Said once.
    fn unreadable(&mut self, file: PathBuf, error: io::Error, events: &mut Vec<SourceEvent>) {
        if self.files.get(&file).is_some_and(|entry| entry.unreadable) {
            return;
        }
        let refused = Manifest { name: None, pod: Err(ManifestError::Read(error)) };
        self.take(file.clone(), None, refused, events);
        self.files.entry(file).or_default().unreadable = true;
    }

    fn is_begun(&self, manifest: &Manifest) -> bool {
        let uid = |pod: &Pod| pod.metadata.uid.as_ref().is_some_and(|uid| self.begun.contains(uid));
        manifest.pod.as_ref().is_ok_and(uid)
    }

    fn read(&self, file: &Path, now: Timestamp) -> io::Result<Manifest> {
        let mut bytes = Vec::new();
        // Between the look and this it may have become a FIFO, whose opening would wait for a writer.
        let open = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(file)?;
        open.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            let error = ManifestError::Syntax(format!("the file is larger than {MAX_BYTES} bytes"));
            return Ok(Manifest { name: None, pod: Err(error) });
        }
        Ok(manifest::read(&bytes, &file.to_string_lossy(), &self.node, now))
    }

    fn take(
        &mut self,
        file: PathBuf,
        signature: Option<Signature>,
        manifest: Manifest,
        events: &mut Vec<SourceEvent>,
    ) {
        let Manifest { name, pod } = manifest;
        let node = format!("-{}", self.node);
        let pod = pod.and_then(|pod| match self.holder(&file, &pod) {
            Some(first) => Err(ManifestError::Duplicate { name: name_of(&pod), first }),
            None => Ok(pod),
        });
        let entry = self.files.entry(file.clone()).or_default();
        entry.signature = signature;
        // What cannot be read at all is known by what was there before.
        let name = name.or_else(|| Some(entry.pod.as_ref()?.name.strip_suffix(&node)?.to_owned()));
        entry.bad = pod.is_err();
        entry.unreadable = false;
        entry.conflicts = matches!(pod, Err(ManifestError::Duplicate { .. }));
        match pod {
            Ok(pod) => {
                let held = held_of(&pod);
                match entry.pod.replace(held) {
                    Some(old) if Some(&old.uid) != pod.metadata.uid.as_ref() => {
                        events.push(SourceEvent::Gone { uid: old.uid });
                    }
                    _ => {}
                }
                events.push(SourceEvent::Set { file, pod: Box::new(pod) });
            }
            Err(error) => events.push(SourceEvent::Bad { file, name, error }),
        }
    }

    /// The other file that holds a pod of this name or UID.
    fn holder(&self, file: &Path, pod: &Pod) -> Option<PathBuf> {
        let new = held_of(pod);
        let same = |held: &Held| held.name == new.name || held.uid == new.uid;
        let found =
            self.files.iter().find(|(other, entry)| *other != file && entry.pod.as_ref().is_some_and(same));
        found.map(|(file, _)| file.clone())
    }

    fn retry_conflicts(&mut self, now: Timestamp, events: &mut Vec<SourceEvent>) {
        let waiting: Vec<_> =
            self.files.iter().filter(|(_, entry)| entry.conflicts).map(|(file, _)| file.clone()).collect();
        for file in waiting {
            // One that cannot be read now waits for its next scan.
            let Ok(manifest) = self.read(&file, now) else { continue };
            let free = manifest.pod.as_ref().is_ok_and(|pod| self.holder(&file, pod).is_none());
            if free {
                let signature = self.files.get(&file).and_then(|entry| entry.signature);
                self.take(file, signature, manifest, events);
            }
        }
    }
}

/// What is found under a name.
enum Found {
    File(Metadata),
    /// Neither a file nor a folder, but this.
    NoFile(Metadata, &'static str),
    /// Something that the kernel does not tell of.
    Unreadable(io::Error),
    /// Nothing (any more), or a folder: those are not looked into.
    Nothing,
}

fn look(file: &Path) -> Found {
    judge(fs::metadata(file), || fs::symlink_metadata(file))
}

fn judge(found: io::Result<Metadata>, link: impl FnOnce() -> io::Result<Metadata>) -> Found {
    match found {
        Ok(meta) if meta.is_file() => Found::File(meta),
        Ok(meta) if meta.is_dir() => Found::Nothing,
        Ok(meta) if meta.file_type().is_fifo() => Found::NoFile(meta, "a FIFO"),
        Ok(meta) if meta.file_type().is_socket() => Found::NoFile(meta, "a socket"),
        Ok(meta) => Found::NoFile(meta, "a device"),
        Err(error) if leads_nowhere(&error) => match link() {
            Ok(link) => Found::NoFile(link, "a link to something that is not there"),
            Err(error) if leads_nowhere(&error) => Found::Nothing,
            Err(error) => Found::Unreadable(error),
        },
        Err(error) => Found::Unreadable(error),
    }
}

/// What the kernel says of a path at whose end there is nothing; a link may lead to itself, or through a file.
fn leads_nowhere(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP))
}

fn signature(meta: &Metadata) -> Signature {
    (meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec())
}

fn held_of(pod: &Pod) -> Held {
    Held { uid: pod.metadata.uid.clone().unwrap_or_default(), name: name_of(pod) }
}

fn name_of(pod: &Pod) -> String {
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    format!("{}/{}", text(&pod.metadata.namespace), text(&pod.metadata.name))
}

/// Hidden files, and what editors and package managers leave while they write, are none.
fn is_manifest(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = [".swp", ".swx", ".tmp", ".bak", ".dpkg-new", ".dpkg-tmp", "~"];
    !name.starts_with(['.', '#']) && !unfinished.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests;
