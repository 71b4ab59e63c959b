//! Unpacked layers: one folder per diff id, made by a confined child, shared by all images that name it.
//!
//! ```text
//! (absent) ──pull begins──▶ ingest/N ──verified, synced, renamed──▶ layers/DIFF ──nobody needs it──▶ ingest/N ──▶ (gone)
//! ```
//!
//! Whoever is about to need a layer says so first ([`Layers::want`]) under the lock under which garbage is chosen.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::digest::Hasher;
use super::unpack::Report;
use super::{ImageError, manifest::Descriptor, registry};

/// How far one layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The digest of the compressed layer.
    pub(crate) digest: String,
    /// How much has been read, in bytes.
    pub(crate) read: u64,
    /// How much there is, in bytes.
    pub(crate) size: u64,
    /// Whether it is unpacked and verified.
    pub(crate) complete: bool,
}

/// Who is told about progress.
pub(super) type Listener = Arc<dyn Fn(Progress) + Send + Sync>;

/// Where a compressed layer comes from.
pub(super) enum Source<'a> {
    Registry(&'a registry::Client),
    File(PathBuf),
}

pub(super) struct Layers {
    layers: PathBuf,
    ingest: PathBuf,
    containers: PathBuf,
    next: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many pulls and mounts are about to need a layer.
    wanted: HashMap<String, usize>,
    /// One at a time makes a layer; the others then find it.
    making: HashMap<String, std::sync::Weak<tokio::sync::Mutex<()>>>,
}

/// Keeps layers from being collected until it is dropped.
pub(super) struct Wanted<'a> {
    layers: &'a Layers,
    diff_ids: Vec<String>,
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        let mut state = self.layers.state();
        for diff_id in &self.diff_ids {
            if let Some(count) = state.wanted.get_mut(diff_id) {
                *count -= 1;
                if *count == 0 {
                    state.wanted.remove(diff_id);
                }
            }
        }
    }
}

impl Layers {
    pub(super) fn open(root: &Path) -> Result<Self, ImageError> {
        let [layers, ingest, containers] = ["layers", "ingest", "containers"].map(|name| root.join(name));
        // What a crash left half-unpacked, or half-removed.
        remove_all(&ingest)?;
        for folder in [&layers, &ingest, &containers] {
            std::fs::create_dir_all(folder).map_err(ImageError::io("making", folder))?;
        }
        Ok(Self { layers, ingest, containers, next: AtomicU64::new(0), state: Mutex::default() })
    }

    /// Where the writable layers of containers lie.
    pub(super) fn containers(&self) -> &Path {
        &self.containers
    }

    /// The folder of a layer. Short, since a mount's options hold one per layer.
    pub(super) fn folder(&self, diff_id: &str) -> PathBuf {
        self.layers.join(short(diff_id)).join("fs")
    }

    pub(super) fn have_all(&self, diff_ids: &[String]) -> bool {
        diff_ids.iter().all(|diff_id| self.folder(diff_id).is_dir())
    }

