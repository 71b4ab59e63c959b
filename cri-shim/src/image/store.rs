//! What images there are: records in redb, and a copy of them in memory that all reads are served from.
//!
//! ```text
//!            pull, import: layers synced,          its last tag is given to another
//!            then the record committed             image by a pull or import
//!   absent ─────────────────────────────▶ tagged ──────────────────────────────────▶ known by digest alone
//!     ▲                                      │ ▲                                          │ │
//!     │  RemoveImage; at the start: a layer  │ └────────── pulled under a tag ────────────┘ │
//!     └──────── is missing ──────────────────┴──────────────────────────────────────────────┘
//! ```
//! Layers that no record names are removed after each removal and at the start; a pull under way holds its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use oci_spec::image::ImageConfiguration;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};

use super::layers::Layers;
use super::reference::Reference;
use super::{ImageError, digest};

const IMAGES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("images");

/// One image.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    record: Record,
    /// Its parsed configuration.
    pub(crate) config: ImageConfiguration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    id: String,
    /// As the registry sent it: its digest is the id.
    config: String,
    size: u64,
    repo_tags: BTreeSet<String>,
    repo_digests: BTreeSet<String>,
}

impl Image {
    /// The digest of its configuration.
    pub(crate) fn id(&self) -> &str {
        &self.record.id
    }

    /// Its compressed size, as the registry counts it, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.record.size
    }

    /// `name:tag` of every tag that points at it.
    pub(crate) fn repo_tags(&self) -> impl Iterator<Item = &str> {
        self.record.repo_tags.iter().map(String::as_str)
    }

    /// `name@digest` of every manifest that it came by.
    pub(crate) fn repo_digests(&self) -> impl Iterator<Item = &str> {
        self.record.repo_digests.iter().map(String::as_str)
    }

    /// The configuration as JSON.
    pub(crate) fn config_json(&self) -> &str {
        &self.record.config
    }

    /// Its layers, lowest first.
    pub(crate) fn diff_ids(&self) -> &[String] {
        self.config.rootfs().diff_ids()
    }
}

/// All images, and the folders of their layers.
#[derive(Clone)]
pub(crate) struct ImageStore {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    images: RwLock<BTreeMap<String, Arc<Image>>>,
    /// Held over every change of the records, so that the copy in memory has the same order.
    changing: Mutex<()>,
    layers: Layers,
    registries: PathBuf,
    pub(super) pulls: Mutex<HashMap<super::pull::Key, super::pull::Joined>>,
}

