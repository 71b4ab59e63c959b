//! What a folder of manifests holds, and what a change of its files means for the pods.
//!
//! ```text
//!            read, good                    read, good, other UID: Gone, then Set
//!   absent ─────────────▶ held (one pod) ◀──────────────────────────────┐
//!     ▲                     │   │                                        │
//!     └── file gone: Gone ──┘   └── read, bad: Bad; the pod stays held ──┘
//! ```
//! A file whose pod has the name or UID of another file's is bad until that one goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use api_k8s::v1::Pod;
use jiff::Timestamp;

use super::manifest::{self, MAX_BYTES};
use super::{ManifestError, SourceEvent};

/// The state of the folder as it was last read.
pub(super) struct Folder {
    path: PathBuf,
    node: String,
    files: BTreeMap<PathBuf, Entry>,
}

/// What is known of a file.
#[derive(Default)]
struct Entry {
    /// The pod that it gave, though it may have become bad since.
    pod: Option<Held>,
    /// Which content was last read.
    signature: Option<Signature>,
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
    pub(super) fn new(path: PathBuf, node: String) -> Self {
        Self { path, node, files: BTreeMap::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
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
        Ok(self.look_at(files, now))
    }

    /// Looks at these files, in the order of their names. What is gone comes first, so that a pod whose file was
    /// renamed does not conflict with itself.
    pub(super) fn look_at(&mut self, files: BTreeSet<PathBuf>, now: Timestamp) -> Vec<SourceEvent> {
        let mut events = Vec::new();
        let mut there = Vec::new();
        for file in files.into_iter().filter(|file| is_manifest(file)) {
            match fs::metadata(&file) {
                Ok(meta) if meta.is_file() => there.push((file, meta)),
                // A folder, a socket, a dangling link, or nothing (any more).
                _ => self.gone(&file, &mut events),
            }
        }
        for (file, meta) in there {
            self.changed(file, &meta, now, &mut events);
        }
        if events.iter().any(|event| matches!(event, SourceEvent::Gone { .. })) {
            self.retry_conflicts(now, &mut events);
        }
        events
    }

    fn gone(&mut self, file: &Path, events: &mut Vec<SourceEvent>) {
        if let Some(Entry { pod: Some(held), .. }) = self.files.remove(file) {
            events.push(SourceEvent::Gone { uid: held.uid });
        }
    }

    fn changed(&mut self, file: PathBuf, meta: &Metadata, now: Timestamp, events: &mut Vec<SourceEvent>) {
        let signature = (meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec());
        let known = self.files.get(&file).and_then(|entry| entry.signature);
        if known == Some(signature) {
            return;
        }
        let pod = self.read(&file, now);
        self.take(file, Some(signature), pod, events);
    }

    fn read(&self, file: &Path, now: Timestamp) -> Result<Pod, ManifestError> {
        let mut bytes = Vec::new();
        File::open(file)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(ManifestError::Read)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ManifestError::Syntax(format!("the file is larger than {MAX_BYTES} bytes")));
        }
        manifest::read(&bytes, &file.to_string_lossy(), &self.node, now)
    }

    fn take(
        &mut self,
        file: PathBuf,
        signature: Option<Signature>,
        pod: Result<Pod, ManifestError>,
        events: &mut Vec<SourceEvent>,
    ) {
        let pod = pod.and_then(|pod| match self.holder(&file, &pod) {
            Some(first) => Err(ManifestError::Duplicate { name: name_of(&pod), first }),
            None => Ok(pod),
        });
        let entry = self.files.entry(file.clone()).or_default();
        entry.signature = signature;
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
            Err(error) => events.push(SourceEvent::Bad { file, error }),
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
            let pod = self.read(&file, now);
            let free = pod.as_ref().is_ok_and(|pod| self.holder(&file, pod).is_none());
            if free {
                let signature = self.files.get(&file).and_then(|entry| entry.signature);
                self.take(file, signature, pod, events);
            }
        }
    }
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