    /// Keeps these layers from being collected.
    pub(super) fn want(&self, diff_ids: &[String]) -> Wanted<'_> {
        let mut state = self.state();
        for diff_id in diff_ids {
            *state.wanted.entry(diff_id.clone()).or_default() += 1;
        }
        Wanted { layers: self, diff_ids: diff_ids.to_vec() }
    }

    /// Bytes and entries of all layers, as they were counted when they were unpacked.
    pub(super) fn usage(&self) -> (u64, u64) {
        let entries = std::fs::read_dir(&self.layers).into_iter().flatten().flatten();
        entries.fold((0, 0), |(bytes, inodes), entry| {
            let report = std::fs::read(entry.path().join("report.json")).ok();
            let report = report.and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok());
            report.map_or((bytes, inodes), |report| (bytes + report.bytes, inodes + report.entries))
        })
    }

    /// Makes a layer unless it is there. Who calls has said that it wants it.
    pub(super) async fn ensure(
        &self,
        source: &Source<'_>,
        blob: &Descriptor,
        diff_id: &str,
        progress: &Listener,
    ) -> Result<(), ImageError> {
        let making = {
            let mut state = self.state();
            let known = state.making.get(diff_id).and_then(std::sync::Weak::upgrade);
            let making = known.unwrap_or_default();
            state.making.retain(|_, making| making.strong_count() > 0);
            state.making.insert(diff_id.into(), Arc::downgrade(&making));
            making
        };
        let _one_at_a_time = making.lock().await;
        if !self.folder(diff_id).is_dir() {
            let unfinished = self.unfinished()?;
            let result = self.make(source, blob, diff_id, progress, &unfinished).await;
            // Renamed away on success; nothing to remove then.
            let cleaned = remove_all(&unfinished);
            result.and(cleaned)?;
        }
        progress(Progress { digest: blob.digest.clone(), read: blob.size, size: blob.size, complete: true });
        Ok(())
    }

    async fn make(
        &self,
        source: &Source<'_>,
        blob: &Descriptor,
        diff_id: &str,
        progress: &Listener,
        unfinished: &Path,
    ) -> Result<(), ImageError> {
        let fs = unfinished.join("fs");
        std::fs::create_dir_all(&fs).map_err(ImageError::io("making", &fs))?;
        let mut child = Command::new("/proc/self/exe")
            .arg("unpack")
            .arg(&fs)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(ImageError::io("starting", "/proc/self/exe"))?;
        let fed = feed(&mut child, source, blob, progress).await;
        // A child that has refused says why; that its input broke off is only the consequence.
        if let Err(error) = fed {
            let broken_pipe = matches!(&error, ImageError::Io { operation: TO_CHILD, .. });
            if !broken_pipe {
                let _ = child.kill().await;
                return Err(error);
            }
        }
        let report = report(child, blob).await?;
        if report.diff_id != diff_id {
            let what = format!("layer {} uncompressed", blob.digest);
            return Err(ImageError::Digest { what, found: report.diff_id, wanted: diff_id.into() });
        }
        let json = serde_json::to_vec(&report).map_err(|error| ImageError::Records(error.to_string()))?;
        let file = unfinished.join("report.json");
        std::fs::write(&file, json).map_err(ImageError::io("writing", &file))?;
        let (from, to) = (unfinished.to_owned(), self.layers.join(short(diff_id)));
        // Syncing takes as long as the disk does.
        tokio::task::spawn_blocking(move || finish(&from, &to))
            .await
            .map_err(|error| ImageError::Records(format!("syncing a layer: {error}")))?
    }

    /// Removes every layer that no image, no container and no pull needs.
    pub(super) fn collect(
        &self,
        needed_by_images: impl FnOnce() -> BTreeSet<String>,
    ) -> Result<(), ImageError> {
        let mut garbage = Vec::new();
        {
            let state = self.state();
            let mut needed: BTreeSet<String> =
                needed_by_images().iter().map(|diff_id| short(diff_id)).collect();
            needed.extend(state.wanted.keys().map(|diff_id| short(diff_id)));
            needed.extend(self.mounted()?);
            for entry in std::fs::read_dir(&self.layers).map_err(ImageError::io("reading", &self.layers))? {
                let entry = entry.map_err(ImageError::io("reading", &self.layers))?;
                if entry.file_name().to_str().is_none_or(|name| !needed.contains(name)) {
                    let out = self.unfinished()?;
                    std::fs::rename(entry.path(), &out).map_err(ImageError::io("moving", entry.path()))?;
                    garbage.push(out);
                }
            }
        }
        // Outside of the lock: removing a large layer takes long. A crash in between leaves it to the next start.
        garbage.iter().try_for_each(|folder| remove_all(folder))
    }

    /// The short names of the layers that containers stand on.
    fn mounted(&self) -> Result<BTreeSet<String>, ImageError> {
        let mut names = BTreeSet::new();
        for entry in
            std::fs::read_dir(&self.containers).map_err(ImageError::io("reading", &self.containers))?
        {
            let entry = entry.map_err(ImageError::io("reading", &self.containers))?;
            let list = std::fs::read_to_string(entry.path().join("layers")).unwrap_or_default();
            names.extend(list.lines().map(short));
        }
        Ok(names)
    }

    fn unfinished(&self) -> Result<PathBuf, ImageError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(self.ingest.join(number.to_string()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What fails when the child has ended; reading a layer from a file fails with the same kind of error.
const TO_CHILD: &str = "writing to";

/// 128 bits of a digest: enough to name it on one machine.
fn short(diff_id: &str) -> String {
    diff_id.trim_start_matches("sha256:").chars().take(32).collect()
}

/// Passes the compressed layer to the child, and verifies its digest on the way.
async fn feed(
    child: &mut Child,
    source: &Source<'_>,
    blob: &Descriptor,
    progress: &Listener,
) -> Result<(), ImageError> {
    let pipe = || ImageError::io(TO_CHILD, "the unpacking child");
    let mut input = child.stdin.take().ok_or_else(|| pipe()(io::ErrorKind::BrokenPipe.into()))?;
    let mut hasher = Hasher::new();
    let mut read = 0;
    let mut pieces = Pieces::open(source, blob).await?;
    while let Some(piece) = pieces.next().await? {
        read += piece.len() as u64;
        if read > blob.size {
            let reason = format!("more than the {} bytes that its manifest says", blob.size);
            return Err(ImageError::malformed(format!("layer {}", blob.digest), reason));
        }
        hasher.update(&piece);
        input.write_all(&piece).await.map_err(pipe())?;
        progress(Progress { digest: blob.digest.clone(), read, size: blob.size, complete: false });
    }
    let found = hasher.finish();
    if found != blob.digest {
        let what = format!("layer {}", blob.digest);
        return Err(ImageError::Digest { what, found, wanted: blob.digest.clone() });
    }
    input.shutdown().await.map_err(pipe())
}

enum Pieces {
    Registry(registry::Blob),
    File(tokio::fs::File, PathBuf),
}

impl Pieces {
    async fn open(source: &Source<'_>, blob: &Descriptor) -> Result<Self, ImageError> {
        match source {
            Source::Registry(client) => Ok(Self::Registry(client.blob(&blob.digest).await?)),
            Source::File(folder) => {
                let path = folder.join(blob.digest.trim_start_matches("sha256:"));
                let file = tokio::fs::File::open(&path).await.map_err(ImageError::io("opening", &path))?;
                Ok(Self::File(file, path))
            }
        }
    }

    async fn next(&mut self) -> Result<Option<bytes::Bytes>, ImageError> {
        match self {
            Self::Registry(blob) => blob.next().await,
            Self::File(file, path) => {
                let mut buffer = bytes::BytesMut::with_capacity(128 << 10);
                let count = file.read_buf(&mut buffer).await.map_err(ImageError::io("reading", &*path))?;
                Ok((count > 0).then(|| buffer.freeze()))
            }
        }
    }
}

/// Waits for the child and reads what it says.
async fn report(child: Child, blob: &Descriptor) -> Result<Report, ImageError> {
    let output =
        child.wait_with_output().await.map_err(ImageError::io("waiting for", "the unpacking child"))?;
    let refused = |reason: String| ImageError::Unpack { layer: blob.digest.clone(), reason };
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let reason = text.lines().next_back().map_or_else(|| output.status.to_string(), str::to_owned);
        return Err(refused(reason));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| refused(error.to_string()))
}

/// Makes the folder durable, then gives it its name.
fn finish(from: &Path, to: &Path) -> Result<(), ImageError> {
    let folder = std::fs::File::open(from).map_err(ImageError::io("opening", from))?;
    rustix::fs::syncfs(&folder).map_err(|errno| ImageError::io("syncing", from)(errno.into()))?;
    match std::fs::rename(from, to) {
        // Made by an earlier run, whose record was lost.
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        result => result.map_err(ImageError::io("moving", from)),
    }
}

/// Removes a tree; nothing there is success.
pub(super) fn remove_all(path: &Path) -> Result<(), ImageError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ImageError::io("removing", path)(error)),
        _ => Ok(()),
    }
}