impl ImageStore {
    /// Opens or makes the store below `root`, and removes what a crash left half-done. `registries` holds the
    /// `hosts.toml` folders.
    pub(crate) fn open(root: &Path, registries: &Path) -> Result<Self, ImageError> {
        std::fs::create_dir_all(root).map_err(ImageError::io("making", root))?;
        let database = Database::create(root.join("images.redb"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(IMAGES)?;
        transaction.commit()?;
        let images = read_all(&database)?;
        let layers = Layers::open(root)?;
        let store = Self {
            inner: Arc::new(Inner {
                database,
                images: RwLock::new(images),
                changing: Mutex::new(()),
                layers,
                registries: registries.into(),
                pulls: Mutex::default(),
            }),
        };
        store.drop_incomplete()?;
        store.collect_garbage()?;
        Ok(store)
    }

    pub(super) fn layers(&self) -> &Layers {
        &self.inner.layers
    }

    pub(super) fn registries(&self) -> &Path {
        &self.inner.registries
    }

    pub(super) fn pulls(&self) -> MutexGuard<'_, HashMap<super::pull::Key, super::pull::Joined>> {
        self.inner.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All images, by id.
    pub(crate) fn list(&self) -> Vec<Arc<Image>> {
        self.images().values().cloned().collect()
    }

    /// The image of an id (with or without `sha256:`, at least 12 digits of it), a tag or a digest reference.
    pub(crate) fn get(&self, reference: &str) -> Option<Arc<Image>> {
        let images = self.images();
        if let Some(image) = images.get(reference).or_else(|| images.get(&format!("sha256:{reference}"))) {
            return Some(image.clone());
        }
        if let Ok(parsed) = Reference::parse(reference) {
            let by_digest = parsed.digest.as_ref().map(|digest| parsed.repo_digest(digest));
            let named = |image: &&Arc<Image>| match (&by_digest, parsed.repo_tag()) {
                (Some(digest), _) => image.record.repo_digests.contains(digest),
                (None, Some(tag)) => image.record.repo_tags.contains(&tag),
                (None, None) => false,
            };
            if let Some(image) = images.values().find(named) {
                return Some(image.clone());
            }
        }
        // A person's abbreviation; two that fit are none.
        let digits = reference.strip_prefix("sha256:").unwrap_or(reference);
        let hexadecimal = digits.len() >= 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut fitting = images.values().filter(|image| hexadecimal && image.id()[7..].starts_with(digits));
        fitting.next().filter(|_| fitting.next().is_none()).cloned()
    }

    /// Records an image under a reference; the tag leaves whatever image had it.
    pub(super) fn record(
        &self,
        reference: &Reference,
        manifest_digest: &str,
        config: &[u8],
        parsed: ImageConfiguration,
        size: u64,
    ) -> Result<Arc<Image>, ImageError> {
        let _changing = self.changing();
        let id = digest::of(config);
        let known = self.images().get(&id).map(|image| image.record.clone());
        let mut record = known.unwrap_or_else(|| Record {
            id: id.clone(),
            config: String::from_utf8_lossy(config).into_owned(),
            size,
            repo_tags: BTreeSet::new(),
            repo_digests: BTreeSet::new(),
        });
        let mut changed = Vec::new();
        if let Some(tag) = reference.repo_tag() {
            let holders: Vec<_> = self
                .images()
                .values()
                .filter(|i| i.id() != id && i.record.repo_tags.contains(&tag))
                .cloned()
                .collect();
            for holder in holders {
                let mut holder = Image::clone(&holder);
                holder.record.repo_tags.remove(&tag);
                changed.push(holder);
            }
            record.repo_tags.insert(tag);
        }
        record.repo_digests.insert(reference.repo_digest(manifest_digest));
        changed.push(Image { record, config: parsed });
        self.write(&changed, &[])?;
        // `write` has just put it there.
        self.images().get(&id).cloned().ok_or_else(|| ImageError::Records(format!("{id} vanished")))
    }

    /// Removes an image with all its names, and the layers that nobody else needs. Nothing there is success.
    pub(crate) fn remove(&self, reference: &str) -> Result<(), ImageError> {
        {
            let _changing = self.changing();
            let Some(image) = self.get(reference) else { return Ok(()) };
            self.write(&[], &[image.id()])?;
        }
        self.collect_garbage()
    }

    /// Bytes and inodes of all layers.
    pub(crate) fn usage(&self) -> (u64, u64) {
        self.inner.layers.usage()
    }

    fn images(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Image>>> {
        self.inner.images.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.inner.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes durably, then shows it to readers.
    fn write(&self, changed: &[Image], removed: &[&str]) -> Result<(), ImageError> {
        let transaction = self.inner.database.begin_write()?;
        {
            let mut table = transaction.open_table(IMAGES)?;
            for image in changed {
                let bytes =
                    serde_json::to_vec(&image.record).map_err(|e| ImageError::Records(e.to_string()))?;
                table.insert(image.id(), bytes.as_slice())?;
            }
            for id in removed {
                table.remove(*id)?;
            }
        }
        transaction.commit()?;
        let mut images = self.inner.images.write().unwrap_or_else(PoisonError::into_inner);
        for id in removed {
            images.remove(*id);
        }
        images.extend(changed.iter().map(|image| (image.id().to_owned(), Arc::new(image.clone()))));
        Ok(())
    }

    /// Forgets images of which a layer is missing: a folder that was synced does not vanish by itself, but a
    /// person can remove it, and then a pull must bring it back.
    fn drop_incomplete(&self) -> Result<(), ImageError> {
        let broken: Vec<_> =
            self.list().into_iter().filter(|i| !self.inner.layers.have_all(i.diff_ids())).collect();
        for image in &broken {
            tracing::warn!(image = image.id(), "a layer is missing; the image must be pulled again");
        }
        let ids: Vec<_> = broken.iter().map(|image| image.id()).collect();
        self.write(&[], &ids)
    }

    fn collect_garbage(&self) -> Result<(), ImageError> {
        // Read under the layers' own lock, so that a pull that has just been recorded is seen.
        self.inner.layers.collect(|| {
            self.images().values().flat_map(|image| image.diff_ids().iter().cloned()).collect::<BTreeSet<_>>()
        })
    }
}

fn read_all(database: &Database) -> Result<BTreeMap<String, Arc<Image>>, ImageError> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(IMAGES)?;
    let mut images = BTreeMap::new();
    for row in table.iter()? {
        let (id, bytes) = row?;
        let broken = |error: serde_json::Error| ImageError::Records(format!("{}: {error}", id.value()));
        let record: Record = serde_json::from_slice(bytes.value()).map_err(broken)?;
        let config = serde_json::from_str(&record.config).map_err(broken)?;
        images.insert(record.id.clone(), Arc::new(Image { record, config }));
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> (Vec<u8>, ImageConfiguration) {
        let json = format!(
            r#"{{"architecture":"amd64","os":"linux","author":"{text}","rootfs":{{"type":"layers","diff_ids":[]}}}}"#
        );
        let parsed = serde_json::from_str(&json).unwrap();
        (json.into_bytes(), parsed)
    }

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn add(store: &ImageStore, reference: &str, text: &str) -> String {
        let (bytes, parsed) = config(text);
        let reference = Reference::parse(reference).unwrap();
        store.record(&reference, DIGEST, &bytes, parsed, 1).unwrap().id().to_owned()
    }

    fn store(folder: &Path) -> ImageStore {
        ImageStore::open(folder, Path::new("/nonexistent")).unwrap()
    }

    #[test]
    fn an_image_is_the_same_by_id_tag_and_digest() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let id = add(&store, "a:1", "x");
        for name in [id.as_str(), &id[7..], &id[7..20], "docker.io/library/a:1", &format!("a@{DIGEST}")] {
            assert_eq!(
                store.get(name).map(|image| image.id().to_owned()).as_deref(),
                Some(id.as_str()),
                "{name}"
            );
        }
        assert!(store.get("a:2").is_none());
    }

    #[test]
    fn a_tag_moves_from_image_to_image() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let old = add(&store, "a:1", "x");
        let new = add(&store, "a:1", "y");
        assert_eq!(store.get("a:1").unwrap().id(), new);
        assert_eq!(store.get(&old).unwrap().repo_tags().count(), 0);
    }

    #[test]
    fn removal_takes_all_names_and_is_idempotent() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        add(&store, "a:1", "x");
        add(&store, "b.io/b:2", "x");
        store.remove("a:1").unwrap();
        assert!(store.get("b.io/b:2").is_none());
        store.remove("a:1").unwrap();
    }

    #[test]
    fn images_are_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let id = add(&store(folder.path()), "a:1", "x");
        assert_eq!(store(folder.path()).get("a:1").unwrap().id(), id);
    }
}
